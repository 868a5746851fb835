"""What happens in a lab while machines change what they boot, as timed lines for people to watch."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from bootd.clock import utc_now
from bootd.lab.chain import REPORTED, Follower, newest
from bootd.lab.demo import store_opener
from bootd.lab.lab import Lab
from bootd.model import parse_image_ref
from bootd.services import luns
from bootd.services.jobs import OPEN
from bootd.store import Reads, Store
from bootd.units import size_text

CALENDAR = "bootd"  # whose deed a line is, where it is no machine's
_WORDS = ("BOOTD-READY", "BOOTD-RESTARTING", "BOOTD-FAILED")
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened."""

    at: datetime
    who: str  # a machine, or `CALENDAR`
    text: str
    event: str = ""


Show = Callable[[Line], None]


class Watch:
    """Shows each step of *nodes*, turns of jobs (with *jobs*) and the consoles' words, once, from now on."""

    def __init__(self, lab: Lab, nodes: Sequence[str], show: Show, *, jobs: bool = True) -> None:
        self._lab, self._nodes, self._show, self._tells_jobs = lab, nodes, show, jobs
        self._open = store_opener(lab)
        with self._open() as store:
            self._follower = Follower(self._open, nodes, newest(store))
        self._jobs: dict[int, str] = {}
        self.lines: list[Line] = []

    def until(self, is_so: Callable[[Store], bool], patience_s: float) -> bool:
        """Show what happens until *is_so* says yes; False where patience ended first."""
        until = time.monotonic() + patience_s
        while True:
            with self._open() as store:
                arrived = is_so(store)
                new = list(self._turns(store)) if self._tells_jobs else []
            new += [*self._steps(), *self._consoles()]
            for line in sorted(new, key=lambda line: line.at):
                self._show(line)
            self.lines += new
            if arrived or time.monotonic() > until:
                return arrived
            time.sleep(_POLL_S)

    def reported(self, node: str, since: datetime) -> datetime | None:
        """Return when *node* first said that it runs after *since*."""
        said = (line.at for line in self.lines if line.who == node and line.event == REPORTED)
        return next((at for at in said if at >= since), None)

    def _turns(self, reads: Reads) -> Iterator[Line]:
        for job in reversed(reads.jobs()):
            words = f"job {job.id}, {job.kind}: {job.state}" + (f", {job.note}" if job.note else "")
            if self._jobs.get(job.id) != words:
                self._jobs[job.id] = words
                yield Line(utc_now(), CALENDAR, words)

    def _steps(self) -> Iterator[Line]:
        for step in self._follower.poll():
            size = f"  {size_text(step.octets)}" if step.octets else ""
            yield Line(step.at, step.host, f"{step.text}{size}", step.event)

    def _consoles(self) -> Iterator[Line]:
        for node in self._nodes:
            for line in self._lab.console(node).poll():
                for word in _WORDS:
                    if word in line.text:
                        yield Line(utc_now(), node, f"console: {line.text[line.text.index(word) :]}")


def runs(reservation: int, ref: str) -> Callable[[Reads], bool]:
    """Return what tells whether every node of *reservation* says that it runs the image *ref*.

    And whether the job that saw to it has taken notice: what comes next is refused before.
    """
    image = parse_image_ref(ref)

    def is_so(reads: Reads) -> bool:
        return not reads.jobs(states=OPEN, reservation=reservation) and all(
            each.image == image and _all_run(reads, each.id, each.nodes)
            for each in reads.deployments_of(reservation)
        )

    return is_so


def _all_run(reads: Reads, deployment: int, nodes: Iterable[str]) -> bool:
    standing = {node.node: node.state for node in reads.deployed_nodes(deployment)}
    return all(standing.get(node) == "running" for node in nodes)


def staged(group: str, ref: str) -> Callable[[Reads], bool]:
    """Return what tells whether the image *ref* is ready on the inactive side of the pair of *group*.

    And whether the nodes that booked it have their clones of it.
    """
    image = parse_image_ref(ref)

    def is_so(reads: Reads) -> bool:
        pair = luns.named(reads, group)
        side = pair.sides[pair.inactive]
        return side.state == "staged" and side.image == image and not reads.jobs(states=OPEN)

    return is_so
