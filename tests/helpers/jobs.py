"""Workers on one database: a job kind whose steps a test says, and engines that do it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bootd.darkstore.tree import Tree
from bootd.drivers.power import Powers
from bootd.drivers.tools import Tools
from bootd.events import Event
from bootd.model import Job, JobKind
from bootd.services import jobs
from bootd.store import Store
from bootd.workers.engine import Engine
from bootd.workers.settings import Settings
from bootd.workers.work import Context, GivenUp, Handler, Work
from tests.helpers.site import HandClock, file_store

Step = Callable[[Work], None]
KIND = JobKind.WRITE_SLOT


def a_context(store: Store, clock: HandClock, holder: str = "here", **fields: Any) -> Context:
    """Return the surroundings of a worker that has no drivers."""

    def none() -> Any:
        raise GivenUp("this site has none")

    nowhere = Path("/nowhere")
    standard: dict[str, Any] = {
        "settings": Settings(),
        "powers": Powers(Tools(nowhere)),
        "luns": none,
        "transport": none,
        "tree": Tree(nowhere),
        "scratch": nowhere / "unpacked",
        "emit": lambda event: None,
    }
    return Context(store=store, clock=clock, holder=holder, **standard | fields)


def done(work: Work) -> None:
    with work.finish("finish"):
        pass


def tidy(work: Work, why: str) -> None:
    with work.finish("fail", why):
        pass


def give_back(work: Work, who: str) -> None:
    with work.finish("cancel", f"taken back by {who}"):
        pass


@dataclass(slots=True)
class Doing:
    """A handler that does what the test says."""

    steps: Mapping[str, Step] = field(default_factory=lambda: {"": done})
    tidy: Callable[[Work, str], None] = tidy
    give_back: Callable[[Work, str], None] = give_back

    def fail(self, work: Work, why: str) -> None:
        self.tidy(work, why)

    def cancel(self, work: Work, who: str) -> None:
        self.give_back(work, who)


class Shop:
    """A database in *folder*, and workers on it that share a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, HandClock()
        self.store = self.another_store()
        self.events: list[Event] = []

    def another_store(self) -> Store:
        return file_store(self.folder, clock=self.clock)

    def engine(self, handler: Handler | None, holder: str = "here", **fields: Any) -> Engine:
        """Return an engine with a connection of its own."""
        fields.setdefault("emit", self.events.append)
        context = a_context(self.another_store(), self.clock, holder, **fields)
        return Engine(context, {} if handler is None else {KIND: handler})

    def add(self, *nodes: str, kind: JobKind = KIND) -> int:
        with self.store.transaction("calendar") as change:
            return jobs.add(change, kind, by="calendar", now=self.clock(), nodes=nodes).id

    def job(self, number: int = 1) -> Job:
        return jobs.find(self.store, number)

    def cancel(self, number: int = 1, actor: str = "anna") -> None:
        jobs.cancel(self.store, actor, number, clock=self.clock)
