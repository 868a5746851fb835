"""Disks with slots that say that they were started, for BIOS and for UEFI."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from bootd.imagebuild import grubimage
from tests.helpers.disks import bios_disk

_SECTOR = 512
_SLOT_SECTORS, _GAP = 4096, 2048
_ESP = (2048, 81920)  # first sector, sectors: the smallest that mkfs.vfat takes for FAT32 and then some
_SLOT_8 = (86016, 16384)
_SIZE = 64 << 20


def boot_sector(folder: Path, marker: str) -> bytes:
    """Return a boot sector that prints *marker* and halts."""
    return bios_disk(folder / "sector", marker).read_bytes()[:_SECTOR]


def slotted_disk(path: Path, default: str, slots: Mapping[int, str], *, last: int = 11) -> Path:
    """Write a disk of logical partitions from 5 to *last*; those not in *slots* have no boot sector."""
    parts = ["label: dos", "unit: sectors", "start=2048,size=8192,type=83,bootable"]
    parts += ["start=10240,size=2048,type=82", "start=12288,size=2048,type=83", "start=14336,type=5"]
    starts = {n: 16384 + (n - 5) * (_SLOT_SECTORS + _GAP) for n in range(5, last + 1)}
    parts += [f"start={start},size={_SLOT_SECTORS},type=83" for start in starts.values()]
    _make(path, parts)
    with path.open("r+b") as disk:
        disk.write(boot_sector(path.parent, default)[:440])
        for number, marker in slots.items():
            disk.seek(starts[number] * _SECTOR)
            disk.write(boot_sector(path.parent, marker))
    return path


def efi_slotted_disk(path: Path, default: str, *, program: Mapping[int, str], menu: str) -> Path:
    """Write a GPT disk: an ESP with a default and programs of slots, and slot 8 with a GRUB menu."""
    folder = path.parent / f"{path.name}.parts"
    folder.mkdir()
    esp = folder / "esp.img"
    _truncate(esp, _ESP[1] * _SECTOR)
    _run("mkfs.vfat", "-F", "32", esp)
    _run("mmd", "-i", esp, "::/EFI", "::/EFI/BOOT", *(f"::/EFI/slot{n}" for n in program))
    for place, text in {"BOOT": default, **{f"slot{n}": text for n, text in program.items()}}.items():
        config = f'echo "{text}"\nsleep 600\n'
        made = grubimage.build(folder / place, grubimage.X64_EFI, config, ("echo", "sleep"), what="a disk")
        _run("mcopy", "-i", esp, made, f"::/EFI/{place}/BOOTX64.EFI")
    (folder / "8/boot/grub").mkdir(parents=True)
    (folder / "8/boot/grub/grub.cfg").write_text(f'echo "{menu}"\nsleep 600\n')
    slot = folder / "slot8.img"
    _truncate(slot, _SLOT_8[1] * _SECTOR)
    _run("mke2fs", "-q", "-t", "ext4", "-d", folder / "8", slot)
    rows = [
        f"/x1 : start={_ESP[0]},size={_ESP[1]},type=U",
        f"/x8 : start={_SLOT_8[0]},size={_SLOT_8[1]},type=L",
    ]
    _make(path, ["label: gpt", "unit: sectors", *rows])
    with path.open("r+b") as disk:
        for (start, _), image in ((_ESP, esp), (_SLOT_8, slot)):
            disk.seek(start * _SECTOR)
            disk.write(image.read_bytes())
    return path


def _make(path: Path, rows: list[str]) -> None:
    _truncate(path, _SIZE)
    subprocess.run(["sfdisk", "-q", path], input="\n".join(rows) + "\n", text=True, check=True)


def _truncate(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
