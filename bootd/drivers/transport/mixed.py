"""Multicast to several, HTTP to one, and to those whom multicast has failed."""

import threading
from contextlib import suppress

from bootd.drivers.tools import Tools
from bootd.drivers.transport.base import (
    Order,
    SessionMissing,
    SessionStatus,
    SessionStep,
    Transport,
    TransportRefused,
    Way,
    check_order,
)
from bootd.drivers.transport.http import HttpTransport
from bootd.drivers.transport.network import Network
from bootd.drivers.transport.udpcast import UdpcastTransport


class MixedTransport(Transport):
    """Each session goes one of two ways: by multicast, unless it has one receiver or says *singly*."""

    def __init__(self, tools: Tools, network: Network) -> None:
        super().__init__(tools)
        self.together, self.singly = UdpcastTransport(tools, network), HttpTransport(tools, network)
        self._orders: dict[str, Order] = {}  # of those that may still run
        self._starting = threading.Lock()

    def start(self, order: Order) -> None:
        check_order(order)
        with self._starting:
            taken = self._carrier_of(order.id)
            one = order.singly or len(order.receivers) == 1
            carrier = taken or (self.singly if one else self.together)
            if taken is None:
                self._check_channel(order)
            carrier.start(order)
            self._orders[order.id] = order

    def status(self, session: str) -> SessionStatus:
        return self._find(session).status(session)

    def way(self, session: str, node: str) -> Way:
        return self._find(session).way(session, node)

    def leave_out(self, session: str, node: str, why: str) -> None:
        self.together.leave_out(session, node, why)
        self.singly.leave_out(session, node, why)

    def stop(self, session: str) -> None:
        self.together.stop(session)  # also one that was left behind
        self.singly.stop(session)

    def sessions(self) -> list[str]:
        return sorted({*self.together.sessions(), *self.singly.sessions()})

    def _check_channel(self, order: Order) -> None:
        for name, other in list(self._orders.items()):
            with suppress(SessionMissing):
                if self.status(name).step is not SessionStep.OVER:
                    if order.channel.collides(other.channel):
                        raise TransportRefused(order.id, f"its channel collides with session {name}")
                    continue
            del self._orders[name]

    def _carrier_of(self, session: str) -> Transport | None:
        for carrier in (self.together, self.singly):
            with suppress(SessionMissing):
                carrier.status(session)
                return carrier
        return None

    def _find(self, session: str) -> Transport:
        carrier = self._carrier_of(session)
        if carrier is None:
            raise SessionMissing(session)
        return carrier
