"""What a machine is told of the address it may use and of its network (RFC 2131, 2132, 3442)."""

from collections.abc import Iterator
from dataclasses import dataclass

from netboot.dhcp.options import (
    BROADCAST_ADDRESS,
    CLASSLESS_ROUTES,
    DNS_SERVERS,
    DOMAIN_NAME,
    HOST_NAME,
    LEASE_TIME,
    PARAMETER_LIST,
    REBINDING_TIME,
    RENEWAL_TIME,
    ROUTERS,
    SUBNET_MASK,
)
from netboot.dhcp.packet import NO_ADDRESS, DhcpPacket
from netboot.errors import LocalError

FOR_EVER = 0xFFFFFFFF  # a lease time
_ALL_ONES = 0xFFFFFFFF
# For a client without option 55: what nobody can do without.
_UNASKED = (ROUTERS, DNS_SERVERS, HOST_NAME, DOMAIN_NAME, BROADCAST_ADDRESS)


@dataclass(frozen=True, slots=True)
class Route:
    """A way to another network."""

    network: bytes  # 4 octets
    prefix: int  # 0 to 32
    router: bytes  # 4 octets


@dataclass(frozen=True, slots=True)
class Subnet:
    """A network whose machines are given their addresses, and what all of them are told."""

    network: bytes  # 4 octets
    prefix: int  # 1 to 30
    router: bytes = b""  # 4 octets, or none
    dns: tuple[bytes, ...] = ()
    domain: str = ""
    lease: int = 86400  # seconds, or FOR_EVER
    routes: tuple[Route, ...] = ()

    @property
    def mask(self) -> bytes:
        return (_ALL_ONES << (32 - self.prefix) & _ALL_ONES).to_bytes(4, "big")

    @property
    def broadcast(self) -> bytes:
        host_part = _ALL_ONES >> self.prefix
        return (int.from_bytes(self.network, "big") | host_part).to_bytes(4, "big")

    def holds(self, address: bytes) -> bool:
        """Tell whether *address* belongs to this network, its first and its last one included."""
        differing = int.from_bytes(address, "big") ^ int.from_bytes(self.network, "big")
        return differing >> (32 - self.prefix) == 0

    def is_for_machines(self, address: bytes) -> bool:
        """Tell whether a machine of this network may have *address*."""
        return self.holds(address) and address not in (self.network, self.broadcast)


@dataclass(frozen=True, slots=True)
class Lease:
    """The one address that a machine is given, always the same."""

    address: bytes  # 4 octets
    subnet: Subnet
    host_name: str = ""


def times(subnet: Subnet) -> dict[int, bytes]:
    """Return options 51, 58 and 59: the lease, a half and seven eighths of it; 51 alone for ever."""
    lease = subnet.lease
    if not 0 < lease <= FOR_EVER:
        raise LocalError(f"not a lease time: {lease} s")
    if lease == FOR_EVER:
        return {LEASE_TIME: b"\xff\xff\xff\xff"}
    return {LEASE_TIME: _u32(lease), RENEWAL_TIME: _u32(lease // 2), REBINDING_TIME: _u32(lease * 7 // 8)}


def network_options(packet: DhcpPacket, lease: Lease) -> dict[int, bytes]:
    """Return what *packet* asks for in option 55 and we know, in its order (RFC 2131 section 4.3.1).

    The mask goes unasked and first: RFC 2132 section 3.3 wants it before the routers.
    """
    known = dict(_known(lease))
    wanted = packet.options.get(PARAMETER_LIST) or bytes(_UNASKED)
    return {SUBNET_MASK: lease.subnet.mask} | {code: known[code] for code in wanted if code in known}


def _known(lease: Lease) -> Iterator[tuple[int, bytes]]:
    subnet = lease.subnet
    yield BROADCAST_ADDRESS, subnet.broadcast
    if subnet.router:
        yield ROUTERS, subnet.router
    if subnet.dns:
        yield DNS_SERVERS, b"".join(subnet.dns)
    if lease.host_name:
        yield HOST_NAME, lease.host_name.encode("ascii")
    if subnet.domain:
        yield DOMAIN_NAME, subnet.domain.encode("ascii")
    if subnet.routes:
        yield CLASSLESS_ROUTES, encode_routes(subnet)


def encode_routes(subnet: Subnet) -> bytes:
    """Return option 121 (RFC 3442): each route with as many octets of its network as count.

    A client that is given 121 ignores option 3, so the default route is in it too.
    """
    default = (Route(NO_ADDRESS, 0, subnet.router),) if subnet.router else ()
    return b"".join(
        bytes((route.prefix,)) + route.network[: (route.prefix + 7) // 8] + route.router
        for route in (*subnet.routes, *default)
    )


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "big")
