"""Small programs that start one slot of a machine's disk: for BIOS and for UEFI, one for each slot.

iPXE cannot start a partition. A GRUB that holds the number of the slot can, and needs no network
of its own: what GRUB does with a card that iPXE has just used differs from card to card, and GRUB
does not understand a boot server beside the DHCP server. Where the slot does not start, the
default of the disk itself does.

UEFI: a slot's program is ``/EFI/slot7/BOOTX64.EFI`` on any file system GRUB reads (the machine's
EFI system partition), else ``/EFI/BOOT/BOOTX64.EFI`` in the slot; else the menu in the slot,
``/boot/grub/grub.cfg``, is carried out, so that a kernel without a loader of its own starts too.
"""

from pathlib import Path

from bootd.imagebuild import efilocal, grubimage
from bootd.imagebuild.grubimage import PC_NETWORK, X64_EFI
from netboot.arch import Firmware

_COMMON = ("part_msdos", "part_gpt", "test", "chain", "boot", "echo", "sleep", "minicmd")
_PC_MODULES = ("biosdisk", *_COMMON)
_EFI_MODULES = (
    *_COMMON,
    *("fat", "ext2", "search", "search_fs_file", "search_fs_uuid", "search_label"),
    *("configfile", "linux", "gzio", "all_video", "gfxterm", "loadenv", "regexp", "true", "halt", "reboot"),
)
_DEFAULT_AFTER_S = 10  # a person can read why


def pc_config(disk: str, slot: int) -> str:
    """Return the GRUB configuration that starts partition *slot* of *disk* by its boot sector."""
    return f"""\
echo "bootd: starting slot {slot} ({disk},msdos{slot})"
set root={disk},msdos{slot}
if chainloader +1; then
  boot
fi
echo "bootd: slot {slot} of {disk} does not start: the default of the disk itself"
sleep --interruptible {_DEFAULT_AFTER_S}
set root={disk}
if chainloader +1; then
  boot
fi
exit
"""


def efi_config(disk: str, slot: int) -> str:
    """Return the GRUB configuration that starts the EFI program or the menu of *slot*."""
    return f"""\
echo "bootd: starting slot {slot} ({disk},{slot})"
if search --no-floppy --file --set=root /EFI/slot{slot}/BOOTX64.EFI; then
  if chainloader ($root)/EFI/slot{slot}/BOOTX64.EFI; then
    boot
  fi
fi
set root={disk},{slot}
if [ -e ($root)/EFI/BOOT/BOOTX64.EFI ]; then
  if chainloader ($root)/EFI/BOOT/BOOTX64.EFI; then
    boot
  fi
fi
if [ -e ($root)/boot/grub/grub.cfg ]; then
  set prefix=($root)/boot/grub
  configfile ($root)/boot/grub/grub.cfg
fi
echo "bootd: slot {slot} of {disk} does not start: the default of the disk itself"
sleep --interruptible {_DEFAULT_AFTER_S}
{efilocal.config()}"""


def build(output: Path, firmware: Firmware, disk: str, slot: int) -> Path:
    """Write the program to *output*; raises `BuildFailed` where Debian's GRUB tools are not installed."""
    what = f"the program for slots ({firmware.value})"
    if firmware is Firmware.UEFI:
        return grubimage.build(output, X64_EFI, efi_config(disk, slot), _EFI_MODULES, what=what)
    return grubimage.build(output, PC_NETWORK, pc_config(disk, slot), _PC_MODULES, what=what)
