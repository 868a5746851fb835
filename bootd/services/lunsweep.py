"""Clones that no node may still use: found on the LUN backend, deleted once nobody is logged in to them.

Only clones of sides of pairs, by name and by parent, and sides of pairs that were removed are ever
touched. What a machine is logged in to is left for the next time, and named: sessions end, or a person
ends them. A clone that no record knows of is left to a person too: with another database configured by
mistake, every clone would be one. So is a side: who removed its pair may have meant to add it again.
"""

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bootd.drivers.errors import DriverError
from bootd.drivers.lun import LunBackend, LunBusy, Session, Volume, volume_name
from bootd.model import Deployment, LunClone, LunPair
from bootd.services import lunneeds, luns
from bootd.services.jobs import OPEN
from bootd.store import Reads, Store

_CLONE = re.compile(
    r"(?P<group>[^.]+)\.(?P<side>[ab])\.(?P<node>[^.]+)\.(?P<deployment>[1-9][0-9]*)"
    r"(?:-[1-9][0-9]*)?\Z"
)
_DIGESTED = re.compile(r".+-[0-9a-f]{12}\Z")  # see `volume_name`
UNKNOWN = "no record knows it: bootd luns gc deletes it"
UNPAIRED = "its pair was removed: bootd luns gc deletes it"


@dataclass(frozen=True, slots=True)
class Left:
    """A volume that could go, and why it did not."""

    volume: str
    why: str
    sessions: tuple[Session, ...] = ()


@dataclass(frozen=True, slots=True)
class Swept:
    """What went, or would go, and what stays for now."""

    removed: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()


def sweep(
    store: Store,
    backend: LunBackend,
    actor: str,
    *,
    groups: Iterable[str] | None = None,
    unknown: bool = False,
    force: bool = False,
    dry_run: bool = False,
) -> Swept:
    """Delete the clones that nobody needs, of *groups* or all; with *unknown* what is left to a person too.

    With *force* sessions on them are ended. Raises `DriverError` where the backend does not
    say what it has; what cannot be deleted is told and keeps no other from going. What a kill or a loss
    of power left of a volume that was being made goes too.
    """
    volumes = backend.volumes()  # first: whatever is made from now on is not looked at
    garbage = list(_garbage(store, volumes, None if groups is None else set(groups)))
    removed: list[str] = []
    left = [Left(name, why) for name, why in garbage if why and not unknown]
    taken = [name for name, why in garbage if not why or unknown]
    busy = _sessions(backend, taken) if dry_run else {}
    needs = _Needs(store)
    for name in taken:
        if needs.has(name):  # a person had its job tried again just now
            continue
        why = _in_use(name, busy, force) if dry_run else _delete(backend, name, force)
        if why is None:
            removed.append(name)
        else:
            left.append(why)
    if not dry_run:
        _forget(store, actor, removed, {volume.name for volume in volumes})
    for name, unsure in _scraps(store, backend.scraps(), None if groups is None else set(groups)):
        if unsure and not unknown:
            left.append(Left(name, unsure))
        elif dry_run or backend.clear(name):
            removed.append(name)
    return Swept(tuple(removed), tuple(left))


def needed(reads: Reads) -> set[str]:
    """Return the volumes that pairs, and deployments that are not over yet, count on."""
    volumes = {side.volume for pair in reads.every(LunPair) for side in pair.sides}
    for deployment in _at_work(reads):
        volumes.update(luns.clone_volumes(reads, deployment))
    for deployment in reads.deployments_in(("sched", *luns.NEEDING)):
        volumes.update(lunneeds.booted_clones(reads, deployment))
    return volumes


class _Needs:
    """What is needed, looked up again whenever somebody wrote."""

    def __init__(self, reads: Reads) -> None:
        self._reads, self._generation = reads, -1
        self._volumes: set[str] = set()

    def has(self, volume: str) -> bool:
        generation = self._reads.generation()
        if generation != self._generation:
            self._generation, self._volumes = generation, needed(self._reads)
        return volume in self._volumes


def _at_work(reads: Reads) -> Iterator[Deployment]:
    """Yield the deployments to LUNs that a job is still at: it may be making any clone of theirs."""
    numbers = {job.reservation for job in reads.jobs(states=OPEN, limit=100_000) if job.reservation}
    for deployment in reads.deployments_for(numbers):
        if deployment.group is not None:
            yield deployment


