"""Sparse files: what is zero takes no room, in copies neither; where the file system can, copies share."""

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20  # octets
_ONCE = 64 << 20  # octets the kernel is asked to copy at a time
_FICLONE = 0x40049409  # ioctl_ficlone(2)

# What file systems and kernels say that cannot share, or copy between two files, by themselves.
_CANNOT = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EPERM}


def make(path: Path, size: int) -> None:
    """Make *path* a file of *size* zeros, whatever it was; nobody but its owner reads it."""
    with _fresh(path) as file:
        file.truncate(size)
        os.fsync(file.fileno())


def copy(source: Path, target: Path) -> None:
    """Copy *source* to *target*, as `make` makes it, holes as holes; safe on the disk on return.

    Where the file system can, the copy shares the source's blocks until one of them is
    written (FICLONE: btrfs, XFS); it is then the source of one moment. Elsewhere, what
    is written to the source meanwhile may or may not be in it.
    """
    with source.open("rb", buffering=0) as reader, _fresh(target) as writer:
        if not _share(reader.fileno(), writer.fileno()):
            size = os.fstat(reader.fileno()).st_size
            writer.truncate(size)
            for start, end in _extents(reader.fileno(), size):
                _copy_range(reader.fileno(), writer.fileno(), start, end)
        os.fsync(writer.fileno())


def write(file: BinaryIO, chunk: bytes) -> None:
    """Write *chunk* to a *file* that reads as zeros there; zeros are passed over."""
    if chunk.count(0) == len(chunk):
        file.seek(len(chunk), os.SEEK_CUR)
    else:
        file.write(chunk)


def _fresh(path: Path) -> BinaryIO:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.fchmod(handle, 0o600)  # it may have been there
    return open(handle, "wb", buffering=0)  # noqa: PTH123 - of a handle


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
