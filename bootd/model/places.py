"""Places an image can be put: slots on the disk of a mesh node."""

from dataclasses import dataclass
from datetime import datetime

from bootd.model.images import ImageRef

FIRST_SLOT, LAST_SLOT = 5, 25  # /dev/sda5 … /dev/sda25: 21 logical partitions


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
