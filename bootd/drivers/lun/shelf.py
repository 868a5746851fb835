"""Volumes as two files each in a folder: ``NAME.img`` the octets, ``NAME.json`` what is known of them."""

import errno
import os
from pathlib import Path

import msgspec

from bootd.drivers.lun import belonging, names, sparse
from bootd.drivers.lun.base import Session, Volume


class Login(msgspec.Struct, frozen=True):
    """Who may log in."""

    initiator: str
    user: str
    secret: str


class Record(msgspec.Struct, frozen=True):
    """What is known of a volume; it exists while its record does."""

    name: str
    size: int
    parent: str | None = None
    is_whole: bool = True
    login: Login | None = None
    sessions: tuple[Session, ...] = ()
    shares: int = 0  # when the parent was last written, where a clone's blocks began as the parent's
    copied: int = 0  # the same, where they were copied
    loose: str = ""  # the kernel's boot in which it was copied, until it is safe on the disk
    written: int = 0  # octets, by machines that are played


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what file systems say that have no room
_SECTOR = 4096
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_boot() -> str:
    """Return what the kernel calls the time since it was started; "" where it does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class Shelf:
    """The folder. Records are replaced in one step: whoever reads meanwhile sees the old or the new one.

    A file that was copied and is not safe on the disk yet is "loose": as good as any other for as
    long as the kernel runs, also when we are killed. After a loss of power nobody knows
    what there is of it, so then there is no such volume, and it is made anew.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def image(self, name: str) -> Path:
        return self._folder / f"{name}.img"

    def find(self, name: str) -> Record | None:
        try:
            octets = self._record(name).read_bytes()
        except FileNotFoundError:
            return None
        record = msgspec.json.decode(octets, type=Record)
        return record if record.loose in ("", this_boot()) else None

    def every(self) -> list[Record]:
        names = sorted(path.name.removesuffix(".json") for path in self._folder.glob("[!.]*.json"))
        return [record for name in names if (record := self.find(name)) is not None]

    def strays(self) -> list[str]:
        """Return the names of volumes of which there are files, and no record that counts."""
        found = [path.name.removesuffix(path.suffix) for path in self._folder.glob("[!.]*.img")]
        found += [path.name.removesuffix(path.suffix) for path in self._folder.glob("[!.]*.json")]
        found += [path.name[1:].removesuffix(".new") for path in self._folder.glob(".*.new")]
        return sorted(name for name in {*found} if names.is_volume(name) and self.is_stray(name))

    def is_stray(self, name: str) -> bool:
        files = (self.image(name), self._record(name), self._new(name))
        return self.find(name) is None and any(path.exists() for path in files)

    def keep(self, record: Record) -> Record:
        """Where there is no room left a record that has become shorter is kept all the same.

        So who may log in no more, and what is deleted: else nobody could make room.
        """
        octets = msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
        new = self._new(record.name)
        try:
            with open(belonging.make(new, os.O_WRONLY | os.O_TRUNC), "wb") as file:  # noqa: PTH123
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            new.unlink(missing_ok=True)
            if error.errno not in FULL or not self._overwrite(record.name, octets):
                raise
        else:
            new.replace(self._record(record.name))
        return record

    def _overwrite(self, name: str, octets: bytes) -> bool:
        """Write over a record that is longer, in one go and within the disk's smallest unit."""
        path = self._record(name)
        length = path.stat().st_size if path.exists() else 0
        if not len(octets) <= length <= _SECTOR:
            return False
        with path.open("r+b", buffering=0) as file:
            file.write(octets.ljust(length))
            os.fsync(file.fileno())
        return True

    def keep_loose(self, record: Record) -> Record:
        """Keep the record of a file that is not safe on the disk, or made so where boots have no name."""
        record = msgspec.structs.replace(record, loose=this_boot())
        if not record.loose:
            sparse.settle(self.image(record.name))
        return self.keep(record)

    def settle(self, record: Record) -> Record:
        """Have the file safe on the disk; after an `OSError` there is no such volume any more."""
        if not record.loose:
            return record
        try:
            sparse.settle(self.image(record.name))
        except OSError:
            self.discard(record.name)
            raise
        return self.keep(msgspec.structs.replace(record, loose=""))

    def discard(self, name: str) -> None:
        """Take the record first: a file that was left behind is no volume."""
        self._record(name).unlink(missing_ok=True)
        self.image(name).unlink(missing_ok=True)
        self._new(name).unlink(missing_ok=True)

    def _new(self, name: str) -> Path:
        return self._folder / f".{name}.new"

    def _record(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def volume_of(record: Record) -> Volume:
    """Return the volume without its export."""
    return Volume(record.name, record.size, record.parent, record.is_whole)
