"""LUNs of a NetApp ONTAP 9 system, by its REST API (9.10.1 or later: the data calls)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, TypeVar

from bootd.drivers.lun import names
from bootd.drivers.lun.base import (
    Chap,
    Export,
    LunBackend,
    LunError,
    LunMissing,
    LunRefused,
    LunUnreachable,
    Progress,
    Session,
    Volume,
)
from bootd.drivers.lun.files import octets_of, plain_errors
from bootd.drivers.lun.locks import Locks
from bootd.drivers.lun.ontap_logins import OS_TYPE, PREFIX, OntapLogins
from bootd.drivers.lun.ontap_notes import LunNote, lun_note
from bootd.drivers.lun.ontap_rest import PIECE, Absent, OntapRest, OntapSite, Row
from bootd.drivers.source import ByteSource
from bootd.drivers.tools import Tools

T = TypeVar("T")

_BLANK = "_blank"
_EXPORTS = ""  # the lock under which logins change; no volume is called so


@dataclass(frozen=True, slots=True)
class _Lun:
    name: str  # the volume's
    uuid: str
    note: LunNote


class OntapLuns(LunBackend):
    """Volumes are LUNs of one FlexVol, each initiator has a group (igroup) and CHAP credentials of its own.

    Ours are the LUNs ``/vol/VOLUME/bootd_NAME`` and the groups ``bootd_INITIATOR`` whose
    comment begins with "bootd 1"; what has such a name and another comment is refused,
    all else is not looked at. What bootd must know besides stands in the comments, so
    that two machines with bootd, or the next one, find it.

    Differences that ONTAP makes: an SVM is one target, and a volume a number in it;
    a machine has one CHAP name and secret for all its volumes; a machine's session is one
    with the target, so it counts for each of its volumes; *force* takes the volume from the
    machine (it is unmapped) and leaves the session, which then has no such LUN.
    """

    one_login_each_machine: ClassVar[bool] = True

    def __init__(self, tools: Tools, site: OntapSite, *, portals: Sequence[str] = ()) -> None:
        """*portals*: what machines are told, if not the SVM's own iSCSI addresses."""
        super().__init__(tools)
        tools.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._site = site
        self._rest = OntapRest(site)
        self._logins = OntapLogins(self._rest, portals)
        self._locks = Locks(tools.folder / ".locks")

    # -- volumes -----------------------------------------------------------------------------

    def create(self, name: str, size: int) -> Volume:
        names.check_size(name, size)

        def deed() -> Volume:
            lun = self._find(name)
            if lun is None:
                self._make_lun(name, LunNote(size), {"space": _space(size), "os_type": OS_TYPE})
                lun = self._lun(name)
            if lun.note.size != size:
                raise LunRefused(name, f"is there with {lun.note.size} octets, not {size}")
            return self._volume(lun)

        return self._change(name, deed)

    def clone(self, source: str, name: str) -> Volume:
        def deed() -> Volume:
            there = self._find(name)
            if there is None:
                parent = _whole(self._lun(source))
                note = LunNote(parent.note.size, parent=source, is_fresh=False)
                self._make_lun(name, note, {"clone": {"source": {"name": self._path(source)}}})
                there = self._lun(name)
            elif there.note.parent != source:
                raise LunRefused(name, f"is there and no clone of {source}")
            return self._volume(there)

        return self._change(name, deed, source)

    def write(self, name: str, image: ByteSource, progress: Progress | None = None) -> Volume:
        """Write *image*, `PIECE` by `PIECE`; pieces of zeros are not sent."""

        def deed() -> Volume:
            lun = self._lun(name)
            for group in self._logins.groups(name):
                raise LunRefused(name, f"is exported to {group.initiator}; unexport it first")
            if image.size > lun.note.size:
                raise LunRefused(name, f"the image has {image.size} octets, the volume {lun.note.size}")
            self._note(lun, replace(lun.note, is_whole=False, is_fresh=False))
            if not lun.note.is_fresh:
                self._make_blank(lun)
            self._pour(lun, image, progress)
            return _volume(self._note(lun, replace(lun.note, is_whole=True, is_fresh=False)))

        return self._change(name, deed)

    def read(self, name: str) -> Iterator[bytes]:
        lun = self._ask(name, lambda: self._lun(name))

        def piece(start: int) -> bytes:
            return self._rest.read(lun.uuid, start, min(PIECE, lun.note.size - start))

        return (self._ask(name, partial(piece, start)) for start in range(0, lun.note.size, PIECE))

    def delete(self, name: str) -> None:
        def deed() -> None:
            lun = self._find(name)
            if lun is not None:
                self._unexport(lun, force=False)
                self._rest.remove("Lun", {"uuid": lun.uuid})

        self._change(name, deed)

    def volumes(self) -> list[Volume]:
        def deed() -> list[Volume]:
            luns = self._luns()
            exports = self._logins.exports(self._logins.groups())
            return [replace(_volume(lun), export=exports.get(lun.name)) for lun in luns]

        return self._ask("", deed)

    # -- who may log in, and who has -----------------------------------------------------------

    def export(self, name: str, initiator: str, chap: Chap) -> Export:
        names.check_initiator(name, initiator)
        names.check_chap(name, chap)

        def deed() -> Export:
            _whole(self._lun(name))
            with self._locks.hold(_EXPORTS):
                self._logins.let_in(name, initiator, chap)
                return self._logins.exports(self._logins.groups(name))[name]

        return self._change(name, deed)

    def unexport(self, name: str, *, force: bool = False) -> None:
        def deed() -> None:
            lun = self._find(name)
            if lun is not None:
                self._unexport(lun, force)

        self._change(name, deed)

    def sessions(self, name: str | None = None) -> list[Session]:
        def deed() -> list[Session]:
            sessions = self._logins.sessions(self._logins.groups(name))
            return [one for one in sessions if name in (None, one.volume)]

        return self._ask(name or "", deed)

    # -- the deeds: LUNs ---------------------------------------------------------------------

    def _make_lun(self, name: str, note: LunNote, properties: Row) -> None:
        self._rest.make("Lun", {"name": self._path(name), "comment": note.text(), **properties})

    def _make_blank(self, lun: _Lun) -> None:
        """Have all of it read as zeros: it becomes a clone of a new LUN, which costs nothing."""
        path = self._path(lun.name) + _BLANK
        blanks = self._rest.rows("Lun", "comment", **self._query(name=path))
        for left in blanks:  # by somebody who was killed in here
            if left.get("comment") != _blank_note(lun):
                raise LunRefused(lun.name, f"ONTAP has a LUN {path} that is not bootd's")
            self._rest.remove("Lun", {"uuid": left["uuid"]})
        new = {"name": path, "comment": _blank_note(lun), "os_type": OS_TYPE, "space": _space(lun.note.size)}
        self._rest.make("Lun", new)
        self._rest.change("Lun", {"uuid": lun.uuid}, {"clone": {"source": {"name": path}}})
        for blank in self._rest.rows("Lun", "comment", **self._query(name=path)):
            self._rest.remove("Lun", {"uuid": blank["uuid"]})

    def _pour(self, lun: _Lun, image: ByteSource, progress: Progress | None) -> None:
        start = 0
        for piece in _pieces(octets_of(lun.name, image)):
            if piece.count(0) != len(piece):
                self._rest.write(lun.uuid, start, piece)
            start += len(piece)
            if progress is not None:
                progress(start)

    def _note(self, lun: _Lun, note: LunNote) -> _Lun:
        self._rest.change("Lun", {"uuid": lun.uuid}, {"comment": note.text()})
        return replace(lun, note=note)

    def _luns(self) -> list[_Lun]:
        rows = self._rest.rows("Lun", "comment", **self._query(name=self._path("*")))
        return sorted(filter(None, map(self._lun_of, rows)), key=lambda lun: lun.name)

    def _lun_of(self, row: Row) -> _Lun | None:
        note = lun_note(row.get("comment") or "")
        name = str(row["name"]).removeprefix(self._path(""))
        return _Lun(name, row["uuid"], note) if note is not None else None

    def _find(self, name: str) -> _Lun | None:
        names.check_volume(name)
        for row in self._rest.rows("Lun", "comment", **self._query(name=self._path(name))):
            lun = self._lun_of(row)
            if lun is None:
                raise LunRefused(name, f"ONTAP has a LUN {row['name']} that is not bootd's")
            return lun
        return None

    def _lun(self, name: str) -> _Lun:
        lun = self._find(name)
        if lun is None:
            raise LunMissing(name)
        return lun

    def _volume(self, lun: _Lun) -> Volume:
        exports = self._logins.exports(self._logins.groups(lun.name))
        return replace(_volume(lun), export=exports.get(lun.name))

    def _unexport(self, lun: _Lun, force: bool) -> None:
        with self._locks.hold(_EXPORTS):
            self._logins.shut_out(lun.name, lun.uuid, force=force)

    # -- around them -------------------------------------------------------------------------

    def _path(self, name: str) -> str:
        return f"/vol/{self._site.volume}/{PREFIX}{name}"

    def _query(self, **query: str) -> dict[str, str]:
        return {"svm.name": self._site.svm, **query}

    def _change(self, name: str, deed: Callable[[], T], *others: str) -> T:
        """Do *deed*, alone with its volumes among the threads and processes of this machine."""
        for one in (name, *others):
            names.check_volume(one)

        def alone() -> T:
            with self._locks.hold(name, *others):
                return deed()

        return self._ask(name, alone)

    def _ask(self, name: str, deed: Callable[[], T]) -> T:
        try:
            with plain_errors(name):
                return deed()
        except Absent as absent:  # somebody took it while we were at it
            raise LunUnreachable(name, str(absent)) from None
        except LunError as error:
            if error.volume or not name:
                raise
            raise type(error)(name, error.reason) from None


def _pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same octets, `PIECE` at a time."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= PIECE:
            yield bytes(held[:PIECE])
            del held[:PIECE]
    if held:
        yield bytes(held)


def _space(size: int) -> Row:
    return {"size": size, "guarantee": {"requested": False}}


def _blank_note(lun: _Lun) -> str:
    return f"bootd 1 blank for {lun.name}"


def _volume(lun: _Lun) -> Volume:
    return Volume(lun.name, lun.note.size, lun.note.parent, lun.note.is_whole)


def _whole(lun: _Lun) -> _Lun:
    if not lun.note.is_whole:
        raise LunRefused(lun.name, "is half written; write its image again")
    return lun
