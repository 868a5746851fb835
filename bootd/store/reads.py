"""What can be asked of a store; tests/contract holds every backend to it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime

from bootd.lifecycle.placement import Need, Standing
from bootd.model import (
    Assignment,
    DeployedNode,
    Deployment,
    DiskImage,
    Host,
    ImageRef,
    Job,
    JobPart,
    Lease,
    LunClone,
    MemoryImage,
    Observation,
    Override,
    Place,
    Reservation,
    Schemes,
    Sighting,
    Slot,
)
from bootd.store.entries import Held, JournalEntry, Kept, Record, SlotContent


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
    def hosts_named(self, names: Iterable[str]) -> dict[str, Host]:
        """Return those of *names* that are hosts, by name."""

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
    def times_changed(self, kind: str) -> dict[str, tuple[int, datetime]]:
        """Return by key how often rows of *kind* were written, the first time included, and when last."""

    @abstractmethod
    def entries_about(self, kind: str, keys: Iterable[str]) -> list[JournalEntry]:
        """Return what became of the rows of *kind* with these *keys*, oldest first."""

    @abstractmethod
    def observations(
        self, *, mac: str | None = None, host: str | None = None, since_id: int = 0, limit: int = 1000
    ) -> list[Kept]:
        """Return observations, oldest first.

        With *since_id* the first *limit* after it (to follow), else the last *limit*.
        *mac* and *host* together mean either.
        """

    @abstractmethod
    def last_seen(self, mac: str, event: str, *, by: datetime, begins: str = "") -> Observation | None:
        """Return the newest observation of *event* whose text *begins* so, none later than *by*."""

    @abstractmethod
    def sightings(self) -> list[Sighting]:
        """Return the machines nobody registered, last seen first."""

    @abstractmethod
    def find(self, kind: type[Record], key: str | int) -> Record | None:
        """Return the record of that key.

        Keys: a project's name, an image's ref, ``host/number`` of a slot, the group of a slot scheme
        or LUN pair, the volume of a LUN clone, ``deployment/node``, and the numbers of reservations,
        deployments, jobs and calendar feeds.
        """

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
    def images_of(self, project: str) -> list[DiskImage]:
        """Return every version of every image of a project, by ref."""

    @abstractmethod
    def reservations_in(
        self, states: Sequence[str], *, starts_before: datetime | None = None, project: str | None = None
    ) -> list[Reservation]:
        """Return the reservations of *states*, by their start."""

    @abstractmethod
    def bookings_of_images(self) -> dict[str, list[int]]:
        """Return image ref -> the reservations, booked or active, that name it."""

    @abstractmethod
    def tally(self, kind: type[DiskImage | Reservation], states: Sequence[str]) -> dict[str, int]:
        """Return how many records of *states* each project has; one without any is not named."""

    @abstractmethod
    def slots(self, hosts: Iterable[str] | None = None, number: int | None = None) -> list[Slot]:
        """Return the slots that were ever written or pinned, by host and number."""

    @abstractmethod
    def slot_standings(self, hosts: Iterable[str], digest: str) -> list[Standing]:
        """Return what is in the slots of *hosts*, summed up for an image of *digest*, by number."""

    @abstractmethod
    def slot_needs(self, hosts: Iterable[str]) -> list[Need]:
        """Return what reservations that hold any of *hosts*, booked or active, count on, by deployment."""

    @abstractmethod
    def slot_contents(self, hosts: Iterable[str] | None = None) -> list[SlotContent]:
        """Return what is in the slots that were ever written or pinned, by number."""

    @abstractmethod
    def schemes(self) -> Schemes: ...

    @abstractmethod
    def clones(self, group: str, side: int | None = None) -> list[LunClone]:
        """Return the clones of a pair, by volume."""

    @abstractmethod
    def deployments_of(self, reservation: int) -> list[Deployment]:
        """Return the deployments of a reservation, by number."""

    @abstractmethod
    def deployments_for(self, reservations: Iterable[int]) -> list[Deployment]:
        """Return the deployments of *reservations*, any number of them, by number."""

    @abstractmethod
    def deployments_in(self, states: Sequence[str]) -> list[Deployment]:
        """Return the deployments of *states*, by number."""

    @abstractmethod
    def lun_deployments(self, group: str, starts_at: datetime, ends_at: datetime) -> list[Deployment]:
        """Return the deployments to the LUN pair of *group*, neither dark nor failed, by number.

        Only those whose reservations, booked or active, overlap this time.
        """

    @abstractmethod
    def deployments_with(self, image: ImageRef) -> list[Deployment]:
        """Return the deployments of an image, without a version those of any, by number."""

    @abstractmethod
    def deployments_on(self, nodes: Iterable[str]) -> list[Deployment]:
        """Return the deployments of reservations, booked or active, that hold any of *nodes*."""

    @abstractmethod
    def deployed_nodes(self, deployment: int) -> list[DeployedNode]:
        """Return the nodes of a deployment that work has begun on, by name."""

    @abstractmethod
    def places(self, hosts: Iterable[str] | None = None) -> dict[str, Place]:
        """Return what active reservations give hosts to boot, by host name."""

    @abstractmethod
    def jobs(
        self,
        *,
        states: Sequence[str] = (),
        kind: str | None = None,
        reservation: int | None = None,
        deployment: int | None = None,
        limit: int = 1000,
    ) -> list[Job]:
        """Return jobs, newest first; each argument given leaves fewer of them."""

    @abstractmethod
    def jobs_due(self, now: datetime) -> list[Job]:
        """Return the jobs that wait or run and whose next step is due, the longest due first."""

    @abstractmethod
    def job_parts(self, job: int) -> list[JobPart]:
        """Return how far a job is, by node; "" is what its nodes share."""

    @abstractmethod
    def spoken_parts(self, job: int) -> list[JobPart]:
        """Return those parts of a job whose node has said something."""

    @abstractmethod
    def open_parts_of(self, node: str) -> list[JobPart]:
        """Return the parts of jobs not ended in which *node* takes part."""

    @abstractmethod
    def lease(self, name: str) -> Lease | None:
        """Return who holds a lease, even if its time is over."""

    @abstractmethod
    def leases(self) -> list[Lease]:
        """Return all leases that were not given back, by name, even those whose time is over."""

    @abstractmethod
    def secret(self, name: str) -> bytes | None:
        """Return a secret of the site that `Transaction.make_secret` made."""

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
