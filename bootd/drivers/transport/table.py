"""Transports by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bootd.drivers.tools import Tools
from bootd.drivers.transport.base import Transport, TransportRefused
from bootd.drivers.transport.fake import FakeTransport
from bootd.drivers.transport.http import HttpTransport
from bootd.drivers.transport.mixed import MixedTransport
from bootd.drivers.transport.network import Network
from bootd.drivers.transport.udpcast import UdpcastTransport

DRIVERS: Mapping[str, Callable[[Tools, Network], Transport]] = MappingProxyType(
    {
        "fake": lambda tools, _: FakeTransport(tools),
        "http": HttpTransport,
        "mixed": MixedTransport,
        "udpcast": UdpcastTransport,
    }
)


def open_transport(name: str, tools: Tools, network: Network | None = None) -> Transport:
    """Return the transport *name*; raises `TransportRefused` with the ones there are."""
    if name not in DRIVERS:
        raise TransportRefused("", f"no transport {name!r}; there are: {', '.join(sorted(DRIVERS))}")
    return DRIVERS[name](tools, network or Network())
