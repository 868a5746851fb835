"""The server that gives known machines their one address, and is silent to others (RFC 2131 section 4.3)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from netboot.dhcp.delivery import Broadcast, Destination, Relay, Unicast, dotted
from netboot.dhcp.lease import Lease, Subnet, network_options, times
from netboot.dhcp.options import (
    BROADCAST_ADDRESS,
    CLASSLESS_ROUTES,
    CLIENT_ID,
    DNS_SERVERS,
    DOMAIN_NAME,
    HOST_NAME,
    MESSAGE,
    MESSAGE_TYPE,
    RELAY_AGENT,
    REQUESTED_ADDRESS,
    SERVER_ID,
    decode_options,
)
from netboot.dhcp.packet import (
    BOOTREQUEST,
    NO_ADDRESS,
    DhcpPacket,
    MessageType,
    encode_packet,
)
from netboot.dhcp.proxydhcp import BootPart
from netboot.dhcp.pxe import Ignore
from netboot.errors import WireError

NO_BOOT = BootPart()
_LINK_SELECTION = 5  # sub-options of option 82: RFC 3527
_SERVER_OVERRIDE = 11  # RFC 5107
_FIXED_SIZE = 240  # octets of a packet before its first option
# Left out, in this order, where a small packet (option 57) has no room for all.
_EXPENDABLE = (DOMAIN_NAME, BROADCAST_ADDRESS, HOST_NAME, CLASSLESS_ROUTES, CLIENT_ID, DNS_SERVERS)


class Phase(StrEnum):
    """Where a client stands in getting, proving or keeping its address (RFC 2131 section 4.3.2)."""

    DISCOVER = "discover"
    SELECTING = "selecting"
    INIT_REBOOT = "init-reboot"
    RENEWING = "renewing"  # or rebinding: the same to us
    INFORM = "inform"


@dataclass(frozen=True, slots=True)
class Here:
    """What the server is where a packet came in."""

    address: bytes  # 4 octets: what we go by, option 54
    own: Collection[bytes]  # every address of ours: a client may know us by another
    links: Collection[bytes]  # our addresses on the interface: where a client without a relay is
    subnets: Collection[Subnet]  # those whose machines are ours to tell


@dataclass(frozen=True, slots=True)
class Grant:
    """OFFER or ACK."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Refusal:
    """NAK. *reason* is a stable slug."""

    phase: Phase
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """The client told us something that wants no reply: it *declined* its address, or *released* it."""

    kind: Literal["declined", "released"]
    address: bytes  # 4 octets


Verdict = Grant | Refusal | Notice | Ignore


def unanswerable(packet: DhcpPacket) -> str | None:
    """Return why nobody at all would be answered, as a slug, or None."""
    if packet.op != BOOTREQUEST:
        return "not-a-request"
    if packet.message_type is None:
        return "no-message-type"
    if not packet.has_good_relay:
        return "bad-relay-address"
    return "no-mac" if packet.mac is None else None


def judge(packet: DhcpPacket, lease: Lease, here: Here) -> Verdict:
    """Say what becomes of *packet*, sent by the machine that *lease* belongs to."""
    why_not = unanswerable(packet)
    if why_not is not None:
        return Ignore(why_not)
    kind = packet.message_type
    if kind == MessageType.DISCOVER:
        return Grant(Phase.DISCOVER) if _is_at_home(packet, lease, here) else Ignore("on-another-network")
    if kind == MessageType.REQUEST:
        return _judge_request(packet, lease, here)
    if kind == MessageType.INFORM:
        is_near = lease.subnet.is_for_machines(packet.ciaddr)  # we send to whatever address it names
        return Grant(Phase.INFORM) if is_near else Ignore("on-another-network")
    if kind == MessageType.DECLINE:
        return _notice("declined", packet, packet.options.get(REQUESTED_ADDRESS, b""), here)
    if kind == MessageType.RELEASE:
        return _notice("released", packet, packet.ciaddr, here)
    return Ignore("not-a-question")


def _judge_request(packet: DhcpPacket, lease: Lease, here: Here) -> Verdict:
    """Take the phase from the fields that make it: option 54, option 50, ciaddr (RFC 2131 table 4)."""
    chosen = packet.options.get(SERVER_ID)
    if chosen is not None and not _is_ours(packet, chosen, here):
        return Ignore("chose-another-server")
    phase = Phase.INIT_REBOOT if packet.ciaddr == NO_ADDRESS else Phase.RENEWING
    if chosen is not None:
        phase = Phase.SELECTING
    requested = packet.options.get(REQUESTED_ADDRESS, packet.ciaddr)
    if phase is Phase.RENEWING:
        requested = packet.ciaddr
    if len(requested) != 4 or requested == NO_ADDRESS:
        return Ignore("no-requested-address")
    if _is_abroad(packet, phase, here):
        return Ignore("on-another-network")  # some other server's to judge
    if requested != lease.address:
        return Refusal(phase, "not-its-address")
    # A renewal without a relay may have been routed to us: it says nothing of where the client is.
    is_routed = phase is Phase.RENEWING and not _is_placed_by_relay(packet)
    return Grant(phase) if is_routed or _is_at_home(packet, lease, here) else Refusal(phase, "wrong-network")


def _is_ours(packet: DhcpPacket, address: bytes, here: Here) -> bool:
    return address in here.own or address == server_id(packet, here)


