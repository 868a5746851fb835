"""Addresses that a target on this machine is reached at."""

import array
import fcntl
import socket
import struct
from collections.abc import Iterable

_SIOCGIFCONF = 0x8912  # netdevice(7)
_IFREQ = 40  # octets of a struct ifreq on 64-bit Linux
_EVERY = "0.0.0.0"


def reachable(listening: Iterable[str]) -> tuple[str, ...]:
    """Return *listening* (``address:port``) with 0.0.0.0 as each of this machine's IPv4 addresses.

    [::] is left out: machines boot over IPv4. So is loopback, if there is anything else.
    """
    found: list[str] = []
    for one in listening:
        address, _, port = one.rpartition(":")
        if address == _EVERY:
            found += [f"{own}:{port}" for own in _addresses()]
        elif address != "[::]":
            found.append(one)
    outside = [one for one in found if not one.startswith("127.")]
    return tuple(dict.fromkeys(outside or found))


def _addresses() -> list[str]:
    room = array.array("B", bytes(_IFREQ * 1024))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("iP", len(room), room.buffer_info()[0])
        used = struct.unpack("iP", fcntl.ioctl(probe, _SIOCGIFCONF, request))[0]
    rows = room.tobytes()[:used]
    return [socket.inet_ntoa(rows[start + 20 : start + 24]) for start in range(0, used, _IFREQ)]
