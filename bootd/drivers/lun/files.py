"""What backends share whose volumes are sparse files on this machine."""

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from bootd.drivers.lun import names, sparse
from bootd.drivers.lun.base import (
    Chap,
    Export,
    LunBackend,
    LunBusy,
    LunFull,
    LunMissing,
    LunRefused,
    LunUnreachable,
    Progress,
    Session,
    Volume,
)
from bootd.drivers.lun.locks import Locks
from bootd.drivers.lun.shelf import FULL, Login, Record, Shelf, volume_of
from bootd.drivers.source import ByteSource
from bootd.drivers.tools import Tools

T = TypeVar("T")

_EXPORTS = ""  # the lock under which logins change; no volume is called so


class FileLuns(LunBackend):
    """Keeps volumes in *tools.folder*; who may log in, its children bring about.

    A volume's record says what is wanted: `_open`, `_close`, `_exports` and `_sessions`
    are called with the lock on all logins held, and each finds the target as it is.
    Whatever order they work in, a target lets nobody in whom the record does not name.
    """

    tells_written = True

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._shelf = Shelf(tools.folder)
        self._locks = Locks(tools.folder / ".locks")

    # -- the interface -----------------------------------------------------------------------

    def create(self, name: str, size: int) -> Volume:
        names.check_volume(name)
        names.check_size(name, size)
        return self._change("create", name, lambda: self._create(name, size))

    def clone(self, source: str, name: str) -> Volume:
        names.check_volume(name)
        return self._change("clone", name, lambda: self._clone(source, name), source)

    def write(self, name: str, image: ByteSource, progress: Progress | None = None) -> Volume:
        return self._change("write", name, lambda: self._write(name, image, progress))

    def read(self, name: str) -> Iterator[bytes]:
        self._ask("read", name, lambda: self._record(name))
        return self._chunks(name)

    def export(self, name: str, initiator: str, chap: Chap) -> Export:
        names.check_initiator(name, initiator)
        names.check_chap(name, chap)
        return self._change("export", name, lambda: self._export(name, initiator, chap))

    def unexport(self, name: str, *, force: bool = False) -> None:
        self._change("unexport", name, lambda: self._unexport(name, force))

    def delete(self, name: str) -> None:
        self._change("delete", name, lambda: self._delete(name))

    def volumes(self) -> list[Volume]:
        return self._ask("volumes", "", self._volumes)

    def sessions(self, name: str | None = None) -> list[Session]:
        def deed() -> list[Session]:
            with self._exporting():
                return self._sessions(name)

        return self._ask("sessions", name or "", deed)

    def written(self, name: str, *, compare: bool = False) -> int | None:
        return self._ask("written", name, lambda: self._written(self._record(name), compare))

    def scraps(self) -> list[str]:
        def deed() -> list[str]:
            return [name for name in self._shelf.strays() if self._clear(name, is_to_go=False)]

        return self._ask("scraps", "", deed)

    def clear(self, name: str) -> bool:
        names.check_volume(name)
        return self._ask("clear", name, lambda: self._clear(name, is_to_go=True))

    def path(self, name: str) -> Path:
        """Return the file with the volume's octets; raises `LunMissing`."""
        self._record(name)
        return self._shelf.image(name)

    # -- what a child does -------------------------------------------------------------------

    @abstractmethod
    def _open(self, record: Record, login: Login) -> Export:
        """Let *login* in and keep it in the record; sessions go on."""

    @abstractmethod
    def _close(self, name: str, force: bool) -> None:
        """Let nobody in and take the login from the record, if there is one; raises `LunBusy`."""

    @abstractmethod
    def _exports(self, records: list[Record]) -> Mapping[str, Export]:
        """Return the exports there are, by the volume's name."""

    @abstractmethod
    def _sessions(self, name: str | None) -> list[Session]:
        """Return what `sessions` does."""

    def _written(self, record: Record, compare: bool) -> int | None:
        """Count what is not the parent's, for as long as the parent is as it was."""
        began = record.shares or record.copied
        if not began or not record.parent:
            return None
        parent, own = self._shelf.image(record.parent), self._shelf.image(record.name)
        try:
            is_as_it_was = parent.stat().st_mtime_ns == began
        except FileNotFoundError:
            return None
        if not is_as_it_was:
            return None
        if own.stat().st_mtime_ns == began:  # a clone is given its source's time
            return 0
        if record.shares:
            return sparse.own_octets(own)
        return sparse.differing(parent, own) if compare else None

    def _perform(self, verb: str, name: str, deed: Callable[[], T]) -> T:
        """Do *deed*, one of the interface's methods."""
        return deed()

    def _between(self, step: str, name: str) -> None:
        """Be told where a deed is."""

    # -- the deeds ---------------------------------------------------------------------------

    def _create(self, name: str, size: int) -> Volume:
        record = self._shelf.find(name)
        if record is None:
            sparse.make(self._shelf.image(name), size)
            self._between("create.made", name)
            record = self._shelf.keep(Record(name, size))
        elif record.size != size:
            raise LunRefused(name, f"is there with {record.size} octets, not {size}")
        return self._volume(record)

    def _clone(self, source: str, name: str) -> Volume:
        record = self._shelf.find(name)
        if record is not None and record.parent == source:
            return self._volume(record)
        if record is not None:
            raise LunRefused(name, f"is there and no clone of {source}")
        parent = self._record(source)
        _whole(parent)
        is_shared = sparse.copy(self._shelf.image(source), self._shelf.image(name))
        self._between("clone.copied", name)
        written_at = self._shelf.image(name).stat().st_mtime_ns
        if is_shared and parent.shares:  # a clone's clone: what the first has of its own is not its own now
            self._shelf.keep(msgspec.structs.replace(parent, shares=0))
        shares, copied = (written_at, 0) if is_shared else (0, written_at)
        record = Record(name, parent.size, parent=source, shares=shares, copied=copied)
        return self._volume(self._shelf.keep_loose(record))

    def _write(self, name: str, image: ByteSource, progress: Progress | None) -> Volume:
        record = self._record(name)
        with self._exporting():
            if sessions := self._sessions(name):
                raise LunBusy(name, sessions)
        if record.login is not None:
            raise LunRefused(name, f"is exported to {record.login.initiator}; unexport it first")
        if image.size > record.size:
            raise LunRefused(name, f"the image has {image.size} octets, the volume {record.size}")
        record = self._shelf.keep(msgspec.structs.replace(record, is_whole=False, loose=""))
        self._between("write.begun", name)
        with self._shelf.image(name).open("wb") as file:  # truncated: what was there before is gone
            file.truncate(record.size)
            self._pour(name, file, image, progress)
            file.flush()
            os.fsync(file.fileno())
        self._between("write.done", name)
        return volume_of(self._shelf.keep(msgspec.structs.replace(record, is_whole=True)))

    def _pour(self, name: str, file: BinaryIO, image: ByteSource, progress: Progress | None) -> None:
        octets = 0
        for chunk in octets_of(name, image):
            sparse.write(file, chunk)
            octets += len(chunk)
            if progress is not None:
                progress(octets)
            self._between("write.chunk", name)

    def _chunks(self, name: str) -> Iterator[bytes]:
        with plain_errors(name), self._shelf.image(name).open("rb") as file:
            while chunk := file.read(sparse.CHUNK):
                yield chunk

    def _export(self, name: str, initiator: str, chap: Chap) -> Export:
        self._shelf.settle(self._record(name))  # before a machine has anything on it that could be lost
        with self._exporting():
            record = self._record(name)
            _whole(record)
            if record.login is not None and record.login.initiator != initiator:
                raise LunRefused(
                    name, f"is exported to {record.login.initiator}, each volume to one initiator"
                )
            self._one_secret(name, chap)
            return self._open(record, Login(initiator, chap.user, chap.secret))

    def _one_secret(self, name: str, chap: Chap) -> None:
        for other in self._shelf.every():
            login = other.login if other.name != name else None
            if login is not None and login.user == chap.user and login.secret != chap.secret:
                raise LunRefused(
                    name, f"CHAP user {chap.user} has another secret for volume {other.name}, and only one"
                )

    def _unexport(self, name: str, force: bool) -> None:
        with self._exporting():
            self._close(name, force)

    def _delete(self, name: str) -> None:
        self._unexport(name, force=False)
        self._between("delete.closed", name)
        self._shelf.discard(name)

    def _clear(self, name: str, *, is_to_go: bool) -> bool:
        """Tell whether there is a scrap of that name; whoever makes a volume holds its lock."""
        with self._locks.attempt(name) as is_free:
            if not is_free or not self._shelf.is_stray(name):
                return False
            with self._exporting():
                if self._sessions(name):
                    return False
            if is_to_go:
                self._unexport(name, force=False)
                self._shelf.discard(name)
            return True

    def _volumes(self) -> list[Volume]:
        with self._exporting():
            records = self._shelf.every()
            exports = self._exports(records)
        return [replace(volume_of(one), export=exports.get(one.name)) for one in records]

    def _volume(self, record: Record) -> Volume:
        if record.login is None:
            return volume_of(record)
        with self._exporting():
            return replace(volume_of(record), export=self._exports([record]).get(record.name))

    def _record(self, name: str) -> Record:
        names.check_volume(name)
        record = self._shelf.find(name)
        if record is None:
            raise LunMissing(name)
        return record

    def _exporting(self) -> AbstractContextManager[None]:
        return self._locks.hold(_EXPORTS)

    # -- around them -------------------------------------------------------------------------

    def _change(self, verb: str, name: str, deed: Callable[[], T], *others: str) -> T:
        """Do *deed*, alone with its volumes."""
        for one in (name, *others):
            names.check_volume(one)

        def alone() -> T:
            with self._locks.hold(name, *others):
                return deed()

        return self._ask(verb, name, alone)

    def _ask(self, verb: str, name: str, deed: Callable[[], T]) -> T:
        with plain_errors(name):
            return self._perform(verb, name, deed)


