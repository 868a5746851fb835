"""Which images can be put on a LUN, and how large a LUN they need (pure)."""

from collections.abc import Mapping, Sequence
from typing import Any

from bootd.model import DiskImage, ImageKind


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
    ends = [part["start"] + part["size"] for part in disk.get("partitions", ())]
    return disk.get("size") or max(ends, default=None)


def too_large(image: DiskImage, size: int | None, lun_size: int) -> str:
    """Return that a disk of *size* octets is more than a LUN holds; "" where it is not, or not known."""
    if size is None or size <= lun_size:
        return ""
    return f"{image.ref} is a disk of {size:,} octets, the LUN has {lun_size:,}: nothing was written"


def why_not(image: DiskImage) -> str:
    """Return why *image* cannot be put on a LUN, with the way out; "" where it can."""
    if image.kind is not ImageKind.CLONEZILLA:
        return ""
    return _not(
        image, "is a Clonezilla folder, which LUNs do not take yet: restore it and add the disk as raw"
    )


def _not(image: DiskImage, why: str) -> str:
    add = f"bootd images add {image.project}/{image.name} makes it the next version"
    return f"{image.ref} {why}; {add}"
