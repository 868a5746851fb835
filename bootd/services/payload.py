"""Which octets of an image go into a slot, and how a node unpacks them (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bootd.errors import BootdError
from bootd.model import DiskImage, ImageKind

UNPACKED = "partition.zst"  # what is sent of an image that was unpacked first
SECTOR = 512  # octets
_READABLE = ("uncomp", "gz", "zst", "xz", "bz2", "lzma")  # by the imager
_NOT_ROOTS = ("vfat", "fat12", "fat16", "fat32", "swap")  # beside the one that goes into the slot
_NOT_ROOT_TYPES = (
    *("82", "ef", "ee"),  # of an MBR: swap, ESP, and what stands before a GPT
    "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",  # ESP
    "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",  # swap
    "21686148-6449-6E6F-744E-656564454649",  # BIOS boot
)
_EXTENDED = ("5", "f", "85")


class NotForSlot(BootdError):
    """An image that cannot go into a slot; the message names the way out."""

    code = "not-for-slot"


@dataclass(frozen=True, slots=True)
class Payload:
    """One partition, as it lies in an image."""

    tool: str  # partclone; raw: the octets as they are
    compression: str
    file_system: str  # "" where it is not known
    files: tuple[str, ...]  # whose octets, one after the other, it is
    start: int = 0  # octets that come before it
    size: int = 0  # octets of it; 0: all that follow
    needs: int = 0  # octets that a slot must have for it; 0: that is not known


def payload_of(image: DiskImage, sent: Mapping[str, Any] | None = None) -> Payload:
    """Return the one partition of *image* that goes into a slot; raises `NotForSlot`.

    A qcow2 image is unpacked before it is sent: *sent* says what came out. Until then it is taken.
    """
    if image.kind is ImageKind.CLONEZILLA:
        return _clonezilla(image)
    if image.kind is ImageKind.QCOW2:
        known = sent or {}
        file_system, needs = str(known.get("file_system", "")), int(known.get("needs") or 0)
        return Payload("raw", "zst", file_system, (UNPACKED,), needs=needs)
    name = str(image.description.get("file") or "".join(part.file for part in image.parts[:1]))
    start, size = root_of(image, image.description)
    needs = size or sum(part.size for part in image.parts if part.file == name)
    file_system = str(image.description.get("file_system", ""))
    return Payload("raw", "uncomp", file_system, (name,), start, size, needs)


def root_of(image: DiskImage, disk: Mapping[str, Any]) -> tuple[int, int]:
    """Return where the one root partition of *disk* begins, and its octets; (0, 0): the disk is one itself.

    *disk* is described as `disks.describe_raw` does. Raises `NotForSlot`.
    """
    label = disk.get("label")
    if not label:
        return 0, 0
    partitions = disk.get("partitions")
    if partitions is None:
        add = f"bootd images add {image.project}/{image.name} looks at its partitions"
        raise _no(image, f"is a whole disk ({label}) and a slot takes one partition: {add}")
    roots = [part for part in partitions if part["type"] not in _NOT_ROOT_TYPES]
    if len(roots) != 1 or roots[0]["type"] in _EXTENDED:
        names = ", ".join(_named(part) for part in roots) or "none"
        what = f"is a whole disk ({label}) with the partitions {names}"
        raise _no(image, f"{what} and a slot takes one: add that partition alone")
    [root] = roots
    return root["start"] * SECTOR, root["size"] * SECTOR


def _named(part: Mapping[str, Any]) -> str:
    return f"{part['number']} (extended)" if part["type"] in _EXTENDED else str(part["number"])


def _clonezilla(image: DiskImage) -> Payload:
    disks: Sequence[Mapping[str, Any]] = image.description.get("disks") or ()
    saved = [part for disk in disks for part in disk.get("partitions", ()) if part["files"]]
    if len(saved) > 1:  # the ESP of a saved disk stays behind: its node has its own
        saved = [part for part in saved if part["file_system"] not in _NOT_ROOTS]
    if len(saved) != 1:
        names = ", ".join(part["device"] for part in saved) or "none"
        raise _no(image, f"holds the partitions {names} and a slot takes one: save it alone (saveparts)")
    [part] = saved
    tool = {"partclone": "partclone", "dd": "raw"}.get(part["tool"])
    if tool is None:
        raise _no(image, f"has {part['device']} as {part['tool']} saves it: save it with partclone (-q2)")
    if part["compression"] not in _READABLE:
        compression = part["compression"]
        raise _no(image, f"holds {part['device']} compressed as {compression}: save it with gzip or zstd")
    needs = part.get("needs") or (part.get("size") if tool == "raw" else 0)
    return Payload(tool, part["compression"], part["file_system"], tuple(part["files"]), needs=needs or 0)


def _no(image: DiskImage, why: str) -> NotForSlot:
    return NotForSlot(f"image {image.ref} {why}")
