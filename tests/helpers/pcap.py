"""Captures in and out: Ethernet, IPv4, UDP, and nothing else.

`python -m tests.helpers.pcap IN OUT` copies the DHCP frames of one capture into another.
"""

import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_MAGIC = {
    b"\xd4\xc3\xb2\xa1": "<",
    b"\xa1\xb2\xc3\xd4": ">",
    b"\x4d\x3c\xb2\xa1": "<",  # nanoseconds
    b"\xa1\xb2\x3c\x4d": ">",
}
_ETHERNET = 1
DHCP_PORTS = frozenset((67, 68, 4011))


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP datagram of a capture."""

    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    frame: bytes


def read_frames(data: bytes) -> Iterator[bytes]:
    """Yield the link-layer frames of a pcap file (the classic format, either byte order)."""
    order = _MAGIC[data[:4]]
    link_type = struct.unpack_from(order + "I", data, 20)[0]
    if link_type != _ETHERNET:
        raise ValueError(f"link type {link_type} is not Ethernet")
    position = 24
    while position < len(data):
        size = struct.unpack_from(order + "I", data, position + 8)[0]
        yield data[position + 16 : position + 16 + size]
        position += 16 + size


def write_frames(frames: Iterable[bytes]) -> bytes:
    """Return a pcap file. Times are dropped: a capture that is an expectation has none."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, _ETHERNET)
    return head + b"".join(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame for frame in frames)


def read_datagrams(path: Path) -> list[Datagram]:
    """Return the UDP datagrams of the capture at *path*; fragments are not put together."""
    datagrams = (_datagram(frame) for frame in read_frames(path.read_bytes()))
    return [datagram for datagram in datagrams if datagram is not None]


def dhcp_datagrams(path: Path) -> list[Datagram]:
    """Return those of `read_datagrams` that went from or to a DHCP or PXE port."""
    return [found for found in read_datagrams(path) if {found.source[1], found.destination[1]} & DHCP_PORTS]


def _datagram(frame: bytes) -> Datagram | None:
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    at = 14 + (frame[14] & 0x0F) * 4
    source_port, destination_port, length = struct.unpack_from("!HHH", frame, at)
    return Datagram(
        source=(".".join(map(str, frame[26:30])), source_port),
        destination=(".".join(map(str, frame[30:34])), destination_port),
        payload=frame[at + 8 : at + length],
        frame=frame,
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(write_frames(found.frame for found in dhcp_datagrams(Path(sys.argv[1]))))
