"""Power drivers by name, and which of them a machine has."""

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType

from bootd.drivers.power.base import Power, PowerRefused
from bootd.drivers.power.fake import FakePower
from bootd.drivers.power.qemu import QemuPower
from bootd.drivers.power.shell import ShellPower
from bootd.drivers.tools import Tools
from bootd.model import Host

SETTING = "power"  # of a host: the name of its driver

DRIVERS: Mapping[str, Callable[[Tools], Power]] = MappingProxyType(
    {"fake": FakePower, "qmp": QemuPower, "shell": ShellPower}
)


class Powers:
    """The drivers of all machines, each made once and when first needed; for any thread."""

    def __init__(self, tools: Tools, drivers: Mapping[str, Callable[[Tools], Power]] = DRIVERS) -> None:
        self._tools, self._drivers = tools, drivers
        self._made: dict[str, Power] = {}
        self._lock = threading.Lock()

    def of(self, node: Host) -> Power:
        """Return the driver that the host's setting ``power`` names; raises `PowerRefused`."""
        name = node.settings.get(SETTING, "")
        if name not in self._drivers:
            known = ", ".join(sorted(self._drivers))
            said = f"power={name!r} is no driver" if name else "has no setting 'power'"
            raise PowerRefused(node.name, f"{said}; bootd hosts set {node.name} --set power=… ({known})")
        with self._lock:
            if name not in self._made:
                self._made[name] = self._drivers[name](self._tools)
            return self._made[name]
