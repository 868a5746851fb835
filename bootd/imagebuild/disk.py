"""Build a disk that boots on BIOS and on UEFI: GRUB, a kernel and its initramfs, a root file system.

    partition 1   FAT32, the EFI system partition: GRUB for UEFI, its menu, kernel, initramfs
    partition 2   ext4, the root file system
    partition 3   GPT only: GRUB for BIOS, which on an MBR disk lies in front of partition 1

BIOS is started by the first sector with either table. Nothing is mounted and no root is needed;
the same recipe, packages and words give the same bytes.
"""

import stat
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from bootd.imagebuild import cpio, filesystems, image, tools
from bootd.imagebuild import recipe as recipes
from bootd.imagebuild.debian import Packages, Run, run_tool
from bootd.imagebuild.errors import BuildFailed
from bootd.imagebuild.image import Parts
from bootd.imagebuild.recipe import Recipe

SECTOR = 512
_MIB = 1 << 20
_ALIGNED = 2048  # sectors; partition 1 begins here, as everywhere
_SLACK = 4 * _MIB  # of partition 1
_SMALLEST_FAT32 = 34 * _MIB
_GPT_END = 2048  # sectors behind the last partition, for the second copy of the table

_GRUB = Path("/usr/lib/grub/i386-pc")
_MODULES = ("fat", "normal", "configfile", "linux", "echo", "test")
_TABLES = ("part_msdos", "part_gpt")
_BOOT_CODE = 440  # octets of the first sector; behind them are the disk's identity and the table
_KERNEL_SECTOR = 0x5C  # in boot.img: where core.img begins (GRUB_BOOT_MACHINE_KERNEL_SECTOR)
_DRIVE_CHECK = 0x66  # in boot.img: a jump that grub-bios-setup replaces by two no-ops on hard disks
_BLOCK_LIST = 0x1F4  # in core.img: where its second sector is


class Table(StrEnum):
    """How the disk says where its partitions are."""

    MBR = "mbr"
    GPT = "gpt"


@dataclass(frozen=True, slots=True)
class Words:
    """What an image of a recipe is told, beside the recipe."""

    label: str  # what it calls itself
    report: str = ""  # the URL at which it says that it runs; "" for nowhere


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What disks of one recipe are made of."""

    recipe: Recipe
    parts: Parts


def gather(
    recipe_dir: Path, *, cache: Path, progress: Callable[[str], None], run: Run = run_tool
) -> Ingredients:
    """Fetch what the recipe needs; raises `BadRecipe` or `BuildFailed`."""
    recipe = recipes.load(recipe_dir)
    if recipe.root_mb is None:
        way_out = f"a memory image is made by bootd memory build {recipe.name}"
        raise BuildFailed(f"{recipe.name} is no recipe of a disk: it has no [disk]", way_out)
    return Ingredients(recipe, image.gather(recipe, Packages(cache / "packages", progress, run), progress))


def write(of: Ingredients, output: Path, words: Words, table: Table = Table.GPT) -> Path:
    """Write a disk to *output*, whole or not at all; raises `BuildFailed`."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".disk-") as name:
        scratch = Path(name)
        boot = _boot_partition(scratch, of.recipe, of.parts)
        entries = root_entries(of.recipe, of.parts.busybox, words)
        root = filesystems.ext4(scratch / "root", (of.recipe.root_mb or 0) * _MIB, "root", entries)
        return _assemble(scratch, of.recipe, table, boot, root).replace(output)


# -- what is in its partitions ---------------------------------------------------------------


def root_entries(recipe: Recipe, busybox: bytes, words: Words) -> Iterator[cpio.Entry]:
    """Return everything in the root file system."""
    for folder in ("dev", "proc", "sys", "run", "tmp", "root", "sbin", "usr/bin", "usr/sbin", "var"):
        yield cpio.directory(folder)
    yield cpio.regular("bin/busybox", busybox, executable=True)
    yield cpio.symlink("bin/sh", "busybox")
    yield cpio.symlink("sbin/init", "../bin/busybox")
    yield cpio.regular("etc/bootd-image", f"{words.label}\n".encode())
    yield cpio.regular("etc/bootd-report", f"{words.report}\n".encode())
    for path in sorted(recipe.root.rglob("*")):
        if path.is_file():
            executable = bool(path.stat().st_mode & stat.S_IXUSR)
            name = path.relative_to(recipe.root).as_posix()
            yield cpio.regular(name, path.read_bytes(), executable=executable)


