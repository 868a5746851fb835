"""Images sent by udpcast's udp-sender: one child process a session, multicast, repeated where lost."""

import threading
import weakref
from contextlib import suppress

from bootd.drivers.tools import Tools
from bootd.drivers.transport.base import (
    Order,
    SessionMissing,
    SessionStatus,
    Transport,
    TransportRefused,
    TransportUnreachable,
    Way,
    check_order,
    check_receiver,
    opened,
)
from bootd.drivers.transport.network import Network
from bootd.drivers.transport.sender import Sender
from bootd.drivers.transport.strays import Strays

_KEPT = 1000  # sessions that are over and still known


class UdpcastTransport(Transport):
    """A session begins when all have joined, or after *join_wait_s* with those that have.

    Receivers run udp-receiver with the channel's port as ``--portbase`` and its address as
    ``--mcast-rdv-address``, and are known by their addresses: *network.whose* names them. Octets
    are those that all have acknowledged. Nothing of ours outlives us: a sender ends with the
    thread that started it, and one that did not (see `strays`) is in `sessions`, is ended by
    `stop`, and before its session is started again.
    """

    def __init__(self, tools: Tools, network: Network) -> None:
        super().__init__(tools)
        self._network = network
        self._strays = Strays(tools.folder)
        self._senders: dict[str, Sender] = {}
        self._lock = threading.Lock()  # of the dictionary
        self._starting = threading.Lock()
        # A pipe closed by our end would look like the end of the image: the senders go before it.
        weakref.finalize(self, _kill, self._senders)

    def start(self, order: Order) -> None:
        check_order(order)
        if self._is_there(order):
            return
        chunks = opened(order)
        with self._starting:
            if self._is_there(order):
                return
            self._check_channel(order)
            sender = Sender(order, chunks, self._network.interface(), self._network.whose, self._strays)
            sender.start()
            with self._lock:
                self._senders[order.id] = sender
                self._forget_oldest()

    def status(self, session: str) -> SessionStatus:
        return self._find(session).status()

    def way(self, session: str, node: str) -> Way:
        order = self._find(session).order
        check_receiver(session, node, order.receivers)
        return Way("udpcast", channel=order.channel)

    def leave_out(self, session: str, node: str, why: str) -> None:
        with suppress(SessionMissing):
            self._find(session).leave_out(node, why)

    def stop(self, session: str) -> None:
        with self._lock:
            sender = self._senders.get(session)
        if sender is not None:
            sender.stop("stopped")
        else:
            self._end_stray(session)

    def sessions(self) -> list[str]:
        with self._lock:
            running = {name for name, sender in self._senders.items() if not sender.is_over}
            known = set(self._senders)
        return sorted(running | (self._strays.alive().keys() - known))

    def _is_there(self, order: Order) -> bool:
        with self._lock:
            there = self._senders.get(order.id)
        if there is not None and there.order != order:
            raise TransportRefused(order.id, "is there with another order")
        return there is not None

    def _check_channel(self, order: Order) -> None:
        with self._lock:
            running = {name: one.order.channel for name, one in self._senders.items() if not one.is_over}
        self._end_stray(order.id)
        strays = {name: stray.channel for name, stray in self._strays.alive().items()}
        for name, channel in (strays | running).items():
            if order.channel.collides(channel):
                raise TransportRefused(order.id, f"its channel collides with session {name}")

    def _end_stray(self, session: str) -> None:
        stray = self._strays.alive().get(session)
        if stray is None:
            return
        try:
            self._strays.end(stray)
        except OSError as error:
            raise TransportUnreachable(
                session, f"its old sender, process {stray.pid}, cannot be ended: {error.strerror or error}"
            ) from error

    def _find(self, session: str) -> Sender:
        with self._lock:
            if session not in self._senders:
                raise SessionMissing(session)
            return self._senders[session]

    def _forget_oldest(self) -> None:
        over = [name for name, sender in self._senders.items() if sender.is_over]
        for name in over[: max(0, len(over) - _KEPT)]:
            del self._senders[name]


def _kill(senders: dict[str, Sender]) -> None:
    for sender in senders.values():
        sender.kill()
