"""What the lab needs of the machine it runs on: root, and a handful of Debian packages."""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from bootd.lab.errors import LabError

# what is looked for -> the Debian package that has it; a name without "/" is searched on PATH
COMMON = {
    "ip": "iproute2",
    "dnsmasq": "dnsmasq-base",
    "qemu-system-x86_64": "qemu-system-x86",
    "/usr/lib/ipxe/undionly.kpxe": "ipxe",
    "/usr/lib/ipxe/snponly.efi": "ipxe",
    "/usr/lib/ipxe/qemu/pxe-virtio.rom": "ipxe-qemu",
    "/usr/share/OVMF/OVMF_CODE_4M.fd": "ovmf",
}
LOSS = {"nft": "nftables"}
LUNS = {"tgtd": "tgt", "qemu-img": "qemu-utils"}
IMAGING = {"udp-sender": "udpcast", "debugfs": "e2fsprogs"}
# what a disk is made with (bootd/imagebuild/tools.py)
DISKS = {
    "grub-mkimage": "grub-common",
    "/usr/lib/grub/i386-pc/boot.img": "grub-pc-bin",
    "/usr/lib/grub/x86_64-efi/normal.mod": "grub-efi-amd64-bin",
    "mcopy": "mtools",
    "mkfs.vfat": "dosfstools",
    "mke2fs": "e2fsprogs",
    "sfdisk": "fdisk",
}

_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def missing(wanted: Iterable[tuple[str, str]], exists: Callable[[str], bool] | None = None) -> list[str]:
    """Return the packages of *wanted* that are not there, each once, in order."""
    is_there = exists or _exists
    return list(dict.fromkeys(package for thing, package in wanted if not is_there(thing)))


def check(*, loss: bool = False, luns: bool = False, disks: bool = False, imaging: bool = False) -> None:
    """Raise `LabError` with everything that is missing at once."""
    check_root()
    parts = ((LOSS, loss), (LUNS, luns), (DISKS, disks), (IMAGING, imaging))
    wanted = COMMON | {
        thing: package for part, is_asked in parts if is_asked for thing, package in part.items()
    }
    packages = missing(wanted.items())
    if packages:
        raise LabError(
            "the lab needs packages that are not installed; run:\n"
            f"  apt-get install -y --no-install-recommends {' '.join(packages)}"
        )


def check_root() -> None:
    """Raise `LabError` unless we may make and remove network namespaces."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces and needs root; try it with sudo")


def environment() -> dict[str, str]:
    """Return our environment with the daemons' folders on PATH: `su` and cron leave them out."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"}


def _exists(thing: str) -> bool:
    if "/" in thing:
        return Path(thing).exists()
    return shutil.which(thing, path=environment()["PATH"]) is not None
