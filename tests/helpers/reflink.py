"""A file system whose files can share blocks: XFS in a file, mounted for a while. Needs root."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CannotMount(Exception):
    """Why this machine has no such file system for us."""


@contextmanager
def sharing_folder(folder: Path, size: int) -> Iterator[Path]:
    """Yield where *size* octets of it are mounted, in *folder*; raises `CannotMount`.

    Whoever has files open there must have closed them at the end.
    """
    if shutil.which("mkfs.xfs") is None:
        raise CannotMount("mkfs.xfs is not installed (package xfsprogs): make test-packages")
    disk, mounted = folder / "xfs.img", folder / "xfs"
    with disk.open("wb") as file:
        file.truncate(size)
    mounted.mkdir()
    _run("mkfs.xfs", "-q", "-m", "reflink=1", disk)
    _run("mount", "-o", "loop", disk, mounted)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True)
        disk.unlink()


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotMount(f"{command[0]}: {done.stderr.strip()}")
