"""Deploying by hand: a booking that begins now, or another image for nodes of one that runs.

Everything is looked at first and every reason against it told at once; then it is written in one
transaction. What follows is done by the jobs that bookings have too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from bootd.clock import Clock
from bootd.errors import BadValue, CannotBook
from bootd.formats.instants import show_instant
from bootd.lifecycle import RESERVATION
from bootd.model import (
    Booked,
    DeployedNode,
    Deployment,
    DiskImage,
    Job,
    JobKind,
    Outcome,
    Project,
    Reservation,
    Role,
    parse_image_ref,
)
from bootd.services import deployments, jobs, nodeset, slots
from bootd.services.booking import LIVE, Desk, Draft, Resolved, whole_seconds
from bootd.services.deployments import Plan, Planner
from bootd.services.reservations import Made, changing, keep_all
from bootd.store import Reads, Store, Transaction

SPAN = timedelta(hours=4)  # of a reservation whose end nobody named


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be deployed, as people write it."""

    image: str  # PROJECT/IMAGE[@VERSION]
    nodes: str
    project: str = ""  # that deploys; "": whose the image is
    slot: int | None = None  # None: bootd chooses
    ends_at: datetime | None = None  # of a new reservation; None: a safe default
    repartition: bool = False  # disks of another layout may be divided, this once

    @property
    def by(self) -> str:
        return self.project or self.image.rpartition(":")[2].partition("/")[0]


@dataclass(frozen=True, slots=True)
class Means:
    """What the site writes slots with, as its configuration says."""

    transport: str  # "": nothing sends images
    imager: str  # name of the memory image that writes them


@dataclass(frozen=True, slots=True)
class Deployed:
    """What an order came to."""

    reservation: Reservation
    plan: Plan
    is_new: bool  # else it is put into a reservation that was there
    notes: tuple[str, ...]  # what was decided for whoever did not say it
    jobs: tuple[Job, ...]  # the first of those that carry it out


def deploy(
    store: Store,
    actor: str,
    order: Order,
    *,
    clock: Clock,
    zone: tzinfo = UTC,
    means: Means | None = None,
    dry_run: bool = False,
) -> Deployed:
    """Carry out *order*; raises `BadValue`, and `CannotBook` with every reason against it.

    Without *means* it is not looked whether the site can write slots.
    """
    if "/" not in order.image:
        raise BadValue("image", order.image, "PROJECT/IMAGE, or PROJECT/IMAGE@VERSION")
    parse_image_ref(order.image)
    with changing(store, actor, "deploy", dry_run=dry_run) as change:
        attempt = _Attempt(change, actor, order, means, clock(), zone)
        deployed = attempt.join() if attempt.held is not None else attempt.book()
    return deployed


