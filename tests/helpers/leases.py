"""A network whose machines are given addresses, and its clients' packets."""

from typing import Any

from netboot.dhcp.authoritative import Grant, Here, Refusal, grant_reply, judge, refusal_reply
from netboot.dhcp.lease import Lease, Subnet
from netboot.dhcp.options import (
    CLIENT_ID,
    MESSAGE_TYPE,
    PARAMETER_LIST,
    RELAY_AGENT,
    REQUESTED_ADDRESS,
    SERVER_ID,
)
from netboot.dhcp.packet import DhcpPacket, MessageType, decode_packet
from netboot.dhcp.proxydhcp import BootPart
from tests.helpers.dhcp import MAC, OTHER_SERVER, SERVER

ADDRESS = bytes((10, 99, 0, 11))
WRONG_ADDRESS = bytes((10, 99, 0, 12))
ROUTER = bytes((10, 99, 0, 1))
SECOND_SERVER_ADDRESS = bytes((192, 0, 2, 2))  # ours as well, by another card
RELAY = bytes((10, 77, 0, 1))
FAR_RELAY = bytes((10, 66, 0, 1))  # of a network that is not ours

NEAR = Subnet(bytes((10, 99, 0, 0)), 24, ROUTER, (ROUTER, OTHER_SERVER), "lab.example", 3600)
BEHIND_RELAY = Subnet(bytes((10, 77, 0, 0)), 24, RELAY)
LEASE = Lease(ADDRESS, NEAR, "node1")
FAR_LEASE = Lease(bytes((10, 77, 0, 11)), BEHIND_RELAY, "node1")
HERE = Here(SERVER, frozenset((SERVER, SECOND_SERVER_ADDRESS)), (SERVER,), (NEAR, BEHIND_RELAY))


def a_lease_packet(
    kind: MessageType = MessageType.DISCOVER, *, options: dict[int, bytes | None] | None = None, **fields: Any
) -> DhcpPacket:
    """Return what an operating system's client sends; *options* replaces single ones, None takes one out."""
    said: dict[int, bytes | None] = {
        MESSAGE_TYPE: bytes((kind,)),
        CLIENT_ID: b"\x01" + bytes.fromhex(MAC.replace(":", "")),
        PARAMETER_LIST: bytes((1, 3, 6, 12, 15, 28)),
    }
    said |= options or {}
    fixed: dict[str, Any] = {
        "op": 1,
        "htype": 1,
        "hlen": 6,
        "hops": 0,
        "xid": 0x12345678,
        "secs": 4,
        "flags": 0,
        "chaddr": bytes.fromhex(MAC.replace(":", "")) + bytes(10),
    }
    kept = {code: value for code, value in said.items() if value is not None}
    return DhcpPacket(**fixed | fields, options=kept)


def selecting(server: bytes = SERVER, address: bytes = ADDRESS, **how: Any) -> DhcpPacket:
    chosen: dict[int, bytes | None] = {SERVER_ID: server, REQUESTED_ADDRESS: address}
    return a_lease_packet(MessageType.REQUEST, options=chosen | how.pop("options", {}), **how)


def init_reboot(address: bytes = ADDRESS, **how: Any) -> DhcpPacket:
    known: dict[int, bytes | None] = {REQUESTED_ADDRESS: address}
    return a_lease_packet(MessageType.REQUEST, options=known | how.pop("options", {}), **how)


def renewing(address: bytes = ADDRESS, **how: Any) -> DhcpPacket:
    return a_lease_packet(MessageType.REQUEST, ciaddr=address, **how)


def relay_option(**sub_options: bytes) -> dict[int, bytes | None]:
    """Return option 82 with a circuit and what is named ``s5``, ``s11`` … besides."""
    parts = [b"\x01\x04eth7"]
    parts += [bytes((int(name[1:]), len(value))) + value for name, value in sub_options.items()]
    return {RELAY_AGENT: b"".join(parts)}


def reply_to(
    packet: DhcpPacket, lease: Lease = LEASE, *, here: Here = HERE, boot: BootPart | None = None
) -> DhcpPacket | None:
    """Return our reply as a client would read it; None for silence."""
    verdict = judge(packet, lease, here)
    if isinstance(verdict, Refusal):
        return decode_packet(refusal_reply(packet, verdict, here))
    if isinstance(verdict, Grant):
        return decode_packet(grant_reply(packet, verdict, lease, here, boot or BootPart()))
    return None
