"""XFS and btrfs come into slots: grown, with an identity of their own, and started; or refused at once."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bootd.boot.places import slot_helper
from bootd.imagebuild import slotboot
from netboot.arch import Firmware
from tests.helpers.imager import SCHEME, SLOT, Imaging, built
from tests.helpers.lab import PATIENCE_S
from tests.helpers.partitions import MIB, UUID, btrfs_root, clonezilla_part, root_partition, xfs_root
from tests.helpers.places import a_slot_place
from tests.helpers.qemu import SERVER, boot
from tests.helpers.web import MAC, Site, a_host, a_snapshot, running

pytestmark = pytest.mark.vm

MARKER = "SLOT-SEVEN-STARTED"
NOBODY = f"http://{SERVER}:1/away.ipxe"  # a server that is away
SLOT_MIB = 400


@dataclass(frozen=True)
class Kind:
    name: str
    make: Callable[..., Path]
    root: str  # where its system is

    def size(self, partition: Path) -> int:
        """Return the octets that the file system takes for its own."""
        if self.name == "xfs":
            told = _said("xfs_db", "-r", "-c", "sb 0", "-c", "p dblocks", str(partition))
            return int(told.split("=")[1]) * 4096
        told = _said("btrfs", "inspect-internal", "dump-super", str(partition))
        return int(next(line.split()[1] for line in told.splitlines() if line.startswith("total_bytes")))


XFS, BTRFS = Kind("xfs", xfs_root, ""), Kind("btrfs", btrfs_root, "/@rootfs")


def _said(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def an_empty_disk(folder: Path) -> Path:
    disk = folder / "disk"
    with disk.open("wb") as file:
        file.truncate(2500 * MIB)
    return disk


def an_imaging(folder: Path, kind: Kind, imager: str) -> Imaging:
    partition = kind.make(folder / "root.raw", MARKER)
    source = clonezilla_part(folder / "parts", partition, kind=kind.name)
    return Imaging(folder, source, scheme=replace(SCHEME, slot_mib=SLOT_MIB), imager=imager)


def slot_of(disk: Path) -> Path:
    """Copy the slot out of the disk."""
    row = next(line for line in _said("sfdisk", "-d", str(disk)).splitlines() if f"disk{SLOT} :" in line)
    start = int(row.split("start=")[1].split(",")[0])
    slot = disk.with_name("slot.raw")
    numbers = (f"skip={start // 2048}", f"count={SLOT_MIB}")
    _said("dd", f"if={disk}", f"of={slot}", "bs=1M", "conv=sparse", "status=none", *numbers)
    return slot


@pytest.mark.parametrize("kind", [XFS, BTRFS], ids=["xfs", "btrfs"])
async def test_other_file_systems_are_grown_renamed_and_started_in_their_slot(
    tmp_path: Path, kind: Kind
) -> None:
    imaging, disk = an_imaging(tmp_path, kind, "imager-full"), an_empty_disk(tmp_path)
    said = await imaging.run(disk)
    assert ("verified", imaging.image.identity) in imaging.words, said
    assert "cannot be compared" not in said
    slot = slot_of(disk)
    assert SLOT_MIB * MIB - kind.size(slot) < MIB
    fstab = _said("grub-fstest", str(slot), "cat", f"{kind.root}/etc/fstab")
    assert UUID not in fstab
    assert fstab.count("UUID=") == (2 if kind is BTRFS else 1)
    by_itself = await boot(tmp_path, NOBODY, MAC, until=[MARKER], patience_s=PATIENCE_S, disk=disk)
    assert f"{MARKER} in hd0,msdos{SLOT}" in by_itself
    if kind is XFS:  # which has no boot sector: the program finds the menu
        assert f"{MARKER} in hd0,msdos{SLOT}" in await steered(tmp_path, disk)


async def steered(folder: Path, disk: Path) -> str:
    host = replace(a_host(), ip="127.0.0.1")
    place = a_slot_place(slot=SLOT, device=f"/dev/vda{SLOT}")
    site = Site(replace(a_snapshot(host), places={host.name: place}))
    site.parts = replace(site.parts, address=SERVER)
    program = slotboot.build(folder / "program", Firmware.BIOS, "hd0", SLOT)
    site.serve_file(slot_helper(Firmware.BIOS, "hd0", SLOT), program)
    async with running(site):
        script = f"http://{SERVER}:{site.port}/boot/{MAC}.ipxe"
        return await boot(folder, script, MAC, until=[MARKER], patience_s=PATIENCE_S, disk=disk)


async def test_root_of_a_whole_qcow2_disk_comes_into_the_slot_without_the_rest(tmp_path: Path) -> None:
    root = root_partition(tmp_path / "root.raw", MARKER)
    whole, packed = tmp_path / "whole.raw", tmp_path / "whole.qcow2"
    with whole.open("wb") as file:
        file.truncate(64 * MIB)
    rows = f"label: gpt\nsize=16MiB,type=U\nsize={root.stat().st_size // MIB}MiB,type=L\n"
    subprocess.run(["sfdisk", "-q", whole], input=rows, text=True, check=True)
    _said("dd", f"if={root}", f"of={whole}", "bs=1M", "seek=17", "conv=notrunc", "status=none")
    _said("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(whole), str(packed))
    imaging, disk = Imaging(tmp_path, packed), tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(512 * MIB)
    said = await imaging.run(disk)
    assert ("verified", imaging.image.identity) in imaging.words, said
    by_itself = await boot(tmp_path, NOBODY, MAC, until=[MARKER], patience_s=PATIENCE_S, disk=disk)
    assert f"{MARKER} in hd0,msdos{SLOT}" in by_itself


def test_small_imager_has_no_more_than_8_mb() -> None:
    [initrd] = built().initrds
    assert initrd.stat().st_size <= 8_000_000


async def test_small_imager_refuses_an_xfs_before_it_touches_the_disk(tmp_path: Path) -> None:
    imaging, disk = an_imaging(tmp_path, XFS, "imager"), an_empty_disk(tmp_path)
    await imaging.run(disk)
    [(word, reason)] = imaging.words
    assert (word, reason.partition(":")[0]) == ("failed", "imager has no tools for xfs")
    assert "imager-full" in reason
    assert disk.stat().st_blocks == 0
