"""Folders that fill up beside their place: locked by whoever fills them, swept when that one was killed."""

import fcntl
import os
import shutil
from pathlib import Path


def lock_folder(folder: Path, how: int = fcntl.LOCK_EX) -> int:
    """Return a descriptor that holds the lock on *folder* until it is closed, or its process ends.

    Raises `BlockingIOError` where *how* says not to wait, and `FileNotFoundError`.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def sync_folder(folder: Path) -> None:
    """Have the names in *folder* survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear_leftovers(folder: Path) -> None:
    """Remove the folders in *folder* that killed processes left: a living one holds the lock on its own."""
    for leftover in filter(Path.is_dir, folder.iterdir()):
        try:
            held = lock_folder(leftover, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, FileNotFoundError):
            continue
        shutil.rmtree(leftover, ignore_errors=True)
        os.close(held)
