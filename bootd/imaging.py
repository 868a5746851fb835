"""What transports are told of our networks: by which interface images go, and whose an address is."""

from collections.abc import Callable, Sequence

from bootd.boot.clients import Clients
from bootd.config import Config
from bootd.drivers.transport import Network, Offers, TransportRefused, TransportUnreachable
from bootd.listeners.sockets import Interface, interfaces


def make_network(
    config: Config,
    served: Callable[[], Sequence[Interface]],
    clients: Clients,
    host_name: Callable[[str], str],
    offers: Offers,
) -> Network:
    """Return it; a receiver is known by the kernel's word alone, which no packet of a stranger's changes."""

    def whose(address: str) -> str:
        mac = clients.on_link(address)
        return host_name(mac) if mac else ""

    def interface() -> str:
        return sending_address(config["imaging.interface"], config["server.address"], served())

    return Network(interface, whose, offers)


def sending_address(
    name: str,
    address: str,
    served: Sequence[Interface],
    look: Callable[[], Sequence[Interface]] = interfaces,
) -> str:
    """Return our address on the interface *name*; without one, that where we are *address*, or the only one.

    Raises `TransportUnreachable` where it has none just now, `TransportRefused` where there are several.
    """
    there = look() if name else served
    fitting = [one for one in there if one.name == name or (not name and one.address == address)]
    if fitting:
        return fitting[0].address
    if name:
        raise TransportUnreachable("", f"images go by {name} (imaging.interface), which has no IPv4 address")
    names = sorted({one.name for one in served})
    if len(names) == 1:
        return served[0].address
    raise TransportRefused("", f"images go by one interface of {', '.join(names)}: set imaging.interface")
