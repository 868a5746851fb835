"""DHCP and ProxyDHCP: questions of firmware and of systems."""

from dataclasses import dataclass
from typing import ClassVar

from bootd.events.base import Event, Reasoned


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferSent(Event):
    """A ProxyDHCP offer, or the answer of port 4011, left for a machine.

    Normal. A ROM repeats itself, so two or three a boot are seen.
    """

    name: ClassVar[str] = "dhcp.offer_sent"
    level: ClassVar[str] = "debug"
    arch: str
    stage: str
    rule: str
    boot_file: str
    port: int  # the one it was asked on: 67 or 4011
    octets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketIgnored(Reasoned):
    """A well-formed question that is not ours to answer, or that the decision left alone.

    The reason says which rule. ``request-on-67`` is the site's own DHCP at work.
    """

    name: ClassVar[str] = "dhcp.ignored"
    level: ClassVar[str] = "debug"
    arch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownMachine(Reasoned):
    """A machine asked to boot that no row of the host table names.

    It is left to other servers. If it is yours: ``bootd hosts add NAME --mac MAC``.
    """

    name: ClassVar[str] = "dhcp.unknown_machine"
    by_anyone: ClassVar[bool] = True
    arch: str
    why: str = "unknown-machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressOffered(Event):
    """A machine that looked for a DHCP server was offered its address."""

    name: ClassVar[str] = "dhcp.address_offered"
    level: ClassVar[str] = "debug"
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressGiven(Reasoned):
    """A machine was told that its address is its own (DHCPACK); counted by where it stood.

    ``selecting`` is a machine that starts, ``renewing`` one that runs, at half its lease.
    """

    name: ClassVar[str] = "dhcp.address_given"
    level: ClassVar[str] = "debug"
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTold(Event):
    """A machine that has its address already asked about its network (DHCPINFORM), and was told."""

    name: ClassVar[str] = "dhcp.network_told"
    level: ClassVar[str] = "debug"
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRefused(Reasoned):
    """A machine asked to go on with an address that is not its own, and was told to begin anew (DHCPNAK).

    Normal once after its row was changed, or when it moved to another network.
    """

    name: ClassVar[str] = "dhcp.address_refused"
    by_anyone: ClassVar[bool] = True
    address: str  # the one it wanted
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressDeclined(Event):
    """A machine found somebody else at the address it was given, and will not use it.

    Look for another machine with that address: one set up by hand, or another DHCP server's client.
    It is offered the same address again, for there is no other; ``/readyz`` tells of it until the
    machine has renewed it.
    """

    name: ClassVar[str] = "dhcp.address_declined"
    level: ClassVar[str] = "warning"
    by_anyone: ClassVar[bool] = True
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressReleased(Event):
    """A machine said that it uses its address no more. The address stays written down for it."""

    name: ClassVar[str] = "dhcp.address_released"
    level: ClassVar[str] = "debug"
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherServerChosen(Event):
    """A machine whose address we give took another DHCP server's offer.

    Two servers on one network: its address is then the other's choice, and so may be what it boots.
    """

    name: ClassVar[str] = "dhcp.other_server_chosen"
    level: ClassVar[str] = "warning"
    by_anyone: ClassVar[bool] = True
    server: str
    address: str
