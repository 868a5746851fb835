"""What a transport is told of the network by those who know it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from bootd.drivers.transport.errors import TransportRefused
from bootd.drivers.transport.offers import Offers


def _no_interface() -> str:
    raise TransportRefused("", "nobody says by which interface images are sent")


@dataclass(frozen=True, slots=True)
class Network:
    """The surroundings of transports; the functions may be called on any thread."""

    interface: Callable[[], str] = _no_interface  # name or address of the one that receivers are behind
    whose: Callable[[str], str] = lambda address: ""  # IPv4 address -> name of the host, "" where unknown
    offers: Offers = field(default_factory=Offers)  # what our own HTTP server gives out
