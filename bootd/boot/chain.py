"""A machine's deeds, cut into boots: each from its first question to its last sign."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from bootd.model import Observation

QUIET = timedelta(minutes=5)  # a machine silent for so long, then heard again, has been started anew
_OFFERS = "dhcp.offer_sent"
_LOADING = ("dhcp.", "tftp.")  # a question after one of these goes on with the same boot
_BOOTED = ("http.script_", "node.")  # … and after one of these it may be a new one


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot attempt."""

    mac: str
    host: str
    steps: tuple[Observation, ...]  # in the order of time, at least one

    @property
    def started_at(self) -> datetime:
        """When it was first heard; power-on is a few seconds before."""
        return self.steps[0].at

    @property
    def seconds(self) -> float:
        """From the first sign to the last; 0 where the clock was set back meanwhile."""
        return max(0.0, (self.steps[-1].at - self.steps[0].at).total_seconds())

    @property
    def octets(self) -> int:
        return sum(step.octets for step in self.steps)

    @property
    def has_reported(self) -> bool:
        """The system that was booted said so itself."""
        return any(step.event == "node.reported" for step in self.steps)


def boots(observations: Iterable[Observation]) -> list[Boot]:
    """Return the boots in *observations* of one machine, oldest first."""
    return [Boot(steps[0].mac, steps[0].host, tuple(steps)) for steps in _cut(observations)]


def _cut(observations: Iterable[Observation]) -> Iterator[list[Observation]]:
    steps: list[Observation] = []
    for seen in observations:
        if steps and _begins_anew(steps, seen):
            yield steps
            steps = []
        steps.append(seen)
    if steps:
        yield steps


def _begins_anew(steps: list[Observation], seen: Observation) -> bool:
    last = steps[-1]
    if seen.at - last.at >= QUIET:
        return True
    if seen.event != _OFFERS or last.event.startswith(_LOADING):
        return False
    # HTTP Boot fetches the loader itself by HTTP, before there is a script
    return any(step.event.startswith(_BOOTED) for step in steps)
