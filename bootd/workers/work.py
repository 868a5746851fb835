"""One job in the hands of one worker: its lease, its steps, and what becomes true with each.

A step does its deeds first and then commits once: what it did, and where the job goes on.
Killed before the commit, the step is done again, which every driver allows; after it, the
next one follows. The commit is refused where the lease was lost meanwhile, or where a person
changed the job: then what was done is left to whoever holds it now.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from bootd.clock import Clock
from bootd.darkstore.tree import Tree
from bootd.drivers.lun import LunBackend
from bootd.drivers.power import Powers
from bootd.drivers.transport import Transport
from bootd.errors import BootdError
from bootd.lifecycle import JOB
from bootd.model import Job, JobPart, Outcome
from bootd.store import Store, Transaction
from bootd.telemetry import Emit
from bootd.workers.settings import Settings

ACTOR = "calendar"
LEASE_S = 60.0  # without a renewal another worker takes over after so long
SHOW_EVERY_S = 1.0  # long deeds renew it so often


class LeaseLost(BootdError):
    """Another worker has the job now, or a person changed it."""

    code = "lease-lost"


class GivenUp(BootdError):
    """A step cannot be done, now or later; the job fails with these words."""

    code = "given-up"


@dataclass(frozen=True, slots=True)
class Context:
    """What workers work with. Drivers may be used from any thread, the store from its own alone.

    *luns* and *transport* raise `GivenUp` where the site has none.
    """

    store: Store
    clock: Clock
    holder: str  # who we are, unlike any other worker: "host:pid:number"
    settings: Settings
    powers: Powers
    luns: Callable[[], LunBackend]
    transport: Callable[[], Transport]
    tree: Tree
    scratch: Path  # where images are unpacked; may be missing yet
    emit: Emit
    stopping: Callable[[], bool] = lambda: False  # the daemon ends: leave the job to whoever comes next
    attends: Callable[[str], bool] = lambda node: False  # its imager runs, and waits for something to do
    committed: Callable[[], None] = lambda: None  # called after each commit: answers may depend on it


@dataclass(slots=True)
class Work:
    """A job whose lease is ours. Its job is as we last read or wrote it."""

    context: Context
    job: Job
    parts: dict[str, JobPart] = field(default_factory=dict)
    _renewed_at: datetime | None = None
    _written: dict[str, JobPart] = field(
        init=False, default_factory=dict
    )  # the parts as they are in the store

    def __post_init__(self) -> None:
        self._written = dict(self.parts)

    @property
    def store(self) -> Store:
        return self.context.store

    @property
    def now(self) -> datetime:
        return self.context.clock()

    def fact(self, name: str, otherwise: Any = None) -> Any:
        return self.job.facts.get(name, otherwise)

    def part(self, node: str = "") -> JobPart:
        return self.parts.get(node) or JobPart(self.job.id, node)

    def note_parts(self, *parts: JobPart) -> None:
        """Change how far nodes are; written down with the next commit or `show`."""
        self.parts.update({part.node: part for part in parts})

    def forget_noted(self) -> None:
        """Take back what a step noted and did not come to write."""
        self.parts = dict(self._written)

    def nodes(self, outcome: Outcome) -> list[str]:
        """Return the job's nodes with *outcome*, in its order."""
        return [node for node in self.job.nodes if self.part(node).outcome is outcome]

    @contextmanager
    def commit(
        self,
        step: str | None = None,
        *,
        wait_s: float = 0.0,
        note: str | None = None,
        facts: Mapping[str, Any] | None = None,
        tries: int = 0,
    ) -> Iterator[Transaction]:
        """Write what a step did; then the job goes on with *step* (None: the same) after *wait_s*.

        Raises `LeaseLost`, and writes nothing, where the job is not ours any more.
        """
        with self._ours() as change:
            yield change
            due_at = self.now + timedelta(seconds=wait_s)
            self._keep(
                change,
                step=self.job.step if step is None else step,
                due_at=due_at,
                note=self.job.note if note is None else note,
                facts={**self.job.facts, **(facts or {}), "tries": tries},
            )

    @contextmanager
    def finish(self, event: str, note: str = "") -> Iterator[Transaction]:
        """Write what the last step did, and end the job by *event* of its table."""
        with self._ours() as change:
            yield change
            state = JOB.after(self.job.state, event)
            self._keep(change, state=state, note=note, ended_at=self.now)
            change.drop_leases_of(lease_name(self.job.id))  # of machines it was about to switch

    @contextmanager
    def _ours(self) -> Iterator[Transaction]:
        job, parts = self.job, dict(self.parts)
        try:
            with self.store.transaction(ACTOR, f"job {job.id} {job.kind} {job.step}".rstrip()) as change:
                self._hold(change)
                yield change
                change.put_job_parts(self._changed_parts())
        except BaseException:
            self.job, self.parts = job, parts
            raise
        self._written = dict(self.parts)
        self.context.committed()

    def _hold(self, change: Transaction) -> None:
        now = self.now
        until = now + timedelta(seconds=LEASE_S)
        if not change.take_lease(lease_name(self.job.id), self.context.holder, now=now, until=until):
            raise LeaseLost(f"job {self.job.id} has another worker now")
        if change.find(Job, self.job.id) != self.job:
            raise LeaseLost(f"job {self.job.id} was changed meanwhile")
        said = {part.node: part for part in change.spoken_parts(self.job.id)}
        for parts in (self.parts, self._written):
            parts.update(_with_words(parts, said))
        self._renewed_at = now

    def _changed_parts(self) -> list[JobPart]:
        """Return the parts that are not in the store as they are here; nobody else writes more than words."""
        return [part for node, part in self.parts.items() if self._written.get(node) != part]

    def _keep(self, change: Transaction, **changed: Any) -> None:
        self.job = replace(self.job, **changed)
        change.keep(self.job)

    def show(self, *parts: JobPart) -> None:
        """Let people see how far a long deed is, and renew the lease; raises `LeaseLost`.

        May be called as often as one likes: it writes once a while. It raises too where the daemon ends.
        """
        if self.context.stopping():
            raise LeaseLost(f"bootd ends; job {self.job.id} goes on with the next one")
        self.note_parts(*parts)
        last = self._renewed_at
        if last is not None and abs((self.now - last).total_seconds()) < SHOW_EVERY_S:
            return
        with self._ours():
            pass


def _with_words(parts: Mapping[str, JobPart], said: Mapping[str, JobPart]) -> dict[str, JobPart]:
    """Return those of *parts* whose node has said something else since: what it says is written by others."""
    heard = {}
    for node, part in parts.items():
        told = said.get(node)
        if told is not None and _words(told) != _words(part):
            word, detail, at = _words(told)
            heard[node] = replace(part, word=word, word_detail=detail, word_at=at)
    return heard


def _words(part: JobPart) -> tuple[str, str, datetime | None]:
    return part.word, part.word_detail, part.word_at


class Handler(Protocol):
    """How one kind of job is done."""

    @property
    def steps(self) -> Mapping[str, Callable[[Work], None]]:
        """Step -> what it does; "" is the first. Each commits or finishes, once and as its last deed.

        What it raises is tried again later, but for `GivenUp` and permanent `DriverError`.
        """

    def fail(self, work: Work, why: str) -> None:
        """Give up: leave nothing half done that looks whole, and finish the job. May be called again."""

    def cancel(self, work: Work, who: str) -> None:
        """A person, or the end of the reservation, takes the job back: the same, and finish by ``cancel``."""


def lease_name(job: int) -> str:
    return f"job/{job}"
