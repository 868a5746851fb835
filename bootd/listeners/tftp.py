"""The TFTP port: takes read requests, finds what they name, and starts a transfer on a port of its own."""

import asyncio
import errno
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from bootd.boot.files import Missing, Refused, Served
from bootd.events import InternalError, PacketDropped, TftpReadStarted, TftpRefused
from bootd.listeners.contents import Content, OpenFiles
from bootd.listeners.sockets import (
    Address,
    Crowd,
    Datagram,
    Segmentation,
    UdpEndpoint,
    mtu_of,
    open_reply_socket,
    open_udp,
)
from bootd.listeners.tftp_read import Reader, Reading
from bootd.telemetry import Emit
from netboot.errors import WireError
from netboot.tftp.names import name_candidates, printable_name
from netboot.tftp.negotiate import DEFAULT_BLOCK_SIZE, Limits, negotiate
from netboot.tftp.packet import ErrorCode, ReadRequest, WriteRequest, decode, encode_error
from netboot.tftp.source import BytesSource, Source, encode_netascii
from netboot.tftp.transfer import ReadTransfer

Found = Served | bytes | Refused | Missing

NETASCII_MAX = 4 << 20  # octets: translated as a whole, and nobody's loader is text
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_HEADERS = 32  # octets of IP, UDP and TFTP before the data


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and the address of ours it asked."""

    client: str  # IPv4
    local: str  # IPv4


Lookup = Callable[[str, Asker], Found | Awaitable[Found]]


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much is done at one time; a request beyond it is left to the client's own repetition."""

    transfers: int = 2048
    per_client: int = 64  # an address; bounds what a forged one can be made to receive


