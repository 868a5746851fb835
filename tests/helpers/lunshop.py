"""A workshop with a pair of LUNs, an image, and bookings of it by root nodes."""

from dataclasses import replace
from typing import Any

from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.tools import Tools
from bootd.model import (
    DeployedNode,
    Deployment,
    DiskImage,
    Job,
    JobKind,
    JobPart,
    LunClone,
    Project,
    Role,
)
from bootd.services import images, jobs, luns
from tests.helpers.deeds import a_reservation
from tests.helpers.site import NOON
from tests.helpers.workshop import Workshop

IMAGE = bytes(range(256)) * 8192 + bytes(1 << 20) + b"the end".ljust(512)  # with a hole, in four chunks
OTHER = b"another image".ljust(4096)
SIZE = 4 << 20
NODES = ("node1", "node2", "node3", "node4")
GROUP = "rack"


class LunShop(Workshop):
    """A workshop with a pair of LUNs of *lun* octets, an image for each project, and bookings of it."""

    lun = SIZE

    def __post_init__(self) -> None:
        super().__post_init__()
        self.looks: list[JobPart] = []  # what people saw of the last job whenever the backend was slow
        self.luns = FakeLuns(Tools(self.folder / "luns", clock=self.clock, wait=self._wait))
        with self.store.transaction("anna", "furnish") as change:
            change.keep(Project("mesh", "anna", NOON))
        self.pair = luns.add(self.store, "anna", GROUP, self.lun, clock=self.clock)
        self.image = self.add_image(IMAGE)

    def _wait(self, seconds: float) -> None:
        self.clock.move(seconds=seconds)
        self.looks += [part for part in self.store.job_parts(1) if not part.node]

    def add_image(self, octets: bytes, name: str = "mesh/debian") -> DiskImage:
        path = self.folder / "new.raw"
        path.write_bytes(octets)
        return images.add(self.store, "anna", self.tree, name, path, clock=self.clock)

    def book(self, image: DiskImage | None = None, nodes: tuple[str, ...] = NODES, **fields: Any) -> Job:
        """Have a booking of the image whose time has come, and its job."""
        image = image or self.image
        with self.store.transaction("calendar", "plan") as change:
            number = change.next_id(Deployment)
            change.keep(a_reservation(number, state="booked", nodes=nodes))
            deployment = Deployment(
                number, number, Role.ROOT, image.ref, image.identity, nodes, NOON, group=GROUP
            )
            change.keep(replace(deployment, **fields))
            return jobs.add(
                change,
                JobKind.STAGE_LUN,
                by="calendar",
                now=self.clock(),
                nodes=nodes,
                reservation=number,
                deployment=number,
            )

    def staged(self, image: DiskImage | None = None) -> Deployment:
        """Book, and have it done."""
        job = self.book(image)
        self.run_for(60)
        assert self.job(job.id).state == "done", self.job(job.id)
        return self.deployment(job.deployment or 0)

    def activate(self, deployment: Deployment) -> None:
        with self.store.transaction("calendar") as change:
            luns.activate(change, deployment, now=self.clock())
            change.keep(replace(deployment, flipped_at=self.clock()))

    def end(self, deployment: Deployment) -> None:
        with self.store.transaction("calendar") as change:
            change.keep(replace(deployment, state="dark"))
            luns.release(change, deployment)

    def deployment(self, number: int = 1) -> Deployment:
        found = self.store.find(Deployment, number)
        assert found is not None
        return found

    def node(self, name: str, deployment: int = 1) -> DeployedNode:
        found = self.store.find(DeployedNode, f"{deployment}/{name}")
        assert found is not None
        return found

    def clone(self, name: str, deployment: int = 1) -> LunClone:
        found = self.store.find(LunClone, self.node(name, deployment).volume)
        assert found is not None
        return found

    def sides(self) -> list[tuple[str, str]]:
        return [(side.state, str(side.image or "")) for side in luns.named(self.store, GROUP).sides]

    def volumes(self) -> set[str]:
        return {volume.name for volume in self.luns.volumes()}

    def content(self, volume: str) -> bytes:
        return b"".join(self.luns.read(volume))

    def log_in(self, clone: LunClone) -> None:
        secret = self.store.secret(luns.SECRET)
        assert secret is not None
        self.luns.log_in(clone.volume, clone.initiator, luns.chap_of(secret, clone.volume))
