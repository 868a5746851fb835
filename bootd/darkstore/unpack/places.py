"""The folders images are unpacked in: one for each job, held by a lock while it is worked in.

What is finished stays until it is discarded, or until nobody needs it any more; what is half
done goes when the next one begins.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bootd.darkstore.source import CHUNK, Unpacked
from bootd.darkstore.unpack.errors import NoRoom
from bootd.darkstore.unpack.programs import Beat
from bootd.errors import BootdError
from bootd.folders import lock_folder, sync_folder

DISK = "disk.raw"
_DONE = "done.json"  # written last
_SPARE = 16 << 20  # octets left to the others of that file system


class Held(BootdError):
    """Another worker is in that folder just now."""

    code = "unpacking-held"


@contextmanager
def held(root: Path, name: str) -> Iterator[Path]:
    """Hold the folder *name* in *root*, made if need be; raises `Held`."""
    folder = root / name
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        lock = lock_folder(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError) as error:
        raise Held(f"{folder} is held by another worker") from error
    try:
        yield folder
    finally:
        os.close(lock)


def finished(folder: Path) -> Unpacked | None:
    """Return what was unpacked in *folder*; None where nothing was, or not to the end."""
    try:
        kept = json.loads((folder / _DONE).read_text())
        found = Unpacked(folder / DISK, int(kept["size"]), str(kept["sha256"]))
        return found if found.path.stat().st_size == found.size else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def empty(folder: Path) -> None:
    """Remove what is in *folder*."""
    for entry in folder.iterdir():
        entry.unlink()


def finish(folder: Path, beat: Beat) -> Unpacked:
    """Note that the disk in *folder* is whole, with its digest, and drop everything else."""
    disk = folder / DISK
    for entry in folder.iterdir():
        if entry != disk:
            entry.unlink()
    unpacked = Unpacked(disk, disk.stat().st_size, digest_of(disk, beat))
    note = folder / (_DONE + ".new")
    with note.open("w") as file:
        json.dump({"size": unpacked.size, "sha256": unpacked.digest}, file)
        file.flush()
        os.fsync(file.fileno())
    note.rename(folder / _DONE)
    sync_folder(folder)
    return unpacked


def digest_of(disk: Path, beat: Beat) -> str:
    """Return the SHA-256 of a file, which is on the disk then."""
    digest = hashlib.sha256()
    with disk.open("rb") as file:
        os.fsync(file.fileno())
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            beat()
    return digest.hexdigest()


def discard(root: Path, name: str) -> None:
    """Remove the folder *name*; one that is held is left to its holder."""
    folder = root / name
    try:
        lock = lock_folder(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):
        return
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def sweep(root: Path, is_needed: Callable[[str], bool]) -> None:
    """Discard the folders that nobody needs: of processes that were killed, of jobs that are over."""
    if root.is_dir():
        for folder in root.iterdir():
            if not is_needed(folder.name):
                discard(root, folder.name)


def check_room(folder: Path, octets: int) -> None:
    """Raise `NoRoom` where *octets* do not fit beside *folder*."""
    free = shutil.disk_usage(folder).free
    if octets + _SPARE > free:
        raise NoRoom(
            f"unpacking needs {octets:,} octets, the file system of {folder.parent} has {free:,} left:"
            " make room there"
        )
