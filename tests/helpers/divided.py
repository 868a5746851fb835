"""Disks, as sparse files, that the real sfdisk divides by our script."""

import subprocess
from pathlib import Path

from bootd.model import SlotScheme
from bootd.services.disklayout import SECTOR, plan, script


def divided(disk: Path, scheme: SlotScheme, mib: int = 4096, *, odd_octets: int = 0) -> str:
    """Divide a disk of *mib* MiB (and *odd_octets*); return what ``sfdisk -d`` says of it, as /dev/sda."""
    octets = (mib << 20) + odd_octets
    with disk.open("wb") as file:
        file.truncate(octets)
    wanted = script(plan(scheme, octets // SECTOR), scheme.label)
    subprocess.run(["sfdisk", "-q", disk], input=wanted, text=True, check=True)
    told = subprocess.run(["sfdisk", "-d", disk], capture_output=True, text=True, check=True).stdout
    return told.replace(str(disk), "/dev/sda")


def divided_with_large_sectors(disk: Path, scheme: SlotScheme, mib: int) -> str:
    """Do the same on a disk whose sectors have 4096 octets; sfdisk has no word for that, fdisk has."""
    with disk.open("wb") as file:
        file.truncate(mib << 20)
    wanted = disk.with_suffix(".script")
    wanted.write_text(script(plan(scheme, (mib << 20) // 4096, 4096), scheme.label))
    _fdisk(disk, f"I\n{wanted}\nw\n")
    told = disk.with_suffix(".told")
    _fdisk(disk, f"O\n{told}\nq\n")
    return told.read_text().replace(str(disk), "/dev/sda")


def _fdisk(disk: Path, orders: str) -> None:
    subprocess.run(["fdisk", "-b", "4096", disk], input=orders, text=True, capture_output=True, check=True)
