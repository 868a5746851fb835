"""Deployments: the path of one image of a reservation into its place, and the nodes that boot it there."""

from dataclasses import dataclass
from datetime import datetime

from bootd.model.images import ImageRef
from bootd.model.machines import Role


@dataclass(frozen=True, slots=True)
class Deployment:
    """One image of a reservation on its way: to one slot number, or to the LUN pair of one group."""

    id: int
    reservation: int
    role: Role  # root or mesh
    image: ImageRef  # with its version
    digest: str  # `DiskImage.identity` when it was booked, and again when it was staged
    nodes: tuple[str, ...]  # host names, sorted
    created_at: datetime
    slot: int | None = None  # of mesh nodes
    group: str | None = None  # of root nodes: whose LUN pair
    state: str = "sched"  # see lifecycle.tables.DEPLOYMENT
    side: int | None = None  # of the pair, once it is being staged
    flipped_at: datetime | None = None  # from then on its nodes boot it
    note: str = ""  # why it failed, what it waits for


@dataclass(frozen=True, slots=True)
class DeployedNode:
    """One node of a deployment; there is a row from the moment work on it began."""

    deployment: int
    node: str
    state: str = "waiting"  # see lifecycle.tables.NODE
    device: str = ""  # of its slot: /dev/sda7
    volume: str = ""  # its clone on the LUN backend
    note: str = ""  # why it failed
    changed_at: datetime | None = None

    @property
    def key(self) -> str:
        return f"{self.deployment}/{self.node}"
