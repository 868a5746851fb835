"""Hardware addresses and machine GUIDs, as wire octets and as canonical text.

In memory a MAC address is its canonical text, ``52:54:00:ab:cd:ef``: what the
host table, the logs and the index of the snapshot use. Other spellings are
read by `parse_mac` only.
"""

import re

from netboot.errors import LocalError

_MAC = re.compile(r"[0-9a-f]{2}(?:[:-]?[0-9a-f]{2}){5}\Z|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}\Z")
_GUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\Z")


def parse_mac(text: str) -> str:
    """Return *text* (``aa-bb-…``, ``aa:bb:…``, ``aabb.ccdd.eeff`` or bare hex, any case) in canonical form.

    Raises `LocalError` for anything else.
    """
    folded = text.strip().lower()
    if not _MAC.match(folded):
        raise LocalError(f"not a MAC address: {text!r}")
    digits = folded.replace(":", "").replace("-", "").replace(".", "")
    return bytes.fromhex(digits).hex(":")


def format_mac(octets: bytes) -> str:
    """Return the canonical text of six octets."""
    return octets.hex(":")


def mac_octets(mac: str) -> bytes:
    """Return the six octets of a canonical MAC address."""
    return bytes.fromhex(mac.replace(":", ""))


def parse_guid(text: str) -> str:
    """Return a UUID in canonical text, ``4c4c4544-…``; raises `LocalError`."""
    folded = text.strip().lower()
    if not _GUID.match(folded):
        raise LocalError(f"not a UUID: {text!r}")
    return _dashed(folded.replace("-", ""))


def format_guid(octets: bytes) -> str:
    """Return 16 octets as text in the order they stand in (textual order, U-Boot and PXELINUX names)."""
    return _dashed(octets.hex())


def swap_guid(guid: str) -> str:
    """Return *guid* in the other byte order.

    SMBIOS 2.6 keeps the first three fields little-endian and EDK2 copies them raw
    into option 97, iPXE prints them big-endian: one machine, two spellings.
    """
    raw = bytes.fromhex(guid.replace("-", ""))
    return _dashed((raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]).hex())


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
