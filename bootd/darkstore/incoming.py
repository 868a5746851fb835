"""Copying an image into the dark store: under a name nobody sees, hashed on the way, whole or not at all."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bootd.darkstore.tree import reachable
from bootd.errors import Refused
from bootd.folders import clear_leftovers, lock_folder, sync_folder
from bootd.model import ImagePart

CHUNK = 1 << 20
_FOLDER = ".incoming"  # on the dark store's own file system, so that placing is a rename

Progress = Callable[[str, int, int], None]  # what is being read, octets done, octets in all


def read_through(
    path: Path, algorithms: Sequence[str], step: Callable[[bytes], None] = lambda chunk: None
) -> tuple[int, dict[str, str]]:
    """Read a file once, in order; return its size and its digests."""
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    size = 0
    with path.open("rb") as reading:
        while chunk := reading.read(CHUNK):
            for each in hashes.values():
                each.update(chunk)
            size += len(chunk)
            step(chunk)
    return size, {name: each.hexdigest() for name, each in hashes.items()}


@contextmanager
def incoming(root: Path) -> Iterator["Incoming"]:
    """Give a place to copy to; what is not `placed` at the end of the block is gone."""
    with said("write to", root):
        (root / _FOLDER).mkdir(mode=0o750, exist_ok=True)
        owned_alike([root / _FOLDER], root)
        turn = lock_folder(root / _FOLDER)  # nobody may take the folder for a leftover before it is locked
        try:
            clear_leftovers(root / _FOLDER)
            folder = Path(tempfile.mkdtemp(dir=root / _FOLDER))
            held = lock_folder(folder)
        finally:
            os.close(turn)
    try:
        yield Incoming(root, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


class Incoming:
    """A folder on its way into the tree."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._folder = root, folder
        self._placed: Path | None = None

    def copy(
        self,
        source: Path,
        name: str,
        algorithms: Sequence[str],
        step: Callable[[int], None],
        *,
        linked: bool = False,
    ) -> tuple[ImagePart, dict[str, str]]:
        """Copy a file to *name*; return its record and its digests. *step* is told how much was copied.

        With *linked* it is only read, and gets a second name, where the file system has such.
        """
        if linked and self._link(source, name):
            size, digests = read_through(source, ["sha256", *algorithms], lambda chunk: step(len(chunk)))
            return ImagePart(name, size, digests["sha256"]), digests
        with said("copy", source), (self._folder / name).open("xb") as writing:

            def take(chunk: bytes) -> None:
                writing.write(chunk)
                step(len(chunk))

            size, digests = read_through(source, ["sha256", *algorithms], take)
            writing.flush()
            os.fsync(writing.fileno())
            os.fchmod(writing.fileno(), 0o640)
        return ImagePart(name, size, digests["sha256"]), digests

    def _link(self, source: Path, name: str) -> bool:
        try:
            os.link(source, self._folder / name)
        except OSError:  # each file system has an error of its own for what it cannot do; copying tells more
            return False
        (self._folder / name).chmod(0o640)
        return True

    def place(self, folder: str) -> Path:
        """Give the copy its name in the tree; raises `Refused` where there is something already."""
        target = self._root / folder
        with said("write", target):
            target.parent.mkdir(mode=0o755, exist_ok=True)
            if target.exists():
                raise Refused(f"{target} is there already; nothing in the dark store is overwritten")
            self._folder.chmod(0o755)
            sync_folder(self._folder)
            self._folder.rename(target)
            sync_folder(target.parent)
        self._placed = target
        owned_alike([target.parent, target, *target.iterdir()], self._root)
        return target

    def take_back(self) -> None:
        """Undo `place`, for a caller who could not make it known."""
        if self._placed is not None:
            self._placed.rename(self._folder)
            self._placed = None


def make_root(root: Path) -> None:
    """Make the folder of a dark store, owned like the one it lies in: the daemon is not root."""
    with said("make", root):
        root.mkdir(mode=0o755, parents=True, exist_ok=True)  # another copy may be the first at the same time
        owned_alike([root], root.parent)


def check_room(root: Path, sizes: Mapping[str, int]) -> None:
    """Raise `Refused` where what is to come cannot fit; saves hours of copying."""
    with said("look at", root):
        free = shutil.disk_usage(root).free
    wanted = sum(sizes.values())
    if wanted > free:
        raise Refused(f"the dark store {root} has room for {free:,} octets, the image needs {wanted:,}")


def owned_alike(paths: Sequence[Path], root: Path) -> None:
    """Give what root made to the owner of the dark store, as far as the file server lets us."""
    if os.geteuid() != 0:
        return
    owner = root.stat()
    for path in paths:
        try:
            os.chown(path, owner.st_uid, owner.st_gid)
        except PermissionError:
            return  # a server that squashes root: what it made is its own choice already


@contextmanager
def said(verb: str, path: Path) -> Iterator[None]:
    """Say what the system would not let us do."""
    try:
        with reachable(str(path)):
            yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the dark store is full; nothing of it was kept" if full else error.strerror
        raise Refused(f"cannot {verb} {error.filename or path}: {why}") from error
