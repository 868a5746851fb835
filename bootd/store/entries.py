"""What a store tells besides the records of the model, and which of those are kept alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from bootd.model import (
    CalendarFeed,
    DeployedNode,
    Deployment,
    DiskImage,
    ImageRef,
    Job,
    LunClone,
    LunPair,
    Observation,
    Project,
    Reservation,
    Slot,
    SlotScheme,
)

AnyRecord = (
    Project
    | DiskImage
    | Reservation
    | Slot
    | SlotScheme
    | LunPair
    | LunClone
    | Deployment
    | DeployedNode
    | Job
    | CalendarFeed
)
Record = TypeVar("Record", bound=AnyRecord)
Numbered = Reservation | Deployment | Job | CalendarFeed  # records that bootd numbers itself


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One row that one transaction changed; *before* and *after* are plain values, None for no row."""

    id: int  # rises by commit order; the newest is the store's generation
    change: int  # id of the first entry of the same transaction
    at: datetime
    actor: str
    what: str  # the command, for people: "hosts import"
    kind: str  # host | memory_image | assignment | override | document
    key: str
    action: str  # added | changed | removed
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Kept:
    """An observation with its place in the order of writing."""

    id: int
    observation: Observation


class Held(NamedTuple):
    """The nodes of a reservation and their time: what is asked of thousands of them at once."""

    id: int
    starts_at: datetime
    ends_at: datetime
    nodes: Sequence[str]


class SlotContent(NamedTuple):
    """What is in the slots of one number, and on which hosts."""

    number: int
    state: str
    image: ImageRef | None
    pinned: bool
    last_used_at: datetime | None  # the latest use
    hosts: Sequence[str]  # in no order
