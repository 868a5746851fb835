"""Places an image can be put: slots on the disk of a mesh node, and the pair of LUNs of a group."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from bootd.model.images import ImageRef
from bootd.model.machines import Role

FIRST_SLOT, LAST_SLOT = 5, 25  # /dev/sda5 … /dev/sda25: 21 logical partitions
DOS, GPT = "dos", "gpt"  # partition tables, as sfdisk calls them
_ENDS_IN_DIGIT = re.compile(r"[0-9]\Z")


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot of one host, as bootd knows it."""

    host: str
    number: int  # of the partition
    image: ImageRef | None = None  # what it holds, with its version
    digest: str = ""  # of what it holds: the same image is not copied again
    state: str = "empty"  # see lifecycle.tables.SLOT
    pinned: bool = False  # kept whatever happens, until somebody unpins it
    last_used_at: datetime | None = None  # a node was told to boot it

    @property
    def key(self) -> str:
        return f"{self.host}/{self.number}"


@dataclass(frozen=True, slots=True)
class SlotScheme:
    """Which partitions of which disk are slots, on the hosts of *group*; "" is for all others.

    The sizes and the kind of table count where a disk is divided anew: the partition machines start
    from (GRUB's; with GPT the EFI system partition), swap, a spare one, then the slots.
    """

    group: str = ""
    disk: str = "/dev/sda"
    first: int = FIRST_SLOT
    last: int = LAST_SLOT
    boot_mib: int = 1024
    swap_mib: int = 4096
    spare_mib: int = 4096
    slot_mib: int = 0  # of each slot; 0: equal parts of what the disk has left
    label: str = DOS  # machines that start by BIOS; GPT: by UEFI

    @property
    def numbers(self) -> range:
        return range(self.first, self.last + 1)

    def device(self, number: int) -> str:
        """Return the partition as Linux names it: ``/dev/sda7``, ``/dev/nvme0n1p7``."""
        return f"{self.disk}{'p' if _ENDS_IN_DIGIT.search(self.disk) else ''}{number}"


@dataclass(frozen=True, slots=True)
class LunSide:
    """One volume of a pair."""

    volume: str  # its name on the LUN backend
    state: str = "inactive"  # see lifecycle.tables.LUN
    image: ImageRef | None = None
    digest: str = ""  # of the image: the same one is not written again
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LunPair:
    """The two volumes of a group of root nodes; exactly one is active."""

    group: str
    size: int  # octets of each volume
    sides: tuple[LunSide, LunSide]

    @property
    def active(self) -> int:
        """The side its group boots from."""
        return 0 if self.sides[0].state == "active" else 1

    @property
    def inactive(self) -> int:
        return 1 - self.active


@dataclass(frozen=True, slots=True)
class LunClone:
    """One node's own copy of one side of a pair as it was then, and how the node logs in.

    Its secret is derived. Each one that is made has a name of its own, so that nobody who was logged
    in to an earlier one gets at it.
    """

    volume: str  # its name on the LUN backend
    group: str
    side: int
    node: str
    initiator: str  # iSCSI name of the node
    chap_user: str
    target: str = ""  # iSCSI name; "" until it is exported
    lun: int = 0
    portals: tuple[str, ...] = ()  # "address:port", the first to be tried first
    deployment: int = 0  # that it was made for
    digest: str = ""  # of the image it was made of; "": no node may boot it any more
    made_at: datetime | None = None  # a node that started before boots another

    def is_of(self, side: LunSide) -> bool:
        """Tell whether it was made of what *side* holds now."""
        return self.digest != "" and self.digest == side.digest


@dataclass(frozen=True, slots=True)
class Place:
    """What an active reservation gives a node to boot, and whether it can; answers depend on this."""

    reservation: int
    project: str
    deployment: int
    role: Role  # mesh: from *slot*, root: from *clone*
    image: ImageRef
    state: str = "waiting"  # of the node, see lifecycle.tables.NODE; waiting before the flip
    note: str = ""  # why it failed, what it waits for
    slot: int | None = None
    device: str = ""  # of the slot: /dev/sda7
    clone: LunClone | None = None

    def __str__(self) -> str:
        if self.role is Role.MESH:
            return f"slot:{self.slot} {self.image}"
        return f"lun:{self.clone.group} {self.image}" if self.clone is not None else f"lun {self.image}"


NO_SCHEMES: Mapping[str, SlotScheme] = MappingProxyType({})
STANDARD_SCHEME = SlotScheme()


@dataclass(frozen=True, slots=True)
class Schemes:
    """The slot schemes of a site, by group."""

    by_group: Mapping[str, SlotScheme] = field(default_factory=lambda: NO_SCHEMES)

    def of(self, groups: tuple[str, ...]) -> SlotScheme:
        """Return the scheme of a host: that of the first of its groups which has one, else the common one."""
        for group in (*groups, ""):
            if group in self.by_group:
                return self.by_group[group]
        return STANDARD_SCHEME
