"""Build a partition that boots from a slot: GRUB's menu, kernel, initramfs and root file system in one ext4.

It has no boot sector: the imager puts GRUB in front of the slot it comes to. Nothing is mounted and
no root is needed; the same recipe, packages and words give the same bytes.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bootd.imagebuild import cpio, filesystems
from bootd.imagebuild.disk import Ingredients, Words, root_entries
from bootd.imagebuild.recipe import Recipe

_MIB = 1 << 20
_LABEL = "slot"  # its UUID follows from it; the imager gives each slot one of its own


def write(of: Ingredients, output: Path, words: Words) -> Path:
    """Write the partition to *output*, whole or not at all; raises `BuildFailed`."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".partition-") as name:
        size = (of.recipe.root_mb or 0) * _MIB
        made = filesystems.ext4(Path(name) / "slot", size, _LABEL, entries(of, words))
        return made.replace(output)


def entries(of: Ingredients, words: Words) -> Iterator[cpio.Entry]:
    """Return everything in the file system; of two with one name the later one counts."""
    own = f"UUID={filesystems.identity('ext4', _LABEL)}"
    for name, path in of.recipe.files.items():  # what its initramfs knows, it knows too, or better
        yield cpio.regular(name, path.read_bytes(), executable=bool(path.stat().st_mode & 0o100))
    yield from root_entries(of.recipe, of.parts.busybox, words)
    yield cpio.directory("mnt")
    yield cpio.regular("boot/vmlinuz", of.parts.kernel)
    yield cpio.regular("boot/initrd.gz", of.parts.initrd)
    yield cpio.regular("boot/grub/grub.cfg", menu(of.recipe, own).encode())
    yield cpio.regular("etc/fstab", f"{own} / ext4 defaults,noatime 0 1\n".encode())


def menu(recipe: Recipe, own: str) -> str:
    """Return GRUB's configuration: there is nothing to choose."""
    return f"""\
set timeout=0
search --no-floppy --fs-uuid --set=root {own.removeprefix("UUID=")}
menuentry "{recipe.name}" {{
  echo "bootd: {recipe.name} loads its kernel from ($root)"
  linux /boot/vmlinuz root={own} {recipe.cmdline}
  initrd /boot/initrd.gz
}}
"""
