"""The imager really run: disks divided, images written into slots and read back, slots started."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers.divided import divided
from tests.helpers.imager import FAILS, LEAVES, MARKER, NODE, READY, SCHEME, SLOT, Imaging, started
from tests.helpers.lab import PATIENCE_S
from tests.helpers.partitions import UUID, clonezilla_part, root_partition
from tests.helpers.qemu import Machine

pytestmark = pytest.mark.vm

WWN = "5000c50015ea71ac"
NAMED = ("-device", "virtio-blk-pci,drive=disk0,serial=OURS,bootindex=2")
NAMED_BY_SCSI = ("-device", f"scsi-hd,drive=disk0,bus=scsi.0,serial=OURS,wwn=0x{WWN},bootindex=2")


def empty_disk(folder: Path, name: str = "disk", *, mib: int = 512) -> Path:
    path = folder / name
    with path.open("wb") as file:
        file.truncate(mib << 20)
    return path


def beside(disk: Path, device: str) -> tuple[str, ...]:
    """Return the words for a disk that the machine finds before the one with its slots."""
    return ("-drive", f"file={disk},format=raw,if=none,id=beside", "-device", f"{device},drive=beside")


def is_blank(disk: Path) -> bool:
    return not disk.read_bytes().strip(b"\0")


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


async def test_empty_disk_gets_partitions_grub_and_an_image_that_starts_in_its_slot(tmp_path: Path) -> None:
    root = root_partition(tmp_path / "root", MARKER)
    imaging = Imaging(
        tmp_path, clonezilla_part(tmp_path / "parts", root, compression="xz"), {"disk": "serial:OURS"}
    )
    disk, other = empty_disk(tmp_path), empty_disk(tmp_path, "other")
    said = await imaging.run(disk, first=beside(other, "virtio-blk-pci,serial=OTHER"), drive=NAMED)
    assert FAILS not in said
    assert LEAVES in said
    assert [word for word, _ in imaging.words] == [
        *("dividing", "joined", "checking", "fitting", "verified", "leaving")
    ]
    assert imaging.words[-2] == ("verified", imaging.image.identity)
    assert is_blank(other)  # the scheme's /dev/vda, but not the one that the host names

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
        await started(tmp_path, disk, steered=steered)


async def test_machine_with_a_disk_refused_lets_a_person_look_and_obeys_when_it_is_called_again(
    tmp_path: Path,
) -> None:
    imaging = Imaging(tmp_path, root_partition(tmp_path / "root.raw", MARKER), {"disk": "serial:STICK"})
    disk, stick = empty_disk(tmp_path), empty_disk(tmp_path, "stick", mib=64)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", disk], check=True)
    before = disk.read_bytes()
    first = (
        *("-device", "virtio-scsi-pci,id=scsi"),
        *beside(stick, "scsi-hd,bus=scsi.0,removable=on,serial=STICK"),
    )
    async with imaging.powered(disk, first=first, drive=NAMED_BY_SCSI) as machine:
        assert await imaging.heard("failed") == "sda is removable"
        imaging.call_again(disk=f"wwn:naa.{WWN}")
        reason = await imaging.heard("failed", 2)
        assert "sdb holds something that is not ours" in reason
        await a_person_looks(machine, reason)
        assert disk.read_bytes() == before

        imaging.call_again(repartition=True)
        assert LEAVES in await machine.until(LEAVES, patience_s=PATIENCE_S)
    assert [word for word, _ in imaging.words] == [
        *("failed", "failed", "dividing", "joined", "checking", "fitting", "verified", "leaving")
    ]
    assert imaging.words[-2] == ("verified", imaging.image.identity)
    assert is_blank(stick)


async def a_person_looks(machine: Machine, reason: str) -> None:
    """See that the console has the reason and the kernel's log, and a shell that answers."""
    said = await machine.until(f"{FAILS} node={NODE} {reason}", patience_s=PATIENCE_S)
    assert f"{FAILS} node={NODE} {reason}" in said
    assert re.search(r"(?m)^\[ *\d+\.\d{6}\] .*\bsd[ab]\b", said), said
    await machine.ask("echo typed-$((6*7))", "typed-42", patience_s=PATIENCE_S)


async def test_disk_whose_division_broke_off_is_finished_and_an_image_cut_off_is_never_called_verified(
    tmp_path: Path,
) -> None:
    imaging, disk = Imaging(tmp_path, root_partition(tmp_path / "root.raw", MARKER)), tmp_path / "disk"
    with imaging.stream.open("r+b") as file:
        file.truncate(imaging.stream.stat().st_size // 2)
    divided(disk, SCHEME, 512)
    await imaging.run(disk)
    assert [word for word, _ in imaging.words] == ["dividing", "joined", "failed"]
    assert imaging.words[0][1] == "what was begun before"
    assert imaging.words[-1][1].startswith("files: ")
    argv = ["blkid", "-p", "-o", "value", "-s", "LABEL", partition(disk, 2)]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "bootd-swap\n"
    assert f"--id slot{SLOT} " in content(partition(disk, 1), "/boot/grub/grub.cfg")


async def test_of_two_cards_with_a_lease_the_one_that_bootd_knows_is_used(tmp_path: Path) -> None:
    imaging = Imaging(tmp_path, root_partition(tmp_path / "root.raw", MARKER))
    other = ("-netdev", "user,id=other,net=10.9.0.0/24,restrict=on")
    device = ("-device", "virtio-net-pci,netdev=other,mac=52:54:00:00:00:01,romfile=")
    said = await imaging.run(empty_disk(tmp_path), until=READY, first=(*other, *device))
    assert re.search(rf"{READY} node={NODE} address=10\.0\.2\.15/", said), said
