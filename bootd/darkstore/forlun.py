"""Which images can be put on a LUN, and how large a LUN they need (pure)."""

from collections.abc import Mapping, Sequence
from typing import Any

from bootd.model import DiskImage, ImageKind

SECTOR = 512  # octets; LUNs have no other
_GPT_END = 33 * SECTOR  # octets of the second table and header
_TOOLS = ("partclone", "dd", "mkswap", "")
_UNREADABLE = ("lrz",)  # compressions whose program cannot read a stream


def disk_size(image: DiskImage) -> int | None:
    """Return the octets of the disk that *image* is of; None where its description does not say."""
    if image.kind is ImageKind.RAW:
        name = image.description.get("file")
        return sum(part.size for part in image.parts if part.file == name or name is None)
    if image.kind is ImageKind.QCOW2:
        size = image.description.get("virtual_size")
        return size if isinstance(size, int) else None
    disks: Sequence[Mapping[str, Any]] = image.description.get("disks") or ()
    return _clonezilla_size(disks[0]) if len(disks) == 1 else None


def _clonezilla_size(disk: Mapping[str, Any]) -> int | None:
    """A disk whose size was not kept reaches to the end of its last partition, as far as we know."""
    end = max((part["start"] + part["size"] for part in disk.get("partitions", ())), default=0)
    if end and disk.get("label") == "gpt":
        end += _GPT_END
    return max(disk.get("size") or 0, end) or None


def too_large(image: DiskImage, size: int | None, lun_size: int) -> str:
    """Return that a disk of *size* octets is more than a LUN holds; "" where it is not, or not known."""
    if size is None or size <= lun_size:
        return ""
    return f"{image.ref} is a disk of {size:,} octets, the LUN has {lun_size:,}: nothing was written"


def why_not(image: DiskImage) -> str:
    """Return why *image* cannot be put on a LUN, with the way out; "" where it can."""
    if image.kind is not ImageKind.CLONEZILLA:
        return ""
    disks: Sequence[Mapping[str, Any]] = image.description.get("disks") or ()
    if not image.description.get("whole"):
        return _not(image, "holds partitions and no disk: save the whole disk (savedisk)")
    if len(disks) != 1:
        names = ", ".join(str(disk.get("name")) for disk in disks)
        return _not(image, f"holds {len(disks)} disks ({names}) and a LUN is one: save that one alone")
    [disk] = disks
    if disk.get("sector_size", SECTOR) != SECTOR:
        sector = disk["sector_size"]
        return _not(image, f"has sectors of {sector} octets, LUNs have 512: save a disk of such sectors")
    if disk.get("label") not in ("gpt", "dos"):
        label = disk.get("label") or "unknown"
        return _not(image, f"has a partition table of the kind {label!r}: save a disk with gpt or dos")
    return _partitions(image, disk)


def _partitions(image: DiskImage, disk: Mapping[str, Any]) -> str:
    for part in disk.get("partitions", ()):
        if part["tool"] not in _TOOLS:
            return _not(
                image, f"has {part['device']} as {part['tool']} saves it: save it with partclone (-q2)"
            )
        if part["compression"] in _UNREADABLE:
            return _not(image, f"has {part['device']} compressed with lrzip: save it with zstd (-z9p)")
    return ""


def _not(image: DiskImage, why: str) -> str:
    add = f"bootd images add {image.project}/{image.name} makes it the next version"
    return f"{image.ref} {why}, with Clonezilla; {add}"
