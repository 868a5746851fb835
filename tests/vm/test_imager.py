"""The imager really run: disks divided, images written into slots and read back, slots started."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bootd.boot.places import slot_helper
from bootd.imagebuild import slotboot
from netboot.arch import Firmware
from tests.helpers.imager import FAILS, LEAVES, NODE, READY, SLOT, Imaging
from tests.helpers.lab import PATIENCE_S
from tests.helpers.partitions import UUID, clonezilla_part, root_partition
from tests.helpers.places import a_slot_place
from tests.helpers.qemu import SERVER, boot
from tests.helpers.web import MAC, Site, a_host, a_snapshot, running

pytestmark = pytest.mark.vm

MARKER = "SLOT-SEVEN-STARTED"


def empty_disk(folder: Path, mib: int = 512) -> Path:
    path = folder / "disk"
    with path.open("wb") as file:
        file.truncate(mib << 20)
    return path


def partition(disk: Path, number: int) -> Path:
    """Copy a partition out of *disk*."""
    table = subprocess.run(["sfdisk", "-d", disk], capture_output=True, text=True, check=True).stdout
    match = re.search(rf"{disk}{number} : start= *(\d+), size= *(\d+)", table)
    assert match is not None, table
    start, size = int(match[1]) * 512, int(match[2]) * 512
    copy = disk.with_name(f"partition{number}")
    with disk.open("rb") as file:
        file.seek(start)
        copy.write_bytes(file.read(size))
    return copy


def content(file_system: Path, name: str) -> str:
    argv = ["debugfs", "-R", f"cat {name}", file_system]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


async def started(folder: Path, disk: Path, *, steered: bool) -> str:
    """Start a machine that is to boot its slot; without our program the disk's own GRUB decides."""
    host = replace(a_host(NODE, MAC), ip="127.0.0.1")
    place = a_slot_place(slot=SLOT, device=f"/dev/vda{SLOT}")
    site = Site(replace(a_snapshot(host), places={NODE: place}))
    site.parts = replace(site.parts, address=SERVER)
    if steered:
        program = slotboot.build(folder / "program", Firmware.BIOS, "hd0", SLOT)
        site.serve_file(slot_helper(Firmware.BIOS, "hd0", SLOT), program)
    async with running(site):
        script = f"http://{SERVER}:{site.port}/boot/{MAC}.ipxe"
        return await boot(
            folder, script, MAC, until=[f"{MARKER} in hd0,msdos{SLOT}"], patience_s=PATIENCE_S, disk=disk
        )


async def test_empty_disk_gets_partitions_grub_and_an_image_that_starts_in_its_slot(tmp_path: Path) -> None:
    source = clonezilla_part(tmp_path / "parts", root_partition(tmp_path / "root", MARKER))
    imaging, disk = Imaging(tmp_path, source), empty_disk(tmp_path)
    said = await imaging.run(disk)
    assert FAILS not in said
    assert LEAVES in said
    assert [word for word, _ in imaging.words] == [
        *("dividing", "joined", "checking", "fitting", "verified", "leaving")
    ]
    assert imaging.words[-2] == ("verified", imaging.image.identity)

    slot = partition(disk, SLOT)
    subprocess.run(["e2fsck", "-fn", slot], check=True, capture_output=True)
    told = subprocess.run(["tune2fs", "-l", slot], capture_output=True, text=True, check=True).stdout
    assert UUID not in told
    assert re.search(r"Block count: *(\d+)", told)[1] == str(slot.stat().st_size // 1024)  # type: ignore[index]
    own = re.search(r"Filesystem UUID: *(\S+)", told)[1]  # type: ignore[index]
    assert content(slot, "/etc/fstab").splitlines() == [
        f"UUID={own} / ext4 defaults 0 1",
        "# not in this slot: UUID=1111-2222 /boot/efi vfat umask=0077 0 1",
        "LABEL=bootd-swap none swap sw 0 0",
        "tmpfs /tmp tmpfs defaults 0 0",
    ]
    for steered in (True, False):
        assert f"{MARKER} in hd0,msdos{SLOT}" in await started(tmp_path, disk, steered=steered)


async def test_disk_of_somebody_else_is_refused_and_not_a_byte_of_it_changes_until_its_job_may(
    tmp_path: Path,
) -> None:
    imaging = Imaging(tmp_path, root_partition(tmp_path / "root.raw", MARKER))
    disk = empty_disk(tmp_path)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", disk], check=True)
    before = disk.read_bytes()
    said = await imaging.run(disk)
    [(word, reason)] = imaging.words
    assert (word, "holds something that is not ours" in reason) == ("failed", True)
    assert f"{FAILS} node={NODE} vda holds something that is not ours" in said
    assert disk.read_bytes() == before

    imaging.give_up_disks()
    assert LEAVES in await imaging.run(disk)
    assert [word for word, _ in imaging.words[1:4]] == ["dividing", "joined", "checking"]
    assert imaging.words[-2] == ("verified", imaging.image.identity)


async def test_image_that_is_cut_off_on_its_way_is_never_called_verified(tmp_path: Path) -> None:
    imaging = Imaging(tmp_path, root_partition(tmp_path / "root.raw", MARKER))
    with imaging.stream.open("r+b") as file:
        file.truncate(imaging.stream.stat().st_size // 2)
    await imaging.run(empty_disk(tmp_path))
    assert [word for word, _ in imaging.words] == ["dividing", "joined", "failed"]
    assert imaging.words[-1][1].startswith("files: ")


async def test_of_two_cards_with_a_lease_the_one_that_bootd_knows_is_used(tmp_path: Path) -> None:
    imaging = Imaging(tmp_path, root_partition(tmp_path / "root.raw", MARKER))
    other = ("-netdev", "user,id=other,net=10.9.0.0/24,restrict=on")
    device = ("-device", "virtio-net-pci,netdev=other,mac=52:54:00:00:00:01,romfile=")
    said = await imaging.run(empty_disk(tmp_path), until=READY, first=(*other, *device))
    assert re.search(rf"{READY} node={NODE} address=10\.0\.2\.15/", said), said
