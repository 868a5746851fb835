"""One TFTP transfer on the wire: its socket, its timer, and what is said when it ends."""

import asyncio
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass

from bootd.events import Event, PacketDropped, TftpReadCompleted, TftpReadFailed
from bootd.listeners.sockets import Address, Crowd, Segmentation
from bootd.telemetry import Emit
from netboot.errors import WireError
from netboot.tftp.packet import Ack, Error, ErrorCode, decode, encode_error
from netboot.tftp.transfer import Outcome, ReadTransfer

_DATAGRAM_MAX = 1024  # octets; an ACK has 4, an ERROR a sentence


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads what."""

    client: Address
    filename: str  # as it was found
    request: bytes  # the RRQ, to know a repetition by


class Reading:
    """Moves packets between a socket and a `ReadTransfer`, which decides everything.

    *ended* is called once, with the socket closed.
    """

    def __init__(
        self,
        sock: socket.socket,
        transfer: ReadTransfer,
        reader: Reader,
        *,
        crowd: Crowd,
        segmentation: Segmentation,
        emit: Emit,
        ended: Callable[["Reading"], None],
    ) -> None:
        self.reader = reader
        self._sock = sock
        self._transfer = transfer
        self._crowd = crowd
        self._segmentation = segmentation
        self._emit = emit
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._send_error = ""  # why the last packet could not leave
        self._began_at = self._loop.time()

    def start(self) -> None:
        """Send the first packet."""
        self._crowd.add(self._sock, self._wake)
        self._advance(self._loop.time())

    def repeat(self, request: bytes) -> bool:
        """Take the client's repeated *request*; False where it is another one, or comes too late to be it."""
        if self._transfer.has_begun or request != self.reader.request:
            return False
        now = self._loop.time()
        self._transfer.receive_request(now=now)
        self._advance(now)
        return True

    def abandon(self, why: str, message: str = "") -> None:
        """End without the client's doing; *message* is what it is told, if anything."""
        if message:
            self._send([encode_error(ErrorCode.NOT_DEFINED, message)])
        self._finish(self._failed(why))

    def _wake(self) -> None:
        try:
            # One a wake: in lock-step there is never a second, and asking for it costs as much.
            data, sender = self._sock.recvfrom(_DATAGRAM_MAX)
        except (BlockingIOError, ConnectionRefusedError):
            return
        if sender != self.reader.client:
            self._turn_away(data, sender)
            return
        try:
            packet = decode(data)
        except WireError as error:
            self._emit(PacketDropped(protocol="tftp", why=error.reason, source=sender[0]))
            return
        now = self._loop.time()
        if isinstance(packet, Ack):
            self._transfer.receive_ack(packet.block, now=now)
        elif isinstance(packet, Error):
            self._transfer.receive_error(packet.code, now=now)
        self._advance(now)

    def _turn_away(self, data: bytes, sender: Address) -> None:
        """RFC 1350 section 4: ERROR 5, and the transfer goes on. An ERROR is never answered."""
        self._emit(PacketDropped(protocol="tftp", why="tftp-wrong-tid", source=sender[0]))
        if data[:2] != b"\0\5":
            self._send([encode_error(ErrorCode.UNKNOWN_TID, "unknown transfer ID")], sender)

    def _advance(self, now: float) -> None:
        try:
            datagrams = self._transfer.datagrams_to_send(now=now)
        except OSError:
            self.abandon("unreadable", "the file cannot be read")
            return
        if datagrams:
            self._send(datagrams)
        if self._transfer.outcome is not Outcome.RUNNING:
            self._finish(self._end_event())
            return
        self._arm()

    def _send(self, datagrams: list[bytes], to: Address | None = None) -> None:
        try:
            if len(datagrams) == 1:
                self._sock.sendto(datagrams[0], to or self.reader.client)
            else:
                self._segmentation.send(self._sock, datagrams, to or self.reader.client)
            self._send_error = ""
        except OSError as error:  # as good as lost on the wire: the timer will see to it
            self._send_error = errno.errorcode.get(error.errno or 0, "unknown")

    def _arm(self) -> None:
        """See that we are woken at the deadline or before: moving a timer at each block would be dear."""
        deadline = self._transfer.deadline
        if deadline is None or (self._timer is not None and self._timer.when() <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        self._transfer.handle_timeout(now=now)
        self._advance(now)

    def _end_event(self) -> Event:
        outcome, transfer = self._transfer.outcome, self._transfer
        if outcome not in (Outcome.COMPLETED, Outcome.UNCONFIRMED):
            is_unsent = outcome is Outcome.TIMED_OUT and self._send_error
            return self._failed(f"send-{self._send_error.lower()}" if is_unsent else outcome.value)
        is_confirmed = outcome is Outcome.COMPLETED
        ended_at = self._loop.time() if is_confirmed else transfer.all_sent_at or self._began_at
        return TftpReadCompleted(
            client=self.reader.client[0],
            filename=self.reader.filename,
            octets=transfer.source.size,
            seconds=ended_at - self._began_at,
            confirmed=is_confirmed,
        )

    def _failed(self, why: str) -> TftpReadFailed:
        return TftpReadFailed(
            client=self.reader.client[0],
            filename=self.reader.filename,
            octets=self._transfer.octets_acked,
            why=why,
        )

    def _finish(self, event: Event) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._crowd.remove(self._sock)
        self._sock.close()
        self._ended(self)
        self._emit(event)
