"""Amounts as people read and write them."""

import re

_AMOUNT = re.compile(r"(?P<number>[0-9]{1,15})\s*(?:(?P<letter>[kKMGT])(?P<kind>i?B)?|B)?\Z")
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}


def count_text(count: int, one: str) -> str:
    """Return ``1 file``, ``3 files``."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def size_text(octets: int) -> str:
    """Return *octets* in the unit that keeps it short, in powers of ten as networks and disks count."""
    if octets < 1000:
        return f"{octets} B"
    for unit, size in (("kB", 10**3), ("MB", 10**6)):
        if octets < 999_950 * size // 1000:
            return f"{octets / size:.1f} {unit}"
    return f"{octets / 10**9:.1f} GB"


def parse_size(text: str) -> int:
    """Return the octets of ``20G`` and ``20GiB`` (powers of two), ``20GB`` (of ten), ``512``.

    The units are those of dd, qemu-img and other tools for disks. Raises `ValueError`.
    """
    match = _AMOUNT.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size")
    if match["letter"] is None:
        return int(match["number"])
    base = 1000 if match["kind"] == "B" else 1024
    return int(match["number"]) * int(base ** _POWERS[match["letter"].upper()])


def exact_text(octets: int) -> str:
    """Return a size that `parse_size` reads back, in the unit of powers of two that leaves no rest."""
    for letter, power in reversed(_POWERS.items()):
        if octets and octets % 1024**power == 0:
            return f"{octets // 1024**power}{letter}"
    return str(octets)
