"""Walks the served folders and keeps the table of what may be read up to date."""

import asyncio
import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bootd.boot.files import Answer, FileTable, Missing, Refused, Served, overlay

ENTRIES_MAX = 200_000  # names of one root: a root of "/" by mistake must not eat the memory
DEPTH_MAX = 32  # folders
RESCAN_AFTER = 1.0  # seconds at least between two walks that misses cause
RESCAN_SHARE = 20  # … and so many times what a walk takes: at most a twentieth of the time goes into it
WAIT_MAX = 0.08  # seconds a miss waits for a walk: loaders try a dozen names and count on quick answers


@dataclass(frozen=True, slots=True)
class Root:
    """A folder whose files are served; *prefix* stands before their names (``"memory"``; ``""``: nothing)."""

    path: Path
    prefix: str = ""
    optional: bool = False  # a package's folder: there once the package is installed


@dataclass(frozen=True, slots=True)
class Scan:
    """What a walk found, and in sentences what it could not see."""

    table: FileTable = field(default_factory=FileTable)
    problems: tuple[str, ...] = ()


def scan(roots: Sequence[Root]) -> Scan:
    """Walk *roots*; where two have a name, the earlier root wins.

    A link is followed while it stays inside one of the roots. Folders, devices,
    FIFOs, unreadable files and links that leave are in the table as refusals.
    """
    inside = tuple(os.path.realpath(root.path) for root in roots)
    walks = [_Walk(inside) for _ in roots]
    for root, base, walk in zip(roots, inside, walks, strict=True):
        if not root.optional or root.path.is_dir():
            walk.run(base, root.prefix.strip("/"))
    table = overlay(FileTable(walk.entries) for walk in walks)
    return Scan(table, tuple(problem for walk in walks for problem in walk.problems))


class FileIndex:
    """The current table of several roots, walked anew when a name is missed."""

    def __init__(self, roots: Sequence[Root], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Walks at once, on the caller's thread."""
        self._roots = tuple(roots)
        self._inside = tuple(os.path.realpath(root.path) for root in self._roots)
        self._clock = clock
        self._walk: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._scan = Scan()
        self._replace(scan(self._roots), began_at=clock())

    @property
    def table(self) -> FileTable:
        return self._scan.table

    @property
    def problems(self) -> tuple[str, ...]:
        """What the last walk could not see, in sentences; for ``/readyz``."""
        return self._scan.problems

    async def find(self, name: str) -> Answer:
        """Return what *name* stands for now; a miss may walk the roots again first."""
        answer = self.lookup(name)
        if isinstance(answer, Missing) and await self.refresh_if_stale():
            answer = self.lookup(name)
        return answer

    def lookup(self, name: str) -> Answer:
        """Return what *name* stood for at the last walk; where it is a link, what that points to now."""
        answer = self.table.lookup(name)
        if isinstance(answer, Served) and answer.via:
            return _examine(answer.via, name, self._inside)
        return answer

    async def refresh_if_stale(self) -> bool:
        """Walk the roots unless that was done a moment ago; True where a walk ended while we waited."""
        if self._walk is None:
            if self._clock() < self._not_before:
                return False
            self._walk = asyncio.create_task(self._refresh())
        done, _ = await asyncio.wait([self._walk], timeout=WAIT_MAX)
        for walk in done:
            walk.result()
        return bool(done)

    async def refresh(self) -> None:
        """Walk the roots now, for somebody who changed them."""
        if self._walk is not None:
            await asyncio.wait([self._walk])  # it may have begun before the change
        await self._refresh()

    async def aclose(self) -> None:
        """Wait for a walk under way; a thread cannot be stopped."""
        if self._walk is not None:
            await asyncio.wait([self._walk])

    async def _refresh(self) -> None:
        began_at = self._clock()
        try:
            self._replace(await asyncio.to_thread(scan, self._roots), began_at=began_at)
        finally:
            self._walk = None

    def _replace(self, found: Scan, *, began_at: float) -> None:
        self._scan = found
        ended_at = self._clock()
        self._not_before = ended_at + max(RESCAN_AFTER, RESCAN_SHARE * (ended_at - began_at))


class _Walk:
    """One root's entries, as they are found."""

    def __init__(self, inside: tuple[str, ...]) -> None:
        self.entries: dict[str, Served | Refused] = {}
        self.problems: list[str] = []
        self._inside = inside

    def run(self, base: str, prefix: str) -> None:
        if not os.path.isdir(base):  # noqa: PTH112 -- strings all through: a Path apiece doubles the cost
            self.problems.append(f"the folder {base} does not exist")
            return
        self._folder(base, prefix, (base,))

    def _folder(self, path: str, prefix: str, above: tuple[str, ...]) -> None:
        """Take the entries of *path*; *above* holds the real paths of it and the folders it is in."""
        try:
            with os.scandir(path) as listing:
                rows = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            self.problems.append(f"the folder {path} cannot be read: {error.strerror}")
            return
        for row in rows:
            if len(self.entries) >= ENTRIES_MAX:
                self.problems.append(
                    f"{above[0]} holds more than {ENTRIES_MAX} names; the rest is not served"
                )
                return
            self._entry(row, f"{prefix}/{row.name}" if prefix else row.name, above)

    def _entry(self, row: os.DirEntry[str], name: str, above: tuple[str, ...]) -> None:
        answer = _examine(row.path, name, self._inside)
        if answer != _FOLDER:
            if not isinstance(answer, Missing):  # else gone since it was listed
                self.entries[name] = answer
            return
        real = os.path.realpath(row.path)
        if real in above:
            self.entries[name] = Refused("link-loop")
            return
        self.entries[name] = _FOLDER
        if len(above) < DEPTH_MAX:
            self._folder(row.path, name, (*above, real))


_FOLDER = Refused("folder")


def _examine(path: str, name: str, inside: tuple[str, ...]) -> Answer:
    """Return what the file system has at *path*, which the table knows as *name*."""
    real = os.path.realpath(path)
    if not any(real == base or real.startswith(base.rstrip("/") + "/") for base in inside):
        return Refused("outside-root")
    try:
        status = os.stat(real, follow_symlinks=False)  # noqa: PTH116
    except FileNotFoundError:
        return Refused("broken-link") if real != path else Missing()
    except OSError:
        return Refused("unreadable")
    if stat.S_ISLNK(status.st_mode):
        return Refused("link-loop")  # realpath gave up
    if stat.S_ISDIR(status.st_mode):
        return _FOLDER
    if not stat.S_ISREG(status.st_mode):
        return Refused("not-a-file")
    if not os.access(real, os.R_OK, effective_ids=True):
        return Refused("unreadable")
    return Served(name, real, status.st_size, status.st_mtime_ns, "" if real == path else path)
