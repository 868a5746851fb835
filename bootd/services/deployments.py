"""Deployments: where the images of a reservation go, found when it is booked, and how far they are.

The mesh nodes of a reservation get one slot, the same on all of them; its root nodes the LUN pair of
their group, one deployment for each pair.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from typing import Any

from bootd.errors import CannotBook
from bootd.formats.instants import show_span
from bootd.lifecycle import DEPLOYMENT, NODE
from bootd.lifecycle.placement import Need, NoSlot, Placement, Standing, place, placement
from bootd.model import (
    DeployedNode,
    Deployment,
    DiskImage,
    Host,
    ImageRef,
    LunPair,
    Reservation,
    Role,
    Schemes,
)
from bootd.services import nodeset, placenotes, unfit
from bootd.store import Reads, Transaction

OVER = ("dark", "failed")  # a deployment in one of these states counts on no place
_OPEN = ("waiting", "running")  # jobs in these states are not over


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the images of a reservation go; with *reasons* it cannot be and nothing is kept of it."""

    deployments: tuple[Deployment, ...] = ()  # number 0: not kept yet
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what it takes, in sentences for people
    gone: tuple[Deployment, ...] = ()  # those of an earlier plan that this one does without


NO_PLAN = Plan()


def plan(reads: Reads, reservation: Reservation, *, now: datetime) -> Plan:
    """Return where the images of *reservation* go; nothing is written."""
    return Planner(reads, now=now).plan(reservation)


def book(change: Transaction, reservation: Reservation, *, now: datetime) -> Plan:
    """Find places for a reservation that has its number, and keep them; raises `CannotBook`."""
    found = plan(change, reservation, now=now)
    if found.reasons:
        raise CannotBook(f"no place for the images of reservation {reservation.id}", found.reasons)
    return keep(change, reservation, found)


def ensure(change: Transaction, reservation: Reservation, now: datetime) -> Plan:
    """Give a booking of an older database its deployments; where that cannot be, the reasons."""
    if not reservation.images or change.deployments_of(reservation.id):
        return NO_PLAN
    found = plan(change, reservation, now=now)
    return found if found.reasons else keep(change, reservation, found)


def keep(change: Transaction, reservation: Reservation, found: Plan) -> Plan:
    """Write down what was planned for *reservation*; return it with the numbers it got."""
    for deployment in found.gone:
        drop(change, deployment, "booked otherwise")
    kept = []
    for deployment in found.deployments:
        number = deployment.id or change.next_id(Deployment)
        kept.append(replace(deployment, id=number, reservation=reservation.id))
        change.keep(kept[-1])
    return replace(found, deployments=tuple(kept))


def release(change: Transaction, reservation: Reservation) -> None:
    """Give up the places of a reservation that was taken back; what is under way is left to its end."""
    for deployment in change.deployments_of(reservation.id):
        if deployment.state == "sched" and not is_under_way(change, deployment):
            moved(change, deployment, "remove")


def is_under_way(reads: Reads, deployment: Deployment) -> bool:
    """Tell whether work on it has begun or may begin at any moment."""
    if deployment.state not in ("sched", *OVER):
        return True
    jobs = reads.jobs(reservation=deployment.reservation, deployment=deployment.id, states=_OPEN, limit=1)
    return bool(jobs)


def node_states(reads: Reads, deployment: Deployment) -> dict[str, list[DeployedNode]]:
    """Return the nodes of a deployment by their state, those that work has not begun on too."""
    known = {node.node: node for node in reads.deployed_nodes(deployment.id)}
    found: dict[str, list[DeployedNode]] = {}
    for name in deployment.nodes:
        node = known.get(name) or DeployedNode(deployment.id, name)
        found.setdefault(node.state, []).append(node)
    return {state: found[state] for state in NODE.states if state in found}


def moved(change: Transaction, deployment: Deployment, event: str, **fields: Any) -> Deployment:
    """Move a deployment by its lifecycle and keep it with *fields*; raises `IllegalMove`."""
    after = replace(deployment, state=DEPLOYMENT.after(deployment.state, event), **fields)
    change.keep(after)
    return after


