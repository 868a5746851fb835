"""Volumes as two files each in a folder: ``NAME.img`` the octets, ``NAME.json`` what is known of them."""

import os
from pathlib import Path

import msgspec

from bootd.drivers.lun import belonging
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
    written: int = 0  # octets, by machines that are played


class Shelf:
    """The folder. Records are replaced in one step: whoever reads meanwhile sees the old or the new one."""

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
        return msgspec.json.decode(octets, type=Record)

    def every(self) -> list[Record]:
        names = sorted(path.name.removesuffix(".json") for path in self._folder.glob("[!.]*.json"))
        return [record for name in names if (record := self.find(name)) is not None]

    def keep(self, record: Record) -> Record:
        new = self._folder / f".{record.name}.new"
        with open(belonging.make(new, os.O_WRONLY | os.O_TRUNC), "wb") as file:  # noqa: PTH123
            file.write(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._record(record.name))
        return record

    def discard(self, name: str) -> None:
        """Take the record first: a file that was left behind is no volume."""
        self._record(name).unlink(missing_ok=True)
        self.image(name).unlink(missing_ok=True)

    def _record(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def volume_of(record: Record) -> Volume:
    """Return the volume without its export."""
    return Volume(record.name, record.size, record.parent, record.is_whole)
