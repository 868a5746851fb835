"""Sparse files: what is zero takes no room, in copies neither."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20  # octets


def make(path: Path, size: int) -> None:
    """Make *path* a file of *size* zeros, whatever it was."""
    with path.open("wb") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def copy(source: Path, target: Path) -> None:
    """Copy *source* to *target*, holes as holes; safe on the disk on return."""
    with source.open("rb") as reader, target.open("wb") as writer:
        size = os.fstat(reader.fileno()).st_size
        writer.truncate(size)
        for start, end in _extents(reader.fileno(), size):
            reader.seek(start)
            writer.seek(start)
            while start < end and (chunk := reader.read(min(CHUNK, end - start))):
                write(writer, chunk)
                start += len(chunk)
        writer.flush()
        os.fsync(writer.fileno())


def write(file: BinaryIO, chunk: bytes) -> None:
    """Write *chunk* to a *file* that reads as zeros there; zeros are passed over."""
    if chunk.count(0) == len(chunk):
        file.seek(len(chunk), os.SEEK_CUR)
    else:
        file.write(chunk)


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
