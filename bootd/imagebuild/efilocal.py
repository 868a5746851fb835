"""A small EFI program that starts the operating system on the machine's own disk.

iPXE on UEFI cannot: `sanboot --drive` finds no local disk ("No such device"), and
`exit 1` makes OVMF try every other network option first, which takes a minute. A
GRUB that looks for the usual loader names on every disk takes a tenth of a second
(measured with Debian's snponly.efi on OVMF, virtio and AHCI disks).

GRUB 2.06 facts this stands on: a configuration embedded with ``-c`` is run by the
rescue parser, which knows neither ``for`` nor ``if``, so the real one travels in
a memory disk; its language has no ``&&``.
"""

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bootd.imagebuild.errors import BuildFailed

FORMAT = "x86_64-efi"
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
_MODULES = (
    *("memdisk", "tar", "part_gpt", "part_msdos", "fat", "iso9660"),
    *("normal", "configfile", "test", "search", "search_fs_file"),
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
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as scratch_name:
        scratch = Path(scratch_name)
        (scratch / "early.cfg").write_text("normal (memdisk)/grub.cfg\n")
        (scratch / "memdisk.tar").write_bytes(_tar("grub.cfg", config(loaders).encode()))
        argv = ["grub-mkimage", "-O", FORMAT, "-p", "(memdisk)/", "-c", "early.cfg", "-m", "memdisk.tar"]
        try:
            done = subprocess.run(
                [*argv, "-o", "out.efi", *_MODULES], cwd=scratch, capture_output=True, text=True, check=False
            )
        except FileNotFoundError as error:
            raise _missing() from error
        if done.returncode != 0:
            raise _missing(done.stderr.strip().splitlines()[-1:])
        return (scratch / "out.efi").replace(output)


def _tar(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo(name)  # its owner and time are 0
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _missing(said: Sequence[str] = ()) -> BuildFailed:
    why = f": {said[0]}" if said else ""
    return BuildFailed(
        f"the local-boot program for UEFI cannot be made{why}",
        "apt-get install grub-common grub-efi-amd64-bin",
    )
