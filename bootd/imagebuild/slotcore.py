"""GRUB for the disks of mesh nodes: one behind the first sector, one in front of each slot.

Both lie where no file system is, so whatever a slot is filled with leaves them alone. They differ in
one thing, the partition whose ``/boot/grub/grub.cfg`` they carry out. Slots bring menus made for the
GRUB they were saved with: what those menus load is inside, as its modules on disk would not fit ours.
"""

import subprocess
import tempfile
from pathlib import Path

from bootd.imagebuild.errors import BuildFailed

MENU = 1  # the partition of the disk's own menu
ROOM = 2000 * 512  # octets that are free behind the first sector, and in front of a slot
BOOT = Path("/usr/lib/grub/i386-pc/boot.img")  # the first sector that starts a core
_WHAT = "the GRUB on disks of mesh nodes"
_WAY_OUT = "apt-get install grub-common grub-pc-bin"
MODULES = (
    *("biosdisk", "part_msdos", "ext2", "fat", "xfs", "btrfs", "normal", "configfile", "chain", "boot"),
    *("linux", "linux16", "gzio", "xzio", "lzopio", "loadenv", "test", "true", "echo", "sleep", "regexp"),
    *("search", "search_fs_file", "search_fs_uuid", "search_label", "minicmd", "ls", "cat", "gettext"),
    *("serial", "terminal", "terminfo", "all_video", "video", "vbe", "gfxterm", "font", "halt", "reboot"),
)


def build(output: Path, partition: int) -> Path:
    """Write the core that carries out the menu on *partition* to *output*, whole or not at all.

    Its second sector is sought at its own block list, as in any ``core.img``: whoever writes it to a disk
    says there where that is. Raises `BuildFailed` where Debian's GRUB tools are not installed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as name:
        made = Path(name) / "core"
        argv = ["grub-mkimage", "-O", "i386-pc", "-p", f"(,msdos{partition})/boot/grub", "-o", str(made)]
        try:
            done = subprocess.run([*argv, *MODULES], capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise BuildFailed(f"{_WHAT} cannot be made", _WAY_OUT) from error
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()[-1:]
            raise BuildFailed(f"{_WHAT} cannot be made: {''.join(said)}", _WAY_OUT)
        if made.stat().st_size > ROOM:
            raise BuildFailed(f"{_WHAT} has {made.stat().st_size} octets, there is room for {ROOM}", _WAY_OUT)
        return made.replace(output)


def boot_sector(output: Path) -> Path:
    """Copy the sector that starts a core to *output*; raises `BuildFailed`."""
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        octets = BOOT.read_bytes()
    except FileNotFoundError as error:
        raise BuildFailed(f"{_WHAT} cannot be made: {BOOT} is missing", _WAY_OUT) from error
    with tempfile.TemporaryDirectory(dir=output.parent) as name:
        made = Path(name) / "boot"
        made.write_bytes(octets)
        return made.replace(output)
