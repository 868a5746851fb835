"""Each session has a multicast address and a pair of ports that no other has (RFC 2365, RFC 1112)."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from bootd.drivers.transport.errors import TransportError

ADMINISTRATIVE = IPv4Network("239.0.0.0/8")  # RFC 2365: a site's own, never routed out of it
ORGANISATION = IPv4Network("239.192.0.0/14")  # RFC 2365 section 6.2, the part that nobody else gives out

_ETHERNET_BITS = 0x7FFFFF  # of an address, those that its Ethernet address keeps (RFC 1112 section 6.4)


class ChannelsTaken(TransportError):
    """Every address or port pair of the range is in use. Try again when a session has ended."""

    code = "transport-channels-taken"
    is_permanent = False


@dataclass(frozen=True, slots=True)
class Channel:
    """Where a session is sent. *port* is even, and its neighbour above belongs to the session too."""

    address: str
    port: int

    @property
    def is_valid(self) -> bool:
        try:
            inside = IPv4Address(self.address) in ADMINISTRATIVE
        except ValueError:
            return False
        return inside and self.port % 2 == 0 and 1024 <= self.port < 65535

    @property
    def ports(self) -> tuple[int, int]:
        return self.port, self.port + 1

    @property
    def ethernet(self) -> int:
        """The bits by which switches and network cards know the address."""
        return int(IPv4Address(self.address)) & _ETHERNET_BITS

    def collides(self, other: "Channel") -> bool:
        """Tell whether a receiver of one could be sent packets of the other.

        A port in common is enough: a Linux socket bound to it gets what any socket of
        the machine has joined, whatever the group (IP_MULTICAST_ALL).
        """
        return self.ethernet == other.ethernet or not set(self.ports).isdisjoint(other.ports)


@dataclass(frozen=True, slots=True)
class Range:
    """What a site gives to sessions; raises `ValueError` where that makes no sense."""

    network: IPv4Network = ORGANISATION
    first_port: int = 9000
    last_port: int = 9999

    def __post_init__(self) -> None:
        if not self.network.subnet_of(ADMINISTRATIVE):
            raise ValueError(f"{self.network} is not within {ADMINISTRATIVE}, the range for a site's own")
        if self.first_port % 2 or not 1024 <= self.first_port < self.last_port <= 65535:
            ports = f"{self.first_port}-{self.last_port}"
            raise ValueError(
                f"ports {ports} do not begin with an even one from 1024 up, or end too soon or late"
            )

    @property
    def pairs(self) -> range:
        """The lower ports of all pairs."""
        return range(self.first_port, self.last_port, 2)


STANDARD = Range()


def allocate(taken: Collection[Channel], last: Channel | None = None, within: Range = STANDARD) -> Channel:
    """Return a channel that collides with none of *taken*; raises `ChannelsTaken`.

    The search goes round, beginning behind *last*, the one given out before: what a
    session that was ended still sends, or still waits for, is met by no new one soon.
    """
    ethernets = {channel.ethernet for channel in taken}
    ports = {port for channel in taken for port in channel.ports}
    for address in _addresses(within.network, last):
        if int(address) & _ETHERNET_BITS not in ethernets:
            break
    else:
        raise ChannelsTaken("", f"no multicast address of {within.network} is free")
    for port in _pairs(within.pairs, last):
        if port not in ports:  # they are even, so the neighbour is free too
            return Channel(str(address), port)
    raise ChannelsTaken("", f"no port pair of {within.first_port}-{within.last_port} is free")


def _addresses(network: IPv4Network, last: Channel | None) -> Iterator[IPv4Address]:
    """Yield the usable addresses, from behind *last*, round to it."""
    first, count = int(network.network_address), network.num_addresses
    behind = int(IPv4Address(last.address)) - first + 1 if last is not None else 0
    for step in range(count):
        address = IPv4Address(first + (behind + step) % count)
        if is_usable(address):
            yield address


def _pairs(pairs: range, last: Channel | None) -> Iterator[int]:
    behind = pairs.index(last.port) + 1 if last is not None and last.port in pairs else 0
    for step in range(len(pairs)):
        yield pairs[(behind + step) % len(pairs)]


def is_usable(address: IPv4Address) -> bool:
    """Tell whether a session may be sent to *address*.

    Not where its Ethernet address is one of 224.0.0.x (x.0.0.x and x.128.0.x): switches
    send those to every port, IGMP snooping or not (RFC 4541 section 2.1.2). Nor where it
    looks like a network's own or broadcast address, which some switches take it for.
    """
    local = int(address) & _ETHERNET_BITS & ~0xFF == 0
    return not local and address.packed[3] not in (0, 255)
