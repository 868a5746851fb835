"""STAGE_LUN: an image comes to a side of a LUN pair, and each node gets its clone of it.

Steps: choose a side, clear what nobody needs, unpack what is no raw disk, write, compare, clone. Each may be
done again after a kill: the backend takes what is there already as done, and what is half done it makes anew.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from bootd.darkstore.source import Damaged, open_source
from bootd.darkstore.unpack.unpack import check_image, octets_of
from bootd.drivers.lun import LunBackend, LunBusy, LunRefused
from bootd.lifecycle import DISK_IMAGE
from bootd.model import DeployedNode, Deployment, DiskImage, ImageKind, Outcome, Reservation
from bootd.services import deployments, lunneeds, luns
from bootd.services.booking import LIVE
from bootd.services.jobs import generation
from bootd.store import Transaction
from bootd.workers import unpacking
from bootd.workers.lunclones import (
    CLONE,
    PLACED,
    Goal,
    clone_step,
    deployment_of,
    goal_of,
    node_failed,
    remove_volumes,
)
from bootd.workers.unpacking import Shown, Unavailable, damaged, said
from bootd.workers.work import GivenUp, Work

CLEAR, UNPACK, WRITE, COMPARE = "clear", "unpack", "write", "compare"  # then CLONE
SIDE_TAKEN_S = 60.0  # until it is looked again whether a side is free
_DIGEST, _SIZE, _AGAIN = "sha256", "size", "written_again"  # facts


class StageLun:
    """See `Handler`."""

    @property
    def steps(self) -> Mapping[str, Callable[[Work], None]]:
        return {
            "": _choose,
            CLEAR: _clear,
            UNPACK: _unpack,
            WRITE: _write,
            COMPARE: _compare,
            CLONE: clone_step,
        }

    def fail(self, work: Work, why: str) -> None:
        _leave(work, "fail", why, begun="fail", unbegun="fail")

    def cancel(self, work: Work, who: str) -> None:
        _leave(work, "cancel", f"taken back by {who}", begun="abandon", unbegun=_unbegun(work))


# -- which side -----------------------------------------------------------------------------


def _choose(work: Work) -> None:
    deployment = deployment_of(work)
    if deployment.state in PLACED:
        with work.commit(CLONE, note="making clones"):
            return
    work.context.luns()  # a site without a backend changes nothing
    image = _image(work, deployment)
    pair = luns.named(work.store, str(deployment.group))
    unpacking.sweep(work)
    with said(work, image):
        check_image(image, pair.size)
        if image.kind is ImageKind.RAW:
            open_source(work.context.tree, image)
    try:
        with work.commit(CLEAR, note="clearing its side") as change:
            wanted = replace(deployment, digest=image.identity)
            _, side = luns.stage(change, wanted, work.now)
            deployments.moved(change, wanted, "deploy-lun", side=side, note="")
    except luns.SideTaken as error:
        with work.commit(wait_s=SIDE_TAKEN_S, note=f"waits: {error}"):
            pass


def _image(work: Work, deployment: Deployment) -> DiskImage:
    image = work.store.find(DiskImage, str(deployment.image))
    if image is None:
        raise GivenUp(f"image {deployment.image} is gone")
    if image.state in ("damaged", "retired"):
        raise GivenUp(f"image {image.ref} is {image.state}: {DISK_IMAGE.states[image.state]}")
    return image


# -- its volume -----------------------------------------------------------------------------


def _clear(work: Work) -> None:
    """Remove the clones that nobody needs, and those that an earlier job for this deployment left.

    One of an earlier booking that a machine is logged in to is left to the sweep.
    """
    goal, backend = goal_of(work), work.context.luns()
    stale = [clone.volume for clone in lunneeds.stale_clones(work.store, goal.pair.group)]
    own = luns.clone_volumes(work.store, goal.deployment)
    remove_volumes(work, backend, own)
    stale = _removed(work, backend, stale)
    is_there = _holds_image(backend, goal)
    following = CLONE if is_there else WRITE if _is_raw(work, goal) else UNPACK
    with work.commit(following, note="making clones" if is_there else "") as change:
        luns.drop_clones(change, [*stale, *own])
        parts = (work.part(node) for node in work.job.nodes)
        work.note_parts(*(replace(part, outcome=Outcome.OPEN, tries=0) for part in parts))
        if is_there:
            _staged(work, change, goal)
        elif goal.pair.sides[goal.side].image is not None:
            _stage_anew(work, change, goal)


def _removed(work: Work, backend: LunBackend, volumes: Sequence[str]) -> list[str]:
    """Delete those that nobody is logged in to; return what is gone now."""
    there = {volume.name for volume in backend.volumes()}
    gone = [volume for volume in volumes if volume not in there]
    for volume in sorted(there.intersection(volumes)):
        with suppress(LunBusy):
            backend.unexport(volume)
            backend.delete(volume)
            gone.append(volume)
        work.show()
    return gone


def _holds_image(backend: LunBackend, goal: Goal) -> bool:
    """Tell whether the side has the image, by our record and in truth."""
    side = goal.pair.sides[goal.side]
    if side.image is None or side.digest != goal.deployment.digest:
        return False
    found = [volume for volume in backend.volumes() if volume.name == goal.volume]
    return bool(found) and found[0].is_whole and found[0].size == goal.pair.size


def _is_raw(work: Work, goal: Goal) -> bool:
    return _image(work, goal.deployment).kind is ImageKind.RAW


def _stage_anew(work: Work, change: Transaction, goal: Goal) -> None:
    """The volume went from the backend. Where that side is in use by others, the other one is written."""
    group = goal.pair.group
    pair = luns.lost(change, group, goal.side)
    if pair.sides[goal.side].state != "staging":
        _, side = luns.stage(change, goal.deployment, work.now)
        change.keep(replace(goal.deployment, side=side))


def _unpack(work: Work) -> None:
    """Have a raw disk; a worker that comes after a killed one finds what that one finished."""
    goal = goal_of(work)
    image = _image(work, goal.deployment)
    shown = Shown(work, UNPACK, octets_of(image))
    with said(work, image):
        unpacking.unpack(work, image, goal.pair.size, shown)
    with work.commit(WRITE, note=""):
        work.note_parts(shown.done())


def _write(work: Work) -> None:
    goal, backend = goal_of(work), work.context.luns()
    image = _image(work, goal.deployment)
    unpacked = None if image.kind is ImageKind.RAW else unpacking.found(work)
    if unpacked is None and image.kind is not ImageKind.RAW:
        _unpack_anew(work, "the unpacked disk is gone")
        return
    with said(work, image):
        source = open_source(work.context.tree, image, unpacked)
    shown = Shown(work, WRITE, source.size)
    _create(backend, goal)
    try:
        backend.write(goal.volume, source, shown)
    except LunRefused as error:
        if unpacked is not None and source.failure is not None:
            _unpack_anew(work, f"the unpacked disk cannot be read: {source.failure}")
            return
        if isinstance(source.failure, Damaged):
            raise damaged(work, image, [source.failure.reason]) from error
        if source.failure is not None:
            raise Unavailable(f"image {image.ref} is unavailable: {source.failure}") from error
        raise
    with work.commit(COMPARE, note="", facts={_DIGEST: source.digest, _SIZE: source.size}):
        work.note_parts(shown.done())


def _unpack_anew(work: Work, why: str) -> None:
    unpacking.discard(work)
    if work.fact(_AGAIN):
        raise GivenUp(f"{why}, twice")
    with work.commit(UNPACK, note=f"{why}; unpacked again", facts={_AGAIN: True}):
        pass


def _create(backend: LunBackend, goal: Goal) -> None:
    """Have the volume; one of another size is that of a pair that was removed."""
    for volume in backend.volumes():
        if volume.name == goal.volume and volume.size != goal.pair.size:
            remove_volumes(None, backend, [volume.name])
    backend.create(goal.volume, goal.pair.size)


def _compare(work: Work) -> None:
    """Read the volume back; what does not match is written once more."""
    goal = goal_of(work)
    size = int(work.fact(_SIZE))
    shown = Shown(work, COMPARE, size)
    digest, octets = hashlib.sha256(), 0
    for chunk in work.context.luns().read(goal.volume):
        digest.update(chunk[: size - octets])
        octets = min(size, octets + len(chunk))
        shown(octets)
        if octets == size:
            break
    if digest.hexdigest() == work.fact(_DIGEST):
        with work.commit(CLONE, note="making clones") as change:
            _staged(work, change, goal)
            work.note_parts(shown.done())
        unpacking.discard(work)
        return
    why = f"volume {goal.volume} does not read back as it was written"
    if work.fact(_AGAIN):
        raise GivenUp(f"{why}, twice")
    with work.commit(WRITE, note=f"{why}; written again", facts={_AGAIN: True}):
        pass


def _staged(work: Work, change: Transaction, goal: Goal) -> None:
    luns.staged(change, goal.pair.group, goal.side, goal.deployment.image, goal.deployment.digest, work.now)


# -- leaving it -----------------------------------------------------------------------------


def _unbegun(work: Work) -> str:
    """Return what becomes of a deployment whose job is taken back before it did anything."""
    reservation = work.store.find(Reservation, work.job.reservation or 0)
    is_wanted = reservation is not None and reservation.state in LIVE
    return "fail" if is_wanted else "remove"  # else the calendar would make the job anew


def _leave(work: Work, ending: str, why: str, *, begun: str, unbegun: str) -> None:
    """End the job: no clone stays that no node boots, and the side is free unless others need it."""
    deployment = work.store.find(Deployment, work.job.deployment or 0)
    volumes = [] if deployment is None else _unplaced_volumes(work, deployment)
    if volumes:
        remove_volumes(work, work.context.luns(), volumes)
    with work.finish(ending, why) as change:
        luns.drop_clones(change, volumes)
        _note_left(work, change, deployment, why)
        if deployment is not None and deployment.state in ("sched", "deploy-lun"):
            event = begun if deployment.state == "deploy-lun" else unbegun
            moved = deployments.moved(change, deployment, event, note=why)
            luns.release(change, moved)
    unpacking.discard(work)


def _unplaced_volumes(work: Work, deployment: Deployment) -> list[str]:
    """Return the clones that go: all of them, or where nodes boot some already, those that lacked."""
    if deployment.state == "deploy-lun":
        return luns.clone_volumes(work.store, deployment)
    if deployment.state not in PLACED or deployment.side is None:
        return []
    lacking = [node for node in work.job.nodes if work.part(node).outcome is not Outcome.OK]
    own = generation(work.job)  # clones of an earlier one may be in use
    return [luns.clone_volume(deployment, deployment.side, node, own) for node in lacking]


def _note_left(work: Work, change: Transaction, deployment: Deployment | None, why: str) -> None:
    """Say of each node that got no clone why; those of a deployment that is given up all lose theirs."""
    is_begun = deployment is not None and deployment.state not in PLACED
    for name in work.job.nodes:
        part = work.part(name)
        if part.outcome is Outcome.OPEN or (is_begun and part.outcome is Outcome.OK):
            work.note_parts(replace(part, outcome=Outcome.FAILED, note=part.note or why))
        node = change.find(DeployedNode, f"{work.job.deployment}/{name}")
        if node is not None and (is_begun or node.state == "waiting"):
            node_failed(change, node, why, work.now)
