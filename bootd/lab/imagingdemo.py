"""The demonstration of mesh nodes: two images go to two sets of machines at once, and each boots its own."""

import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from queue import SimpleQueue

from bootd.clock import utc_now
from bootd.lab import servers
from bootd.lab.demo import store_opener
from bootd.lab.lab import Lab
from bootd.lab.meshes import NODES, A, B
from bootd.lab.story import Line, Show, Watch
from bootd.model import JobKind
from bootd.services.tasks import WAYS
from bootd.store import Reads

NAMES = tuple(spec.name for spec in NODES)
PARTS = {A: NAMES[:2], B: NAMES[2:]}  # image -> its machines
SLOT = 7
PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Row:
    """One machine, as it was in the end."""

    node: str
    image: str
    session: str  # multicast address and port of the session that brought it
    device: str
    written_at: datetime | None  # it said that its slot is right
    ran_at: datetime | None  # it said that it runs


@dataclass(slots=True)
class Told:
    """What was seen."""

    began_at: datetime
    statuses: dict[str, int] = field(default_factory=dict)  # image -> how its `bootd deploy` ended
    rows: list[Row] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return set(self.statuses) == set(PARTS) and not any(self.statuses.values())


def tell(lab: Lab, show: Show, say: Callable[[str], None], *, patience_s: float = PATIENCE_S) -> Told:
    """Deploy both images at once and show what the commands and the machines say until all is over."""
    watch, told = Watch(lab, NAMES, show, jobs=False), Told(utc_now())
    commands = {}
    for image, nodes in PARTS.items():
        words = ("deploy", image, "--nodes", ",".join(nodes), "--slot", str(SLOT))
        say(f"$ bootd {' '.join(words)}")
        commands[image] = Command(lab, words)
    say("")

    def over(reads: Reads) -> bool:
        for image, command in commands.items():
            for line in command.lines():
                show(Line(utc_now(), f"deploy {image[-3]}", line))
        return not any(command.is_running for command in commands.values())

    try:
        watch.until(over, patience_s)
    finally:
        told.statuses = {image: command.end() for image, command in commands.items()}
    with store_opener(lab)() as store:
        told.rows = [row for image, nodes in PARTS.items() for row in rows_of(store, image, nodes)]
    return told


class Command:
    """A bootd command whose words are read as they come."""

    def __init__(self, lab: Lab, words: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            servers.bootd_command(lab.config, *words),
            env=servers.bootd_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip())

    @property
    def is_running(self) -> bool:
        return self._reader.is_alive() or not self._lines.empty()

    def lines(self) -> list[str]:
        """Return what it said since the last call."""
        return [self._lines.get() for _ in range(self._lines.qsize())]

    def end(self) -> int:
        """Have it over and return its status."""
        if self._process.poll() is None:
            self._process.terminate()
        status = self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status


def rows_of(reads: Reads, image: str, nodes: Sequence[str]) -> list[Row]:
    [job] = [job for job in reads.jobs(kind=JobKind.WRITE_SLOT) if set(job.nodes) == set(nodes)]
    parts = {part.node: part for part in reads.job_parts(job.id)}
    places = {node.node: node for node in reads.deployed_nodes(job.deployment or 0)}
    found = []
    for node in nodes:
        way, part = job.facts.get(WAYS, {}).get(node, {}), parts[node]
        session = f"{way['address']} port {way['port']}" if "address" in way else way.get("transport", "")
        written_at = part.word_at if part.word == "verified" else None
        place = places[node]
        ran_at = place.changed_at if place.state == "running" else None
        found.append(Row(node, image, session, place.device, written_at, ran_at))
    return found
