"""Disks made by the real tools and saved as Clonezilla saves them: partclone's output, split and packed.

What `clonezilla` itself does around partclone (ocs-functions of drbl 5.2) is done here by hand, as it
wants real block devices.
"""

import random
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.unpacking import PATH, run

PACKERS: Mapping[str, Sequence[str]] = {
    "gz": ("gzip", "-c"),
    "zst": ("zstd", "-cq"),
    "xz": ("xz", "-c", "-0"),
    "lzma": ("xz", "--format=lzma", "-c", "-0"),
    "bz2": ("bzip2", "-c"),
    "lz4": ("lz4", "-cq"),
    "uncomp": ("cat",),
}
SWAP = "9f0f3d29-19ef-4c3f-8a57-0a6f46a1e1f7"
MBR = """\
label: dos
label-id: 0x1badcafe
unit: sectors
/dev/sda1 : start=2048, size=24576, type=83, bootable
/dev/sda2 : start=26624, size=94208, type=5
/dev/sda5 : start=28672, size=16384, type=82
/dev/sda6 : start=47104, size=73728, type=c
"""
GPT = """\
label: gpt
label-id: 9F9B2751-B74E-464B-B8D5-2AAED2144DAC
unit: sectors
first-lba: 34
/dev/sda1 : start=2048, size=73728, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="EFI System"
/dev/sda2 : start=75776, size=24576, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="the, root", \
attrs="LegacyBIOSBootable GUID:48"
/dev/sda3 : start=100352, size=16384, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, name="swap"
"""
FILES = {
    "etc/hostname": b"node\n",
    "noise": random.Random(5).randbytes(3 << 20),
    "loader": b"MZ" + bytes(70000),
}
_ROW = re.compile(r"^/dev/sda(\d+) : start= *(\d+), size= *(\d+), type=([0-9A-Fa-f-]+)", re.MULTILINE)
_KINDS = {"83": "ext4", "82": "swap", "c": "vfat", "5": "", "C12A": "vfat", "0FC6": "ext4", "0657": "swap"}


@dataclass(frozen=True)
class Part:
    """A partition, in octets; its file system is in a file of its own until the disk is put together."""

    number: int
    start: int
    size: int
    system: str

    def fill(self, path: Path, files: Mapping[str, bytes]) -> None:
        """Make the file system, with *files* in it."""
        with path.open("wb") as file:
            file.truncate(self.size)
        tree = path.with_suffix(".tree")
        for name, octets in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(octets)
        if self.system == "ext4":
            run("mke2fs", "-q", "-t", "ext4", "-d", tree, path)
        elif self.system == "vfat":
            run("mkfs.vfat", "-F", "32", path)
            run("mcopy", "-s", "-i", path, *tree.iterdir(), "::/")
        elif self.system == "swap":
            path.chmod(0o600)
            run("mkswap", "-q", "-U", SWAP, "-L", "resume", path)


