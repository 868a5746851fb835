"""What can be written to a store, whatever lies behind it; tests/contract holds every backend to it."""

from abc import abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Self

from bootd.boot.snapshot import Changes, Policy, Snapshot
from bootd.model import (
    Assignment,
    Host,
    JobPart,
    MemoryImage,
    Observation,
    Override,
    Sighting,
)
from bootd.store.entries import AnyRecord, JournalEntry, Numbered, Record
from bootd.store.reads import Reads


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
    def keep(self, record: AnyRecord) -> bool:
        """Add or replace a record; False where it is there already, just so.

        That a job is due at another time, or waits for something else, is not journalled: that is said
        with every look at it.
        """

    @abstractmethod
    def discard(self, kind: type[Record], key: str | int) -> bool:
        """Remove a record; False where there is none."""

    @abstractmethod
    def next_id(self, kind: type[Numbered]) -> int:
        """Return a number that no record of *kind* ever had."""

    @abstractmethod
    def put_job_parts(self, parts: Iterable[JobPart]) -> None:
        """Add or replace how far jobs are; not journalled."""

    @abstractmethod
    def take_lease(self, name: str, holder: str, *, now: datetime, until: datetime) -> bool:
        """Have the lease until then; False where another holds it. Not journalled.

        A lease whose time is over is free, and so is one that lasts for more than twice as long as
        from *now* to *until*: a clock that was wrong wrote it.
        """

    @abstractmethod
    def drop_lease(self, name: str, holder: str) -> None:
        """Give the lease back; held by another or by nobody: fine."""

    @abstractmethod
    def drop_leases_of(self, holder: str) -> None:
        """Give back every lease that *holder* has."""

    @abstractmethod
    def make_secret(self, name: str) -> bytes:
        """Return the secret of that name, 32 random octets, made at the first call; not journalled."""

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
