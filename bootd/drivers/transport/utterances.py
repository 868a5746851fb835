"""What udp-sender says on standard error (udpcast 20120424), as facts."""

import re
from dataclasses import dataclass

_LINES = re.compile(rb"[\r\n]+")
_READY = re.compile(rb"Broadcasting control to ")
_ADDRESS = re.compile(rb"(?:Compressed )?UDP sender for .* at ([0-9.]+) on (\S+)")
_JOINED = re.compile(rb"New connection from ([0-9.]+) +\(#([0-9]+)\)")
_STARTED = re.compile(rb"Starting transfer")
_OCTETS = re.compile(rb"bytes= *([0-9][0-9 ]*)([KM]?) *re-xmits= *([0-9]+)")
_DROPPED = re.compile(rb"Dropping client #([0-9]+)")
_GONE = re.compile(rb"Disconnecting #([0-9]+)")
_COMPLETE = re.compile(rb"Transfer complete")
_IDLE = re.compile(rb"Udp-sender |Timeout notAnswered|Using |\x07")
_UNITS = {b"": 1, b"K": 1 << 10, b"M": 1 << 20}
_LAST_WORDS = 3  # lines kept of what is not known


@dataclass(slots=True)
class Participant:
    """A receiver as the sender knows it."""

    number: int
    address: str
    octets: int | None = None  # what it had when it was gone; None while it is there
    had_all: bool = False  # it acknowledged every octet, if not always the end behind them
    dropped: bool = False  # it had not answered for too long


class Utterances:
    """The sender's own account, complete up to the last line that was taken."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.address = ""  # the sender's own; "" before it is ready to be joined
        self.ready = self.started = self.complete = False
        self.octets = 0  # that all receivers which are still there have
        self.sent_again = 0  # packets
        self.participants: list[Participant] = []  # all there ever were, by the time they came
        self.began_with: list[Participant] = []
        self._unit = 1  # what `octets` is a multiple of: above 1 GB it is told in KiB
        self._dropping: set[int] = set()
        self._open = b""
        self._last: list[str] = []

    @property
    def has_all(self) -> bool:
        """Whether every receiver that is still there has the whole image."""
        return self.octets + self._unit > self.size

    @property
    def last_words(self) -> str:
        """What it said that is not part of its usual account: why it ended, if it did."""
        return "; ".join(self._last)

    def there(self) -> list[Participant]:
        return [one for one in self.participants if one.octets is None]

    def take(self, octets: bytes) -> None:
        """Read on; a line may come in parts."""
        *lines, self._open = _LINES.split(self._open + octets)
        for line in lines:
            self._line(line)

    def _line(self, line: bytes) -> None:
        if match := _OCTETS.match(line):
            self._unit = _UNITS[match[2]]
            self.octets = max(self.octets, int(match[1].replace(b" ", b"")) * self._unit)
            self.sent_again = int(match[3])
        elif match := _JOINED.match(line):
            self.participants.append(Participant(int(match[2]), match[1].decode()))
        elif match := _DROPPED.match(line):
            self._dropping.add(int(match[1]))
        elif match := _GONE.match(line):
            self._gone(int(match[1]))
        elif match := _ADDRESS.match(line):
            self.address = match[1].decode()
        elif _READY.match(line):
            self.ready = True
        elif _STARTED.match(line):
            self.started, self.began_with = True, self.there()
        elif _COMPLETE.match(line):
            self.complete = True
        elif line.strip() and not _IDLE.match(line):
            self._last = [*self._last, line.decode(errors="replace").strip()[:200]][-_LAST_WORDS:]

    def _gone(self, number: int) -> None:
        for one in self.there():
            if one.number == number:
                one.octets, one.dropped = self.octets, number in self._dropping
                one.had_all = self.has_all and self.started
        self._dropping.discard(number)
