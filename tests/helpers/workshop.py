"""A worker with all it works with: fakes of every driver, a store in memory, a clock moved by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bootd.darkstore.tree import Tree
from bootd.drivers.faults import PowerLost
from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.power import Powers
from bootd.drivers.power.fake import FakePower
from bootd.drivers.tools import Tools
from bootd.drivers.transport.fake import FakeTransport
from bootd.events import Event
from bootd.model import Job, JobKind, JobPart, Observation, Outcome
from bootd.store import Store
from bootd.workers.engine import Engine
from bootd.workers.settings import Settings
from bootd.workers.work import LEASE_S, Context, Handler
from tests.helpers.site import HandClock, a_host, memory_store

SETTINGS = Settings(lun_backend="fake", transport="fake", hands=1)


@dataclass
class Workshop:
    """*nodes* machines node1 … that can be switched; `run` lets jobs go on as far as they get just now."""

    handlers: Mapping[JobKind, Handler]
    folder: Path
    nodes: int = 4
    settings: Settings = SETTINGS
    clock: HandClock = field(default_factory=HandClock)
    events: list[Event] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)  # nodes whose imager is there and waits

    def __post_init__(self) -> None:
        self.store: Store = self.new_store()
        tools = Tools(self.folder / "drivers", clock=self.clock, wait=lambda seconds: None)
        self.power, self.transport, self.luns = FakePower(tools), FakeTransport(tools), FakeLuns(tools)
        self.powers = Powers(tools, {"fake": lambda tools: self.power})
        self.tree = Tree(self.folder / "dark")
        self.holder = "first"
        with self.store.transaction("anna", "furnish") as change:
            change.put_hosts([a_host(n, settings={"power": "fake"}) for n in range(1, self.nodes + 1)])

    def new_store(self) -> Store:
        return memory_store(self.clock)

    @property
    def context(self) -> Context:
        return Context(
            store=self.store,
            clock=self.clock,
            holder=self.holder,
            settings=self.settings,
            powers=self.powers,
            luns=lambda: self.luns,
            transport=lambda: self.transport,
            tree=self.tree,
            scratch=self.folder / "unpacked",
            emit=self.events.append,
            attends=self.waiting.__contains__,
        )

    def run(self) -> None:
        """Do what is due now; for a worker that dies on the way another one comes, once the lease is over."""
        try:
            Engine(self.context, self.handlers).run_due()
        except PowerLost:
            self.holder += "'"
            self.clock.move(seconds=LEASE_S + 1)
            self.run()

    def run_for(self, seconds: float, each: float = 1.0) -> None:
        """Let time go by in small steps, and work be done in it."""
        for _ in range(int(seconds / each)):
            self.run()
            self.clock.move(seconds=each)
        self.run()

    def job(self, number: int = 1) -> Job:
        found = self.store.find(Job, number)
        assert found is not None
        return found

    def part(self, node: str, job: int = 1) -> JobPart:
        [part] = [part for part in self.store.job_parts(job) if part.node == node]
        return part

    def outcomes(self, job: int = 1) -> dict[str, Outcome]:
        return {part.node: part.outcome for part in self.store.job_parts(job) if part.node}

    def say(self, node: str, word: str, detail: str = "", job: int = 1) -> None:
        """Let the node itself say *word*."""
        part = replace(self.part(node, job), word=word, word_detail=detail, word_at=self.clock())
        with self.store.transaction("bootd", "report") as change:
            change.put_job_parts([part])

    def seen(self, node: str) -> None:
        """Let the machine ask for something."""
        host = self.store.host(node)
        assert host is not None
        with self.store.transaction("bootd", "") as change:
            change.add_observations([Observation(self.clock(), host.mac, node, "dhcp.offer_sent", "asked")])

    def switched(self) -> list[tuple[str, str]]:
        """Return what the power switch was told, but for questions."""
        return [(order.verb, order.node) for order in self.power.orders if order.verb != "state"]

    def keep(self, *records: Any) -> None:
        with self.store.transaction("anna", "test") as change:
            for record in records:
                change.keep(record)
