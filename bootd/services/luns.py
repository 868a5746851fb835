"""LUN pairs: which side a group boots from, what each holds, and the clone of each node.

A pair has two volumes that no machine ever writes to. What a node boots is its own clone of one
of them, made for one deployment, with a name and a secret of its own: a project that learned how
its nodes log in cannot log in to what the next project gets, and a system that goes on running
on a clone that was replaced not to the one that took its place: a new generation has new names.
Flipping a pair is therefore a change of records alone, and what runs goes on running on its clone.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bootd.clock import Clock
from bootd.drivers.lun import Chap, Export, volume_name
from bootd.drivers.lun.base import BLOCK
from bootd.errors import BadValue, BootdError, Conflict, NotFound, Refused
from bootd.formats.fields import nearest
from bootd.lifecycle import LUN
from bootd.model import Deployment, ImageRef, LunClone, LunPair, LunSide, check_name
from bootd.services.jobs import generations
from bootd.store import Reads, Store, Transaction
from bootd.units import parse_size

SIDES = ("a", "b")  # as people say them; side 0 is "a"
NEEDING = ("deploy-lun", "lun-ready", "run")  # deployments in these states need what is on their side
SECRET = "chap"  # the site's secret that those of the nodes are derived from
_SECRET_LENGTH = 16  # the most that some initiators take; 96 bits in base64, as RFC 7143 asks for
_SMALLEST, _LARGEST = 1 << 20, 1 << 50  # octets
_SIZE = f"a size such as 20G or 500GB, a multiple of {BLOCK} octets from 1M to 1024T"
_IQN_END = re.compile(r"[a-z0-9.:-]+\Z")


class SideTaken(BootdError):
    """No side of the pair is free just now; try again when the deployment that needs it is over."""

    code = "lun-side-taken"


# -- pairs ----------------------------------------------------------------------------------


def add(store: Store, actor: str, group: str, size: int, *, clock: Clock) -> LunPair:
    """Register the pair of a group, of *size* octets each.

    Its volumes are made on the LUN backend when they are first written. Raises `Refused` where
    the group has one, `BadValue`, `Conflict`.
    """
    check_name("group", group)
    pair = LunPair(group, _checked(size, str(size)), _fresh_sides(group, clock()))
    with store.transaction(actor, "luns add") as change:
        if (held := change.find(LunPair, group)) is not None:
            raise Refused(f"group {group!r} has a LUN pair already, of {held.size:,} octets each")
        for other in change.every(LunPair):
            theirs = {side.volume for side in other.sides}
            for volume in [side.volume for side in pair.sides if side.volume in theirs]:
                raise Conflict("group", "volume", volume, other.group)
        change.keep(pair)
    return pair


def remove(store: Store, actor: str, group: str, *, dry_run: bool = False) -> list[str]:
    """Forget the pair of a group; return the volumes that stay on the LUN backend.

    Raises `Refused` while bookings count on it, `NotFound`.
    """
    with store.transaction(actor, "luns remove") as change:
        pair = named(change, group)
        if needed := [each for each in change.deployments_in(("sched", *NEEDING)) if each.group == group]:
            numbers = ", ".join(str(number) for number in sorted({each.reservation for each in needed}))
            raise Refused(f"the LUN pair of {group!r} is needed by reservations {numbers}: cancel them first")
        clones = change.clones(group)
        if not dry_run:
            drop_clones(change, [clone.volume for clone in clones])
            change.discard(LunPair, group)
    return [*(side.volume for side in pair.sides), *(clone.volume for clone in clones)]


def named(reads: Reads, group: str) -> LunPair:
    """Return the pair of a group; raises `NotFound` with a near miss."""
    pair = reads.find(LunPair, group)
    if pair is None:
        known = [each.group for each in reads.every(LunPair)]
        near = nearest(group, known).removeprefix("; ")
        raise NotFound("LUN pair", group, near or f"bootd luns add {group} --size 20G registers one")
    return pair


def pair_of(reads: Reads, groups: Sequence[str]) -> LunPair | None:
    """Return the pair of a host: that of the first of its groups which has one."""
    return next((pair for group in groups if (pair := reads.find(LunPair, group)) is not None), None)


@dataclass(frozen=True, slots=True)
class Shown:
    """A pair with all that hangs on it."""

    pair: LunPair
    clones: tuple[LunClone, ...]
    deployments: tuple[Deployment, ...]  # those to come and those under way
    hosts: tuple[str, ...]  # of the group


def show(reads: Reads, group: str) -> Shown:
    """Return what there is to know about a pair; raises `NotFound`."""
    pair = named(reads, group)
    live = [each for each in reads.deployments_in(("sched", *NEEDING)) if each.group == group]
    hosts = tuple(host.name for host in reads.hosts() if group in host.groups)
    return Shown(pair, tuple(reads.clones(group)), tuple(live), hosts)


def octets_of(text: str) -> int:
    """Return the size of a volume as people write it; raises `BadValue`."""
    try:
        return _checked(parse_size(text), text)
    except ValueError as error:
        raise BadValue("--size", text, _SIZE) from error


def _checked(size: int, text: str) -> int:
    if size % BLOCK or not _SMALLEST <= size <= _LARGEST:
        raise BadValue("--size", text, _SIZE)
    return size


def _fresh_sides(group: str, now: datetime) -> tuple[LunSide, LunSide]:
    first, second = (LunSide(volume_name(group, side), changed_at=now) for side in SIDES)
    return replace(first, state=LUN.after(first.state, "activate")), second


# -- staging --------------------------------------------------------------------------------


def users(reads: Reads, group: str, *, besides: int = 0) -> list[Deployment]:
    """Return the deployments that need what is on a side of the pair, but for *besides*."""
    found = reads.deployments_in(NEEDING)
    return [each for each in found if each.group == group and each.id != besides]


def stage(change: Transaction, deployment: Deployment, now: datetime) -> tuple[LunPair, int]:
    """Choose the side for *deployment*; return the pair as it is then, and the side.

    A side that holds its image already is taken as it is, the active one too: nothing is
    written, and at the start nothing is flipped. Else it is the inactive one, now "staging";
    it has an image then only if that is the wanted one, to be looked at and not to be written.
    Raises `SideTaken` while another deployment needs that side.
    """
    pair = named(change, str(deployment.group))
    others = users(change, pair.group, besides=deployment.id)
    for number in (pair.active, pair.inactive):
        is_ready = pair.sides[number].state != "staging" and _holds(pair.sides[number], deployment.digest)
        if is_ready and (number == pair.active or any(each.side == number for each in others)):
            return pair, number
    number = pair.inactive
    for each in others:
        if each.side == number:
            raise SideTaken(
                f"side {SIDES[number]} of {pair.group} has {each.image} for reservation {each.reservation}"
            )
    side = pair.sides[number]
    # "staging" for nobody: its job could not tidy up after itself
    state = LUN.after(side.state, "fail") if side.state == "staging" else side.state
    side = replace(side, state=LUN.after(state, "stage"), changed_at=now)
    if not _holds(side, deployment.digest):
        side = _emptied(side)
    return _keep(change, pair, number, side), number


def staged(
    change: Transaction, group: str, side: int, image: ImageRef, digest: str, now: datetime
) -> LunPair:
    """The side holds *image*, verified. Raises `Refused` where it has been given away meanwhile."""
    pair = named(change, group)
    standing = pair.sides[side]
    if standing.state == "staging":
        state = LUN.after(standing.state, "verified")
        new = replace(standing, state=state, image=image, digest=digest, changed_at=now)
        return _keep(change, pair, side, new)
    if not _holds(standing, digest):
        raise Refused(f"side {SIDES[side]} of {group} holds {_content(standing)} and not {image}")
    return pair


def stage_failed(change: Transaction, group: str, side: int) -> LunPair:
    """Nothing will be staged to the side; whatever it held when that began, if it still does, stays."""
    pair = named(change, group)
    standing = pair.sides[side]
    if standing.state != "staging":
        return pair
    return _keep(change, pair, side, replace(standing, state=LUN.after(standing.state, "fail")))


def lost(change: Transaction, group: str, side: int) -> LunPair:
    """The volume is not there, or not whole: whatever the record says, it holds nothing."""
    pair = named(change, group)
    standing = pair.sides[side]
    if standing.state == "staged":
        standing = replace(standing, state=LUN.after(standing.state, "drop"))
    return _keep(change, pair, side, _emptied(standing))


def release(change: Transaction, deployment: Deployment) -> None:
    """*deployment* needs its side no longer; the image stays there until the side is written again."""
    if deployment.group is None or deployment.side is None:
        return
    pair = change.find(LunPair, deployment.group)
    others = users(change, deployment.group, besides=deployment.id)
    if pair is None or any(each.side == deployment.side for each in others):
        return
    standing = pair.sides[deployment.side]
    if standing.state in ("staging", "staged"):
        standing = replace(standing, state=LUN.after(standing.state, "drop"))
        _keep(change, pair, deployment.side, standing)


def _holds(side: LunSide, digest: str) -> bool:
    return side.image is not None and side.digest == digest


def _emptied(side: LunSide) -> LunSide:
    return replace(side, image=None, digest="")


def _content(side: LunSide) -> str:
    return str(side.image) if side.image else "nothing"


def _keep(change: Transaction, pair: LunPair, number: int, side: LunSide) -> LunPair:
    first, second = (side if each == number else pair.sides[each] for each in (0, 1))
    kept = replace(pair, sides=(first, second))
    change.keep(kept)
    return kept


# -- flipping -------------------------------------------------------------------------------


def activate(change: Transaction, deployment: Deployment, *, now: datetime) -> LunPair:
    """Have the side of *deployment* active, flipping only if it is not; raises `Refused`."""
    if deployment.group is None or deployment.side is None:
        raise Refused(f"{deployment.image} of reservation {deployment.reservation} is on no LUN yet")
    return flip(change, deployment.group, now=now, to=deployment.side)


def flip(change: Transaction, group: str, *, now: datetime, to: int | None = None) -> LunPair:
    """Make the inactive side active, or have side *to* active; raises `Refused` where it holds no image."""
    pair = named(change, group)
    target = pair.inactive if to is None else to
    if target == pair.active:
        return pair
    coming, going = pair.sides[target], pair.sides[pair.active]
    if coming.state == "staging":
        raise Refused(f"side {SIDES[target]} of {group} is being written")
    if coming.image is None:
        raise Refused(f"side {SIDES[target]} of {group} holds nothing that could be booted")
    coming = replace(coming, state=LUN.after(coming.state, "activate"), changed_at=now)
    going = replace(going, state=LUN.after(going.state, "deactivate"), changed_at=now)
    flipped = replace(pair, sides=(coming, going) if target == 0 else (going, coming))
    change.keep(flipped)
    return flipped


def rollback(change: Transaction, group: str, now: datetime) -> LunPair:
    """Flip back to what was active before.

    Raises `Refused` where there is nothing, or the next booking's image instead of it.
    """
    pair = named(change, group)
    if pair.sides[pair.inactive].state == "staged":
        held = pair.sides[pair.inactive].image
        raise Refused(
            f"side {SIDES[pair.inactive]} of {group} holds {held}, the next image and not the last one;"
            f" bootd luns flip {group} makes it active"
        )
    return flip(change, group, now=now)


# -- clones ---------------------------------------------------------------------------------


def chap_of(secret: bytes, user: str) -> Chap:
    """Return how a node logs in to its clone as *user*; *secret* is the site's `SECRET`.

    Targets know a user by one secret. No secret begins with "-", which would be an option in a
    boot script.
    """
    digest = hmac.new(secret, user.encode(), hashlib.sha256).digest()
    return Chap(user, base64.b64encode(digest, altchars=b"._")[:_SECRET_LENGTH].decode())


def initiator(base_iqn: str, node: str) -> str:
    """Return the iSCSI name of a node."""
    return f"{base_iqn}:{node if _IQN_END.match(node) else volume_name(node)}"


def new_clone(
    deployment: Deployment,
    side: int,
    node: str,
    base_iqn: str,
    *,
    generation: int = 1,
    one_login: bool = False,
) -> LunClone:
    """Return the record of the clone that *node* gets for *deployment*, not exported yet.

    It logs in as its volume, so that who once ran there cannot log in to the next clone.
    *one_login*: as itself, where the target knows it by one name for all its clones.
    """
    volume = clone_volume(deployment, side, node, generation)
    user = volume_name("node", node) if one_login else volume
    return LunClone(
        volume,
        str(deployment.group),
        side,
        node,
        initiator(base_iqn, node),
        user,
        deployment=deployment.id,
        digest=deployment.digest,
    )


def clone_volume(deployment: Deployment, side: int, node: str, generation: int = 1) -> str:
    """Return the name of the clone: GROUP.SIDE.NODE.DEPLOYMENT, from the second generation on with it."""
    made_for = f"{deployment.id}-{generation}" if generation > 1 else str(deployment.id)
    return volume_name(str(deployment.group), SIDES[side], node, made_for)


def keep_clone(
    change: Transaction, clone: LunClone, export: Export, *, made_at: datetime | None = None
) -> LunClone:
    """Keep a clone as it is exported."""
    kept = replace(clone, target=export.target, lun=export.lun, portals=export.portals, made_at=made_at)
    change.keep(kept)
    return kept


def drop_clones(change: Transaction, volumes: Iterable[str]) -> None:
    """Forget clones that are gone from the LUN backend."""
    for volume in volumes:
        change.discard(LunClone, volume)


def clone_names(reads: Reads, deployment: Deployment) -> list[str]:
    """Return the name of every clone that was ever ordered for *deployment*, on either side."""
    if deployment.group is None:
        return []
    last = max(1, generations(reads, deployment.reservation, deployment.id))
    return [
        clone_volume(deployment, side, node, generation)
        for side in range(len(SIDES))
        for node in deployment.nodes
        for generation in range(1, last + 1)
    ]


def clone_volumes(reads: Reads, deployment: Deployment) -> list[str]:
    """Return every volume that may have been made for *deployment*, written down or not."""
    if deployment.group is None:
        return []
    known = [clone.volume for clone in reads.clones(deployment.group) if clone.deployment == deployment.id]
    return list(dict.fromkeys([*known, *clone_names(reads, deployment)]))
