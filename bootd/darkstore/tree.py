"""The dark store on the disk: a tree ``project/image[@version]`` that may be a mount and may be away."""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bootd.darkstore import clonezilla, disks
from bootd.darkstore.errors import BadImage, DarkStoreAway
from bootd.darkstore.pieces import leftovers
from bootd.errors import BadValue, Mistake
from bootd.model import ImageKind, ImageRef, check_name, parse_image_ref

_AWAY = {errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENODEV}
_SYSTEM = ("lost+found",)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of the tree that an image of this name would lie in."""

    ref: ImageRef  # with its version
    folder: str  # below the root: "project/name" (version 1) or "project/name@2"


@dataclass(frozen=True, slots=True)
class Inspected:
    """What lies in a folder: an image with all its files."""

    kind: ImageKind
    description: Mapping[str, Any]
    sizes: Mapping[str, int]  # file -> octets


@dataclass(frozen=True, slots=True)
class Walk:
    """The places of the tree, and in sentences what has no place in it."""

    places: tuple[Place, ...]
    problems: tuple[str, ...]


def folder_of(ref: ImageRef) -> str:
    """Return where below the root a version lies."""
    plain = f"{ref.project}/{ref.name}"
    return plain if ref.version in (None, 1) else f"{plain}@{ref.version}"


@contextmanager
def reachable(what: str) -> Iterator[None]:
    """Tell a file server that is away (`DarkStoreAway`) from a file that is broken (`OSError`)."""
    try:
        yield
    except OSError as error:
        if error.errno in _AWAY:
            raise DarkStoreAway(f"{what} cannot be reached: {error.strerror}") from error
        raise


@dataclass(frozen=True, slots=True)
class Tree:
    """The dark store in *root*."""

    root: Path
    must_be_mount: bool = False
    is_mount: Callable[[Path], bool] = field(default=os.path.ismount, repr=False)

    def check(self, *, expected: int = 0) -> None:
        """Raise `DarkStoreAway` where the tree cannot be the real one, with *expected* images in it."""
        try:
            empty = not any(self.root.iterdir())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DarkStoreAway(f"the dark store {self.root} is not there") from error
        except OSError as error:
            raise DarkStoreAway(f"the dark store {self.root} cannot be read: {error.strerror}") from error
        if self.must_be_mount and not self.is_mount(self.root):
            raise DarkStoreAway(f"the dark store {self.root} is not mounted (images.dark_store_mount)")
        if expected and empty:
            raise DarkStoreAway(
                f"the dark store {self.root} is empty, with {expected} images registered: is it mounted?"
            )

    def walk(self) -> Walk:
        """Return every place there is; raises `DarkStoreAway`."""
        places: dict[ImageRef, Place] = {}
        problems: list[str] = []
        with reachable(f"the dark store {self.root}"):
            for project in _folders(_entries(self.root, str(self.root), problems)):
                entries = _entries(self.root / project, project, problems)
                if clonezilla.looks_like({entry.name: 0 for entry in entries}):
                    problems.append(f"{project}: an image on the first level; it belongs into PROJECT/IMAGE")
                    continue
                for name in _folders(entries):
                    self._take(f"{project}/{name}", places, problems)
        return Walk(tuple(places.values()), tuple(problems))

    def _take(self, folder: str, places: dict[ImageRef, Place], problems: list[str]) -> None:
        try:
            ref = parse_image_ref(folder)
        except BadValue as error:
            problems.append(f"{folder}: not a name that an image can have: {error}")
            return
        ref = ImageRef(ref.project, ref.name, ref.version or 1)
        if ref in places:
            problems.append(f"{folder}: {places[ref].folder} is version {ref.version} already")
            return
        places[ref] = Place(ref, folder)

    def versions(self, project: str, name: str) -> list[int]:
        """Return the versions of an image that have a folder, known to anybody or not."""
        try:
            names = [entry.name for entry in os.scandir(self.root / project)]
        except FileNotFoundError:
            return []
        found = []
        for each in names:
            plain, mark, version = each.partition("@")
            if plain == name and (not mark or (version.isascii() and version.isdecimal())):
                found.append(int(version[:6]) if mark else 1)
        return sorted(found)

    def path(self, folder: str) -> Path:
        """Return the real path of a folder of the tree.

        Raises `FileNotFoundError`, and `BadImage` for a link that leaves the tree.
        """
        parts = folder.split("/")
        if len(parts) != 2:
            raise BadValue("folder", folder, "PROJECT/IMAGE")
        check_name("project", parts[0])
        check_name("image", parts[1].partition("@")[0])
        real = Path(os.path.realpath(self.root / folder))
        if not real.is_relative_to(os.path.realpath(self.root)):
            raise BadImage(folder, [Mistake(0, "a link that leaves the dark store")])
        try:
            with reachable(f"the dark store {self.root}"):
                real.stat()
        except PermissionError as error:
            raise BadImage(folder, [Mistake(0, f"cannot be read: {error.strerror}")]) from error
        return real

    def inspect(self, folder: str) -> Inspected:
        """Describe what lies in a folder of the tree; raises `BadImage`, `DarkStoreAway`."""
        return inspect(self.path(folder), folder, within=Path(os.path.realpath(self.root)))


class DiskFolder:
    """The files of a real folder, or one file alone; links may lead anywhere *within*."""

    def __init__(self, path: Path, source: str, *, within: Path | None = None) -> None:
        self._path, self._source, self._within = path, source, within
        self._sizes, wrong = self._list()
        if wrong:
            raise BadImage(source, [Mistake(0, each) for each in wrong])

    @property
    def sizes(self) -> Mapping[str, int]:
        return self._sizes

    def file(self, name: str) -> Path:
        return self._path / name if self._path.is_dir() else self._path

    def head(self, name: str, limit: int) -> bytes:
        with self._said(name), self.file(name).open("rb") as opened:
            return opened.read(limit)

    def tail(self, name: str, limit: int) -> bytes:
        with self._said(name), self.file(name).open("rb") as opened:
            opened.seek(max(0, self._sizes[name] - limit))
            return opened.read(limit)

    def _list(self) -> tuple[dict[str, int], list[str]]:
        with self._said(""):
            if not self._path.is_dir():
                return {self._path.name: _regular_size(self._path)}, []
            names = sorted(entry.name for entry in os.scandir(self._path))
        # hidden names are a file manager's or an NFS client's own, but for those of a broken copy
        shown = [name for name in names if not name.startswith(".") or leftovers([name])]
        sizes: dict[str, int] = {}
        wrong: list[str] = []
        for name in shown:
            try:
                sizes[name] = self._size(name)
            except _Unfit as error:
                wrong.append(f"{name}: {error}")
        return sizes, wrong

    def _size(self, name: str) -> int:
        path = self._path / name
        if self._within is not None and not Path(os.path.realpath(path)).is_relative_to(self._within):
            raise _Unfit("a link that leaves the dark store")
        with self._said(name):
            return _regular_size(path)

    @contextmanager
    def _said(self, name: str) -> Iterator[None]:
        try:
            with reachable(self._source):
                yield
        except OSError as error:
            where = f"{name}: " if name else ""
            raise BadImage(self._source, [Mistake(0, f"{where}cannot be read: {error.strerror}")]) from error


class _Unfit(Exception):
    """An entry that no image has."""


def _regular_size(path: Path) -> int:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise _Unfit("a folder within an image")
    if not stat.S_ISREG(status.st_mode):
        raise _Unfit("not a file")
    return status.st_size


def inspect(path: Path, source: str, *, within: Path | None = None) -> Inspected:
    """Describe the image in a folder, or the disk in one file; raises `BadImage`, `DarkStoreAway`."""
    try:
        folder = DiskFolder(path, source, within=within)
    except _Unfit as error:
        raise BadImage(source, [Mistake(0, str(error))]) from error
    if clonezilla.looks_like(folder.sizes):
        return Inspected(ImageKind.CLONEZILLA, clonezilla.describe(folder, source).plain(), folder.sizes)
    if torn := leftovers(folder.sizes):
        raise BadImage(source, [Mistake(0, f"{name} is left over from a copy: half copied") for name in torn])
    found = disks.candidates(folder.sizes) if path.is_dir() else list(folder.sizes)
    if len(found) != 1:
        what = f"more than one disk in it: {', '.join(found)}" if found else "no image in it"
        raise BadImage(source, [Mistake(0, f"{what} (Clonezilla's files, or one *.raw, *.img, *.qcow2)")])
    kind, description = disks.describe(folder, found[0], source)
    return Inspected(kind, description, folder.sizes)


def _entries(path: Path, told: str, problems: list[str]) -> list[os.DirEntry[str]]:
    """Return what is in *path*, by name."""
    try:
        with reachable(f"the dark store {path}"):
            return sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(f"{told}: cannot be read: {error.strerror}")
        return []


def _folders(entries: Iterable[os.DirEntry[str]]) -> list[str]:
    """Return the names of the folders that are not hidden."""
    shown = (entry for entry in entries if not entry.name.startswith(".") and entry.name not in _SYSTEM)
    return [entry.name for entry in shown if entry.is_dir()]
