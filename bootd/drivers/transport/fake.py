"""Images sent to nobody: sessions that go by the clock as a multicast would."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from bootd.drivers.faults import Faults
from bootd.drivers.tools import Tools
from bootd.drivers.transport.base import (
    Order,
    ReceiverStatus,
    ReceiverStep,
    SessionMissing,
    SessionStatus,
    SessionStep,
    Transport,
    TransportRefused,
    TransportUnreachable,
    Way,
    check_order,
    check_receiver,
    opened,
)
from bootd.drivers.transport.course import Course, Fate

T = TypeVar("T")


@dataclass(slots=True)
class _Session:
    order: Order
    started_at: datetime
    course: Course
    fates: dict[str, Fate]
    elapsed_s: float = 0.0  # as last seen: a clock that is set back takes nothing back
    ended: str = ""  # why, before its time
    left_out: dict[str, ReceiverStatus] = field(default_factory=dict)


class FakeTransport(Transport):
    """Nothing runs: a status is worked out from the order, the clock and what receivers are to do.

    *fates* says that of each receiver by name, and counts for sessions started later;
    without one it joins after a second and loses nothing. `lose_power` ends a sender.
    """

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self.faults = Faults(tools.wait, TransportRefused, TransportUnreachable)
        self.fates: dict[str, Fate] = {}
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.RLock()

    def start(self, order: Order) -> None:
        check_order(order)
        self._do("start", order.id, lambda: self._start(order))

    def status(self, session: str) -> SessionStatus:
        return self._do("status", session, lambda: self._status(self._find(session)))

    def way(self, session: str, node: str) -> Way:
        return self._do("way", session, lambda: self._way(self._find(session).order, node))

    def leave_out(self, session: str, node: str, why: str) -> None:
        self._do("leave-out", session, lambda: self._leave_out(session, node, why))

    def stop(self, session: str) -> None:
        self._do("stop", session, lambda: self._end(session, "stopped"))

    def sessions(self) -> list[str]:
        return self._do("sessions", "", lambda: [one.order.id for one in self._running()])

    def order(self, session: str) -> Order:
        """Return what was ordered; raises `SessionMissing`."""
        return self._find(session).order

    def received(self, session: str, node: str) -> Iterator[bytes]:
        """Yield what the receiver *node* has of the image by now."""
        [left] = [one.octets for one in self.status(session).receivers if one.node == node]
        for chunk in self._find(session).order.image.chunks():
            yield chunk[:left]
            left -= min(left, len(chunk))

    def lose_power(self, session: str) -> None:
        """End the sender as by kill -9: its receivers have failed with what they have."""
        with self._lock:
            self._end(session, "the sender ended")

    def _start(self, order: Order) -> None:
        there = self._sessions.get(order.id)
        if there is not None and there.order != order:
            raise TransportRefused(order.id, "is there with another order")
        if there is not None:
            return
        for other in self._running():
            if order.channel.collides(other.order.channel):
                raise TransportRefused(order.id, f"its channel collides with session {other.order.id}")
        chunks = opened(order)
        fates = dict(self.fates)
        session = _Session(
            order, self._tools.clock(), Course(order, fates), fates, ended=_flaw(order, chunks)
        )
        self._sessions[order.id] = session

    def _way(self, order: Order, node: str) -> Way:
        check_receiver(order.id, node, order.receivers)
        return Way("fake", channel=order.channel)

    def _end(self, session: str, reason: str) -> None:
        found = self._sessions.get(session)
        if found is not None and self._status(found).step is not SessionStep.OVER:
            found.ended = reason

    def _leave_out(self, session: str, node: str, why: str) -> None:
        """Let it have failed; a session that has not begun goes on as one of the others alone."""
        found = self._sessions.get(session)
        if found is None or node not in found.order.receivers:
            return
        status = self._status(found)
        [one] = [receiver for receiver in status.receivers if receiver.node == node]
        if one.step not in (ReceiverStep.WAITING, ReceiverStep.RECEIVING):
            return
        found.left_out[node] = replace(one, step=ReceiverStep.FAILED, rate=0, reason=why)
        others = tuple(other for other in found.order.receivers if other not in found.left_out)
        if not others:
            found.ended = "nobody is left"
        elif status.step is SessionStep.JOINING:
            found.course = Course(replace(found.order, receivers=others), found.fates, found.elapsed_s)

    def _status(self, session: _Session) -> SessionStatus:
        if not session.ended:
            elapsed_s = (self._tools.clock() - session.started_at).total_seconds()
            session.elapsed_s = max(session.elapsed_s, elapsed_s)
        status = session.course.at(session.elapsed_s, session.ended)
        found = {one.node: one for one in status.receivers} | session.left_out
        return replace(status, receivers=tuple(found[node] for node in session.order.receivers))

    def _running(self) -> list[_Session]:
        sessions = (self._sessions[name] for name in sorted(self._sessions))
        return [one for one in sessions if self._status(one).step is not SessionStep.OVER]

    def _find(self, session: str) -> _Session:
        if session not in self._sessions:
            raise SessionMissing(session)
        return self._sessions[session]

    def _do(self, verb: str, subject: str, deed: Callable[[], T]) -> T:
        def alone() -> T:
            with self._lock:
                return deed()

        return self.faults.perform(verb, subject, alone)


def _flaw(order: Order, chunks: Iterator[bytes]) -> str:
    """Return why nobody can have the image whole, "" where it is as it said; receivers see it at once."""
    try:
        octets = sum(map(len, chunks))
    except OSError as error:
        return f"its image cannot be read: {error.strerror or error}"
    return "" if octets == order.image.size else f"its image has {octets} octets, not {order.image.size}"
