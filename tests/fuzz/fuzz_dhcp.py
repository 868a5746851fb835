"""Any datagram on port 67 or 4011: a WireError, an Ignore, or a reply that a client can read."""

from netboot.dhcp.authoritative import (
    Grant,
    Phase,
    Refusal,
    grant_reply,
    judge,
    lease_destination,
    refusal_reply,
)
from netboot.dhcp.delivery import reply_destination
from netboot.dhcp.lease import Lease
from netboot.dhcp.options import CLIENT_ID, RELAY_AGENT, SERVER_ID
from netboot.dhcp.packet import DhcpPacket, MessageType, decode_packet, encode_packet
from netboot.dhcp.proxydhcp import BootPart, PxeAnswer, UefiStrategy, boot_part, build_reply
from netboot.dhcp.pxe import Ignore, PxeQuestion, classify
from netboot.dhcp.summary import summary
from netboot.errors import LocalError, WireError
from tests.helpers.dhcp import (
    ME,
    NOON,
    OTHER_SERVER,
    SERVER,
    a_boot_server_packet,
    a_packet,
    an_ipxe_packet,
)
from tests.helpers.golden import GOLDEN
from tests.helpers.leases import (
    FAR_LEASE,
    HERE,
    LEASE,
    RELAY,
    a_lease_packet,
    init_reboot,
    relay_option,
    renewing,
    selecting,
)
from tests.helpers.pcap import dhcp_datagrams

ANSWERS = (
    PxeAnswer("undionly.kpxe", SERVER),
    PxeAnswer("snponly.efi", OTHER_SERVER, UefiStrategy.BOOT_SERVER),
    PxeAnswer("snponly.efi", OTHER_SERVER, UefiStrategy.OFFER),
    PxeAnswer("http://10.99.0.2/" + "x" * 180, SERVER),
)

SEEDS = [
    *(
        found.payload
        for path in sorted((GOLDEN / "dhcp").glob("*.pcap"))
        for found in dhcp_datagrams(path)
        if found.destination[1] in (67, 4011)
    ),
    encode_packet(a_packet(arch=0x10, vendor="HTTPClient")),
    encode_packet(a_packet(giaddr=b"\x0a\x01\0\x01", options={RELAY_AGENT: bytes(200), 57: b"\x02\x40"})),
    encode_packet(a_packet(options={RELAY_AGENT: bytes(200)})).rstrip(b"\0")[:-1] + b"\x52\xc8" + bytes(200),
    encode_packet(DhcpPacket(2, 1, 6, 0, 1, 0, 0, options={53: b"\x02", 60: b"PXEClient", 54: SERVER})),
    encode_packet(a_packet(chaddr=bytes.fromhex("dca632000001") + bytes(10))),
    encode_packet(a_packet(hlen=16, options={61: b"\x01\x52\x54\0\0\0\x01"})),
    encode_packet(an_ipxe_packet(name=b"gPXE", options={52: b"\x03"})),
    encode_packet(a_boot_server_packet(options={43: b"\x47\x04\0\0\0\0\xff"})),
    encode_packet(selecting()),
    encode_packet(selecting(options={CLIENT_ID: bytes(255), 57: b"\x02\x40"})),
    encode_packet(init_reboot(giaddr=RELAY, options=relay_option(s5=RELAY, s11=SERVER))),
    encode_packet(renewing(FAR_LEASE.address)),
    encode_packet(a_lease_packet(MessageType.INFORM, ciaddr=LEASE.address)),
    encode_packet(a_lease_packet(MessageType.DECLINE, options={50: LEASE.address, SERVER_ID: SERVER})),
]


def target(data: bytes) -> None:
    try:
        packet = decode_packet(data)
    except WireError:
        return
    summary(packet)
    _check_round_trip(packet)
    for lease in (LEASE, FAR_LEASE):
        _check_lease(packet, lease)
    for port in (67, 4011):
        try:
            question = classify(packet, port=port, received_at=NOON)
        except WireError:
            continue
        if isinstance(question, Ignore):
            continue
        assert reply_destination(packet, kind=question.kind, source=("10.99.0.174", 68))
        for answer in ANSWERS:
            _check_reply(question, answer)


def _check_round_trip(packet: DhcpPacket) -> None:
    """What we can write of what we read means the same; the rest is refused, not cut."""
    try:
        again = decode_packet(encode_packet(packet, limit=65507))
    except LocalError:
        return
    assert again == packet or len(packet.options.get(RELAY_AGENT, b"")) > 255 or 52 in packet.options


def _check_reply(question: PxeQuestion, answer: PxeAnswer) -> None:
    packet = question.packet
    wire = build_reply(question, answer, ME)
    assert 300 <= len(wire) <= packet.reply_limit
    reply = decode_packet(wire)
    assert (reply.op, reply.xid, reply.chaddr, reply.yiaddr) == (2, packet.xid, packet.chaddr, bytes(4))
    assert reply.options[53] == (b"\x02" if question.kind == "discover" else b"\x05")
    assert reply.options[54] == SERVER
    assert reply.siaddr in (SERVER, OTHER_SERVER)
    assert reply.options.get(97) in (None, packet.options.get(97))
    assert {1, 3, 6, 50, 51, 52}.isdisjoint(reply.options)
    # A server must never take its own voice, or another server's, for a question.
    assert classify(reply, port=67, received_at=NOON) == Ignore("not-a-request")


def _check_lease(packet: DhcpPacket, lease: Lease) -> None:
    """Nobody is given another address than its own, and who chose another server hears nothing."""
    verdict = judge(packet, lease, HERE)
    if isinstance(verdict, Grant):
        wire = grant_reply(packet, verdict, lease, HERE, _boot(packet))
    elif isinstance(verdict, Refusal):
        wire = refusal_reply(packet, verdict, HERE)
    else:
        return
    assert lease_destination(packet, verdict)
    assert 300 <= len(wire) <= packet.reply_limit
    reply = decode_packet(wire)
    assert (reply.op, reply.xid, reply.chaddr, reply.giaddr) == (2, packet.xid, packet.chaddr, packet.giaddr)
    assert {50, 52, 55, 57}.isdisjoint(reply.options)
    is_given = isinstance(verdict, Grant) and verdict.phase is not Phase.INFORM
    assert reply.yiaddr == (lease.address if is_given else bytes(4))
    assert (51 in reply.options) == is_given
    chosen = packet.options.get(SERVER_ID)
    if packet.message_type == MessageType.REQUEST and chosen is not None:
        assert chosen in HERE.own or chosen == reply.options[SERVER_ID]


def _boot(packet: DhcpPacket) -> BootPart:
    try:
        question = classify(packet, port=67, received_at=NOON, gives_addresses=True)
    except WireError:
        return BootPart()
    return BootPart() if isinstance(question, Ignore) else boot_part(question, ANSWERS[0], ME)
