"""A LUN pair flipped by a person, while a reservation boots from it or not.

The nodes of the reservation under way follow: their deployment is from then on that of the image
on the side that is active now, each node boots its clone of that side, made first if it has none,
and is started anew. Their clones of the other side stay as they are, so that the same flip back
gives them what they had, unless something else was staged there meanwhile. What is booked for later
is not touched: its start makes its own side active.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from bootd.clock import Clock
from bootd.errors import Refused
from bootd.lifecycle import NODE
from bootd.model import DeployedNode, Deployment, ImageRef, Job, JobKind, LunPair, Reservation
from bootd.services import jobs, luns
from bootd.services.jobs import THEN_START
from bootd.store import Reads, Store, Transaction

_TO_WAITING = {"running": ("restart", "fail", "retry"), "ready": ("fail", "retry"), "failed": ("retry",)}
_TO_READY = {"running": ("restart",), "waiting": ("place",), "failed": ("place",)}


@dataclass(frozen=True, slots=True)
class Follower:
    """A node that boots something else from now on."""

    node: str
    reservation: int
    project: str
    before: ImageRef
    after: ImageRef
    has_clone: bool  # else it is made first


@dataclass(frozen=True, slots=True)
class Flipped:
    """What a flip did, or would do."""

    before: LunPair
    after: LunPair
    followers: tuple[Follower, ...]
    jobs: tuple[Job, ...]


class _NotKept(Exception):
    """Leaves the transaction of a dry run."""


def flip(store: Store, actor: str, group: str, *, clock: Clock, dry_run: bool = False) -> Flipped:
    """Make the inactive side active; raises `Refused` and `NotFound`."""
    return _by_hand(store, actor, group, "luns flip", clock(), dry_run)


def rollback(store: Store, actor: str, group: str, *, clock: Clock, dry_run: bool = False) -> Flipped:
    """Make the side active again that was so before; raises `Refused` and `NotFound`."""
    return _by_hand(store, actor, group, "luns rollback", clock(), dry_run)


def _by_hand(store: Store, actor: str, group: str, what: str, now: datetime, dry_run: bool) -> Flipped:
    result: Flipped | None = None
    with suppress(_NotKept), store.transaction(actor, what) as change:
        result = _flip(change, actor, group, what, now)
        if dry_run:
            raise _NotKept
    assert result is not None
    return result


def _flip(change: Transaction, actor: str, group: str, what: str, now: datetime) -> Flipped:
    before = luns.named(change, group)
    live = list(under_way(change, group))
    for reservation, _ in live:
        check_no_jobs(change, reservation)
    if what == "luns rollback":
        after = luns.rollback(change, group, now)
    else:
        after = luns.flip(change, group, now=now)
    followers: list[Follower] = []
    made: list[Job] = []
    for reservation, deployment in live:
        if deployment.digest != after.sides[after.active].digest:
            own = _follow(change, reservation, deployment, after, now)
            followers += own
            made += _started(change, actor, deployment, own, now)
    return Flipped(before, after, tuple(followers), tuple(made))


def under_way(reads: Reads, group: str) -> Iterator[tuple[Reservation, Deployment]]:
    """Yield the deployments whose nodes boot from the pair now."""
    for deployment in luns.users(reads, group):
        reservation = reads.find(Reservation, deployment.reservation)
        if reservation is not None and reservation.state == "active" and deployment.flipped_at is not None:
            yield reservation, deployment


def check_no_jobs(reads: Reads, reservation: Reservation) -> None:
    """Refuse to change what nodes boot while a job brings them there."""
    open_jobs = reads.jobs(states=jobs.OPEN, reservation=reservation.id)
    busy = [job for job in open_jobs if job.kind is not JobKind.WRITE_SLOT]
    if busy:
        raise Refused(
            f"job {busy[-1].id} ({busy[-1].kind}) is at work for reservation {reservation.id};"
            f" wait for its end (bootd jobs follow {busy[-1].id}), or bootd jobs cancel {busy[-1].id}"
        )


def _follow(
    change: Transaction, reservation: Reservation, deployment: Deployment, pair: LunPair, now: datetime
) -> list[Follower]:
    """Give a deployment the image of the active side, and its nodes their clones of it."""
    image = pair.sides[pair.active].image or deployment.image
    moved = replace(
        deployment, image=image, digest=pair.sides[pair.active].digest, side=pair.active, flipped_at=now
    )
    change.keep(moved)
    made = _clones_of_now(change, moved, pair)
    nodes = {node.node: node for node in change.deployed_nodes(deployment.id)}
    followers = []
    for name in deployment.nodes:
        volume = made.get(name)
        node = nodes.get(name) or DeployedNode(deployment.id, name)
        change.keep(_placed(node, volume, now) if volume else _made_anew(node, pair.active, now))
        followers.append(
            Follower(name, reservation.id, reservation.project, deployment.image, image, volume is not None)
        )
    return followers


def _clones_of_now(reads: Reads, deployment: Deployment, pair: LunPair) -> dict[str, str]:
    """Return the nodes that have a clone of what the active side holds now, and which."""
    found = reads.clones(pair.group, pair.active)
    own = [each for each in found if each.deployment == deployment.id and each.is_of(pair.sides[pair.active])]
    return {clone.node: clone.volume for clone in own}


def _placed(node: DeployedNode, volume: str, now: datetime) -> DeployedNode:
    """Return *node* as it is with its clone *volume*."""
    return replace(_after(node, _TO_READY), volume=volume, note="", changed_at=now)


def _made_anew(node: DeployedNode, side: int, now: datetime) -> DeployedNode:
    """Return *node* as it is before it has its clone of *side*."""
    note = f"its clone of side {luns.SIDES[side]} is being made"
    return replace(_after(node, _TO_WAITING), volume="", note=note, changed_at=now)


def _after(node: DeployedNode, ways: Mapping[str, tuple[str, ...]]) -> DeployedNode:
    state = node.state
    for event in ways.get(state, ()):
        state = NODE.after(state, event)
    return replace(node, state=state)


def _started(
    change: Transaction, actor: str, deployment: Deployment, followers: list[Follower], now: datetime
) -> Iterator[Job]:
    """Have the nodes started anew, once each has its clone."""
    without = [each.node for each in followers if not each.has_clone]
    ready = [each.node for each in followers if each.has_clone]
    if without:
        yield jobs.add(
            change,
            JobKind.STAGE_LUN,
            by=actor,
            now=now,
            nodes=without,
            reservation=deployment.reservation,
            deployment=deployment.id,
            facts={THEN_START: True},
        )
    if ready:
        yield jobs.add(
            change, JobKind.START, by=actor, now=now, nodes=ready, reservation=deployment.reservation
        )
