"""Raw and qcow2 files: one file that is a whole disk (pure)."""

import struct
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from bootd.darkstore.errors import BadImage
from bootd.darkstore.folder import Folder
from bootd.darkstore.streams import compression_of
from bootd.errors import Mistake
from bootd.model import ImageKind

ENDINGS = (".raw", ".img", ".qcow2")
_QCOW2 = b"QFI\xfb"
HEAD = 66 << 10  # octets of a disk that tell its partitions, or its file system
_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")  # docs/interop/qcow2.txt of QEMU: the 72 octets of version 2
_V3 = struct.Struct(">QQQII")
_FLAWS = {
    0: "not closed cleanly: qemu-img check -r all repairs it",
    1: "marked corrupt by QEMU",
    2: "its data is in another file",
}
_FINE = 1 << 3 | 1 << 4  # compression type, extended L2 entries
_ENTRY = struct.Struct("<16s16sQQ")  # of a GPT: type, identity, first and last sector
_GPT = struct.Struct("<QII")  # at 72 in its header: where its entries are, how many, how large
_MARKS = (
    ("ext4", 1080, b"\x53\xef"),
    ("xfs", 0, b"XFSB"),
    ("btrfs", (64 << 10) + 64, b"_BHRfS_M"),
)
_OTHERS = {
    b"KDMV": "a VMware disk (vmdk)",
    b"vhdxfile": "a Hyper-V disk (vhdx)",
    b"conectix": "a VHD disk",
    b"QED\0": "a QED disk",
    b"PK\x03\x04": "a zip file",
    b"7z\xbc\xaf": "a 7z file",
}


def candidates(sizes: Mapping[str, int]) -> list[str]:
    """Return the files of a folder that may be its disk."""
    return sorted(name for name in sizes if name.lower().endswith(ENDINGS))


def describe(folder: Folder, file: str, source: str) -> tuple[ImageKind, dict[str, Any]]:
    """Return the kind and the description of a disk in one file; raises `BadImage`."""
    head = folder.head(file, HEAD)
    size = folder.sizes[file]
    if head.startswith(_QCOW2):
        kind, (description, wrong) = ImageKind.QCOW2, _qcow2(head, size)
    else:
        kind, (description, wrong) = ImageKind.RAW, _raw(head, size)
    if wrong:
        raise BadImage(source, [Mistake(0, f"{file}: {each}") for each in wrong])
    return kind, {"file": file, **description}


def _qcow2(head: bytes, size: int) -> tuple[dict[str, Any], list[str]]:
    if len(head) < _HEADER.size:
        return {}, ["cut off within the header of qcow2"]
    _, version, backing, _, bits, virtual, crypt, entries, l1, refcount, refclusters, _, _ = (
        _HEADER.unpack_from(head)
    )
    if version not in (2, 3):
        return {}, [f"qcow2 version {version}; versions 2 and 3 are supported"]
    wrong = []
    if backing:
        wrong.append("it lies on a backing file; qemu-img convert makes it one")
    if crypt:
        wrong.append("it is encrypted")
    if not 9 <= bits <= 21 or not virtual:
        return {}, [*wrong, "its header makes no sense"]
    if version == 3:
        wrong += _features(head)
    if size < max(l1 + 8 * entries, refcount + (refclusters << bits)):
        wrong.append(f"cut short: {size} octets do not hold its tables")
    return {"virtual_size": virtual, "version": version, "cluster_size": 1 << bits}, wrong


def _features(head: bytes) -> list[str]:
    """Return what the incompatible features of version 3 stand in the way of."""
    if len(head) < _HEADER.size + _V3.size:
        return ["cut off within the header of qcow2"]
    bits = _V3.unpack_from(head, _HEADER.size)[0]
    wrong = [words for bit, words in _FLAWS.items() if bits >> bit & 1]
    unknown = bits & ~_FINE & ~sum(1 << bit for bit in _FLAWS)
    return [*wrong, f"features that are not known: {unknown:#x}"] if unknown else wrong


def _raw(head: bytes, size: int) -> tuple[dict[str, Any], list[str]]:
    if size == 0:
        return {}, ["it is empty"]
    other = next((words for magic, words in _OTHERS.items() if head.startswith(magic)), "")
    compression = compression_of(head)
    if compression not in ("uncomp", "lzma"):  # lzma's mark is too short to tell it from a disk
        other = f"compressed ({compression}); unpack it first"
    if other:
        return {}, [f"not a raw disk: {other}"]
    if size % 512:
        return {}, [f"not a raw disk, or cut short: {size} octets are no whole sectors of 512"]
    return describe_raw(head, size), []


def describe_raw(head: bytes, size: int) -> dict[str, Any]:
    """Return what the first `HEAD` octets of a raw disk tell: its table and partitions, or its file system.

    The number, first sector, sectors and type of each partition; those in an extended one are not there.
    """
    label = _label(head)
    found: dict[str, Any] = {"virtual_size": size, "label": label}
    if label:
        rows = _gpt_partitions(head) if label == "gpt" else _dos_partitions(head)
        keys = ("number", "start", "size", "type")
        return found | {"partitions": [dict(zip(keys, row, strict=True)) for row in rows]}
    kind = next((name for name, at, mark in _MARKS if head[at : at + len(mark)] == mark), "")
    return found | ({"file_system": kind} if kind else {})


def _dos_partitions(head: bytes) -> Iterator[tuple[int, int, int, str]]:
    for number, at in enumerate(range(446, 510, 16), 1):
        start, size = struct.unpack_from("<II", head, at + 8)
        if head[at + 4] and size:
            yield number, start, size, f"{head[at + 4]:x}"


def _gpt_partitions(head: bytes) -> Iterator[tuple[int, int, int, str]]:
    if len(head) < 1024:
        return
    table, count, length = _GPT.unpack_from(head, 512 + 72)
    for number in range(min(count, 128)):
        at = table * 512 + number * length
        if length < _ENTRY.size or at + _ENTRY.size > len(head):
            return
        kind, _, first, last = _ENTRY.unpack_from(head, at)
        if any(kind) and first <= last:
            yield number + 1, first, last - first + 1, str(uuid.UUID(bytes_le=kind)).upper()


def _label(head: bytes) -> str:
    """Return the kind of partition table; "" where there is none, as for a bare file system."""
    if head[512:520] == b"EFI PART":
        return "gpt"
    entries = [head[at : at + 16] for at in range(446, 510, 16)]
    plausible = all(entry[:1] in (b"\0", b"\x80") for entry in entries) and any(
        e[4:5] > b"\0" for e in entries
    )
    return "dos" if head[510:512] == b"\x55\xaa" and plausible else ""
