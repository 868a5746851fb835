"""Clients in numbers: questions by DHCP with a fixed number unanswered, files by TFTP many at a time."""

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from netboot.dhcp.packet import encode_packet
from netboot.hwaddr import mac_octets
from tests.helpers.dhcp import a_boot_server_packet, a_packet
from tests.helpers.site import a_host

WINDOW = 32  # questions out at a time
BLOCK_SIZE = 1432  # what iPXE asks for
_LOST_AFTER_S = 1.0
_STRANGER = bytes.fromhex("02b007000000")  # of addresses that no table has


@dataclass(frozen=True, slots=True)
class Told:
    """How a run went."""

    seconds: float
    answers: int
    lost: int = 0  # questions without an answer within a second
    octets: int = 0


def questions(hosts: int, count: int, *, strangers: int = 0) -> list[bytes]:
    """Return *count* DISCOVERs of BIOS ROMs, of all *hosts* in turn.

    They are in an order with big strides: a server that searches a list gets no help
    from neighbours. After each, *strangers* more come from machines of no table.
    """
    template = bytearray(encode_packet(a_packet()))
    macs = [mac_octets(a_host(1 + (n * 7919) % hosts).mac) for n in range(count)]
    found: list[bytes] = []
    for n, mac in enumerate(macs):
        for stranger in range(strangers):
            other = int.from_bytes(_STRANGER, "big") + n * strangers + stranger
            found.append(_patched(template, other.to_bytes(6, "big"), 0x80000000 + len(found)))
        found.append(_patched(template, mac, len(found)))
    return found


def _patched(template: bytearray, mac: bytes, xid: int) -> bytes:
    template[4:8] = xid.to_bytes(4, "big")
    template[28:34] = mac
    return bytes(template)


def ask(discovers: Sequence[bytes], interface: str, *, window: int = WINDOW, silent: int = 0) -> Told:
    """Broadcast *discovers*, keeping *window* of them unanswered; the next goes when an answer comes.

    Of each *silent* + 1 in a row only the last is expected to be answered. Raises
    `TimeoutError` where not one is.
    """
    step = silent + 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("", 68))
        sock.settimeout(_LOST_AFTER_S)
        everybody = ("255.255.255.255", 67)
        begun = time.perf_counter()
        sent = answers = lost = 0
        allowed = max(window, step)
        while answers + lost < len(discovers) // step:
            while sent < len(discovers) and sent - (answers + lost) * step < allowed:
                sock.sendto(discovers[sent], everybody)
                sent += 1
            try:
                sock.recv(2048)
                answers += 1
            except TimeoutError:
                if not answers:
                    raise TimeoutError("the server answers nothing") from None
                lost += (sent - (answers + lost) * step) // step
        return Told(time.perf_counter() - begun, answers, lost)


def boot_server_question(mac: str) -> bytes:
    """Return what a UEFI ROM asks on port 4011."""
    return encode_packet(a_boot_server_packet(chaddr=mac_octets(mac) + bytes(10), ciaddr=bytes(4)))


class _Reading:
    """One client that reads a file in lock-step."""

    def __init__(self, server: str, name: str) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._request = b"\0\1" + b"\0".join((name.encode(), b"octet", b"blksize", b"%d" % BLOCK_SIZE, b""))
        self._server = server
        self._transfer: tuple[str, int] | None = None  # the server's address for this transfer
        self._block = 0  # the last one that came
        self.octets = 0

    def request(self) -> None:
        """Ask (again), unless the answer has begun to come."""
        if self._transfer is None:
            self.sock.sendto(self._request, (self._server, 69))

    def receive(self) -> bool:
        """Take one packet and acknowledge it; return whether that was the last. Raises `OSError` on ERROR."""
        packet, sender = self.sock.recvfrom(2048)
        self._transfer = self._transfer or sender
        opcode, number = packet[1], int.from_bytes(packet[2:4], "big")
        if opcode == 5:
            raise OSError(f"TFTP error {number}: {packet[4:-1].decode(errors='replace')}")
        if opcode == 6:
            self.sock.sendto(b"\0\4\0\0", sender)
            return False
        if number != (self._block + 1) & 0xFFFF:
            return False  # came twice
        self._block = number
        self.octets += len(packet) - 4
        self.sock.sendto(b"\0\4" + packet[2:4], sender)
        return len(packet) - 4 < BLOCK_SIZE


def read_files(server: str, name: str, *, clients: int, reads: int) -> Told:
    """Read *name* by TFTP *reads* times, *clients* at a time."""
    poll = select.epoll()
    under_way: dict[int, _Reading] = {}
    begun_reads = done = octets = 0
    begun = time.perf_counter()
    while done < reads:
        while len(under_way) < clients and begun_reads < reads:
            reading = _Reading(server, name)
            under_way[reading.sock.fileno()] = reading
            poll.register(reading.sock.fileno(), select.EPOLLIN)
            reading.request()
            begun_reads += 1
        ready = poll.poll(_LOST_AFTER_S)
        for reading in () if ready else under_way.values():
            reading.request()
        for descriptor, _ in ready:
            reading = under_way[descriptor]
            if reading.receive():
                poll.unregister(descriptor)
                del under_way[descriptor]
                reading.sock.close()
                done, octets = done + 1, octets + reading.octets
    poll.close()
    return Told(time.perf_counter() - begun, done, octets=octets)