def _boot_partition(scratch: Path, recipe: Recipe, parts: Parts) -> Path:
    efi = _grub(scratch, "x86_64-efi", "/grub", (*_TABLES, *_MODULES, "all_video", "gfxterm"))
    files = {
        "/vmlinuz": parts.kernel,
        "/initrd.gz": parts.initrd,
        "/grub/grub.cfg": menu(recipe).encode(),
        "/EFI/BOOT/BOOTX64.EFI": efi,
    }
    size = max(_SMALLEST_FAT32, -(-(sum(map(len, files.values())) + _SLACK) // _MIB) * _MIB)
    return filesystems.fat(scratch / "boot", size, "BOOT", files)


def menu(recipe: Recipe) -> str:
    """Return GRUB's configuration: there is nothing to choose."""
    return f"""\
set timeout=0
menuentry "{recipe.name}" {{
  echo "bootd: {recipe.name} loads its kernel from ($root)"
  linux ($root)/vmlinuz {recipe.cmdline}
  initrd ($root)/initrd.gz
}}
"""


def _grub(scratch: Path, form: str, prefix: str, modules: tuple[str, ...]) -> bytes:
    argv = ["grub-mkimage", "-O", form, "-p", prefix, "-o", "grub.out", *modules]
    tools.run(argv, scratch)
    return (scratch / "grub.out").read_bytes()


# -- the whole of it -------------------------------------------------------------------------


def _assemble(scratch: Path, recipe: Recipe, table: Table, boot: Path, root: Path) -> Path:
    boot_start = _ALIGNED
    root_start = boot_start + boot.stat().st_size // SECTOR
    end = root_start + root.stat().st_size // SECTOR
    disk = scratch / "disk"
    with disk.open("wb") as file:
        file.truncate((end + (_GPT_END if table is Table.GPT else 0)) * SECTOR)
    starts = {"boot": (boot_start, root_start - boot_start), "root": (root_start, end - root_start)}
    tools.run(["sfdisk", "-q", "disk"], scratch, layout(recipe.name, table, starts))
    place = "msdos1" if table is Table.MBR else "gpt1"
    core_at = 1 if table is Table.MBR else 34
    modules = ("biosdisk", *_TABLES, *_MODULES)
    core = bytearray(_grub(scratch, "i386-pc", f"(,{place})/grub", modules))
    if core_at + len(core) // SECTOR + 1 > _ALIGNED:
        raise BuildFailed(f"GRUB for BIOS has {len(core)} octets and does not fit", "take out some modules")
    struct.pack_into("<Q", core, _BLOCK_LIST, core_at + 1)
    with disk.open("r+b") as file:
        file.write(boot_code(_image("boot.img"), core_at))
        for start, data in ((core_at, bytes(core)), (boot_start, boot), (root_start, root)):
            file.seek(start * SECTOR)
            _copy(file, data)
    return disk


def layout(name: str, table: Table, starts: Mapping[str, tuple[int, int]]) -> str:
    """Return what sfdisk is told; identities follow from the recipe's name."""
    (boot, boot_size), (root, root_size) = starts["boot"], starts["root"]
    own = filesystems.identity("disk", name)
    if table is Table.MBR:
        return (
            f"label: dos\nlabel-id: {own.fields[0]:#010x}\n"
            f"start={boot}, size={boot_size}, type=ef, bootable\n"
            f"start={root}, size={root_size}, type=83\n"
        )
    kinds = {
        "boot": (boot, boot_size, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
        "root": (root, root_size, "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"),
        "bios": (34, _ALIGNED - 34, "21686148-6449-6E6F-744E-656564454649"),
    }
    rows = [
        f"start={start}, size={size}, type={kind}, name={part}, uuid={filesystems.identity(name, part)}"
        for part, (start, size, kind) in kinds.items()
    ]
    return "\n".join([f"label: gpt\nlabel-id: {own}\nfirst-lba: 34", *rows, ""])


def boot_code(image: bytes, core_at: int) -> bytes:
    """Return the code of the first sector, told where the rest of GRUB is."""
    code = bytearray(image[:_BOOT_CODE])
    struct.pack_into("<Q", code, _KERNEL_SECTOR, core_at)
    code[_DRIVE_CHECK : _DRIVE_CHECK + 2] = b"\x90\x90"
    return bytes(code)


def _image(name: str) -> bytes:
    try:
        return (_GRUB / name).read_bytes()
    except FileNotFoundError as error:
        raise BuildFailed(f"{_GRUB / name} is missing", "apt-get install grub-pc-bin") from error


def _copy(file: BinaryIO, data: bytes | Path) -> None:
    """Write *data*, leaving out its zeros: the file behind is sparse."""
    whole = data if isinstance(data, bytes) else data.read_bytes()
    at = file.tell()
    for offset in range(0, len(whole), _MIB):
        chunk = whole[offset : offset + _MIB]
        if chunk.strip(b"\0"):
            file.seek(at + offset)
            file.write(chunk)
