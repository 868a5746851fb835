"""Folders as Clonezilla saves them, made from small data: a GPT disk with ext4, swap and vfat."""

import bz2
import gzip
import hashlib
import lzma
import random
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SFDISK = """\
label: gpt
label-id: 9F9B2751-B74E-464B-B8D5-2AAED2144DAC
device: /dev/sda
unit: sectors
first-lba: 2048
last-lba: 131038
sector-size: 512

/dev/sda1 : start=        2048, size=       40960, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
/dev/sda2 : start=       43008, size=       16384, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F
/dev/sda3 : start=       59392, size=       69632, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
"""
PARTED = """\
Model: ATA QEMU HARDDISK (scsi)
Disk /dev/sda: 131072s
Sector size (logical/physical): 512B/512B
Partition Table: gpt
Disk Flags:

Number  Start   End      Size    File system     Name  Flags
 1      2048s   43007s   40960s  ext4
 2      43008s  59391s   16384s  linux-swap(v1)
 3      59392s  129023s  69632s  fat16                 boot, esp
"""
DEV_FS = """\
# <Device name>   <File system>   <Size>
# File system is got from ocs-get-dev-info. It might be different from that of blkid or parted.
/dev/sda1 ext4 20M
/dev/sda3 vfat 34M
/dev/sda2 swap 8M
"""
BLKDEV = """\
KNAME NAME    SIZE TYPE FSTYPE MOUNTPOINT MODEL
sda   sda      64M disk                   QEMU HARDDISK
sda1  |-sda1   20M part ext4
sda2  |-sda2    8M part swap
sda3  `-sda3   34M part vfat
"""
LOG = """\
This image was saved by Clonezilla at 2023-05-17 12:03:45 UTC.
The log during saving:
----------------------------------------------------------
Starting to clone device (/dev/sda1) to image (-)
File system:  EXTFS
Device size:   21.0 MB = 20480 Blocks
Space in use:   5.1 kB = 5 Blocks
Free Space:    21.0 MB = 20475 Blocks
Block size:   1024 Byte
Starting to clone device (/dev/sda3) to image (-)
File system:  FAT16
Device size:   35.7 MB = 69632 Blocks
Space in use:   1.5 kB = 3 Blocks
Block size:   512 Byte
### End of log ###
### Image created time: 2023-0517-1203
"""
_PACK = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "uncomp": lambda data: data,
    "zst": lambda data: b"\x28\xb5\x2f\xfd" + data,  # only its mark is ever looked at
    "lz4": lambda data: b"\x04\x22\x4d\x18" + data,
}


def partclone(system: str, *, blocks: int, used: int, block: int, seed: int = 1) -> bytes:
    """Return an image of version 0002 as partclone 0.3.23 writes it; its blocks are noise."""
    head = struct.pack("<16s14s4sH16sQQQQII", b"partclone-image", b"0.3.23", b"0002", 0xC0DE, system.encode(),
                       blocks * block, blocks, used, used, block, 18)  # fmt: skip
    head += struct.pack("<HHHHIBB", 2, 64, 32, 4, 1024, 1, 1)
    noise = random.Random(seed)
    bitmap = noise.randbytes((blocks + 7) // 8)
    return head + b"crc." + bitmap + b"crc." + noise.randbytes(used * block) + b"crc."


def part_files(base: str, data: bytes, compression: str, split: int | None) -> dict[str, bytes]:
    """Return the files of one partition."""
    packed = _PACK[compression](data)
    name = f"{base}-ptcl-img.{compression}"
    if split is None:
        return {name: packed}
    chunks = [packed[at : at + split] for at in range(0, len(packed), split)]
    return {f"{name}.a{chr(ord('a') + n)}": chunk for n, chunk in enumerate(chunks)}


def clonezilla_files(*, compression: str = "gz", split: int | None = 4000) -> dict[str, bytes]:
    """Return the files of a saved disk."""
    root = partclone("EXTFS", blocks=20480, used=5, block=1024)
    esp = partclone("FAT16", blocks=69632, used=3, block=512, seed=2)
    return {
        "disk": b"sda\n",
        "parts": b"sda1 sda3\n",
        "dev-fs.list": DEV_FS.encode(),
        "blkdev.list": BLKDEV.encode(),
        "sda-pt.sf": SFDISK.encode(),
        "sda-pt.parted": PARTED.encode(),
        "sda-mbr": bytes(510) + b"\x55\xaa",
        "sda-gpt-1st": bytes(17408),
        "swappt-sda2.info": b'UUID="9f0f3d29-19ef-4c3f-8a57-0a6f46a1e1f7"\nLABEL=""\n',
        "clonezilla-img": LOG.encode(),
        "Info-img-id.txt": f"IMG_ID={hashlib.sha512(LOG.encode()).hexdigest()}\n".encode(),
        "Info-lshw.txt": b"qemu\n",
        **part_files("sda1.ext4", root, compression, split),
        **part_files("sda3.vfat", esp, compression, None),
    }


def with_sums(files: Mapping[str, bytes], file: str = "MD5SUMS", algorithm: str = "md5") -> dict[str, bytes]:
    """Return *files* with the checksum file that Clonezilla makes on demand."""
    lines = [f"{hashlib.new(algorithm, data).hexdigest()}  {name}\n" for name, data in sorted(files.items())]
    return {**files, file: "".join(lines).encode()}


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write *files* into *folder*, made with those above it; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@dataclass(frozen=True, slots=True)
class MemoryFolder:
    """A folder that is not on any disk."""

    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        return {name: len(data) for name, data in self.files.items()}

    def head(self, name: str, limit: int) -> bytes:
        return self.files[name][:limit]

    def tail(self, name: str, limit: int) -> bytes:
        return self.files[name][-limit:]


def qcow2(
    *, version: int = 3, backing: int = 0, crypt: int = 0, features: int = 0, size: int = 1 << 20
) -> bytes:
    """Return an empty qcow2 disk of *size* octets in clusters of 64 KiB, with the flaws that are named."""
    cluster = 1 << 16
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", version, backing, 9 if backing else 0, 16, size, crypt,
                       1, 3 * cluster, cluster, 1, 0, 0)  # fmt: skip
    head += struct.pack(">QQQII", features, 0, 0, 4, 104)
    return head.ljust(4 * cluster, b"\0")
