"""The tools disks are made with: none needs root, and all are told the same time of day."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bootd.imagebuild.errors import BuildFailed

EPOCH = 1767225600  # 2026-01-01: the time of every file in every image

_PACKAGES = {
    "mkfs.vfat": "dosfstools",
    "mmd": "mtools",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "sfdisk": "fdisk",
    "grub-mkimage": "grub-common grub-pc-bin grub-efi-amd64-bin",
}
_FIXED = {
    "SOURCE_DATE_EPOCH": str(EPOCH),
    "E2FSPROGS_FAKE_TIME": str(EPOCH),
    "TZ": "UTC",
    "LC_ALL": "C",
    "MTOOLS_SKIP_CHECK": "1",
}
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def run(argv: Sequence[str], folder: Path, text: str = "") -> str:
    """Run a tool on files of *folder*; raises `BuildFailed`, which names the package that is missing."""
    return talk(argv, folder, text)[0]


def talk(argv: Sequence[str], folder: Path, text: str = "") -> tuple[str, str]:
    """Do what `run` does and return what the tool complained of, too: not all of them fail then."""
    path = f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"
    environment = {**os.environ, **_FIXED, "PATH": path}
    try:
        done = subprocess.run(
            argv, cwd=folder, env=environment, input=text, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise BuildFailed(
            f"the program {argv[0]!r} is missing", f"apt-get install {_PACKAGES[argv[0]]}"
        ) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        why = said[-1] if said else f"exit status {done.returncode}"
        raise BuildFailed(f"{argv[0]} failed: {why}", f"apt-get install {_PACKAGES[argv[0]]}, if it is old")
    return done.stdout, done.stderr
