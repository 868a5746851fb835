"""Machines that are not there: they are on or off in memory, and every order is written down."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from bootd.drivers.faults import Faults
from bootd.drivers.power.base import Power, PowerRefused, PowerState, PowerUnreachable, ResetKind
from bootd.drivers.tools import Tools
from bootd.model import Host

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Start:
    """A machine began at its firmware."""

    at: datetime
    node: str
    from_network: bool  # by boot_once


@dataclass(frozen=True, slots=True)
class Order:
    """A call that reached the switch, be it carried out or not."""

    at: datetime
    verb: str
    node: str


class FakePower(Power):
    """Every machine exists and is off until told otherwise.

    To look at and to play with: *orders*, *starts*, *states*; *hung* machines do not
    listen to a soft reset; *started* is called with each `Start`, in the caller's thread.
    """

    def __init__(self, tools: Tools, started: Callable[[Start], None] | None = None) -> None:
        super().__init__(tools)
        self.faults = Faults(tools.wait, PowerRefused, PowerUnreachable)
        self.states: dict[str, PowerState] = {}
        self.hung: set[str] = set()
        self.orders: list[Order] = []
        self.starts: list[Start] = []
        self.started = started
        self._next_from_network: set[str] = set()
        self._lock = threading.RLock()

    def state(self, node: Host) -> PowerState:
        return self._order("state", node, lambda: self._state(node))

    def on(self, node: Host) -> None:
        def deed() -> None:
            if self._state(node) is not PowerState.ON:
                self.states[node.name] = PowerState.ON
                self._start(node)

        self._order("on", node, deed)

    def off(self, node: Host) -> None:
        self._order("off", node, lambda: self.states.update({node.name: PowerState.OFF}))

    def _reset(self, node: Host, kind: ResetKind) -> None:
        def deed() -> None:
            if kind is ResetKind.HARD or node.name not in self.hung:
                self._start(node)

        self._order(f"reset-{kind}", node, deed)

    def boot_once(self, node: Host) -> None:
        self._order("boot_once", node, lambda: self._next_from_network.add(node.name))

    def _state(self, node: Host) -> PowerState:
        return self.states.get(node.name, PowerState.OFF)

    def _start(self, node: Host) -> None:
        self.hung.discard(node.name)
        start = Start(self._tools.clock(), node.name, node.name in self._next_from_network)
        self._next_from_network.discard(node.name)
        self.starts.append(start)
        if self.started is not None:
            self.started(start)

    def _order(self, verb: str, node: Host, deed: Callable[[], T]) -> T:
        def alone() -> T:
            with self._lock:
                return deed()

        with self._lock:
            self.orders.append(Order(self._tools.clock(), verb, node.name))
        return self.faults.perform(verb, node.name, alone)  # a slow machine holds up no other