class _Attempt:
    """One order, held against what is there in one transaction."""

    def __init__(
        self,
        change: Transaction,
        actor: str,
        order: Order,
        means: Means | None,
        now: datetime,
        zone: tzinfo,
    ) -> None:
        self._change, self._actor, self._order, self._means = change, actor, order, means
        self._now, self._zone = now, zone
        self._desk = Desk(change, now=now, zone=zone, slot=order.slot)
        self._found: Resolved = self._desk.resolve(Draft(order.by, order.nodes, (order.image,)))
        self._nodes = self._found.nodes
        self.held = self._holding()

    def _holding(self) -> Reservation | None:
        """Return the reservation of the project that has begun and holds all of the nodes."""
        wanted = set(self._nodes)
        begun = [
            each
            for each in self._change.reservations_in(LIVE, project=self._order.by)
            if each.starts_at <= self._now < each.ends_at and wanted & set(each.nodes)
        ]
        self._parts = begun
        return next((each for each in begun if wanted <= set(each.nodes)), None) if wanted else None

    # -- a reservation of its own ----------------------------------------------------------------

    def book(self) -> Deployed:
        """Have a reservation that begins now."""
        starts_at = whole_seconds(self._now)
        ends_at, why = self._end(starts_at, self._found.project)
        draft = Reservation(
            id=0,
            project=self._order.by,
            starts_at=starts_at,
            ends_at=ends_at,
            nodes=self._nodes,
            images=tuple(self._found.images),
            created_at=self._now,
            created_by=self._actor,
            state=RESERVATION.first,
        )
        plan = deployments.NO_PLAN if self._found.reasons else self._desk.place(draft)
        reasons = [*self._found.reasons, *self._desk.objections(draft, self._found.project)]
        self._refuse([*reasons, *self._split_up(), *plan.reasons, *self._lacking(), *self._harm(0)])
        [made] = keep_all(self._change, [Made(draft, plan)], is_series=False)
        ordered = self._jobs(made.plan.deployments)
        return Deployed(made.reservation, made.plan, True, (why,) if why else (), ordered)

    def _end(self, starts_at: datetime, project: Project | None) -> tuple[datetime, str]:
        """Return when the reservation ends, and why then if nobody said when."""
        if self._order.ends_at is not None:
            return whole_seconds(self._order.ends_at), ""
        limit = project.limits.hours if project is not None else None
        span = SPAN if limit is None else min(SPAN, timedelta(hours=limit))
        ahead = [
            each
            for each in self._change.reservations_between(starts_at, starts_at + span)
            if each.state in LIVE
            and each.starts_at > starts_at
            and not set(each.nodes).isdisjoint(self._nodes)
        ]
        if not ahead:
            hours = f"{span / timedelta(hours=1):g} h"
            return (
                starts_at + span,
                f"it ends after {hours}, as nobody said when: --end, or reservations extend",
            )
        first = min(ahead, key=lambda each: each.starts_at)
        when = show_instant(first.starts_at, self._zone)
        return first.starts_at, f"it ends at {when}: reservation {first.id} of {first.project} begins then"

    def _split_up(self) -> Iterable[str]:
        """Tell of the project's own reservations that hold some of the nodes: those could be deployed to."""
        for each in self._parts:
            names = nodeset.fold(set(self._nodes).intersection(each.nodes))
            yield f"{names}: in reservation {each.id}, the others are not: deploy to {names} by itself"

    # -- into a reservation that runs -------------------------------------------------------------

    def join(self) -> Deployed:
        """Put the image in the place of what those nodes have; all else of the reservation stays."""
        assert self.held is not None
        held = self.held
        wanted = replace(held, nodes=self._nodes, images=tuple(self._found.images), state="booked")
        planner = Planner(self._change, now=self._now, zone=self._zone, slot=self._order.slot)
        plan = deployments.NO_PLAN if self._found.reasons else planner.anew(wanted)
        self._refuse(
            [
                *self._found.reasons,
                *self._unsuited(held),
                *plan.reasons,
                *self._lacking(),
                *self._harm(held.id),
            ]
        )
        for each in self._change.deployments_of(held.id):
            if each.state != "dark" and not set(each.nodes).isdisjoint(self._nodes):
                self._take_out(each)
        after = replace(held, images=self._images(held))
        self._change.keep(after)
        plan = deployments.keep(self._change, after, plan)
        ordered = self._jobs(plan.deployments)
        if held.state == "active":  # of one that is about to begin the calendar sees to the start
            ordered += tuple(self._add(JobKind.START, each) for each in plan.deployments)
        return Deployed(
            after, plan, False, (f"reservation {held.id} holds {nodeset.fold(self._nodes)} already",), ordered
        )

    def _unsuited(self, held: Reservation) -> Iterable[str]:
        """Tell why the running reservation cannot take the image."""
        if self._order.ends_at is not None:
            yield (
                f"reservation {held.id} holds the nodes and has its end:"
                f" bootd reservations extend {held.id} --end TIME changes it"
            )
        roots = [host.name for host in self._found.hosts if host.role is Role.ROOT]
        if roots:
            yield (
                f"{nodeset.fold(roots)}: reservation {held.id} has its LUN pair in use: book the image for"
                " later, and when it is staged bootd luns flip GROUP goes over to it at once"
            )
        for job in self._change.jobs(states=jobs.OPEN, reservation=held.id):
            parts = self._change.job_parts(job.id)
            busy = {part.node for part in parts if part.outcome is Outcome.OPEN}.intersection(self._nodes)
            if busy:
                yield (
                    f"{nodeset.fold(busy)}: job {job.id} ({job.kind}) is at work there: wait for it"
                    f" (bootd jobs follow {job.id}), or bootd jobs cancel {job.id}"
                )

    def _take_out(self, before: Deployment) -> None:
        """Have the nodes leave *before*, which ends with its last one."""
        standing = self._change.deployed_nodes(before.id)
        gone = [node for node in standing if node.node in self._nodes]
        if before.slot is not None and before.flipped_at is not None:
            ready = [node.node for node in gone if node.state in ("ready", "running")]
            slots.used(self._change, ready, before.slot, self._now)
        left = tuple(node for node in before.nodes if node not in self._nodes)
        if not left:
            deployments.drop(self._change, before, "another image was deployed")
            return
        self._change.keep(replace(before, nodes=left))
        for node in gone:
            self._change.discard(DeployedNode, node.key)

    def _images(self, held: Reservation) -> tuple[Booked, ...]:
        """Return what the reservation is said to be for: the new image where all its mesh nodes get it."""
        mesh = {name for name in held.nodes if (host := self._change.host(name)) and host.role is Role.MESH}
        if not mesh <= set(self._nodes):
            return held.images
        [new] = self._found.images
        if mesh == set(held.nodes) or not held.images:
            return (new,) if mesh == set(held.nodes) else ()
        kept = [booked for booked in held.images if booked.role is not Role.MESH]
        return (*(replace(b, role=b.role or Role.ROOT) for b in kept), replace(new, role=Role.MESH))

    # -- both -------------------------------------------------------------------------------------

    def _lacking(self) -> Iterable[str]:
        """Tell what is missing to write any slot at all."""
        if self._means is None or all(host.role is Role.ROOT for host in self._found.hosts):
            return
        if not self._means.transport:
            yield 'nothing here sends images: imaging.transport = "mixed" in the configuration'
        if self._change.memory_image(self._means.imager) is None:
            name = self._means.imager
            yield f"there is no memory image {name!r} that writes slots: bootd memory build {name}"

    def _harm(self, own: int) -> Iterable[str]:
        """Tell who would lose what a disk holds if it were divided."""
        if self._order.repartition:
            way_out = "do without --repartition"
            yield from slots.lost_if_divided(self._change, self._nodes, own=own, instead=way_out)

    def _jobs(self, made: Sequence[Deployment]) -> tuple[Job, ...]:
        """Have slots written at once; LUNs are staged when the calendar says so."""
        return tuple(self._add(JobKind.WRITE_SLOT, each) for each in made if each.slot is not None)

    def _add(self, kind: JobKind, deployment: Deployment) -> Job:
        image = self._change.find(DiskImage, str(deployment.image))
        facts = {jobs.OCTETS: image.size if image is not None else 0} if kind is JobKind.WRITE_SLOT else {}
        if kind is JobKind.WRITE_SLOT and self._order.repartition:
            facts |= {jobs.REPARTITION: True}
        return jobs.add(
            self._change,
            kind,
            by=self._actor,
            now=self._now,
            nodes=deployment.nodes,
            reservation=deployment.reservation,
            deployment=deployment.id,
            facts=facts,
        )

    def _refuse(self, reasons: Sequence[str]) -> None:
        if told := list(dict.fromkeys(reasons)):
            raise CannotBook(f"cannot deploy {self._order.image}", told)


def at_stake(reads: Reads, nodes: str) -> list[str]:
    """Return what bootd knows to be in the slots of *nodes*, line by line."""
    rows = [row for row in slots.contents(reads, nodes) if row.image is not None]
    return [
        f"slot {', '.join(map(str, row.numbers))} of {nodeset.fold(row.nodes)}: {row.image} ({row.state})"
        for row in rows
    ]