class TftpListener:
    """Serves reads on one port.

    *lookup* is asked for each spelling of a name until one is not `Missing`; `bytes`
    are content made for this request. It may return an awaitable.
    """

    def __init__(
        self,
        *,
        lookup: Lookup,
        emit: Emit,
        address: str = "",
        port: int = 69,
        device: str = "",
        serves: Callable[[int], bool] | None = None,
        capacity: Capacity | None = None,
        segmentation: Segmentation | None = None,
    ) -> None:
        """Open the port; raises as `sockets.open_udp`. The event loop must be running.

        *serves* says whether requests by the interface of that index are for us.
        """
        self._lookup = lookup
        self._serves = serves
        self._emit = emit
        self._capacity = capacity or Capacity()
        self._segmentation = segmentation or Segmentation()
        self._files = OpenFiles()
        self._readings: dict[Address, Reading] = {}
        self._pending: dict[Address, asyncio.Task[None]] = {}
        self._load: Counter[str] = Counter()  # transfers and requests, by client address
        self._endpoint = UdpEndpoint(open_udp(address, port, device=device), self._receive)
        self._crowd = Crowd()

    @property
    def port(self) -> int:
        return self._endpoint.port

    @property
    def active(self) -> int:
        """Transfers under way."""
        return len(self._readings)

    async def aclose(self) -> None:
        """Close the port; clients in the middle of a file are told."""
        self._endpoint.close()
        tasks = list(self._pending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for reading in list(self._readings.values()):
            reading.abandon("shutdown", "the server is stopping")
        self._crowd.close()
        await self._files.aclose()

    def _receive(self, datagram: Datagram) -> None:
        """Take what came to the port; nothing in here may raise into the loop."""
        try:
            self._take(datagram)
        except WireError as error:
            self._drop(datagram, error.reason)
        except Exception as error:  # noqa: BLE001 -- one packet must not end the service
            self._emit(InternalError(where="tftp", text=repr(error)))

    def _take(self, datagram: Datagram) -> None:
        if self._serves is not None and not self._serves(datagram.interface):
            raise WireError("tftp-other-interface")
        if datagram.destination != datagram.local:
            raise WireError("tftp-broadcast")  # RFC 1123 section 4.2.3.5: not answered
        if datagram.source[1] == 0 or not _is_host(datagram.source[0]):
            raise WireError("tftp-bad-source")
        packet = decode(datagram.data)
        if isinstance(packet, WriteRequest):
            self._refuse(datagram, packet.filename, _Refusal("read-only", ErrorCode.ACCESS_VIOLATION))
        elif not isinstance(packet, ReadRequest):
            raise WireError("tftp-not-a-request")
        elif packet.mode not in ("octet", "netascii"):
            self._refuse(datagram, packet.filename, _Refusal("mode", ErrorCode.ILLEGAL_OPERATION))
        else:
            self._accept(datagram, packet)

    def _accept(self, datagram: Datagram, request: ReadRequest) -> None:
        client = datagram.source
        if client in self._pending:
            return
        reading = self._readings.get(client)
        if reading is not None:
            if reading.repeat(datagram.data):
                return
            reading.abandon("restarted")  # the client uses its port for another read
        load = len(self._readings) + len(self._pending)
        if load >= self._capacity.transfers or self._load[client[0]] >= self._capacity.per_client:
            self._refuse(datagram, request.filename, _Refusal("too-many-transfers", None))
            return
        self._load[client[0]] += 1
        self._pending[client] = asyncio.create_task(self._serve(datagram, request))

    async def _serve(self, datagram: Datagram, request: ReadRequest) -> None:
        """Answer one request; while it runs, repetitions of it are ignored."""
        client = datagram.source
        is_begun = False
        try:
            name, found = await self._find(request.filename, Asker(client[0], datagram.local))
            await self._begin(datagram, request, name, found)
            is_begun = True
        except _Refusal as refusal:
            self._refuse(datagram, request.filename, refusal)
        except Exception as error:  # noqa: BLE001 -- whatever the lookup met, the service goes on
            self._emit(InternalError(where="tftp", text=repr(error)))
            self._refuse(datagram, request.filename, _Refusal("internal-error", ErrorCode.NOT_DEFINED))
        finally:
            del self._pending[client]
            if not is_begun:
                self._unload(client[0])

    async def _find(self, raw: bytes, asker: Asker) -> tuple[str, Served | bytes]:
        """Return what the first known spelling of *raw* stands for; raises `_Refusal`."""
        try:
            names = name_candidates(raw)
        except WireError as error:
            why = error.reason.removeprefix("tftp-")
            raise _Refusal(why, ErrorCode.ACCESS_VIOLATION) from error
        for name in names:
            answer = self._lookup(name, asker)
            found = await answer if inspect.isawaitable(answer) else answer
            if isinstance(found, Refused):
                raise _Refusal(found.reason, ErrorCode.ACCESS_VIOLATION)
            if not isinstance(found, Missing):
                return name, found
        raise _Refusal("not-found", ErrorCode.NOT_FOUND)

    async def _begin(
        self, datagram: Datagram, request: ReadRequest, name: str, found: Served | bytes
    ) -> None:
        if isinstance(found, bytes):
            self._start(datagram, request, name, BytesSource(found), None)
            return
        try:
            content = await self._files.open(found)
        except FileNotFoundError as error:
            raise _Refusal("not-found", ErrorCode.NOT_FOUND) from error
        except OSError as error:
            if error.errno in _EXHAUSTED:
                raise _Refusal("no-descriptor", None) from error
            raise _Refusal("unreadable", ErrorCode.ACCESS_VIOLATION) from error
        try:
            self._start(datagram, request, name, content, content)
        except BaseException:
            self._files.release(content)
            raise

    def _start(
        self, datagram: Datagram, request: ReadRequest, name: str, source: Source, content: Content | None
    ) -> None:
        """Begin to send *source*; *content* is what to give back at the end."""
        size: int | None = source.size
        if request.mode == "netascii":
            if source.size > NETASCII_MAX:
                raise _Refusal("netascii-too-long", ErrorCode.ILLEGAL_OPERATION)
            source, size = BytesSource(encode_netascii(bytes(source.read_at(0, source.size)))), None
        frame = max(mtu_of(datagram.interface) - _HEADERS, DEFAULT_BLOCK_SIZE)
        agreement = negotiate(request.options, size=size, limits=Limits(block_size=frame))
        client = datagram.source
        try:
            sock = open_reply_socket(datagram.local, datagram.interface)
        except OSError as error:  # no descriptor left, or the address was taken from the interface
            raise _Refusal("no-descriptor" if error.errno in _EXHAUSTED else "no-socket", None) from error
        reading = Reading(
            sock,
            ReadTransfer(source, agreement),
            Reader(client, name, datagram.data),
            crowd=self._crowd,
            segmentation=self._segmentation,
            emit=self._emit,
            ended=lambda reading: self._ended(reading, content),
        )
        self._readings[client] = reading
        self._emit(TftpReadStarted(client=client[0], filename=name))
        reading.start()

    def _ended(self, reading: Reading, content: Content | None) -> None:
        client = reading.reader.client
        del self._readings[client]
        self._unload(client[0])
        if content is not None:
            self._files.release(content)

    def _unload(self, client: str) -> None:
        self._load[client] -= 1
        if not self._load[client]:
            del self._load[client]

    def _refuse(self, datagram: Datagram, raw: bytes, refusal: "_Refusal") -> None:
        """Send ERROR from a port of its own, like a transfer's first packet, and say why."""
        client = datagram.source
        self._emit(TftpRefused(client=client[0], filename=printable_name(raw), why=refusal.why))
        if refusal.code is None:
            return
        try:
            with open_reply_socket(datagram.local, datagram.interface) as sock:
                sock.sendto(encode_error(refusal.code, refusal.message), client)
        except OSError:
            self._drop(datagram, "tftp-cannot-answer")

    def _drop(self, datagram: Datagram, why: str) -> None:
        self._emit(PacketDropped(protocol="tftp", why=why, source=datagram.source[0]))


class _Refusal(Exception):
    """A request that is answered with ERROR, whose message names no path of ours.

    Without a *code* it is left unanswered: what is short now may be there in a second,
    when the ROM asks again, while an ERROR would end its boot.
    """

    def __init__(self, why: str, code: ErrorCode | None) -> None:
        super().__init__(why)
        self.why, self.code = why, code

    @property
    def message(self) -> str:
        return _MESSAGES.get(self.why, self.why.replace("-", " "))


_MESSAGES = {
    "not-found": "file not found",
    "read-only": "this server takes no files",
    "mode": "only octet and netascii are spoken here",
    "netascii-too-long": "too long for netascii, ask for octet",
    "not-a-file": "not a file",
    "folder": "a folder is not a file",
    "unreadable": "the file cannot be read",
    "outside-root": "the link leaves the served folder",
}


def _is_host(address: str) -> bool:
    """The address can be one machine's, so that an answer goes nowhere else."""
    parsed = IPv4Address(address)
    return not (parsed.is_unspecified or parsed.is_multicast or parsed == _BROADCAST)


_BROADCAST = IPv4Address("255.255.255.255")
