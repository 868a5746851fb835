"""A boot as a chain of timed steps, from power-on to the shell's report, for people to watch."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bootd.model import Observation
from bootd.store import Store
from bootd.units import size_text

TFTP = "tftp.read_completed"
HTTP = ("http.file_sent", "http.script_sent")
REPORTED = "node.reported"
CONSOLE = "lab.console"  # ours: the machine's console said that it is there


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole boot in one row."""

    node: str
    seconds: float | None  # power-on to the report; None where it never came
    tftp_octets: int
    http_octets: int

    @property
    def arrived(self) -> bool:
        return self.seconds is not None


def newest(store: Store) -> int:
    """Return the id of the last observation there is: what comes after it is new."""
    kept = store.observations(limit=1)
    return kept[-1].id if kept else 0


class Follower:
    """Reads the steps that bootd noted for *nodes* after *since_id*, each one once, in order."""

    def __init__(self, open_store: Callable[[], Store], nodes: Iterable[str], since_id: int) -> None:
        self._open_store = open_store
        self._nodes = frozenset(nodes)
        self._since_id = since_id

    def poll(self) -> list[Observation]:
        """Return what is new."""
        with self._open_store() as store:
            kept = store.observations(since_id=self._since_id)
        if kept:
            self._since_id = kept[-1].id
        return [row.observation for row in kept if row.observation.host in self._nodes]


def summarise(node: str, powered_at: datetime, steps: Sequence[Observation]) -> Summary:
    """Return the row of *node*, whose button was pressed at *powered_at*."""
    own = [step for step in steps if step.host == node]
    reported = [step.at for step in own if step.event == REPORTED]
    return Summary(
        node=node,
        seconds=(reported[0] - powered_at).total_seconds() if reported else None,
        tftp_octets=sum(step.octets for step in own if step.event == TFTP),
        http_octets=sum(step.octets for step in own if step.event in HTTP),
    )


def format_step(step: Observation, powered_at: datetime, width: int) -> str:
    """Return one line: time since power-on, node, what happened, how much, how long."""
    since = (step.at - powered_at).total_seconds()
    size = f"  {size_text(step.octets)}" if step.octets else ""
    took = f"  in {step.seconds:.2f} s" if step.seconds >= 0.005 else ""
    return f"{since:6.1f} s  {step.host:<{width}}  {step.text}{size}{took}"