def keep_login(shelf: Shelf, record: Record, login: Login | None) -> Record:
    """Keep that *login*, or nobody, is wanted; sessions go where nobody may log in."""
    sessions = record.sessions if login is not None else ()
    return shelf.keep(msgspec.structs.replace(record, login=login, sessions=sessions))


def export_of(record: Record, login: Login, target: str, portals: tuple[str, ...]) -> Export:
    """Return the export of a backend whose targets have one volume each, as LUN 1."""
    return Export(record.name, login.initiator, login.user, target, 1, portals)


@contextmanager
def plain_errors(name: str) -> Iterator[None]:
    """What the file system says, in the interface's errors."""
    try:
        yield
    except OSError as error:
        reason = f"{error.filename or 'the folder'}: {error.strerror or error}"
        raise (LunFull if error.errno in FULL else LunUnreachable)(name, reason) from error


def _whole(record: Record) -> None:
    if not record.is_whole:
        raise LunRefused(record.name, "is half written; write its image again")


def octets_of(name: str, image: ByteSource) -> Iterator[bytes]:
    """Yield the image; raises `LunRefused` where it is shorter or longer than it says, or cannot be read."""
    octets = 0
    try:
        for chunk in image.chunks():
            octets += len(chunk)
            if octets > image.size:
                raise LunRefused(name, f"the image goes on after its {image.size} octets")
            yield chunk
    except OSError as error:
        raise LunRefused(name, f"its image cannot be read: {error.strerror or error}") from error
    if octets < image.size:
        raise LunRefused(name, f"the image ends after {octets} of {image.size} octets")