def flipped(change: Transaction, deployment: Deployment, *, now: datetime) -> Deployment:
    """From *now* on the nodes of a deployment boot it."""
    after = replace(deployment, flipped_at=now)
    change.keep(after)
    return after


def deployed(reads: Reads, deployment: Deployment, name: str) -> DeployedNode:
    """Return how far a node of a deployment is, be it that nobody has begun on it."""
    return reads.find(DeployedNode, f"{deployment.id}/{name}") or DeployedNode(deployment.id, name)


def node_moved(change: Transaction, node: DeployedNode, event: str, **fields: Any) -> DeployedNode:
    """Move a node of a deployment by its lifecycle and keep it with *fields*; raises `IllegalMove`."""
    after = replace(node, state=NODE.after(node.state, event), **fields)
    change.keep(after)
    return after


def drop(change: Transaction, deployment: Deployment, why: str) -> None:
    """Take a deployment from its place, one that failed too; raises `IllegalMove` while it is written."""
    if deployment.state == "failed":
        deployment = moved(change, deployment, "retry")
    moved(change, deployment, "remove", note=why)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One image of a reservation and the nodes that boot it from one place."""

    role: Role
    image: DiskImage
    nodes: tuple[str, ...]
    pair: LunPair | None = None

    @property
    def group(self) -> str | None:
        return None if self.pair is None else self.pair.group


class Planner:
    """Finds places beside those in the store, but for those of *besides*, and those it gave before.

    With *slot* that one is the place, or there is none.
    """

    def __init__(
        self,
        reads: Reads,
        *,
        now: datetime,
        zone: tzinfo = UTC,
        besides: Iterable[int] = (),
        slot: int | None = None,
    ) -> None:
        self._reads, self._now, self._zone = reads, now, zone
        self._besides, self._wished = frozenset(besides), slot
        self._hosts: dict[str, Host] = {}
        self._standings: dict[tuple[tuple[str, ...], str], list[Standing]] = {}
        self._needs: dict[tuple[str, ...], list[Need]] = {}
        self._planned: list[tuple[Reservation, Deployment]] = []
        self._planned_needs: list[Need] = []

    @cached_property
    def _schemes(self) -> Schemes:
        return self._reads.schemes()

    @cached_property
    def _pairs(self) -> Mapping[str, LunPair]:
        return {pair.group: pair for pair in self._reads.every(LunPair)}

    def know(self, hosts: Iterable[Host]) -> None:
        """Take *hosts* as they are, so that they are not read again."""
        self._hosts.update({host.name: host for host in hosts})

    def remember(self, reservation: Reservation, found: Plan) -> None:
        """Plan what comes later beside this too."""
        for each in found.deployments:
            self._planned.append((reservation, each))
            if each.slot is not None:
                nodes = frozenset(each.nodes)
                self._planned_needs.append(Need(reservation.id, each.slot, nodes, each.digest, each.image))

    def plan(self, wanted: Reservation) -> Plan:
        """Return where the images of *wanted* go; of one that is kept, what becomes of its deployments."""
        held = self._held(wanted)
        if wanted.state == "active" or any(is_under_way(self._reads, each) for each in held):
            return self._as_it_is(wanted, held)
        return self.anew(wanted, held)

    def anew(self, wanted: Reservation, held: Iterable[Deployment] = ()) -> Plan:
        """Return where the images of *wanted* go, whatever has begun; *held* are places to be kept."""
        reasons: list[str] = []
        deployments, notes = [], []
        old = {(each.role, each.group): each for each in held}
        for one in self._split(wanted, reasons):
            before = old.get((one.role, one.group))
            fresh, note = self._find(wanted, one, before, reasons)
            if fresh is not None:
                old.pop((one.role, one.group), None)
                deployments.append(fresh)
                notes.append(note)
        if reasons:
            return Plan(reasons=tuple(dict.fromkeys(reasons)))
        return Plan(tuple(deployments), notes=tuple(notes), gone=tuple(old.values()))

    def _held(self, wanted: Reservation) -> list[Deployment]:
        found = self._reads.deployments_of(wanted.id) if wanted.id else []
        return [each for each in found if each.state != "dark"]

    def _as_it_is(self, wanted: Reservation, held: Sequence[Deployment]) -> Plan:
        """Return the places of a reservation that cannot change them any more."""
        before = self._reads.find(Reservation, wanted.id)
        if before is not None and (before.nodes, before.images) != (wanted.nodes, wanted.images):
            begun = ", ".join(f"{each.image} is {each.state}" for each in held if each.state not in OVER)
            return Plan(
                reasons=(
                    f"its nodes and images stay, work on them has begun ({begun}):"
                    f" bootd reservations cancel {wanted.id}, and book again",
                )
            )
        live = [each for each in held if each.state not in OVER]
        reasons = [
            reason
            for each in live
            if each.group is not None
            for reason in self._rivals(wanted, each.group, each.image, each.nodes)
        ]
        notes = [f"{place_text(each)} on {nodeset.fold(each.nodes)} stays" for each in live]
        return Plan(tuple(live), tuple(reasons), tuple(notes))

    # -- which image for which nodes -----------------------------------------------------------

    def _split(self, wanted: Reservation, reasons: list[str]) -> list[_Wanted]:
        """Return the images with their nodes, by place; nodes without an image are only held."""
        images = {booked.role: booked.image for booked in wanted.images}
        nodes: dict[tuple[Role, str | None, ImageRef], list[str]] = {}
        without_role, without_pair = [], []
        for host in self._hosts_of(wanted) if images else ():
            image = images.get(host.role, images.get(Role.NONE))
            if image is None:
                continue
            group = self._group_of(host)
            if not host.role:
                without_role.append(host.name)
            elif host.role is Role.ROOT and group is None:
                without_pair.append(host.name)
            else:
                nodes.setdefault((host.role, group, image), []).append(host.name)
        reasons += unfit.hosts(without_role, without_pair)
        found = []
        for (role, group, ref), names in nodes.items():
            image_found = self._reads.find(DiskImage, str(ref))
            if image_found is None:
                reasons.append(f"image {ref} is gone")
            else:
                pair = None if group is None else self._pairs[group]
                found.append(_Wanted(role, image_found, tuple(sorted(names)), pair))
        return sorted(found, key=lambda one: (one.role, one.group or ""))

    def _hosts_of(self, wanted: Reservation) -> list[Host]:
        if missing := [name for name in wanted.nodes if name not in self._hosts]:
            self._hosts.update(self._reads.hosts_named(missing))
        return [self._hosts[name] for name in wanted.nodes if name in self._hosts]

    def _group_of(self, host: Host) -> str | None:
        if host.role is not Role.ROOT:
            return None
        return next((group for group in host.groups if group in self._pairs), None)

    def _find(
        self, wanted: Reservation, one: _Wanted, before: Deployment | None, reasons: list[str]
    ) -> tuple[Deployment | None, str]:
        """Return the deployment of *one*, that of *before* changed where there is one, and what it takes."""
        again = before is not None and before.state == "failed"
        deployment = Deployment(
            id=before.id if before else 0,
            reservation=wanted.id,
            role=one.role,
            image=one.image.ref,
            digest=one.image.identity,
            nodes=one.nodes,
            created_at=before.created_at if before else self._now,
            group=one.group,
            state=DEPLOYMENT.after("failed", "retry") if again else DEPLOYMENT.first,
        )
        if told := [*self._unfit(wanted, one)]:
            reasons += told
            return None, ""
        if one.pair is not None:
            return deployment, placenotes.onto_lun(one.pair, deployment)
        try:
            cost = self._slot(wanted, deployment, self._wished or (before.slot if before else None))
        except NoSlot as error:
            reasons.append(self._no_slot(wanted, deployment, error))
            return None, ""
        return replace(deployment, slot=cost.number), placenotes.into_slot(
            cost, one.nodes, self._now, self._zone
        )

    def _unfit(self, wanted: Reservation, one: _Wanted) -> Iterable[str]:
        if one.pair is not None:
            yield from unfit.for_lun(one.image, one.pair, one.nodes)
            yield from self._rivals(wanted, one.pair.group, one.image.ref, one.nodes)
            if self._wished is not None:
                yield unfit.wish_of_root(one.nodes)
            return
        schemes = {node: self._schemes.of(self._hosts[node].groups) for node in one.nodes}
        yield from unfit.for_slot(one.image, schemes)
        if self._wished is not None:
            yield from unfit.outside(self._wished, schemes)

    # -- slots ---------------------------------------------------------------------------------

    def _slot(self, wanted: Reservation, deployment: Deployment, had: int | None) -> Placement:
        """Return the slot of a deployment, the one it *had* if that is still free; raises `NoSlot`."""
        nodes, digest = deployment.nodes, deployment.digest
        numbers = self._numbers(nodes)
        if (nodes, digest) not in self._standings:
            self._standings[nodes, digest] = self._reads.slot_standings(nodes, digest)
        standings, needs = self._standings[nodes, digest], self._needs_of_others(wanted, nodes)
        try:
            number = place(deployment.image, digest, nodes, numbers & {had}, standings, needs)
        except NoSlot:
            if had is not None and had == self._wished:
                raise
            number = place(deployment.image, digest, nodes, numbers, standings, needs)
        return placement(number, digest, nodes, self._reads.slots(nodes, number))

    def _no_slot(self, wanted: Reservation, deployment: Deployment, error: NoSlot) -> str:
        """Say why there is no slot; where one was wished for, which one could be had."""
        if self._wished is None:
            return str(error)
        try:
            otherwise = self._slot(wanted, deployment, None).number
        except NoSlot:
            otherwise = None
        return unfit.taken(self._wished, error.reasons[self._wished], otherwise)

    def _numbers(self, nodes: Sequence[str]) -> set[int]:
        """Return the slots that each of *nodes* has."""
        ranges = {self._schemes.of(self._hosts[node].groups).numbers for node in nodes}
        return set.intersection(*map(set, ranges))

    def _needs_of_others(self, wanted: Reservation, nodes: tuple[str, ...]) -> list[Need]:
        if nodes not in self._needs:
            self._needs[nodes] = self._reads.slot_needs(nodes)
        aside = self._besides | {wanted.id} - {0}
        stored = [need for need in self._needs[nodes] if need.reservation not in aside]
        return stored + self._planned_needs

    # -- LUN pairs -----------------------------------------------------------------------------

    def _rivals(
        self, wanted: Reservation, group: str, image: ImageRef, nodes: Sequence[str]
    ) -> Iterable[str]:
        """Return why the pair cannot be had: at any time it serves one image to all nodes of its group."""
        aside = self._besides | {wanted.id} - {0}
        span = (wanted.starts_at, wanted.ends_at)
        for other in self._reads.lun_deployments(group, *span):
            if other.reservation not in aside and other.image != image:
                held = self._reads.find(Reservation, other.reservation)
                when = f", {show_span(held.starts_at, held.ends_at, self._zone)}" if held else ""
                who = f"reservation {other.reservation}{when}"
                yield self._rival(nodes, group, other.image, who)
        for reservation, other in self._planned:
            if other.group == group and other.image != image and reservation.overlaps(*span):
                when = show_span(reservation.starts_at, reservation.ends_at, self._zone)
                who = f"the booking of {reservation.project} asked for with it, {when}"
                yield self._rival(nodes, group, other.image, who)

    def _rival(self, nodes: Sequence[str], group: str, image: ImageRef, who: str) -> str:
        return (
            f"{nodeset.fold(nodes)}: the LUN pair of {group} serves {image} to {who};"
            " at one time it serves one image: book that one, or another time"
        )


def place_text(deployment: Deployment) -> str:
    """Return how people call the place of a deployment."""
    return f"slot {deployment.slot}" if deployment.group is None else f"LUN pair {deployment.group}"
