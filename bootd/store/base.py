"""What a store can do, whichever database is behind it; tests/contract holds every backend to it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from bootd.boot.snapshot import Changes, Policy, Snapshot
from bootd.model import (
    Assignment,
    DiskImage,
    Host,
    MemoryImage,
    Observation,
    Override,
    Project,
    Reservation,
    Sighting,
)

Record = TypeVar("Record", Project, DiskImage, Reservation)


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


class Reads(ABC):
    """What can be asked, of the store and inside a transaction."""

    @abstractmethod
    def generation(self) -> int:
        """Return the id of the newest journal entry; 0 for a store nobody wrote to."""

    @abstractmethod
    def host(self, name: str) -> Host | None: ...

    @abstractmethod
    def hosts(self) -> list[Host]:
        """Return all hosts, by node number, then by name."""

    @abstractmethod
    def memory_image(self, name: str) -> MemoryImage | None: ...

    @abstractmethod
    def memory_images(self) -> list[MemoryImage]:
        """Return all memory images, by name."""

    @abstractmethod
    def assignments(self) -> list[Assignment]: ...

    @abstractmethod
    def overrides(self, at: datetime | None = None) -> list[Override]:
        """Return the one-shot orders that nobody used up; with *at* only those not expired by then."""

    @abstractmethod
    def document(self, name: str) -> str | None:
        """Return a text kept under *name*, such as the layout of an imported table."""

    @abstractmethod
    def journal(self, *, limit: int = 100, kinds: Sequence[str] = ()) -> list[JournalEntry]:
        """Return the newest entries, newest first."""

    @abstractmethod
    def changes_of(self, kind: str) -> list[tuple[int, str]]:
        """Return (change, what) of each transaction that changed rows of *kind*, newest first."""

    @abstractmethod
    def entries(self, change: int) -> list[JournalEntry]:
        """Return what one transaction changed, in its order."""

    @abstractmethod
    def observations(
        self, *, mac: str | None = None, host: str | None = None, since_id: int = 0, limit: int = 1000
    ) -> list[Kept]:
        """Return observations, oldest first.

        With *since_id* the first *limit* after it (to follow), else the last *limit*.
        *mac* and *host* together mean either.
        """

    @abstractmethod
    def sightings(self) -> list[Sighting]:
        """Return the machines nobody registered, last seen first."""

    @abstractmethod
    def find(self, kind: type[Record], key: str | int) -> Record | None:
        """Return the `Project`, `DiskImage` (by its ref) or `Reservation` of that key."""

    @abstractmethod
    def every(self, kind: type[Record]) -> list[Record]:
        """Return all records of *kind*, by key."""

    @abstractmethod
    def image_versions(self, project: str, name: str) -> list[DiskImage]:
        """Return the versions of an image, newest first."""

    @abstractmethod
    def reservations_between(self, starts_at: datetime, ends_at: datetime) -> list[Reservation]:
        """Return the reservations, of any state, that overlap this time, by their start."""

    @abstractmethod
    def held_between(
        self,
        starts_at: datetime,
        ends_at: datetime,
        *,
        states: Sequence[str],
        project: str | None = None,
        nodes: AbstractSet[str] | None = None,
    ) -> list[Held]:
        """Return what reservations of *states* that overlap this time hold, in no order.

        With *project* only its own, with *nodes* only those that hold any of them.
        """


class Transaction(Reads):
    """Writes that become true together, each with its journal entry.

    A put of what is there already writes nothing and answers False.
    """

    @abstractmethod
    def put_hosts(self, hosts: Iterable[Host]) -> int:
        """Add or replace *hosts* together, so that two may swap an address; return how many differ.

        Raises `Conflict` where a MAC address, IP address or node number would be held twice.
        """

    def put_host(self, host: Host) -> bool:
        return self.put_hosts([host]) == 1

    @abstractmethod
    def remove_host(self, name: str) -> bool:
        """Remove a host with its assignment and override; False where there is none."""

    @abstractmethod
    def put_memory_image(self, image: MemoryImage) -> bool: ...

    @abstractmethod
    def remove_memory_image(self, name: str) -> bool: ...

    @abstractmethod
    def put_assignment(self, assignment: Assignment) -> bool:
        """Raises `NotFound` where the host is not in the table."""

    @abstractmethod
    def remove_assignment(self, host: str) -> bool: ...

    @abstractmethod
    def next_override_id(self) -> int:
        """Return an id that no override ever had: evidence of an old order must not use up a new one."""

    @abstractmethod
    def put_override(self, override: Override) -> bool:
        """Keep a host's one-shot order in place of any it had; raises `NotFound` without the host."""

    @abstractmethod
    def remove_override(self, host: str, override: int | None = None) -> bool:
        """Remove the override of *host*; with an id only if it is still that one."""

    @abstractmethod
    def put_document(self, name: str, text: str) -> bool: ...

    @abstractmethod
    def remove_document(self, name: str) -> bool: ...

    @abstractmethod
    def revert(self, change: int) -> list[JournalEntry]:
        """Put back what an earlier transaction changed; return its entries.

        Raises `Refused` where one of its hosts is no longer as it left it, `Conflict` where a
        value is taken by now.
        """

    @abstractmethod
    def keep(self, record: Project | DiskImage | Reservation) -> bool:
        """Add or replace a record; False where it is there already, just so."""

    @abstractmethod
    def discard(self, kind: type[Record], key: str | int) -> bool:
        """Remove a record; False where there is none."""

    @abstractmethod
    def next_reservation_id(self) -> int:
        """Return an id that no reservation ever had."""

    @abstractmethod
    def add_observations(self, observations: Iterable[Observation]) -> None:
        """Not journalled: nothing is decided by them."""

    @abstractmethod
    def add_sightings(self, sightings: Iterable[Sighting]) -> None:
        """Add up with what is known of each MAC address; *questions* are those since the last call."""

    @abstractmethod
    def trim(self, *, before: datetime, observations: int, sightings: int) -> int:
        """Forget what is older than *before* and beyond the newest so many; return how many rows went."""


class Store(Reads):
    """A site's records. Bound to the thread that opened it: open one for each thread."""

    @abstractmethod
    def load_snapshot(self, policy: Policy) -> Snapshot:
        """Return everything that answers depend on, as of one instant."""

    @abstractmethod
    def changes_since(self, generation: int) -> Changes:
        """Return the rows that journal entries after *generation* name, as of one instant."""

    @abstractmethod
    def data_version(self) -> int:
        """Return a number that changes when anybody else commits: a cheap test before asking more."""

    @abstractmethod
    def transaction(self, actor: str, what: str = "") -> AbstractContextManager[Transaction]:
        """Begin to write, alone; commit at the end of the block, roll back whole if it raises.

        Raises `StoreBusy`, `StoreFull` or `StoreFailed`.
        """

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()
