"""What was heard of each machine lately: its address and its architecture. A cache, never the truth."""

from collections.abc import Callable
from typing import TypeVar

from netboot.arch import Architecture

_Heard = TypeVar("_Heard")
_REMEMBERED = 65536  # machines; the one heard of longest ago is forgotten first


class Clients:
    """Joins what one protocol hears to what another needs.

    TFTP and HTTP see an IPv4 address only, DHCP a MAC address and an architecture.
    The site's own DHCP REQUESTs, broadcast past us, tie them together; behind a
    relay or after a restart *neighbour* (the kernel's ARP table) is asked.
    """

    def __init__(self, neighbour: Callable[[str], str | None], *, remembered: int = _REMEMBERED) -> None:
        self._neighbour = neighbour
        self._remembered = remembered
        self._mac_of: dict[str, str] = {}
        self._arch_of: dict[str, Architecture] = {}

    def heard_address(self, mac: str, address: str) -> None:
        """Note that *mac* uses or is about to use the IPv4 *address*."""
        self._keep(self._mac_of, address, mac)

    def heard_architecture(self, mac: str, architecture: Architecture) -> None:
        self._keep(self._arch_of, mac, architecture)

    def mac_at(self, address: str) -> str:
        """Return the MAC address behind *address*, "" where nobody knows."""
        return self._mac_of.get(address) or self._neighbour(address) or ""

    def on_link(self, address: str) -> str:
        """Return the MAC address that answers for *address* on our own link, "" behind a router.

        What secrets may be given by: the kernel's word alone, which a forged DHCP packet cannot change.
        """
        return self._neighbour(address) or ""

    def architecture_of(self, mac: str) -> Architecture | None:
        return self._arch_of.get(mac)

    def _keep(self, table: dict[str, _Heard], key: str, value: _Heard) -> None:
        table.pop(key, None)
        table[key] = value
        if len(table) > self._remembered:
            del table[next(iter(table))]
