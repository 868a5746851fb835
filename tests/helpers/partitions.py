"""Partitions with a system to be started, as images that slots take: raw, and as Clonezilla saves parts."""

import bz2
import gzip
import lzma
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

MIB = 1 << 20
UUID = "3f1c7e0a-5d64-4c29-9b41-0c5f8e2f7a10"
_TABLE = """\
label: dos
label-id: 0x7f3e51a2
device: /dev/sda
unit: sectors
sector-size: 512

/dev/sda1 : start=        2048, size=      {sectors}, type=83, bootable
"""
_PACK: Mapping[str, Callable[[bytes], bytes]] = {
    "gz": lambda octets: gzip.compress(octets, mtime=0),
    "xz": lzma.compress,
    "lzma": lambda octets: lzma.compress(octets, lzma.FORMAT_ALONE),
    "bz2": bz2.compress,
    "uncomp": bytes,
}


def root_partition(path: Path, marker: str, *, mib: int = 24, ballast: int = 4) -> Path:
    """Write an ext4 file system whose GRUB menu says *marker*, with *ballast* MiB of noise in it."""
    fstab = (
        f"UUID={UUID} / ext4 defaults 0 1\nUUID=1111-2222 /boot/efi vfat umask=0077 0 1\n"
        "/dev/sda2 none swap sw 0 0\ntmpfs /tmp tmpfs defaults 0 0\n"
    )
    tree = _root_tree(path, marker, fstab)
    (tree / "ballast").write_bytes(random.Random(marker).randbytes(ballast * MIB))
    _truncate(path, mib)
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-U", UUID, "-d", tree, path)
    shutil.rmtree(tree)
    return path


def xfs_root(path: Path, marker: str, *, mib: int = 320, uuid: str = UUID) -> Path:
    """Write an XFS (300 MiB is the smallest) that GRUB starts as it does `root_partition`."""
    tree = _root_tree(path, marker, f"UUID={uuid} / xfs defaults 0 0\n", uuid)
    rows = ["/dev/null", "0 0", "d--755 0 0"]
    rows += ["boot d--755 0 0", "grub d--755 0 0", f"grub.cfg ---644 0 0 {tree}/boot/grub/grub.cfg", "$", "$"]
    rows += ["etc d--755 0 0", f"fstab ---644 0 0 {tree}/etc/fstab", "$", "$"]
    proto = path.with_suffix(".proto")
    proto.write_text("\n".join(rows) + "\n")
    _truncate(path, mib)
    _run("mkfs.xfs", "-q", "-f", "-m", f"uuid={uuid}", "-p", proto, path)
    return path


def btrfs_root(path: Path, marker: str, *, mib: int = 200, uuid: str = UUID) -> Path:
    """Write a btrfs whose system is in ``@rootfs``, as Debian has it."""
    subvolumes = f"UUID={uuid} / btrfs subvol=@rootfs 0 0\nUUID={uuid} /home btrfs subvol=@home 0 0\n"
    tree = _root_tree(path, marker, subvolumes, uuid)
    top = path.parent / f"{path.name}.top"
    top.mkdir()
    tree.rename(top / "@rootfs")
    _truncate(path, mib)
    _run("mkfs.btrfs", "-q", "-U", uuid, "--rootdir", top, path)
    return path


def torn(partition: Path, change: Callable[[Path], None]) -> Path:
    """Have *change* do something in a partition, which it finds mounted, and cut the power.

    What is written to the disk by then is there, with what the journal says of it.
    """
    at, copy = partition.with_suffix(".mnt"), partition.with_suffix(".torn")
    at.mkdir()
    _run("mount", "-o", "loop", partition, at)
    try:
        change(at)
        shutil.copyfile(partition, copy)
    finally:
        _run("umount", at)
    return copy.replace(partition)


def _root_tree(path: Path, marker: str, fstab: str, uuid: str = UUID) -> Path:
    """Make a folder beside *path* with what a root file system has that the imager looks at."""
    tree = path.parent / f"{path.name}.tree"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text(
        f"search --no-floppy --fs-uuid --set=root {uuid}\n"
        f'echo "{marker} in $root"\necho "the last words may stay in the BIOS"\nsleep 600\n'
    )
    (tree / "etc").mkdir()
    (tree / "etc/fstab").write_text(fstab)
    return tree


def _truncate(path: Path, mib: int) -> None:
    with path.open("wb") as file:
        file.truncate(mib * MIB)


def clonezilla_part(
    folder: Path, partition: Path, *, compression: str = "gz", split: int = MIB, kind: str = "ext4"
) -> Path:
    """Write *partition*, a file system of *kind*, as ``saveparts`` does, with the real partclone."""
    folder.mkdir()
    saved = folder.parent / f"{folder.name}.pcl"
    _run(
        f"partclone.{kind.replace('ext4', 'extfs')}",
        "-q",
        "-c",
        "-s",
        partition,
        "-O",
        saved,
        "-L",
        "/dev/null",
    )
    packed = _PACK[compression](saved.read_bytes())
    saved.unlink()
    for n, at in enumerate(range(0, len(packed), split)):
        name = f"sda1.{kind}-ptcl-img.{compression}.a{chr(ord('a') + n)}"
        (folder / name).write_bytes(packed[at : at + split])
    sectors = partition.stat().st_size // 512
    texts = {
        "parts": "sda1\n",
        "dev-fs.list": f"/dev/sda1 {kind} {sectors // 2048}M\n",
        "blkdev.list": f"KNAME NAME SIZE TYPE FSTYPE MOUNTPOINT MODEL\nsda1 sda1 24M part {kind}\n",
        "sda-pt.sf": _TABLE.format(sectors=sectors),
        "sda-pt.parted": f"Disk /dev/sda: {sectors + 4096}s\nPartition Table: msdos\n",
        "clonezilla-img": "This image was saved by Clonezilla at 2026-01-05 12:00:00 UTC.\n",
        "Info-img-id.txt": "IMG_ID=1\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "sda-mbr").write_bytes(bytes(510) + b"\x55\xaa")
    return folder


def _run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
