"""How a multicast session goes when it is known beforehand what each receiver will do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bootd.drivers.transport.base import Order, ReceiverStatus, ReceiverStep, SessionStatus, SessionStep


@dataclass(frozen=True, slots=True)
class Fate:
    """What a receiver does."""

    joins_after_s: float | None = 1.0  # None: never
    loss: float = 0.0  # share of the packets that do not reach it and are sent again to all, below 1
    dies_at: int | None = None  # octets: it has these and says nothing any more

    def __post_init__(self) -> None:
        if not 0 <= self.loss < 1:
            raise ValueError(f"a loss of {self.loss}")


@dataclass(frozen=True, slots=True)
class Leg:
    """A time in which nothing changes but the octets; a leg without octets is a wait for someone silent."""

    start_s: float
    end_s: float
    first: int  # octets all living receivers have at its start
    last: int  # and at its end
    rate: int  # bit/s

    def octets(self, elapsed_s: float) -> int:
        if elapsed_s >= self.end_s or self.first == self.last:
            return self.last
        share = (elapsed_s - self.start_s) / (self.end_s - self.start_s)
        return min(self.last - 1, self.first + int((self.last - self.first) * share))


class Course:
    """A session from its start to its end; all times are seconds since the start.

    With *not_before_s* it has waited so long already.
    """

    def __init__(self, order: Order, fates: Mapping[str, Fate], not_before_s: float = 0.0) -> None:
        self._order = order
        joins = {node: fates.get(node, Fate()).joins_after_s for node in order.receivers}
        there = {node: s for node, s in joins.items() if s is not None and s <= order.join_wait_s}
        everybody = len(there) == len(order.receivers)
        self._begin_s = max(not_before_s, *there.values()) if everybody else order.join_wait_s
        self._joined = {node: fates.get(node, Fate()) for node in there}
        self._dropped: dict[str, tuple[float, int]] = {}  # node -> when, and with how many octets
        self._legs = list(self._plan())
        self.end_s = self._legs[-1].end_s if self._legs else self._begin_s

    def at(self, elapsed_s: float, ended: str = "") -> SessionStatus:
        """Return the status after *elapsed_s*; with *ended*, the reason why nothing came after that."""
        receivers = tuple(self._receiver(node, elapsed_s, ended) for node in self._order.receivers)
        step = SessionStep.SENDING if elapsed_s >= self._begin_s else SessionStep.JOINING
        if ended or elapsed_s >= self.end_s:
            step = SessionStep.OVER
        return SessionStatus(self._order.id, step, self._order.image.size, receivers)

    def _plan(self) -> Iterator[Leg]:
        """Yield the legs; the pace is that of the worst receiver, which is what multicast does."""
        size, now_s, octets = self._order.image.size, self._begin_s, 0
        living = dict(self._joined)
        deaths = {
            fate.dies_at for fate in living.values() if fate.dies_at is not None and fate.dies_at < size
        }
        for until in [*sorted(deaths), size]:
            if not living:
                return
            rate = max(1, int(self._order.rate * (1 - max(fate.loss for fate in living.values()))))
            end_s = now_s + (until - octets) * 8 / rate
            yield Leg(now_s, end_s, octets, until, rate)
            now_s, octets = end_s, until
            silent = [node for node, fate in living.items() if fate.dies_at == until and until < size]
            if silent:
                end_s = now_s + self._order.drop_after_s
                yield Leg(now_s, end_s, octets, octets, 0)
                now_s = end_s
            for node in silent:
                del living[node]
                self._dropped[node] = (now_s, octets)

    def _receiver(self, node: str, elapsed_s: float, ended: str) -> ReceiverStatus:
        status = self._undisturbed(node, elapsed_s)
        if ended and status.step in (ReceiverStep.WAITING, ReceiverStep.RECEIVING):
            return ReceiverStatus(node, ReceiverStep.FAILED, status.octets, 0, ended)
        return status

    def _undisturbed(self, node: str, elapsed_s: float) -> ReceiverStatus:
        if elapsed_s < self._begin_s:
            return ReceiverStatus(node, ReceiverStep.WAITING)
        if node not in self._joined:
            reason = f"did not join within {self._order.join_wait_s:g} s"
            return ReceiverStatus(node, ReceiverStep.FAILED, reason=reason)
        octets, rate = self._progress(elapsed_s)
        dropped_s, had = self._dropped.get(node, (None, octets))
        octets = min(octets, had)
        if dropped_s is not None and elapsed_s >= dropped_s:
            reason = f"silent for {self._order.drop_after_s:g} s after {had} octets"
            return ReceiverStatus(node, ReceiverStep.FAILED, octets, 0, reason)
        if dropped_s is None and octets == self._order.image.size:
            return ReceiverStatus(node, ReceiverStep.DONE, octets)
        return ReceiverStatus(node, ReceiverStep.RECEIVING, octets, rate)

    def _progress(self, elapsed_s: float) -> tuple[int, int]:
        """Return the octets that living receivers have, and the rate."""
        octets, rate = 0, 0
        for leg in self._legs:
            if elapsed_s < leg.start_s:
                break
            octets, rate = leg.octets(elapsed_s), leg.rate
        return octets, rate
