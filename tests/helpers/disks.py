"""Disks that say that they were started: a boot sector for BIOS, an EFI program for UEFI."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

MARKER = "LOCAL-DISK-STARTED"

_SECTOR = 512
_ESP_START, _ESP_SECTORS = 2048, 69632  # 34 MiB: the smallest that mkfs.vfat takes for FAT32
_TOOLS = {
    "grub-mkimage": "grub-common grub-efi-amd64-bin",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "sfdisk": "fdisk",
}
_HALT = bytes([0xF4, 0xEB, 0xFD])  # hlt; jmp back
_RESET = bytes(
    [0xB0, 0xFE, 0xE6, 0x64, 0xEB, 0xFA]
)  # mov al,0xfe; out 0x64,al: the keyboard controller's reset


def bios_disk(path: Path, marker: str = MARKER, *, resets: bool = False) -> Path:
    """Write a disk whose boot sector prints *marker*, then halts, or resets the machine."""
    code = bytearray(
        [
            *(0xFA, 0x31, 0xC0, 0x8E, 0xD8, 0xFB, 0xFC),  # cli; ds = 0; sti; cld
            *(0xBE, 0, 0),  # mov si, text
            *(0xAC, 0x84, 0xC0, 0x74, 0x09),  # next: lodsb; test al,al; jz after
            *(0xB4, 0x0E, 0xBB, 0x07, 0x00, 0xCD, 0x10, 0xEB, 0xF2),  # write it (int 10h, 0eh); jmp next
            *(_RESET if resets else _HALT),
        ]
    )
    code[8:10] = (0x7C00 + len(code)).to_bytes(2, "little")
    sector = (bytes(code) + marker.encode() + b"\r\n\0").ljust(_SECTOR - 2, b"\0") + b"\x55\xaa"
    path.write_bytes(sector + bytes(2**20 - _SECTOR))
    return path


def efi_disk(path: Path, marker: str = MARKER, *, loader: str = "EFI/BOOT/BOOTX64.EFI") -> Path:
    """Write a GPT disk with a program at *loader* that prints *marker* and turns the machine off."""
    _check_tools()
    folder = path.parent / f"{path.name}.parts"
    folder.mkdir()
    (folder / "marker.cfg").write_text(f"echo {marker}\nhalt\n")
    program = ["grub-mkimage", "-O", "x86_64-efi", "-p", "/", "-c", "marker.cfg", "-o", "marker.efi"]
    _run([*program, "normal", "echo", "halt"], folder)
    esp = folder / "esp.img"
    with esp.open("wb") as out:
        out.truncate(_ESP_SECTORS * _SECTOR)
    _run(["mkfs.vfat", "-F", "32", "esp.img"], folder)
    parts = loader.split("/")
    for depth in range(1, len(parts)):
        _run(["mmd", "-i", "esp.img", "::/" + "/".join(parts[:depth])], folder)
    _run(["mcopy", "-i", "esp.img", "marker.efi", f"::/{loader}"], folder)
    with path.open("wb") as out:
        out.truncate((_ESP_START + _ESP_SECTORS + 2048) * _SECTOR)
    _run(["sfdisk", "-q", str(path)], folder, f"label: gpt\nstart={_ESP_START},size={_ESP_SECTORS},type=U\n")
    with path.open("r+b") as out:
        out.seek(_ESP_START * _SECTOR)
        out.write(esp.read_bytes())
    shutil.rmtree(folder)
    return path


def _check_tools() -> None:
    path = ":".join(("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"))
    lacking = [package for tool, package in _TOOLS.items() if shutil.which(tool, path=path) is None]
    if lacking:
        raise RuntimeError(f"the marker disk cannot be made: apt-get install {' '.join(lacking)}")


def _run(argv: Sequence[str], folder: Path, text: str = "") -> None:
    done = subprocess.run(argv, cwd=folder, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr}")
