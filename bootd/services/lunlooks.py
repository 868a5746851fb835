"""What the target itself tells of clones: who is logged in, how much was written, and what does not fit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bootd.drivers.lun import LunBackend, LunMissing, Session
from bootd.model import DeployedNode, LunClone
from bootd.services import luns
from bootd.store import Reads, Transaction


@dataclass(frozen=True, slots=True)
class Told:
    """By the volumes of clones; *why* says why nothing is known, where that is so."""

    sessions: Mapping[str, Sequence[Session]] = field(default_factory=dict)
    written: Mapping[str, int | None] = field(default_factory=dict)
    why: str = ""


def ask(backend: LunBackend, clones: Iterable[LunClone], *, compare: bool = False) -> Told:
    """Ask the target about *clones*; raises `DriverError`.

    With *compare* clones are read beside their sides where else it is not known what was written.
    """
    sessions: dict[str, list[Session]] = {clone.volume: [] for clone in clones}
    for session in backend.sessions():
        if session.volume in sessions:
            sessions[session.volume].append(session)
    asked = sessions if backend.tells_written else ()
    return Told(sessions, {volume: _written(backend, volume, compare) for volume in asked})


def _written(backend: LunBackend, volume: str, compare: bool) -> int | None:
    try:
        return backend.written(volume, compare=compare)
    except LunMissing:  # the record outlived it
        return None


REFUSED = "its disk refuses what it writes: LUNs have no room left to grow into"


def refuses(change: Transaction, volume: str, *, is_so: bool) -> None:
    """Note that a node's clone *volume* takes no more, or that the node has started anew since."""
    clone = change.find(LunClone, volume)
    if clone is None:
        return
    for deployment in luns.users(change, clone.group):
        for node in change.deployed_nodes(deployment.id):
            if node.volume == volume and (is_so or node.note == REFUSED):
                change.keep(replace(node, note=REFUSED if is_so else ""))


def doubts(reads: Reads, nodes: Iterable[DeployedNode], sessions: Iterable[Session]) -> dict[str, str]:
    """Return why it is doubtful, of those of *nodes* for which it is, that they run well from their clones.

    A system that was copied to memory, or a target that was restarted a moment ago, looks so too.
    """
    where = _by_initiator(sessions)
    found: dict[str, str] = {}
    for node in nodes:
        if node.note == REFUSED:
            found[node.node] = f"{node.node}: {REFUSED}"
            continue
        clone = reads.find(LunClone, node.volume) if node.volume else None
        if node.state != "running" or clone is None or clone.volume in where.get(clone.initiator, ()):
            continue
        others = ", ".join(sorted(where.get(clone.initiator, ())))
        found[node.node] = (
            f"{node.node} says that it runs, and is not logged in to its clone {clone.volume}"
            + (f" but to {others}" if others else "")
        )
    return found


def astray(reads: Reads, nodes: Iterable[DeployedNode], sessions: Iterable[Session]) -> list[DeployedNode]:
    """Return those of *nodes* whose word that they run is wrong: logged in to a clone, and not to theirs.

    One that is logged in to none is another matter, see `doubts`.
    """
    where = _by_initiator(session for session in sessions if not session.is_left)
    found = []
    for node in nodes:
        clone = reads.find(LunClone, node.volume) if node.state == "running" and node.volume else None
        volumes = where.get(clone.initiator, set()) if clone is not None else set()
        if clone is not None and volumes and clone.volume not in volumes:
            found.append(node)
    return found


def _by_initiator(sessions: Iterable[Session]) -> dict[str, set[str]]:
    """Return the volumes that each is logged in to."""
    where: dict[str, set[str]] = {}
    for session in sessions:
        where.setdefault(session.initiator, set()).add(session.volume)
    return where
