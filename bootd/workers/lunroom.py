"""Whether LUNs have room to grow into; and whose disk is broken since they had none.

Volumes are sparse and machines fill them without asking. The target cannot say why it fails a
command: where there is no room, one that fails more of them than a look ago is taken to lack it.
"""

from collections.abc import Callable, Mapping

from bootd.drivers.lun import LunBackend
from bootd.errors import StoreFailed
from bootd.model import LunClone
from bootd.services import lunlooks, nodeset
from bootd.store import Reads, Store
from bootd.units import size_text
from bootd.workers.work import ACTOR

LOW = 1 << 30  # octets left: there should be more
NONE = 64 << 20  # octets left, of which file systems give none away any more
WATCHED = 16 << 30  # octets that no machine writes between two looks: so far each session's count is noted

Counts = Mapping[str, Mapping[str, int]]  # failed commands, by volume and session


class RoomWatch:
    """To be asked again and again."""

    def __init__(self, open_store: Callable[[], Store], room: Callable[[], int | None]) -> None:
        """*room* says how many octets are left where volumes lie, None where that is not known here."""
        self._open_store, self._room = open_store, room
        self._seen: Counts = {}
        self._broken: dict[str, str] = {}  # volume -> the session in which it was refused
        self._noted: frozenset[str] = frozenset()

    def look(self, backend: LunBackend) -> str:
        """Return what is wrong, "" for nothing; raises `DriverError`."""
        left = self._room()
        if left is None or (left >= WATCHED and not self._broken):
            self._seen = {}
            return ""
        counts = _counts(backend)
        # until its machine has logged in anew
        self._broken = {on: session for on, session in self._broken.items() if session in counts.get(on, {})}
        if left < NONE:
            self._broken |= _more(counts, self._seen)
        self._seen = counts
        self._note()
        return self._text(left)

    def _note(self) -> None:
        """Write down whose disk is broken, and who has started anew; what cannot be is for the next look."""
        changed = self._noted.symmetric_difference(self._broken)
        if not changed:
            return
        try:
            with self._open_store() as store, store.transaction(ACTOR, "luns room") as change:
                for volume in changed:
                    lunlooks.refuses(change, volume, is_so=volume in self._broken)
        except StoreFailed:  # the database may lie where there is no room
            return
        self._noted = frozenset(self._broken)

    def _text(self, left: int) -> str:
        words = []
        if left < LOW:
            left_text = size_text(left)
            words.append(f"LUNs have only {left_text} left to grow into: what their machines write will fail")
        if self._broken:
            with self._open_store() as store:
                names = nodeset.fold(sorted(_nodes(store, self._broken)))
            words.append(
                f"disks refuse what their machines write: {names} ({', '.join(sorted(self._broken))})"
            )
        if not words:
            return ""
        way_out = "bootd luns gc removes clones that nobody needs"
        then = (
            "; then start those machines anew, or bootd luns renew gives them new clones"
            if self._broken
            else ""
        )
        return "; ".join([*words, way_out + then])


def _counts(backend: LunBackend) -> Counts:
    volumes = {session.volume for session in backend.sessions()}
    return {volume: backend.failed(volume) for volume in volumes}


def _more(counts: Counts, before: Counts) -> dict[str, str]:
    """Return the volumes of which more commands failed than *before*, and in which session."""
    return {
        volume: session
        for volume, found in counts.items()
        for session, count in found.items()
        if volume in before and count > before[volume].get(session, count)
    }


def _nodes(reads: Reads, volumes: Mapping[str, str]) -> list[str]:
    clones = (reads.find(LunClone, volume) for volume in volumes)
    return [clone.node for clone in clones if clone is not None]