def _garbage(reads: Reads, volumes: Sequence[Volume], groups: set[str] | None) -> Iterator[tuple[str, str]]:
    """Yield what nobody needs, sides last, and why it is left to a person, "" where it is not."""
    keep = needed(reads)
    unneeded = [volume for volume in volumes if volume.name not in keep]
    if not unneeded:
        return
    pairs = {pair.group: pair for pair in reads.every(LunPair)}
    recorded = {clone.volume: clone.group for group in pairs for clone in reads.clones(group)}
    unpaired = _unpaired(reads, pairs)
    group_of_side = {side.volume: pair.group for pair in pairs.values() for side in pair.sides} | unpaired
    digested: dict[str, set[str]] = {}
    for volume in sorted(unneeded, key=lambda volume: volume.name in unpaired):
        name = volume.name
        group, why = (unpaired if volume.parent is None else recorded).get(name), ""
        if volume.parent is None:
            why = UNPAIRED
        elif group is None and (found := _CLONE.match(name)) and _is_side(found, volume.parent):
            group = found["group"]
            why = "" if _is_of(reads, reads.find(Deployment, int(found["deployment"])), name) else UNKNOWN
        elif group is None and _DIGESTED.match(name) and (parent := group_of_side.get(volume.parent)):
            if parent not in digested:
                digested[parent] = _ever_made(reads, parent)
            group = parent if name in digested[parent] else None
        if group is not None and (groups is None or group in groups):
            yield name, why


def _unpaired(reads: Reads, paired: Container[str]) -> dict[str, str]:
    """Return the sides of pairs that were removed, and whose they were: something was staged there once."""
    groups = {each.group for each in reads.every(Deployment) if each.group and each.group not in paired}
    return {volume_name(group, side): group for group in groups for side in luns.SIDES}


def _is_side(found: re.Match[str], parent: str) -> bool:
    return parent == volume_name(found["group"], found["side"])


def _is_of(reads: Reads, deployment: Deployment | None, volume: str) -> bool:
    return deployment is not None and volume in luns.clone_names(reads, deployment)


def _ever_made(reads: Reads, group: str) -> set[str]:
    """Return the names of all clones that were ever made of a pair: those with a digest tell nothing else."""
    found = [deployment for deployment in reads.every(Deployment) if deployment.group == group]
    return {name for deployment in found for name in luns.clone_names(reads, deployment)}


def _scraps(reads: Reads, names: Sequence[str], groups: set[str] | None) -> Iterator[tuple[str, str]]:
    """Yield what is left of volumes that never were whole, and why it is left to a person, or "".

    By the name alone: of a side of a pair, or of a clone of one. What is called otherwise is not ours.
    """
    if not names:
        return
    pairs = {pair.group: pair for pair in reads.every(LunPair)}
    sides = {side.volume: pair.group for pair in pairs.values() for side in pair.sides}
    sides |= _unpaired(reads, pairs)
    made = {name: group for group in {*sides.values()} for name in _ever_made(reads, group)}
    for name in names:
        group = sides.get(name, made.get(name))
        why = "" if group is not None else UNKNOWN
        if group is None and (found := _CLONE.match(name)):
            group = sides.get(volume_name(found["group"], found["side"]))
        if group is not None and (groups is None or group in groups):
            yield name, why


# -- deleting -------------------------------------------------------------------------------


def _delete(backend: LunBackend, name: str, force: bool) -> Left | None:
    """Have it gone; return why it is not."""
    try:
        backend.unexport(name, force=force)
        backend.delete(name)
    except LunBusy as error:
        return _busy(name, error.sessions)
    except DriverError as error:
        return Left(name, str(error))
    return None


def _sessions(backend: LunBackend, names: Sequence[str]) -> dict[str, list[Session]]:
    found: dict[str, list[Session]] = {name: [] for name in names}
    for session in backend.sessions() if names else ():
        if session.volume in found:
            found[session.volume].append(session)
    return found


def _in_use(name: str, busy: dict[str, list[Session]], force: bool) -> Left | None:
    return _busy(name, busy[name]) if busy.get(name) and not force else None


def _busy(name: str, sessions: Sequence[Session]) -> Left:
    who = ", ".join(sorted({session_text(session) for session in sessions}))
    return Left(name, f"in use by {who}: bootd luns gc --force ends that", tuple(sessions))


def session_text(session: Session) -> str:
    """Return who is logged in, and whether it has logged in anew since."""
    words = [session.address] if session.address else []
    words += ["left by a reset"] if session.is_left else []
    return f"{session.initiator} ({', '.join(words)})" if words else session.initiator


def _forget(store: Store, actor: str, removed: Sequence[str], there: set[str]) -> None:
    """Drop the records of what went, now or before."""
    keep = needed(store)
    gone = [
        clone.volume
        for clone in store.every(LunClone)
        if clone.volume in removed or (clone.volume not in there and clone.volume not in keep)
    ]
    if gone:
        with store.transaction(actor, "luns gc") as change:
            keep = needed(change)
            luns.drop_clones(change, [volume for volume in gone if volume in removed or volume not in keep])