class GenuineDisk:
    """A disk of *sectors* with the partitions of an sfdisk script, made in *folder*."""

    def __init__(
        self, folder: Path, script: str, sectors: int = 131072, files: Mapping[str, bytes] = FILES
    ) -> None:
        folder.mkdir(parents=True)
        self.folder, self.path, self.sectors = folder, folder / "sda", sectors
        self.label = "gpt" if "label: gpt" in script else "dos"
        with self.path.open("wb") as file:
            file.truncate(sectors * 512)
        run("sfdisk", "-q", "--no-reread", self.path, text=script)
        self.parts = parts_of(self.path)
        for part in self.parts:
            if part.system:
                part.fill(self.file(part), files)
                self._put(part.start, self.file(part).read_bytes())
        self._put(0, b"boot code".ljust(440, b"\x90"))
        if self.label == "dos":
            self._put(512, b"GRUB's core image hides here".ljust(30000, b"\xcc"))
        for part in self.extended():
            self._put(part.start, b"code of the extended partition")

    def file(self, part: Part) -> Path:
        return self.folder / f"sda{part.number}"

    def extended(self) -> list[Part]:
        return [part for part in self.parts if not part.system]

    def _put(self, start: int, octets: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(start)
            file.write(octets)

    def octets(self, start: int, size: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(size)

    def save(
        self, to: Path, compression: str = "gz", split: int | None = None, raw: Sequence[int] = ()
    ) -> Path:
        """Save it to the folder *to*; partitions named in *raw* octet by octet, as what no tool knows."""
        to.mkdir(parents=True, exist_ok=True)
        saved = [part for part in self.parts if part.system not in ("", "swap")]
        dump = run("sfdisk", "-d", self.path).replace(str(self.path), "/dev/sda")
        label = {"dos": "msdos"}.get(self.label, self.label)
        texts = {
            "disk": "sda\n",
            "parts": " ".join(f"sda{part.number}" for part in saved) + "\n",
            "dev-fs.list": "".join(f"/dev/sda{part.number} {part.system} 1M\n" for part in saved),
            "sda-pt.sf": dump,
            "sda-pt.parted": f"Disk /dev/sda: {self.sectors}s\nSector size (logical/physical): 512B/512B\n"
            f"Partition Table: {label}\n",
            "clonezilla-img": "This image was saved by Clonezilla at 2026-01-05 12:00:00 UTC.\n",
        }
        for part in self.parts:
            if part.system == "swap":
                texts[f"swappt-sda{part.number}.info"] = f'UUID="{SWAP}"\nLABEL="resume"\n'
        for name, text in texts.items():
            (to / name).write_text(text)
        (to / "sda-mbr").write_bytes(self.octets(0, 512))
        (to / "sda-hidden-data-after-mbr").write_bytes(self.octets(512, 2047 * 512))
        for part in self.extended():
            (to / f"sda{part.number}-ebr").write_bytes(self.octets(part.start, 512))
        for part in saved:
            self._save_part(part, to, compression, split, part.number in raw)
        return to

    def _save_part(self, part: Part, to: Path, compression: str, split: int | None, is_raw: bool) -> None:
        source = self.file(part)
        if is_raw:
            image = source
        else:
            image = self.folder / f"sda{part.number}.img"
            if not image.exists():
                tool = {"ext4": "partclone.extfs", "vfat": "partclone.vfat"}[part.system]
                run(tool, "-q", "-f", "0", "-c", "-s", source, "-o", image, "-L", self.folder / "log")
        kind = "dd" if is_raw else part.system
        name = f"sda{part.number}.{kind}-ptcl-img.{compression}"
        with image.open("rb") as reading, (to / name).open("wb") as packed:
            subprocess.run(PACKERS[compression], stdin=reading, stdout=packed, env=PATH, check=True)
        if split:
            run("split", "-a", "2", "-b", str(split), to / name, f"{to / name}.")
            (to / name).unlink()


def parts_of(disk: Path) -> list[Part]:
    """Return the partitions that the table of *disk* has."""
    dump = run("sfdisk", "-d", disk).replace(str(disk), "/dev/sda")
    return [
        Part(int(number), int(start) * 512, int(size) * 512, _KINDS[kind[:4]])
        for number, start, size, kind in _ROW.findall(dump)
    ]


def check_parts(disk: Path, work: Path) -> None:
    """Carve every partition out of *disk* and have its own tools look at it; `FILES` must be in it."""
    work.mkdir()
    for part in parts_of(disk):
        path = work / f"carved{part.number}"
        run(
            "dd",
            f"if={disk}",
            f"of={path}",
            "bs=512",
            f"skip={part.start // 512}",
            f"count={part.size // 512}",
        )
        if part.system == "ext4":
            run("e2fsck", "-f", "-n", path)
            found = {name: _from_ext4(path, name) for name in FILES}
            assert found == FILES
        elif part.system == "vfat":
            run("fsck.vfat", "-n", path)
            found = {name: _from_vfat(path, name) for name in FILES}
            assert found == FILES
        elif part.system == "swap":
            said = run("blkid", "-p", path)
            assert f'UUID="{SWAP}"' in said
            assert 'LABEL="resume"' in said
            assert 'TYPE="swap"' in said


def _from_ext4(path: Path, name: str) -> bytes:
    run("debugfs", "-R", f"dump /{name} {path}.out", path)
    return Path(f"{path}.out").read_bytes()


def _from_vfat(path: Path, name: str) -> bytes:
    run("mcopy", "-n", "-o", "-i", path, f"::/{name}", f"{path}.out")
    return Path(f"{path}.out").read_bytes()
