"""A workshop whose machines take images into slots of their disks, and say what they found there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from bootd.drivers.power import PowerState
from bootd.drivers.power.fake import Start
from bootd.model import (
    Deployment,
    DiskImage,
    Job,
    JobKind,
    Outcome,
    Project,
    Role,
    Slot,
)
from bootd.services import images, jobs
from bootd.store import Transaction
from bootd.workers.sessions import Session, session_of
from bootd.workers.write_slot import WriteSlot
from tests.helpers.deeds import a_reservation
from tests.helpers.site import NOON, an_image
from tests.helpers.workshop import SETTINGS, Workshop

NODES = ("node1", "node2", "node3")
SIZE = 2000 * 512  # octets; eight seconds at a megabit per second
PACE = replace(SETTINGS, window=8, window_pause_s=10.0, rate=1_000_000, join_s=60.0)


class Shop(Workshop):
    """A workshop whose machines run an agent that receives, compares and says what it found."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.silent: set[str] = set()
        self.asleep: set[str] = set()  # machines that are started and never fetch what they are to boot
        self.says: dict[str, tuple[str, str]] = {}  # node -> what it says instead of "verified"
        self._told: dict[str, Any] = {}
        self.power.started = self._fetch
        with self.store.transaction("anna", "furnish") as change:
            change.keep(Project("mesh", "anna", NOON))
            change.put_memory_image(an_image("imager"))
        self.image = self.add_image(b"a disk".ljust(SIZE, b"."))

    def _fetch(self, start: Start) -> None:
        """Let a machine that was started have fetched the imager: its one-shot order is used up."""
        orders = [order for order in self.store.overrides() if order.host == start.node]
        if start.node not in self.asleep and orders:
            with self.store.transaction("bootd", "evidence") as change:
                change.remove_override(start.node, orders[0].id)

    def add_image(self, octets: bytes, name: str = "mesh/debian") -> DiskImage:
        path = self.folder / "new.raw"
        path.write_bytes(octets)
        return images.add(self.store, "anna", self.tree, name, path, clock=self.clock)

    def book(
        self,
        nodes: tuple[str, ...] = NODES,
        image: DiskImage | None = None,
        slot: int = 7,
        *,
        state: str = "booked",
    ) -> Job:
        """Have a booking of the image whose slot is to be written now."""
        image = image or self.image
        with self.store.transaction("calendar", "plan") as change:
            number = change.next_id(Deployment)
            change.keep(a_reservation(number, state=state, nodes=nodes))
            new = Deployment(number, number, Role.MESH, image.ref, image.identity, nodes, NOON, slot=slot)
            change.keep(new)
            return self._add(change, number, nodes)

    def _add(self, change: Transaction, number: int, nodes: tuple[str, ...]) -> Job:
        return jobs.add(
            change,
            JobKind.WRITE_SLOT,
            by="calendar",
            now=self.clock(),
            nodes=nodes,
            reservation=number,
            deployment=number,
        )

    def live(self, seconds: float = 120, until: str = "") -> None:
        """Let time go by and agents speak, until a job is at a step."""
        for _ in range(int(seconds)):
            self.run()
            if until and until in {job.step for job in self.store.jobs(states=("running",))}:
                return
            self._speak()
            self.clock.move(seconds=1)
        self.run()

    def _speak(self) -> None:
        for job in self.store.jobs(states=("running",)):
            for part in self.store.job_parts(job.id):
                if part.step == "received" and part.outcome is Outcome.OPEN and part.node not in self.silent:
                    word, detail = self.says.get(part.node, ("verified", self.digest(job)))
                    self.say(part.node, word, detail, job.id)

    def digest(self, job: Job) -> str:
        return self.deployment(job.deployment or 0).digest

    def deployment(self, number: int = 1) -> Deployment:
        found = self.store.find(Deployment, number)
        assert found is not None
        return found

    def nodes_of(self, number: int = 1) -> dict[str, str]:
        return {node.node: node.state for node in self.store.deployed_nodes(number)}

    def slots(self, number: int = 7) -> dict[str, str]:
        return {slot.host: slot.state for slot in self.store.every(Slot) if slot.number == number}

    def session(self, job: int = 1) -> Session:
        found = session_of(self.job(job))
        assert found is not None
        return found


def a_shop(folder: Path, **pace: Any) -> Shop:
    shop = Shop({JobKind.WRITE_SLOT: WriteSlot()}, folder, nodes=6, settings=replace(PACE, **pace))
    shop.power.states = {f"node{n}": PowerState.ON for n in range(1, 7)}
    return shop


def ready(*nodes: str) -> dict[str, str]:
    return dict.fromkeys(nodes, "ready")
