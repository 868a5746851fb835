"""Checksum files as md5sum and its kin write them (pure)."""

import re
from collections.abc import Mapping
from types import MappingProxyType

# file -> (name in hashlib, hex digits)
FILES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "MD5SUMS": ("md5", 32),
        "SHA1SUMS": ("sha1", 40),
        "SHA256SUMS": ("sha256", 64),
        "SHA512SUMS": ("sha512", 128),
        "B2SUMS": ("blake2b", 128),
    }
)
_LINE = re.compile(r"(?P<digest>[0-9A-Fa-f]{32,128}) [ *](?P<name>[^/]{1,255})\Z")


def parse_sums(text: str, file: str) -> tuple[dict[str, str], list[str]]:
    """Return file name -> digest, and in sentences the lines of *file* that are none."""
    digests: dict[str, str] = {}
    wrong: list[str] = []
    width = FILES[file][1]
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.match(line)
        if match and len(match["digest"]) == width:
            digests[match["name"]] = match["digest"].lower()
        elif line.strip():
            wrong.append(f"{file}: line {number} is no checksum: {line[:60]!r}")
    return digests, wrong
