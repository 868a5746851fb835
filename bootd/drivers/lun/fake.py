"""LUNs that nobody can reach: sparse files in a folder, and logins by hand."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from bootd.drivers.faults import Faults
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
from bootd.drivers.lun.shelf import Login, Record, Shelf, volume_of
from bootd.drivers.source import ByteSource
from bootd.drivers.tools import Tools

T = TypeVar("T")

TARGET = "iqn.2026-01.bootd.fake"
PORTALS = ("127.0.0.1:3260",)


class FakeLuns(LunBackend):
    """Keeps everything in *tools.folder*, so another process, or the next one, finds it as it was.

    `log_in` and `log_out` play the machines. Between two steps, faults can be planted
    at ``create.made``, ``clone.copied``, ``write.begun``, ``write.chunk`` (after each)
    and ``write.done``.
    """

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self.faults = Faults(tools.wait, LunRefused, LunUnreachable)
        self._shelf = Shelf(tools.folder)
        self._locks: dict[str, threading.RLock] = {}
        self._lock = threading.Lock()

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
        return self._ask("volumes", "", lambda: [_volume(one) for one in self._shelf.every()])

    def sessions(self, name: str | None = None) -> list[Session]:
        def deed() -> list[Session]:
            records = [one for one in self._shelf.every() if name in (None, one.name)]
            return [session for record in records for session in record.sessions]

        return self._ask("sessions", name or "", deed)

    # -- for whoever plays with it -----------------------------------------------------------

    def path(self, name: str) -> Path:
        """Return the file with the volume's octets; raises `LunMissing`."""
        self._record(name)
        return self._shelf.image(name)

    def log_in(self, name: str, initiator: str, chap: Chap, address: str = "") -> None:
        """Do what a machine's initiator does; raises `LunRefused` where the target would."""

        def deed() -> None:
            record = self._record(name)
            if record.login is None or record.login.initiator != initiator:
                raise LunRefused(name, f"is not exported to {initiator}")
            if (record.login.user, record.login.secret) != (chap.user, chap.secret):
                raise LunRefused(name, f"{initiator} is not who it says")
            session = Session(name, initiator, address)
            others = tuple(one for one in record.sessions if one != session)
            self._shelf.keep(msgspec.structs.replace(record, sessions=(*others, session)))

        self._change("log_in", name, deed)

    def log_out(self, name: str, initiator: str) -> None:
        """End the initiator's sessions."""

        def deed() -> None:
            record = self._record(name)
            left = tuple(one for one in record.sessions if one.initiator != initiator)
            self._shelf.keep(msgspec.structs.replace(record, sessions=left))

        self._change("log_out", name, deed)

    # -- the deeds ---------------------------------------------------------------------------

    def _create(self, name: str, size: int) -> Volume:
        record = self._shelf.find(name)
        if record is None:
            sparse.make(self._shelf.image(name), size)
            self.faults.between("create.made", name)
            record = self._shelf.keep(Record(name, size))
        elif record.size != size:
            raise LunRefused(name, f"is there with {record.size} octets, not {size}")
        return _volume(record)

    def _clone(self, source: str, name: str) -> Volume:
        record = self._shelf.find(name)
        if record is not None and record.parent == source:
            return _volume(record)
        if record is not None:
            raise LunRefused(name, f"is there and no clone of {source}")
        parent = self._record(source)
        _whole(parent)
        sparse.copy(self._shelf.image(source), self._shelf.image(name))
        self.faults.between("clone.copied", name)
        return _volume(self._shelf.keep(Record(name, parent.size, parent=source)))

    def _write(self, name: str, image: ByteSource, progress: Progress | None) -> Volume:
        record = self._record(name)
        _idle(record)
        if record.login is not None:
            raise LunRefused(name, f"is exported to {record.login.initiator}; unexport it first")
        if image.size > record.size:
            raise LunRefused(name, f"the image has {image.size} octets, the volume {record.size}")
        self._shelf.keep(msgspec.structs.replace(record, is_whole=False))
        self.faults.between("write.begun", name)
        with self._shelf.image(name).open("wb") as file:  # truncated: what was there before is gone
            file.truncate(record.size)
            self._pour(name, file, image, progress)
            file.flush()
            os.fsync(file.fileno())
        self.faults.between("write.done", name)
        return _volume(self._shelf.keep(msgspec.structs.replace(record, is_whole=True)))

    def _pour(self, name: str, file: BinaryIO, image: ByteSource, progress: Progress | None) -> None:
        octets = 0
        for chunk in _readable(name, image):
            if octets + len(chunk) > image.size:
                raise LunRefused(name, f"the image goes on after its {image.size} octets")
            sparse.write(file, chunk)
            octets += len(chunk)
            if progress is not None:
                progress(octets)
            self.faults.between("write.chunk", name)
        if octets < image.size:
            raise LunRefused(name, f"the image ends after {octets} of {image.size} octets")

    def _chunks(self, name: str) -> Iterator[bytes]:
        with _plain_errors(name), self._shelf.image(name).open("rb") as file:
            while chunk := file.read(sparse.CHUNK):
                yield chunk

    def _export(self, name: str, initiator: str, chap: Chap) -> Export:
        record = self._record(name)
        _whole(record)
        if record.login is not None and record.login.initiator != initiator:
            raise LunRefused(name, f"is exported to {record.login.initiator}, each volume to one initiator")
        login = Login(initiator, chap.user, chap.secret)
        return _export_of(self._shelf.keep(msgspec.structs.replace(record, login=login)), login)

    def _unexport(self, name: str, force: bool) -> None:
        record = self._shelf.find(name)
        if record is None or record.login is None:
            return
        if not force:
            _idle(record)
        self._shelf.keep(msgspec.structs.replace(record, login=None, sessions=()))

    def _delete(self, name: str) -> None:
        record = self._shelf.find(name)
        if record is not None:
            _idle(record)
        self._shelf.discard(name)

    def _record(self, name: str) -> Record:
        names.check_volume(name)
        record = self._shelf.find(name)
        if record is None:
            raise LunMissing(name)
        return record

    def _change(self, verb: str, name: str, deed: Callable[[], T], *others: str) -> T:
        """Do *deed*, alone with its volumes, unless a fault is due."""
        for one in (name, *others):
            names.check_volume(one)

        def alone() -> T:
            with ExitStack() as held:
                for one in sorted({name, *others}):  # in one order, so that nobody waits in a circle
                    with self._lock:
                        lock = self._locks.setdefault(one, threading.RLock())
                    held.enter_context(lock)
                return deed()

        return self._ask(verb, name, alone)

    def _ask(self, verb: str, name: str, deed: Callable[[], T]) -> T:
        with _plain_errors(name):
            return self.faults.perform(verb, name, deed)


def _idle(record: Record) -> None:
    if record.sessions:
        raise LunBusy(record.name, record.sessions)


def _whole(record: Record) -> None:
    if not record.is_whole:
        raise LunRefused(record.name, "is half written; write its image again")


def _volume(record: Record) -> Volume:
    volume = volume_of(record)
    return volume if record.login is None else replace(volume, export=_export_of(record, record.login))


def _export_of(record: Record, login: Login) -> Export:
    return Export(record.name, login.initiator, login.user, f"{TARGET}:{record.name}", 1, PORTALS)


def _readable(name: str, image: ByteSource) -> Iterator[bytes]:
    try:
        yield from image.chunks()
    except OSError as error:
        raise LunRefused(name, f"its image cannot be read: {error.strerror or error}") from error


@contextmanager
def _plain_errors(name: str) -> Iterator[None]:
    """What the file system says, in the interface's errors."""
    try:
        yield
    except OSError as error:
        reason = f"{error.filename or 'the folder'}: {error.strerror or error}"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise (LunFull if full else LunUnreachable)(name, reason) from error
