"""A small EFI program that starts the operating system on the machine's own disk.

iPXE on UEFI cannot: `sanboot --drive` finds no local disk ("No such device"), and
`exit 1` makes OVMF try every other network option first, which takes a minute. A
GRUB that looks for the usual loader names on every disk takes a tenth of a second
(measured with Debian's snponly.efi on OVMF, virtio and AHCI disks).

GRUB 2.06 fact this stands on: its language has no ``&&``.
"""

from collections.abc import Sequence
from pathlib import Path

from bootd.imagebuild import grubimage

NAME = "localboot-x64.efi"

# The removable-media path first: it is what firmware itself would start on a disk without boot entries.
LOADERS = (
    "/EFI/BOOT/BOOTX64.EFI",
    "/EFI/debian/shimx64.efi",
    "/EFI/debian/grubx64.efi",
    "/EFI/ubuntu/shimx64.efi",
    "/EFI/fedora/shimx64.efi",
    "/EFI/rocky/shimx64.efi",
    "/EFI/almalinux/shimx64.efi",
    "/EFI/centos/shimx64.efi",
    "/EFI/redhat/shimx64.efi",
    "/EFI/opensuse/shim.efi",
    "/EFI/systemd/systemd-bootx64.efi",
    "/EFI/Microsoft/Boot/bootmgfw.efi",
)
MODULES = (
    *("part_gpt", "part_msdos", "fat", "iso9660"),
    *("configfile", "test", "search", "search_fs_file"),
    *("chain", "boot", "echo", "sleep", "minicmd"),
)


def config(loaders: Sequence[str] = LOADERS) -> str:
    """Return the GRUB configuration: start the first of *loaders* that is on a disk."""
    return f"""\
for file in {" ".join(loaders)}; do
  if search --no-floppy --file --set=root $file; then
    echo "bootd: starting ($root)$file"
    chainloader ($root)$file
    boot
  fi
done
echo "bootd: no boot loader on any disk of this machine"
sleep 5
exit
"""


def build(output: Path, loaders: Sequence[str] = LOADERS) -> Path:
    """Write the program to *output*; raises `BuildFailed` where Debian's GRUB tools are not installed."""
    what = "the local-boot program for UEFI"
    return grubimage.build(output, grubimage.X64_EFI, config(loaders), MODULES, what=what)
