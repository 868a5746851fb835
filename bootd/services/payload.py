"""Which octets of an image go into a slot, and how a node unpacks them (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bootd.errors import BootdError
from bootd.model import DiskImage, ImageKind

_READABLE = ("uncomp", "gz", "zst", "xz", "bz2", "lzma")  # by the imager
_NOT_ROOTS = ("vfat", "fat12", "fat16", "fat32", "swap")  # beside the one that goes into the slot


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


def payload_of(image: DiskImage) -> Payload:
    """Return the one partition of *image* that goes into a slot; raises `NotForSlot`."""
    if image.kind is ImageKind.CLONEZILLA:
        return _clonezilla(image)
    name = str(image.description.get("file") or "".join(part.file for part in image.parts[:1]))
    if image.kind is ImageKind.QCOW2:
        raise _no(image, "is qcow2, which a node does not unpack: qemu-img convert -O raw makes a raw image")
    if image.description.get("label"):
        label = image.description["label"]
        raise _no(image, f"is a whole disk ({label}) and a slot takes one partition: add that partition")
    return Payload("raw", "uncomp", "", (name,))


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
    return Payload(tool, part["compression"], part["file_system"], tuple(part["files"]))


def _no(image: DiskImage, why: str) -> NotForSlot:
    return NotForSlot(f"image {image.ref} {why}")
