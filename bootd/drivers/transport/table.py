"""Transports by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bootd.drivers.tools import Tools
from bootd.drivers.transport.base import Transport, TransportRefused
from bootd.drivers.transport.fake import FakeTransport

DRIVERS: Mapping[str, Callable[[Tools], Transport]] = MappingProxyType({"fake": FakeTransport})


def open_transport(name: str, tools: Tools) -> Transport:
    """Return the transport *name*; raises `TransportRefused` with the ones there are."""
    if name not in DRIVERS:
        raise TransportRefused("", f"no transport {name!r}; there are: {', '.join(sorted(DRIVERS))}")
    return DRIVERS[name](tools)
