"""The server's side of one read (RFC 1350, 2347, 7440), without a socket and without a clock.

The OACK is treated as block 0, which is what the client acknowledges it as. Block
numbers are counted without end inside and wrap from 65535 to 0 on the wire, as
iPXE, GRUB, EDK2 and U-Boot expect.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from netboot.tftp.negotiate import Agreement
from netboot.tftp.packet import ErrorCode, encode_data, encode_error, encode_oack
from netboot.tftp.source import Source

FIRST_TIMEOUT = 1.0  # seconds, before anything is known about the path
TIMEOUT_MIN = 0.25  # seconds; a ROM that polls its card is slower than its wire
TIMEOUT_MAX = 5.0  # seconds
TRIES = 6  # times a window is sent before the client is given up


class Outcome(StrEnum):
    """How a transfer ended."""

    RUNNING = "running"
    COMPLETED = "completed"
    UNCONFIRMED = "unconfirmed"  # all was sent, the last ACK never came: many ROMs do not send it
    ABORTED = "client-aborted"
    TIMED_OUT = "timeout"
    CHANGED = "source-changed"  # the content got shorter under us


@dataclass(slots=True)
class ReadTransfer:
    """Feed it what happens, ask it what to send and when to look again.

    *now* is any clock in seconds that does not go back; `deadline` is on the same clock.
    """

    source: Source
    agreement: Agreement
    outcome: Outcome = Outcome.RUNNING
    deadline: float | None = None
    all_sent_at: float | None = None  # when the last block left for the first time
    _last: int = field(init=False)  # number of the final block, shorter than the others
    _acked: int = field(init=False)  # last block the client has in order; -1 while the OACK is out
    _sent: int = field(init=False)  # highest block on its way
    _due: bool = True
    _tries: int = 0
    _sent_at: float = 0.0
    _is_resent: bool = False  # the window on its way, or the one before it, went out more than once
    _round_trip: float | None = None  # smoothed, seconds
    _variation: float = 0.0

    def __post_init__(self) -> None:
        self._last = self.source.size // self.agreement.block_size + 1
        self._acked = self._sent = -1 if self.agreement.accepted else 0

    @property
    def octets_acked(self) -> int:
        """Octets the client is known to have."""
        return min(max(self._acked, 0) * self.agreement.block_size, self.source.size)

    @property
    def has_begun(self) -> bool:
        """The client answered our first packet."""
        return self._acked > (-1 if self.agreement.accepted else 0)

    def receive_ack(self, block: int, *, now: float) -> None:
        """Take the 16-bit *block* of an ACK.

        A stale one changes nothing; in lock-step a duplicate never resends (RFC 1123 section
        4.2.3.1, the Sorcerer's Apprentice). In a window it says that the first block was lost
        (RFC 7440 section 4), and is believed once: not when the window before was repeated
        too, for then it may be the echo of our own repetition.
        """
        ahead = (block - self._acked) & 0xFFFF
        if self.outcome is not Outcome.RUNNING or ahead > self._sent - self._acked:
            return
        if ahead == 0:
            if self.agreement.window_size > 1 and self._acked >= 0 and not self._is_resent:
                self._due = self._is_resent = True
            return
        if self._tries == 1:
            self._measure(now - self._sent_at)
        has_gap = self._acked + ahead < self._sent
        self._is_resent = has_gap or self._tries > 1
        self._acked += ahead
        self._tries = 0
        self._due = True
        if self._acked == self._last:
            self._end(Outcome.COMPLETED)

    def receive_error(self, code: int, *, now: float) -> None:
        """Take the client's ERROR, which ends the transfer and is never answered.

        EDK2 reads the size from the OACK and sends one; GRUB and PXELINUX close a file with code 0.
        """
        if self.outcome is Outcome.RUNNING:
            is_closed = code == ErrorCode.NOT_DEFINED and self._sent == self._last
            self._end(Outcome.UNCONFIRMED if is_closed else Outcome.ABORTED)

    def receive_request(self, *, now: float) -> None:
        """Take a repetition of the request that began this transfer: our first answer was lost."""
        if self.outcome is Outcome.RUNNING and not self.has_begun:
            self._due = True

    def handle_timeout(self, *, now: float) -> None:
        """Send the window again, or give the client up; before the deadline nothing happens."""
        if self.deadline is None or now < self.deadline:
            return
        if self._tries >= TRIES:
            self._end(Outcome.UNCONFIRMED if self._sent == self._last else Outcome.TIMED_OUT)
            return
        self._due = self._is_resent = True

    def datagrams_to_send(self, *, now: float) -> list[bytes]:
        """Return what goes out now; all but the last are of one length, as UDP_SEGMENT needs."""
        if not self._due or self.outcome is not Outcome.RUNNING:
            return []
        self._due = False
        self._tries += 1
        self._sent_at = now
        self.deadline = now + self._patience()
        if self._acked < 0:
            self._sent = 0
            return [encode_oack(self.agreement.accepted)]
        return self._window(now)

    def _window(self, now: float) -> list[bytes]:
        size = self.agreement.block_size
        start = self._acked * size
        self._sent = min(self._acked + self.agreement.window_size, self._last)
        wanted = min((self._sent - self._acked) * size, self.source.size - start)
        data = self.source.read_at(start, wanted)
        if len(data) != wanted:
            self._end(Outcome.CHANGED)
            return [encode_error(ErrorCode.NOT_DEFINED, "the file changed while it was read")]
        if self._sent == self._last and self.all_sent_at is None:
            self.all_sent_at = now
        first, count = self._acked + 1, self._sent - self._acked
        if count == 1:
            return [encode_data(first, data)]
        view = memoryview(data)
        return [encode_data(first + i, view[i * size : (i + 1) * size]) for i in range(count)]

    def _patience(self) -> float:
        """Seconds until the next repetition: adaptive and doubling (RFC 1123 section 4.2.3.2)."""
        if self.agreement.timeout is not None:
            return float(self.agreement.timeout)
        first = FIRST_TIMEOUT
        if self._round_trip is not None:
            first = max(self._round_trip + 4 * self._variation, TIMEOUT_MIN)
        return min(first * (1 << (self._tries - 1)), TIMEOUT_MAX)

    def _measure(self, seconds: float) -> None:
        if self._round_trip is None:
            self._round_trip, self._variation = seconds, seconds / 2
            return
        self._variation += (abs(seconds - self._round_trip) - self._variation) / 4
        self._round_trip += (seconds - self._round_trip) / 8

    def _end(self, outcome: Outcome) -> None:
        self.outcome, self.deadline, self._due = outcome, None, False
