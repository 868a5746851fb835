"""How the files of an image begin and end: compression, and the header that partclone writes (pure)."""

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bootd.darkstore.errors import BadStream

# the suffixes that ocs-functions of drbl 5.2 knows -> what such a file begins with
MAGIC: Mapping[str, bytes] = MappingProxyType(
    {
        "gz": b"\x1f\x8b",
        "zst": b"\x28\xb5\x2f\xfd",
        "xz": b"\xfd7zXZ\x00",
        "lz4": b"\x04\x22\x4d\x18",
        "bz2": b"BZh",
        "lzo": b"\x89LZO\x00\r\n\x1a\n",
        "lzma": b"\x5d\x00\x00",
        "lzip": b"LZIP",
        "lrz": b"LRZI",
        "uncomp": b"",
    }
)
HEAD = 64 << 10  # octets that hold a header however it is compressed, but for bzip2's large blocks
TAIL = 16
_XZ_MEMORY = 512 << 20
# IMAGE_FORMATS.md of partclone, version 0002; the mark 0xC0DE tells the byte order
_FIELDS = "16s14s4sH16sQQQQIIHHHHIBBI"
_ORDERS = {b"\xde\xc0": struct.Struct("<" + _FIELDS), b"\xc0\xde": struct.Struct(">" + _FIELDS)}


@dataclass(frozen=True, slots=True)
class Partclone:
    """The header of a partclone image of version 0002 (partclone 0.3.0 and later)."""

    file_system: str
    size: int  # octets of the partition
    used: int  # octets in use
    length: int  # octets of the image, uncompressed


def compression_of(head: bytes) -> str:
    """Return the compression that a file beginning with *head* has; "uncomp" for none we know."""
    return next((name for name, magic in MAGIC.items() if magic and head.startswith(magic)), "uncomp")


def unpack(head: bytes, compression: str, limit: int = 512) -> bytes | None:
    """Return how the content begins; None where that cannot be told without other programs.

    Raises `BadStream` where *head* is not a beginning of such a file.
    """
    magic = MAGIC[compression]
    if not head.startswith(magic):
        found = compression_of(head)
        what = f"it is {found}" if found != "uncomp" else f"it begins with {head[:4].hex(' ') or 'nothing'}"
        raise BadStream(f"not {compression}: {what}")
    opener = _OPENERS.get(compression)
    if opener is None:
        return None
    try:
        content = opener(head, limit)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError) as error:
        raise BadStream(f"damaged {compression}: {error}") from error
    if not content and compression != "bz2":
        raise BadStream(f"cut off within the header of {compression}")
    return content or None


def _gunzip(head: bytes, limit: int) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(head, limit)


def _unxz(head: bytes, limit: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY).decompress(head, limit)


def _bunzip(head: bytes, limit: int) -> bytes:
    return bz2.BZ2Decompressor().decompress(head, limit)


_OPENERS: Mapping[str, Callable[[bytes, int], bytes]] = MappingProxyType(
    {"uncomp": lambda head, limit: head[:limit], "gz": _gunzip, "xz": _unxz, "lzma": _unxz, "bz2": _bunzip}
)


def parse_partclone(content: bytes) -> Partclone | None:
    """Return the header *content* begins with; None for version 0001, which says less.

    Raises `BadStream`.
    """
    if not content.startswith(b"partclone-image"):
        raise BadStream("not written by partclone")
    if content[30:34] == b"0001":
        return None
    layout = _ORDERS.get(content[34:36])
    if content[30:34] != b"0002" or layout is None or len(content) < layout.size:
        raise BadStream("cut off within the header of partclone, or of a version that is not known")
    fields = layout.unpack_from(content)
    _, _, _, _, kind, size, blocks, _, used, block, _, _, _, mode, digest, strip, _, _, _ = fields
    length = layout.size + (blocks + 7) // 8 + 4 + used * block
    if mode and strip:
        length += -(-used // strip) * digest
    name = kind.split(b"\0", 1)[0].decode("ascii", "replace")
    return Partclone(name, size, used * block, length)


def check_end(tail: bytes, compression: str, stored: int, header: Partclone | None) -> None:
    """Raise `BadStream` where the last file of a stream was cut short, as far as its end tells.

    gzip ends with the content's length modulo 2^32 (RFC 1952), and partclone's header says
    what it must be; an uncompressed stream has *stored* octets in all; xz ends with "YZ".
    """
    if compression == "xz" and not tail.rstrip(b"\0").endswith(b"YZ"):
        raise BadStream("cut short: it does not end as xz does")
    if header is None:
        return
    if compression == "gz" and int.from_bytes(tail[-4:], "little") != header.length % (1 << 32):
        raise BadStream("cut short: it does not end with the length of its content")
    if compression == "uncomp" and stored != header.length:
        raise BadStream(f"cut short: {stored} octets of {header.length}")
