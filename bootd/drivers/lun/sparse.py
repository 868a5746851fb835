"""Sparse files: what is zero takes no room, in copies neither; where the file system can, copies share."""

import errno
import fcntl
import heapq
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from bootd.drivers.lun import belonging

CHUNK = 1 << 20  # octets
_BLOCK = 4096  # octets; file systems and machines write no less at a time
_ONCE = 64 << 20  # octets the kernel is asked to copy at a time
_FICLONE = 0x40049409  # ioctl_ficlone(2)

# <linux/fiemap.h>: start, length, flags, mapped extents, room for extents; logical, physical, length, flags
_FS_IOC_FIEMAP = 0xC020660B
_FIEMAP, _EXTENT = struct.Struct("=QQIIII"), struct.Struct("=QQQ16xI12x")
_SYNC, _LAST, _SHARED = 0x1, 0x1, 0x2000
_EXTENTS = 512  # asked for at a time

# What file systems and kernels say that cannot share, or copy between two files, by themselves.
_CANNOT = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EPERM}


def make(path: Path, size: int) -> None:
    """Make *path* a file of *size* zeros, whatever it was; nobody but its owner reads it."""
    with _fresh(path) as file:
        file.truncate(size)
        os.fsync(file.fileno())


def copy(source: Path, target: Path) -> bool:
    """Copy *source* to *target*, as `make` makes it, holes as holes; return whether they share their blocks.

    The copy is whole, and bears the time at which *source* was last written, so that the
    first write to it shows. It is not safe on the disk before `settle`.

    Where the file system can, the copy shares the source's blocks until one of them is
    written (FICLONE: btrfs, XFS); it is then the source of one moment. Elsewhere, what
    is written to the source meanwhile may or may not be in it.
    """
    with source.open("rb", buffering=0) as reader, _fresh(target) as writer:
        written_at = os.fstat(reader.fileno()).st_mtime_ns
        is_shared = _share(reader.fileno(), writer.fileno())
        if not is_shared:
            size = os.fstat(reader.fileno()).st_size
            writer.truncate(size)
            for start, end in _extents(reader.fileno(), size):
                _copy_range(reader.fileno(), writer.fileno(), start, end)
        os.utime(writer.fileno(), ns=(written_at, written_at))
    return is_shared


def settle(path: Path) -> None:
    """Have all of *path* safe on the disk.

    What could not be brought there the kernel tells once: after an `OSError` the file is worth nothing.
    """
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())


def differing(one: Path, other: Path) -> int:
    """Return how many octets are in blocks of 4 KiB that the two files do not have alike; reads both."""
    count = 0
    with one.open("rb", buffering=0) as first, other.open("rb", buffering=0) as second:
        size = max(os.fstat(file.fileno()).st_size for file in (first, second))
        for start, end in _either(_extents(first.fileno(), size), _extents(second.fileno(), size)):
            for at in range(start, end, CHUNK):
                length = min(CHUNK, end - at)
                count += _unlike(os.pread(first.fileno(), length, at), os.pread(second.fileno(), length, at))
    return count


def _either(*lists: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield, in whole blocks, what is in any of the *lists* of extents."""
    done = 0
    for start, end in heapq.merge(*lists):
        start, end = max(done, start // _BLOCK * _BLOCK), -(-end // _BLOCK) * _BLOCK
        if start < end:
            yield start, end
            done = end


def _unlike(one: bytes, other: bytes) -> int:
    if one == other:
        return 0
    ends = range(0, max(len(one), len(other)), _BLOCK)
    return sum(_BLOCK for at in ends if one[at : at + _BLOCK] != other[at : at + _BLOCK])


def write(file: BinaryIO, chunk: bytes) -> None:
    """Write *chunk* to a *file* that reads as zeros there; zeros are passed over."""
    if chunk.count(0) == len(chunk):
        file.seek(len(chunk), os.SEEK_CUR)
    else:
        file.write(chunk)


def _fresh(path: Path) -> BinaryIO:
    return open(belonging.make(path, os.O_WRONLY | os.O_TRUNC), "wb", buffering=0)  # noqa: PTH123 - of a handle


def own_octets(path: Path) -> int | None:
    """Return how many octets of *path* lie in blocks that no other file shares; None: that is not told."""
    own, start, is_last = 0, 0, False
    try:
        with path.open("rb", buffering=0) as file:
            while not is_last:
                extents = _mapped(file.fileno(), start)
                for logical, length, flags in extents:
                    own += 0 if flags & _SHARED else length
                    start = logical + length
                is_last = not extents or bool(extents[-1][2] & _LAST)
    except OSError as error:
        if error.errno in _CANNOT:
            return None
        raise
    return own


def _mapped(fd: int, start: int) -> list[tuple[int, int, int]]:
    """Return where some extents from *start* on begin, how long they are, and their flags."""
    request = _FIEMAP.pack(start, 2**64 - 1 - start, _SYNC, 0, _EXTENTS, 0)
    room = bytearray(request.ljust(_FIEMAP.size + _EXTENTS * _EXTENT.size, b"\0"))
    fcntl.ioctl(fd, _FS_IOC_FIEMAP, room)
    count = _FIEMAP.unpack_from(room)[3]
    rows = (_EXTENT.unpack_from(room, _FIEMAP.size + n * _EXTENT.size) for n in range(count))
    return [(logical, length, flags) for logical, _, length, flags in rows]


def _share(reader: int, writer: int) -> bool:
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True


def _copy_range(reader: int, writer: int, start: int, end: int) -> None:
    """Copy the octets from *start* to *end*; a source that has become shorter leaves zeros."""
    can = True
    while start < end:
        try:
            if can:
                copied = os.copy_file_range(reader, writer, min(_ONCE, end - start), start, start)
            else:
                copied = os.pwrite(writer, os.pread(reader, min(CHUNK, end - start), start), start)
        except OSError as error:
            if not can or error.errno not in _CANNOT:
                raise
            can = False  # by our own hands, then
            continue
        if not copied:
            return
        start += copied


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of what is not a hole."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            raise
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end
