"""Programs made of GRUB's modules with a configuration inside; the tools are Debian's."""

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bootd.imagebuild.errors import BuildFailed


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of program ``grub-mkimage`` makes."""

    format: str  # as grub-mkimage names it
    modules: str  # folder of its modules below /usr/lib/grub; the package grub-… brings it
    package: str


TOOL = "grub-mkimage"
PC_NETWORK = Platform("i386-pc-pxe", "i386-pc", "grub-pc-bin")
X64_EFI = Platform("x86_64-efi", "x86_64-efi", "grub-efi-amd64-bin")


def build(output: Path, platform: Platform, config: str, modules: Sequence[str], *, what: str) -> Path:
    """Write a program that runs *config* to *output*, whole or not at all.

    A configuration embedded with ``-c`` is run by GRUB's rescue parser, which knows neither
    ``for`` nor ``if``, so the real one travels in a memory disk. Raises `BuildFailed`, which
    names *what* is not made, where the tools are not installed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as scratch_name:
        scratch = Path(scratch_name)
        (scratch / "early.cfg").write_text("normal (memdisk)/grub.cfg\n")
        (scratch / "memdisk.tar").write_bytes(_tar("grub.cfg", config.encode()))
        argv = [TOOL, "-O", platform.format, "-p", "(memdisk)/", "-c", "early.cfg"]
        argv += ["-m", "memdisk.tar", "-o", "out", "memdisk", "tar", "normal", *modules]
        try:
            done = subprocess.run(argv, cwd=scratch, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise _missing(what, platform) from error
        if done.returncode != 0:
            raise _missing(what, platform, done.stderr.strip().splitlines()[-1:])
        return (scratch / "out").replace(output)


def _tar(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo(name)  # its owner and time are 0
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _missing(what: str, platform: Platform, said: Sequence[str] = ()) -> BuildFailed:
    why = f": {said[0]}" if said else ""
    return BuildFailed(f"{what} cannot be made{why}", f"apt-get install grub-common {platform.package}")