def _is_abroad(packet: DhcpPacket, phase: Phase, here: Here) -> bool:
    """Tell whether the client is on a network of which we know nothing, and did not choose us there."""
    if phase is Phase.SELECTING or (phase is Phase.RENEWING and not _is_placed_by_relay(packet)):
        return False
    return not any(subnet.holds(link) for subnet in here.subnets for link in _links(packet, here))


def _is_at_home(packet: DhcpPacket, lease: Lease, here: Here) -> bool:
    """Tell whether the client is on the network its address belongs to."""
    return any(lease.subnet.holds(link) for link in _links(packet, here))


def _links(packet: DhcpPacket, here: Here) -> Collection[bytes]:
    """Return addresses of the network the client is on."""
    selected = _relay_says(packet).get(_LINK_SELECTION, b"")
    if len(selected) == 4:
        return (selected,)
    return (packet.giaddr,) if packet.is_relayed else here.links


def _is_placed_by_relay(packet: DhcpPacket) -> bool:
    return packet.is_relayed or len(_relay_says(packet).get(_LINK_SELECTION, b"")) == 4


def _relay_says(packet: DhcpPacket) -> Mapping[int, bytes]:
    """Return the sub-options of option 82; none where it is not made of such (it is echoed all the same)."""
    try:
        return decode_options(packet.options.get(RELAY_AGENT, b""))
    except WireError:
        return {}


def _notice(kind: Literal["declined", "released"], packet: DhcpPacket, address: bytes, here: Here) -> Verdict:
    if not _is_ours(packet, packet.options.get(SERVER_ID, b""), here):
        return Ignore("told-another-server")
    return Notice(kind, address) if len(address) == 4 else Ignore("no-requested-address")


def server_id(packet: DhcpPacket, here: Here) -> bytes:
    """Return option 54 of the reply: our address, or the relay's where it wants all traffic (RFC 5107)."""
    override = _relay_says(packet).get(_SERVER_OVERRIDE, b"")
    return override if packet.is_relayed and len(override) == 4 and override != NO_ADDRESS else here.address


def grant_reply(
    packet: DhcpPacket, grant: Grant, lease: Lease, here: Here, boot: BootPart = NO_BOOT
) -> bytes:
    """Return the OFFER or ACK to *packet* (RFC 2131 table 3), with *boot* on it.

    Raises `LocalError` if what must be said does not fit a packet.
    """
    is_offer, is_inform = grant.phase is Phase.DISCOVER, grant.phase is Phase.INFORM
    options = {
        MESSAGE_TYPE: bytes((MessageType.OFFER if is_offer else MessageType.ACK,)),
        SERVER_ID: server_id(packet, here),
        **({} if is_inform else times(lease.subnet)),
        **network_options(packet, lease),
        **boot.options,
        **_echoed(packet),
    }
    reply = packet.reply(
        options=_fitting(options, packet.reply_limit),
        ciaddr=NO_ADDRESS if is_offer else packet.ciaddr,
        yiaddr=NO_ADDRESS if is_inform else lease.address,
        siaddr=boot.siaddr,
        sname=boot.sname,
        file=boot.file,
    )
    return encode_packet(reply, limit=packet.reply_limit)


def refusal_reply(packet: DhcpPacket, refusal: Refusal, here: Here) -> bytes:
    """Return the NAK to *packet*: no address anywhere, and for a relay the order to broadcast it."""
    options = {
        MESSAGE_TYPE: bytes((MessageType.NAK,)),
        SERVER_ID: server_id(packet, here),
        MESSAGE: refusal.reason.encode(),
        **_echoed(packet),
    }
    reply = packet.reply(options=_fitting(options, packet.reply_limit), is_broadcast=packet.is_relayed)
    return encode_packet(reply, limit=packet.reply_limit)


def _echoed(packet: DhcpPacket) -> dict[int, bytes]:
    """Return options 61 (RFC 6842) and 82 as they came; one that came in pieces would be read by nobody."""
    there = ((code, packet.options.get(code)) for code in (CLIENT_ID, RELAY_AGENT))
    return {code: value for code, value in there if value is not None and len(value) <= 255}


def _fitting(options: dict[int, bytes], limit: int) -> dict[int, bytes]:
    """Return *options* without the least useful ones where they would take more than *limit* octets."""
    kept = dict(options)
    for code in _EXPENDABLE:
        if _size(kept) <= limit:
            break
        kept.pop(code, None)
    return kept


def _size(options: Mapping[int, bytes]) -> int:
    """Return how long a packet with *options* is; option 82 does not count, it is left out where it must."""
    return _FIXED_SIZE + 1 + sum(2 + len(value) for code, value in options.items() if code != RELAY_AGENT)


def lease_destination(packet: DhcpPacket, verdict: Grant | Refusal) -> Destination:
    """Return where the reply to *packet* goes (RFC 2131 section 4.1).

    A client without an address is answered by broadcast even where it could take less: sending to
    an address that nobody answers ARP for yet takes rights we have given up, and the RFC allows it.
    """
    if isinstance(verdict, Grant) and verdict.phase is Phase.INFORM:
        return Unicast(dotted(packet.ciaddr))
    if packet.is_relayed:
        return Relay(dotted(packet.giaddr))
    if isinstance(verdict, Grant) and verdict.phase is Phase.RENEWING:
        return Unicast(dotted(packet.ciaddr))
    return Broadcast()
