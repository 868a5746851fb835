"""A real TFTP port on loopback over a folder, and a bare socket to prod it with."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bootd.events import Event
from bootd.listeners.sockets import Segmentation
from bootd.listeners.tftp import Asker, Capacity, Found, TftpListener
from bootd.services.filescan import FileIndex, Root

_E = TypeVar("_E", bound=Event)


@dataclass
class Port:
    """The listener under test and what it said."""

    listener: TftpListener
    root: Path
    events: list[Event] = field(default_factory=list)

    @property
    def number(self) -> int:
        return self.listener.port

    def said(self, kind: type[_E]) -> list[_E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, kind: type[_E], count: int = 1) -> list[_E]:
        """Wait until *count* events of *kind* were said."""
        async with asyncio.timeout(60):
            while len(self.said(kind)) < count:
                await asyncio.sleep(0.001)
        return self.said(kind)


@asynccontextmanager
async def a_port(
    root: Path,
    *,
    made: Mapping[str, Found] | None = None,
    capacity: Capacity | None = None,
    segmentation: Segmentation | None = None,
) -> AsyncIterator[Port]:
    """Serve *root*, and before it the answers of *made*, on an ephemeral port of 127.0.0.1."""
    index = FileIndex([Root(root)])
    events: list[Event] = []

    async def lookup(name: str, asker: Asker) -> Found:
        assert asker == Asker("127.0.0.1", "127.0.0.1")
        if made is not None and name in made:
            return made[name]
        return await index.find(name)

    listener = TftpListener(
        lookup=lookup,
        emit=events.append,
        address="127.0.0.1",
        port=0,
        capacity=capacity,
        segmentation=segmentation,
    )
    try:
        yield Port(listener, root, events)
    finally:
        await listener.aclose()
        await index.aclose()


class Prod:
    """A bare client: sends what it is told, returns what comes."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind((address, 0))

    def __enter__(self) -> "Prod":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    async def send(self, data: bytes, port: int, address: str = "127.0.0.1") -> None:
        await asyncio.get_running_loop().sock_sendto(self.sock, data, (address, port))

    async def receive(self, seconds: float = 20) -> tuple[bytes, tuple[str, int]]:
        """Return the next datagram and where it came from; raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            data, sender = await asyncio.get_running_loop().sock_recvfrom(self.sock, 70_000)
        return data, sender

    async def ask(self, data: bytes, port: int) -> tuple[bytes, int]:
        """Send *data* to *port*, return the answer and the port it came from."""
        await self.send(data, port)
        answer, sender = await self.receive()
        return answer, sender[1]

    async def read(self, request: bytes, port: int, *, block_size: int = 512) -> bytes:
        """Read a file in lock-step, after an OACK or without one."""
        packet, tid = await self.ask(request, port)
        if packet[:2] == b"\0\6":
            packet, tid = await self.ask(ack(0), tid)
        content = b""
        while True:
            assert packet[:2] == b"\0\3", packet
            content += packet[4:]
            await self.send(b"\0\4" + packet[2:4], tid)
            if len(packet) < 4 + block_size:
                return content
            packet, _ = await self.receive()


def rrq(name: bytes | str, *options: str, mode: str = "octet") -> bytes:
    """Return a read request; *options* alternate name and value."""
    raw = name.encode() if isinstance(name, str) else name
    return b"\0\1" + b"\0".join([raw, mode.encode(), *(word.encode() for word in options)]) + b"\0"


def ack(block: int) -> bytes:
    return b"\0\4" + (block & 0xFFFF).to_bytes(2, "big")


def is_error(packet: bytes, code: int) -> bool:
    """The packet is ERROR *code*, NUL-terminated, with a text."""
    return packet[:4] == b"\0\5" + code.to_bytes(2, "big") and packet[-1:] == b"\0" and len(packet) > 6
