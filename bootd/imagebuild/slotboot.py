"""Small programs that start one slot of a machine's disk: for BIOS and for UEFI, one for each slot.

iPXE cannot start a partition. A GRUB that holds the number of the slot can, and needs no network
of its own: what GRUB does with a card that iPXE has just used differs from card to card, and GRUB
does not understand a boot server beside the DHCP server. Where the slot does not start, the
default of the disk itself does.

An XFS has its own octets where a boot sector would be: where there is none, the menu in the slot,
``/boot/grub/grub.cfg``, is carried out.

UEFI: a slot's program is ``/EFI/slot7/BOOTX64.EFI`` on any file system GRUB reads (the machine's
EFI system partition), else ``/EFI/BOOT/BOOTX64.EFI`` in the slot; else the menu in the slot,
``/boot/grub/grub.cfg``, is carried out, so that a kernel without a loader of its own starts too.
The program on the ESP of a disk that bootd divided starts slots likewise, from a menu.
"""

from pathlib import Path

from bootd.imagebuild import efilocal, grubimage
from bootd.imagebuild.grubimage import PC_NETWORK, X64_EFI
from netboot.arch import Firmware

_COMMON = ("part_msdos", "part_gpt", "test", "chain", "boot", "echo", "sleep", "minicmd")
# What menus in slots load: the modules that lie beside them would not fit this GRUB.
_MENU = (
    *("ext2", "fat", "xfs", "btrfs", "search", "search_fs_file", "search_fs_uuid", "search_label"),
    *("configfile", "linux", "gzio", "xzio", "zstd", "loadenv", "regexp", "true", "halt", "reboot"),
    *("ls", "cat", "serial", "terminal", "all_video", "font", "gettext"),
)
PC_MODULES = ("biosdisk", "linux16", *_COMMON, *_MENU)
EFI_MODULES = ("gfxterm", *_COMMON, *_MENU)
_DEFAULT_AFTER_S = 10  # a person can read why
ESP_MENU = "/EFI/bootd/grub.cfg"  # beside it: grubenv, which says what starts by itself


def pc_config(disk: str, slot: int) -> str:
    """Return the GRUB configuration that starts partition *slot* of *disk* by its boot sector."""
    return f"""\
echo "bootd: starting slot {slot} ({disk},msdos{slot})"
set root={disk},msdos{slot}
if chainloader +1; then
  boot
fi
{_carry_out_menu()}
echo "bootd: slot {slot} of {disk} does not start: the default of the disk itself"
sleep --interruptible {_DEFAULT_AFTER_S}
set root={disk}
if chainloader +1; then
  boot
fi
exit
"""


def efi_config(disk: str, slot: int) -> str:
    """Return the GRUB configuration that starts the EFI program or the menu of *slot*.

    A disk that bootd divided is found by its ESP: firmware has its own order of disks.
    """
    return f"""\
set disk={disk}
if search --no-floppy --file --set=esp {ESP_MENU}; then
  regexp --set=1:disk '^([^,]*)' "$esp"
fi
echo "bootd: starting slot {slot} ($disk,{slot})"
if search --no-floppy --file --set=root /EFI/slot{slot}/BOOTX64.EFI; then
  if chainloader ($root)/EFI/slot{slot}/BOOTX64.EFI; then
    boot
  fi
fi
{_start_by_efi(f"$disk,{slot}")}
echo "bootd: slot {slot} of $disk does not start: the default of the disk itself"
sleep --interruptible {_DEFAULT_AFTER_S}
{efilocal.config()}"""


def _start_by_efi(partition: str) -> str:
    return f"""\
set root={partition}
if [ -e ($root)/EFI/BOOT/BOOTX64.EFI ]; then
  if chainloader ($root)/EFI/BOOT/BOOTX64.EFI; then
    boot
  fi
fi
{_carry_out_menu()}"""


def _carry_out_menu() -> str:
    return """\
if [ -e ($root)/boot/grub/grub.cfg ]; then
  set prefix=($root)/boot/grub
  configfile ($root)/boot/grub/grub.cfg
fi"""


def menu_config() -> str:
    """Return the GRUB configuration that carries out the menu of the ESP it was started from.

    That menu (the imager writes it: it knows the slots) has ``start_slot 7`` for the slot 7 of the
    same disk. What it names as the way to the ESP is UEFI's word for where this program lies.
    """
    return f"""\
function start_slot {{
  echo "bootd: slot $1 ($disk,gpt$1)"
  if [ -e ($esp)/EFI/slot$1/BOOTX64.EFI ]; then
    if chainloader ($esp)/EFI/slot$1/BOOTX64.EFI; then
      boot
    fi
  fi
{_start_by_efi("$disk,gpt$1")}
  echo "bootd: slot $1 does not start"
  sleep --interruptible {_DEFAULT_AFTER_S}
}}
regexp --set=1:esp '^\\(([^)]*)\\)' "$cmdpath"
if [ ! -e ($esp){ESP_MENU} ]; then
  search --no-floppy --file --set=esp {ESP_MENU}
fi
regexp --set=1:disk '^([^,]*)' "$esp"
export esp disk
set root=$esp
configfile ($esp){ESP_MENU}
"""


def build_menu(output: Path) -> Path:
    """Write the program for EFI system partitions to *output*; raises `BuildFailed` as `build` does."""
    return grubimage.build(output, X64_EFI, menu_config(), EFI_MODULES, what="the menu of slots (UEFI)")


def build(output: Path, firmware: Firmware, disk: str, slot: int) -> Path:
    """Write the program to *output*; raises `BuildFailed` where Debian's GRUB tools are not installed."""
    what = f"the program for slots ({firmware.value})"
    if firmware is Firmware.UEFI:
        return grubimage.build(output, X64_EFI, efi_config(disk, slot), EFI_MODULES, what=what)
    return grubimage.build(output, PC_NETWORK, pc_config(disk, slot), PC_MODULES, what=what)
