"""Open files for TFTP, shared by all who read the same one.

Reading happens on the loop: a block out of the page cache costs one or two
microseconds, a thread's answer fifty. So that no read waits for a disk, a file is
opened, and a small one read as a whole, in a thread before the first block is due.
"""

import asyncio
import os
import stat
from dataclasses import dataclass

from bootd.boot.files import Served

WHOLE_MAX = 4 << 20  # octets; loaders are smaller
BUDGET = 32 << 20  # octets of small files held at one time
_READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Content:
    """A file as it was when it was opened: a source for transfers.

    What replaces the file under its name does not touch the open one. Where it is
    written in place instead, `read_at` raises `OSError` rather than mix old and new.
    """

    path: str
    size: int
    identity: tuple[int, int, int, int]
    descriptor: int = -1
    held: memoryview | None = None
    users: int = 0
    is_closed: bool = False

    def read_at(self, offset: int, count: int) -> bytes | memoryview:
        """See `netboot.tftp.source.Source`."""
        if self.held is not None:
            return self.held[offset : offset + count]
        data = os.pread(self.descriptor, count, offset)
        if _identity(os.fstat(self.descriptor)) != self.identity:
            raise OSError(f"{self.path} was written while it was read")
        return data

    def close(self) -> None:
        """Give the file back; `read_at` is over."""
        self.is_closed, self.held = True, None
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class OpenFiles:
    """Hands out contents and closes them after the last user."""

    def __init__(self, *, whole_max: int = WHOLE_MAX, budget: int = BUDGET) -> None:
        self._whole_max = whole_max
        self._budget = budget
        self._current: dict[str, Content] = {}  # by path
        self._opening: dict[str, asyncio.Task[Content]] = {}  # by path

    async def open(self, served: Served) -> Content:
        """Return the content of *served*, to be given back by `release`; raises `OSError`."""
        path = served.path
        content = self._current.get(path)
        if content is None or not _is_current(content):
            content = await asyncio.shield(self._load(path))
            while content.is_closed:  # by a reader who came and went before we were woken
                content = await asyncio.shield(self._load(path))
        content.users += 1
        return content

    def release(self, content: Content) -> None:
        """Take back what `open` gave."""
        content.users -= 1
        if content.users > 0:
            return
        if self._current.get(content.path) is content:
            del self._current[content.path]
        self._budget += len(content.held or b"")
        content.close()

    async def aclose(self) -> None:
        """Wait for files being opened, then close those nobody uses."""
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        for content in list(self._current.values()):
            if content.users == 0:
                content.users = 1
                self.release(content)

    def _load(self, path: str) -> asyncio.Task[Content]:
        task = self._opening.get(path)
        if task is None:
            task = self._opening[path] = asyncio.create_task(self._open(path))
        return task

    async def _open(self, path: str) -> Content:
        try:
            content = await asyncio.to_thread(_open_file, path, min(self._whole_max, self._budget))
        finally:
            del self._opening[path]
        self._budget -= len(content.held or b"")
        self._current[path] = content
        return content


def _open_file(path: str, whole_max: int) -> Content:
    descriptor = os.open(path, _READ_FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is no longer a file")
        content = Content(path, status.st_size, _identity(status), descriptor)
        if content.size > whole_max:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            return content
        held = memoryview(_read_whole(content))
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    content.descriptor, content.held = -1, held
    return content


def _read_whole(content: Content) -> bytes:
    data = b""
    while len(data) < content.size:
        more = content.read_at(len(data), content.size - len(data))
        if not more:
            raise OSError(f"{content.path} got shorter while it was read")
        data += more
    return data


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _is_current(content: Content) -> bool:
    try:
        return _identity(os.stat(content.path)) == content.identity  # noqa: PTH116 -- once a request
    except OSError:
        return False
