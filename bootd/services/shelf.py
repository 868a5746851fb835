"""The folder of one memory image: files come in whole or not at all, and go when nobody names them.

``DATA_DIR/files/memory/<name>/<first 16 hex of SHA-256>/<file>``. The digest in the path makes
a new version another URL, so no cache and no half-done boot can mix two versions.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bootd.errors import Refused
from bootd.folders import clear_leftovers, lock_folder, sync_folder
from bootd.model import ImageFile, MemoryImage

_CHUNK = 1 << 20
_INCOMING = "incoming"  # in the data folder, beside what is served: nobody sees half a file
# a replaced version stays for the machines that have its script but not yet all its files
KEEP_REPLACED_S = 900.0


@dataclass(frozen=True, slots=True)
class Source:
    """A file to copy, and its name for nodes."""

    path: Path
    name: str
    size: int  # octets, when it was looked at


class Shelf:
    """The folder of the image *name*."""

    def __init__(self, data_dir: Path, name: str) -> None:
        self._files = data_dir / "files"
        self._incoming = data_dir / _INCOMING
        self.folder = self._files / "memory" / name

    @contextmanager
    def filling(self) -> Iterator["Filling"]:
        """Give a place to copy to; what is not `placed` at the end of the block is gone."""
        with _said("write", self.folder):
            _make(self._incoming)
            incoming, held = self._place()
        try:
            yield Filling(self, self._files, incoming)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
            os.close(held)

    @contextmanager
    def locked(self) -> Iterator["Shelf"]:
        """Keep other processes from placing or removing files meanwhile."""
        with _said("write", self.folder):
            _make(self.folder)
            held = lock_folder(self.folder)
        try:
            yield self
        finally:
            os.close(held)

    def empty(self) -> None:
        """Remove the folder."""
        with _said("remove", self.folder):
            shutil.rmtree(self.folder)

    def _place(self) -> tuple[Path, int]:
        """Return a folder to copy to, and the lock on it that says its owner lives."""
        turn = lock_folder(self._incoming)  # nobody may take the folder for a leftover before it is locked
        try:
            clear_leftovers(self._incoming)
            incoming = Path(tempfile.mkdtemp(prefix=f"{self.folder.name}-", dir=self._incoming))
            return incoming, lock_folder(incoming)
        finally:
            os.close(turn)


class Filling:
    """Files on their way onto a shelf."""

    def __init__(self, shelf: Shelf, files: Path, incoming: Path) -> None:
        self._shelf, self._files, self._incoming = shelf, files, incoming
        self._waiting: list[tuple[Path, ImageFile]] = []

    def copy(self, source: Source, progress: Callable[[str, int, int], None]) -> ImageFile:
        """Copy a file and return its record; it is not visible under its path before `placed`."""
        target = self._incoming / str(len(self._waiting))
        with _said("copy", source.path):
            digest, size = _copy(source, target, progress)
        path = self._shelf.folder / digest[:16] / source.name
        file = ImageFile(source.name, path.relative_to(self._files).as_posix(), digest, size)
        self._waiting.append((target, file))
        return file

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Put the files in place and hold the shelf while the block makes them known."""
        with self._shelf.locked():
            with _said("write", self._shelf.folder):
                for waiting, file in self._waiting:
                    path = self._files / file.path
                    _make(path.parent)
                    waiting.rename(path)
                    sync_folder(path.parent)
                sync_folder(self._shelf.folder)
            yield

    def sweep(self, image: MemoryImage, replaced: MemoryImage | None, now: datetime) -> None:
        """Remove versions that *image* does not name; one just *replaced* only after a while."""
        used, fresh = self._versions(image), self._versions(replaced)
        with self._shelf.locked(), _said("remove", self._shelf.folder):
            for folder in self._shelf.folder.iterdir():
                if folder.name in used:
                    continue
                if folder.name in fresh:
                    os.utime(folder, (now.timestamp(), now.timestamp()))
                elif now.timestamp() - folder.stat().st_mtime > KEEP_REPLACED_S:
                    shutil.rmtree(folder)

    def _versions(self, image: MemoryImage | None) -> set[str]:
        return {(self._files / file.path).parent.name for file in image.files} if image else set()


def _copy(source: Source, target: Path, progress: Callable[[str, int, int], None]) -> tuple[str, int]:
    digest, done = hashlib.sha256(), 0
    with source.path.open("rb") as reading, target.open("wb") as writing:
        while chunk := reading.read(_CHUNK):
            writing.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress(source.name, done, max(source.size, done))
        writing.flush()
        os.fsync(writing.fileno())
        os.fchmod(writing.fileno(), 0o644)
        _inherit(writing.fileno(), target.parent.parent)  # the owner of the data folder
    if done == 0:
        raise Refused(f"{source.path} was emptied while it was read")
    return digest.hexdigest(), done


def _make(folder: Path) -> None:
    """Make *folder* and those above it, each owned like the one it lies in: the daemon is not root."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(mode=0o755, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _inherit(descriptor, folder.parent)
    finally:
        os.close(descriptor)
    sync_folder(folder.parent)


def _inherit(descriptor: int, folder: Path) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


@contextmanager
def _said(verb: str, path: Path) -> Iterator[None]:
    """Say which file the system would not let us have."""
    try:
        yield
    except OSError as error:
        raise Refused(f"cannot {verb} {error.filename or path}: {error.strerror}") from error
