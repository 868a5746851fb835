"""What a script must know of a slot or a LUN: GRUB's word for the disk, our helper, the way to the LUN."""

import re
from dataclasses import dataclass

from bootd.model import LunClone
from netboot.arch import Firmware
from netboot.errors import LocalError

HELPERS = "loaders"  # folder under /files/ of the programs that start slots
_DISK = re.compile(r"/dev/(?:(?:sd|vd|hd|xvd)(?P<letter>[a-z])|nvme(?P<nvme>[0-9])n1p)(?:[0-9]+)\Z")
_PLAIN = re.compile(r"[A-Za-z0-9._~-]{1,64}\Z")
_ISCSI_PORT = "3260"


@dataclass(frozen=True, slots=True)
class Chap:
    """How a node proves to the target who it is; never in an address, a log or a trace."""

    user: str
    secret: str

    def __repr__(self) -> str:
        return f"Chap({self.user!r}, ***)"


def grub_disk(device: str) -> str:
    """Return the disk of the partition *device* as GRUB counts: ``hd0`` for /dev/sda7.

    Linux's order is taken for the firmware's: right for the one disk of a mesh node. An unknown
    name is the first disk, which is what the firmware would boot.
    """
    match = _DISK.match(device)
    if match is None:
        return "hd0"
    if match["nvme"]:
        return f"hd{match['nvme']}"
    return f"hd{ord(match['letter']) - ord('a')}"


def slot_helper(firmware: Firmware, disk: str, slot: int) -> str:
    """Return the name under /files/ of the program that starts *slot* of *disk*."""
    ending = "x64.efi" if firmware is Firmware.UEFI else "pc.0"
    return f"{HELPERS}/slot{slot}-{disk}-{ending}"


CORE_BOOT = f"{HELPERS}/core-boot.img"  # name under /files/ of the first sector that starts a core


EFI_MENU = f"{HELPERS}/menu-x64.efi"  # the same of the program on EFI system partitions: the menu of slots


def core_file(partition: int) -> str:
    """Return the name under /files/ of the GRUB on disks that carries out the menu on *partition*."""
    return f"{HELPERS}/core{partition}-pc.img"


def lun_uris(clone: LunClone) -> list[str]:
    """Return one address for each portal of *clone* (RFC 4173 section 5), the first to be tried first.

    The LUN is written in hexadecimal. Raises `LocalError` for a portal that is none.
    """
    return [_uri(portal, clone) for portal in clone.portals]


def _uri(portal: str, clone: LunClone) -> str:
    server, colon, port = portal.rpartition(":")
    if not colon or not server or not port.isdigit():
        raise LocalError(f"not a portal of the form ADDRESS:PORT: {portal!r}")
    return f"iscsi:{server}::{'' if port == _ISCSI_PORT else port}:{clone.lun:x}:{clone.target}"


def check_chap(chap: Chap) -> Chap:
    """Return *chap* if scripts can carry it; raises `LocalError`, which does not show the secret."""
    if not _PLAIN.match(chap.secret):
        raise LocalError("the CHAP secret of its LUN holds characters that a script cannot carry")
    return chap
