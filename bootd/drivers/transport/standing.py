"""How the receivers of a multicast stand, by name: what udp-sender says of addresses, seen from an order."""

from collections import deque
from collections.abc import Callable, Iterable

from bootd.drivers.transport.base import Order, ReceiverStatus, ReceiverStep, SessionStatus, SessionStep
from bootd.drivers.transport.utterances import Participant, Utterances

_WINDOW_S = 2.0  # the rate just now is that of so long


class Standing:
    """Not thread-safe. Times are seconds of any clock that goes forward.

    Who takes part is settled when the sender begins; others that joined are strangers,
    whose standing nobody asks for.
    """

    def __init__(self, order: Order, whose: Callable[[str], str], now: float) -> None:
        self.said = Utterances(order.image.size)
        self.moved_at = now  # when something came through, or changed, last
        self._order, self._whose = order, whose
        self._names: dict[str, str] = {}
        self._part: dict[str, Participant] | None = None  # None before the sender begins
        self._final: dict[str, ReceiverStatus] = {}
        self._samples: deque[tuple[float, int]] = deque()
        self._over = False

    @property
    def is_over(self) -> bool:
        return self._over

    @property
    def all_final(self) -> bool:
        """Whether every receiver is done or failed."""
        return len(self._final) == len(self._order.receivers)

    def joined(self) -> dict[str, Participant]:
        """Return who of the receivers is there; one that came twice is its latest self."""
        return self._named(self.said.there())

    def _named(self, participants: Iterable[Participant]) -> dict[str, Participant]:
        found: dict[str, Participant] = {}
        for one in participants:
            name = self._names.get(one.address) or self._whose(one.address)
            if name in self._order.receivers:
                found[name] = one
                self._names[one.address] = name
        return found

    def take(self, octets: bytes, now: float) -> None:
        """Read on in what the sender says."""
        before = self.said.octets
        self.said.take(octets)
        if self.said.started and self._part is None:
            self._begin(now)
        if self.said.octets > before:
            self.moved_at = now
            self._samples.append((now, self.said.octets))
        for node, one in (self._part or {}).items():
            if one.octets is not None and node not in self._final:
                self._final[node] = self._gone(node, one)
                self.moved_at = now

    def leave_out(self, node: str, why: str) -> None:
        """The receiver *node* has failed, if it is one and not done."""
        if node in self._order.receivers and node not in self._final:
            octets = self._octets() if self._part is not None else 0
            self._final[node] = ReceiverStatus(node, ReceiverStep.FAILED, octets, reason=why)

    def awaited(self) -> set[str]:
        """Return who of the receivers has not joined and may still do so."""
        return set(self._order.receivers) - self._final.keys() - self.joined().keys()

    def end(self, reason: str) -> None:
        """The sender is no more; *reason* is why, for those that are not done."""
        if self._over:
            return
        self._over = True
        for node in self._order.receivers:
            if node in self._final:
                continue
            if self.said.complete and self.said.has_all and node in (self._part or {}):
                self._final[node] = self._done(node)
            else:
                octets = self._octets() if self._part is not None else 0
                self._final[node] = ReceiverStatus(node, ReceiverStep.FAILED, octets, reason=reason)

    def status(self, now: float) -> SessionStatus:
        step = SessionStep.JOINING if self._part is None else SessionStep.SENDING
        if self._over:
            step = SessionStep.OVER
        rate = self._rate(now)
        receivers = tuple(self._receiver(node, rate) for node in self._order.receivers)
        return SessionStatus(self._order.id, step, self._order.image.size, receivers)

    def _begin(self, now: float) -> None:
        self._part = self._named(self.said.began_with)
        self.moved_at = now
        self._samples.append((now, 0))
        reason = f"did not join within {self._order.join_wait_s:g} s"
        for node in self._order.receivers:
            if node not in self._part and node not in self._final:
                self._final[node] = ReceiverStatus(node, ReceiverStep.FAILED, reason=reason)

    def _gone(self, node: str, one: Participant) -> ReceiverStatus:
        if one.had_all:
            return self._done(node)
        octets = min(self._octets(), one.octets or 0)
        how = f"silent for {self._order.drop_after_s:g} s" if one.dropped else "it left"
        return ReceiverStatus(node, ReceiverStep.FAILED, octets, reason=f"{how} after {octets} octets")

    def _done(self, node: str) -> ReceiverStatus:
        return ReceiverStatus(node, ReceiverStep.DONE, self._order.image.size)

    def _receiver(self, node: str, rate: int) -> ReceiverStatus:
        if node in self._final:
            return self._final[node]
        if self._part is None:
            return ReceiverStatus(node, ReceiverStep.WAITING)
        return ReceiverStatus(node, ReceiverStep.RECEIVING, self._octets(), rate)

    def _octets(self) -> int:
        """Return what a receiver that is not done has for certain."""
        return max(0, min(self.said.octets, self._order.image.size - 1))

    def _rate(self, now: float) -> int:
        while len(self._samples) > 1 and self._samples[1][0] <= now - _WINDOW_S:
            self._samples.popleft()
        if not self._samples:
            return 0
        since, octets = self._samples[0]
        return round((self.said.octets - octets) * 8 / max(now - since, 0.1))
