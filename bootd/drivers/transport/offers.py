"""Images that our own HTTP server gives out: one path for each receiver, for as long as its session lasts."""

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from bootd.drivers.source import octets_from
from bootd.drivers.transport.base import Order, ReceiverStatus, ReceiverStep, SessionStatus, SessionStep

_WIRE = 1514 / 1448  # octets of an Ethernet frame for those of a file in it
_BURST_S = 0.05  # how far behind its rate a session may have fallen and still catch up
_WINDOW_S = 2.0  # the rate just now is that of so long
_READ_S = 60.0  # a read of the image that takes longer is none


@dataclass(slots=True)
class _Fetch:
    """What one receiver has had of the image. Times are the session's clock."""

    moved_at: float  # something went to it; before it came, the session's start
    begun: bool = False
    reading_since: float | None = None  # we wait for the image, not for the receiver
    sent: list[tuple[int, int]] = field(default_factory=list)  # spans (start, end), apart and in order
    arrived: list[tuple[int, int]] = field(default_factory=list)  # those its machine has acknowledged
    samples: deque[tuple[float, int]] = field(default_factory=deque)
    final: ReceiverStatus | None = None


class Offer:
    """An order, and how far its receivers are with it. Any thread; *now* goes forward only."""

    def __init__(self, order: Order, now: float) -> None:
        self.order = order
        self._started = self._next = now
        self._lock = threading.Lock()
        self._fetches = {node: _Fetch(now) for node in order.receivers}

    @property
    def size(self) -> int:
        return self.order.image.size

    def chunks(self, start: int) -> Iterator[bytes]:
        """Yield the image from the octet *start* on; blocks, and may raise `OSError`."""
        return octets_from(self.order.image, start)

    def pause(self, octets: int, now: float) -> float:
        """Return how long to wait before so many *octets* go out: all receivers share the session's rate."""
        with self._lock:
            self._next = max(self._next, now - _BURST_S) + octets * 8 * _WIRE / self.order.rate
            return max(0.0, self._next - now)

    def is_open(self, node: str, now: float) -> bool:
        """Tell whether *node* may fetch."""
        with self._lock:
            return self._look(node, now).final is None

    def begin(self, node: str, now: float, start: int = 0) -> None:
        """*node* asks for the octets from *start* on: it has those before, be it that we never sent them.

        They came by a connection that was cut, or from a bootd that was killed. Whether they are
        the right ones the digest tells.
        """
        with self._lock:
            fetch = self._look(node, now)
            fetch.begun, fetch.moved_at = True, now
            if start:
                fetch.sent, fetch.arrived = (_with(spans, 0, start) for spans in (fetch.sent, fetch.arrived))
                fetch.samples.clear()

    def reading(self, node: str, now: float, *, is_waiting: bool) -> None:
        """The next octets are being read from where the image lies, or have been."""
        with self._lock:
            fetch = self._look(node, now)
            fetch.reading_since = now if is_waiting else None
            if not is_waiting:
                fetch.moved_at = now

    def sent(self, node: str, start: int, count: int, now: float) -> None:
        with self._lock:
            fetch = self._look(node, now)
            fetch.moved_at = now
            fetch.sent = _with(fetch.sent, start, start + count)
            fetch.samples.append((now, _covered(fetch.sent)))

    def arrived(self, node: str, start: int, count: int, now: float) -> None:
        """What was sent is in the receiver's machine; with the whole image there the receiver is done."""
        with self._lock:
            fetch = self._look(node, now)
            fetch.arrived = _with(fetch.arrived, start, start + count)
            if fetch.final is None and _covered(fetch.arrived) == self.size:
                fetch.final = ReceiverStatus(node, ReceiverStep.DONE, self.size)

    def fail(self, why: str, now: float, node: str = "") -> None:
        """The receiver *node* gets no more, or all that are not done."""
        with self._lock:
            for name in (node,) if node else self.order.receivers:
                fetch = self._look(name, now)
                fetch.final = fetch.final or self._failed(name, fetch, why)

    def status(self, now: float) -> SessionStatus:
        with self._lock:
            receivers = tuple(self._receiver(node, now) for node in self.order.receivers)
        if all(one.step in (ReceiverStep.DONE, ReceiverStep.FAILED) for one in receivers):
            step = SessionStep.OVER
        elif any(fetch.begun for fetch in self._fetches.values()):
            step = SessionStep.SENDING
        else:
            step = SessionStep.JOINING
        return SessionStatus(self.order.id, step, self.size, receivers)

    def _receiver(self, node: str, now: float) -> ReceiverStatus:
        fetch = self._look(node, now)
        if fetch.final is not None:
            return fetch.final
        if not fetch.begun:
            return ReceiverStatus(node, ReceiverStep.WAITING)
        return ReceiverStatus(node, ReceiverStep.RECEIVING, self._octets(fetch), _rate(fetch, now))

    def _look(self, node: str, now: float) -> _Fetch:
        """Return how *node* stands, once it was seen whether it has been silent for too long."""
        fetch, order = self._fetches[node], self.order
        if fetch.final is not None:
            return fetch
        if not fetch.begun:
            why = f"did not join within {order.join_wait_s:g} s"
            is_late = now - self._started >= order.join_wait_s
        elif fetch.reading_since is not None:
            why = f"its image cannot be read within {_READ_S:g} s"
            is_late = now - fetch.reading_since >= _READ_S
        else:
            why = f"silent for {order.drop_after_s:g} s after {self._octets(fetch)} octets"
            is_late = now - fetch.moved_at >= order.drop_after_s
        if is_late:
            fetch.final = self._failed(node, fetch, why)
        return fetch

    def _failed(self, node: str, fetch: _Fetch, why: str) -> ReceiverStatus:
        return ReceiverStatus(node, ReceiverStep.FAILED, self._octets(fetch), reason=why)

    def _octets(self, fetch: _Fetch) -> int:
        """Return what a receiver that is not done has: less than all."""
        return max(0, min(_covered(fetch.sent), self.size - 1))


@dataclass(frozen=True, slots=True)
class Offered:
    """What stands behind one path."""

    offer: Offer
    node: str


class Offers:
    """All paths that are given out now. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._behind: dict[str, Offered] = {}

    def put(self, name: str, offered: Offered) -> None:
        with self._lock:
            self._behind[name] = offered

    def remove(self, name: str) -> None:
        with self._lock:
            self._behind.pop(name, None)

    def find(self, name: str) -> Offered | None:
        with self._lock:
            return self._behind.get(name)


def _rate(fetch: _Fetch, now: float) -> int:
    samples = fetch.samples
    while len(samples) > 1 and samples[1][0] <= now - _WINDOW_S:
        samples.popleft()
    if not samples:
        return 0
    since, octets = samples[0]
    return round((samples[-1][1] - octets) * 8 / max(now - since, 0.1))


def _with(spans: list[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """Return *spans* and the one from *start* to *end*, joined where they touch."""
    apart = [span for span in spans if span[1] < start or span[0] > end]
    touching = [span for span in spans if span not in apart]
    start = min([start, *(first for first, _ in touching)])
    end = max([end, *(last for _, last in touching)])
    return sorted([*apart, (start, end)])


def _covered(spans: list[tuple[int, int]]) -> int:
    return sum(end - start for start, end in spans)
