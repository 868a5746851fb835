"""Which shared libraries a program asks for: those an image lacks are missed when it runs, far from here."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

_ELF64 = b"\x7fELF\x02\x01"  # 64 bits, little endian
_SECTIONS = struct.Struct("<Q")  # at 0x28: where the section headers are
_HEADER = struct.Struct("<IIQQQQIIQQ")  # of a section
_DYNAMIC, _NEEDED = 6, 1


def missing(files: Mapping[str, bytes]) -> list[str]:
    """Return the libraries that programs among *files* (by path) ask for and that are not among them."""
    there = {PurePosixPath(path).name for path in files}
    asked = {(name, path) for path, octets in files.items() for name in needed(octets)}
    return [f"{name} (for {path})" for name, path in sorted(asked) if name not in there]


def needed(octets: bytes) -> Iterator[str]:
    """Yield what an ELF program asks for; nothing for other files, and for those linked statically."""
    if not octets.startswith(_ELF64):
        return
    sections = list(_sections(octets))
    for kind, offset, size, link in sections:
        if kind == _DYNAMIC:
            strings = sections[link][1]
            for tag, value in struct.iter_unpack("<QQ", octets[offset : offset + size // 16 * 16]):
                if tag == _NEEDED:
                    end = octets.index(b"\0", strings + value)
                    yield octets[strings + value : end].decode("ascii", "replace")


def _sections(octets: bytes) -> Iterable[tuple[int, int, int, int]]:
    """Yield kind, offset, size and linked section of each section."""
    [start] = _SECTIONS.unpack_from(octets, 0x28)
    each, count = struct.unpack_from("<HH", octets, 0x3A)
    for n in range(count):
        _, kind, _, _, offset, size, link, _, _, _ = _HEADER.unpack_from(octets, start + n * each)
        yield kind, offset, size, link
