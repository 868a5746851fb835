"""How clients reach this server: by which interfaces, under which addresses."""

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bootd.boot.offer import ServerFacts, http_base
from bootd.errors import BootdError
from bootd.listeners.sockets import Interface, interfaces

_LOOK_AGAIN_S = 2.0  # a packet by an interface we do not know may come from one that is new
_ARP = Path("/proc/net/arp")
_ETHERNET = "0x1"  # ARPHRD_ETHER: other links have addresses of other lengths


class InterfaceMissing(BootdError):
    """A configured interface is not there, or has no IPv4 address."""

    code = "interface-missing"

    def __init__(self, names: Sequence[str], have: Sequence[Interface]) -> None:
        there = ", ".join(f"{i.name} ({i.address})" for i in have) or "none"
        super().__init__(
            f"server.interfaces: {', '.join(names)}: no such interface with IPv4; this machine has {there}"
        )
        self.names = tuple(names)


class NoInterface(BootdError):
    """There is nothing to serve on."""

    code = "no-interface"

    def __init__(self) -> None:
        super().__init__(
            "no interface is up with an IPv4 address (loopback does not count): name one in server.interfaces"
        )


class Reach:
    """Which interfaces are served, and what a client there must be told.

    An interface that comes up later is found when its first packet arrives; addresses
    that change, when somebody calls `refresh`.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        http_port: int,
        address: str = "",
        tftp_server: str = "",
        look: Callable[[], Sequence[Interface]] = interfaces,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `InterfaceMissing` and `NoInterface`."""
        self._names = tuple(names)
        self._http_port = http_port
        self._address = address
        self._tftp_server = tftp_server
        self._look = look
        self._monotonic = monotonic
        self._looked_at = monotonic()
        self.served = self._choose()
        missing = [name for name in names if name not in {i.name for i in self.served}]
        if missing:
            raise InterfaceMissing(missing, look())
        if not self.served:
            raise NoInterface
        self._facts = self._describe()

    def server_of(self, index: int) -> ServerFacts | None:
        """Return how clients on interface *index* reach us; None where we do not serve."""
        facts = self._facts.get(index)
        if facts is None and self._monotonic() - self._looked_at >= _LOOK_AGAIN_S:
            self.refresh()
            facts = self._facts.get(index)
        return facts

    def refresh(self) -> None:
        """Look at the interfaces again: addresses change, and one that went down may come back as new."""
        self._looked_at = self._monotonic()
        self.served = self._choose()
        self._facts = self._describe()

    def facts(self) -> list[ServerFacts]:
        return list(self._facts.values())

    def _choose(self) -> tuple[Interface, ...]:
        found = self._there = tuple(self._look())
        if self._names:
            return tuple(i for i in found if i.name in self._names)
        return tuple(i for i in found if not i.address.startswith("127."))

    def _describe(self) -> dict[int, ServerFacts]:
        """The first address of an interface is the one we go by."""
        table: dict[int, ServerFacts] = {}
        own = frozenset(socket.inet_aton(interface.address) for interface in self._there)
        for interface in self.served:
            address = self._address or interface.address
            octets = socket.inet_aton(address)
            tftp = socket.inet_aton(self._tftp_server) if self._tftp_server else octets
            links = frozenset(
                socket.inet_aton(other.address) for other in self.served if other.index == interface.index
            )
            base = http_base(address, self._http_port)
            facts = ServerFacts(address, octets, base, tftp, links, own | {octets})
            table.setdefault(interface.index, facts)
        return table


def neighbour(address: str, table: Path = _ARP) -> str | None:
    """Return the MAC address the kernel's ARP table has for *address*."""
    try:
        rows = table.read_text().splitlines()[1:]
    except OSError:
        return None  # no /proc: the DHCP traffic has to do
    for row in rows:
        fields = row.split()
        if len(fields) < 4 or fields[:2] != [address, _ETHERNET]:
            continue
        if fields[3] != "00:00:00:00:00:00":  # asked, and nobody answered
            return fields[3].lower()
    return None
