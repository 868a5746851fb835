"""Locks that threads and processes share, and that the kernel takes from whoever dies."""

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootd.drivers.lun import belonging

_FLOCK = "hhqqi4x"  # struct flock of <fcntl.h>: type, whence, start, length, pid


class Locks:
    """One lock a name, each an octet of the file *path*; the first octet is that of the name "" alone.

    Open file description locks (fcntl(2)): each holder has the file open for itself, so
    two threads exclude each other like two processes do. Two names may meet on one
    octet: then one waits for nothing, and no more. Not to be taken twice by one holder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def hold(self, *names: str) -> Iterator[None]:
        """Hold the locks of all *names*, taken in one order so that nobody waits in a circle."""
        handle = belonging.make(self._path, os.O_RDWR)
        try:
            for octet in sorted({_octet(name) for name in names}):
                request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, octet, 1, 0)
                fcntl.fcntl(handle, fcntl.F_OFD_SETLKW, request)
            yield
        finally:
            os.close(handle)  # gives all of them back

    @contextmanager
    def attempt(self, name: str) -> Iterator[bool]:
        """Hold the lock of *name* if nobody does, and say whether; nothing is waited for."""
        handle = belonging.make(self._path, os.O_RDWR)
        request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _octet(name), 1, 0)
        try:
            try:
                fcntl.fcntl(handle, fcntl.F_OFD_SETLK, request)
            except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, fcntl(2)
                yield False
            else:
                yield True
        finally:
            os.close(handle)


def _octet(name: str) -> int:
    return 1 + zlib.crc32(name.encode()) if name else 0
