"""Packets as a PXE client would send them, to be changed in the one place a test is about."""

from datetime import UTC, datetime
from typing import Any

from netboot.dhcp.options import (
    CLIENT_ARCH,
    CLIENT_GUID,
    CLIENT_NDI,
    IPXE,
    MAX_MESSAGE_SIZE,
    MESSAGE_TYPE,
    PARAMETER_LIST,
    USER_CLASS,
    VENDOR_CLASS,
)
from netboot.dhcp.packet import DhcpPacket, MessageType, decode_packet
from netboot.dhcp.proxydhcp import PxeAnswer, ServerIdentity, build_reply
from netboot.dhcp.pxe import Ignore, PxeQuestion, classify

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
MAC = "52:54:00:00:00:01"
GUID_OPTION = b"\0" + bytes(range(16))
SERVER = bytes((10, 99, 0, 2))
OTHER_SERVER = bytes((10, 99, 0, 7))
CLIENT = bytes((10, 99, 0, 174))
ME = ServerIdentity(SERVER)

# Option 175 of Debian 12's undionly.kpxe: bus id, version 1.0.0, then the feature flags.
IPXE_OPTION = bytes.fromhex(
    "b105011af41000eb03010000170101220101130101110101270101190101290101100102210101150101180101120101"
)


def a_packet(
    *, arch: int = 0, vendor: str = "PXEClient", options: dict[int, bytes | None] | None = None, **fields: Any
) -> DhcpPacket:
    """Return a DISCOVER of *arch*; *options* replaces single options, None takes one out."""
    said: dict[int, bytes | None] = {
        MESSAGE_TYPE: bytes((MessageType.DISCOVER,)),
        MAX_MESSAGE_SIZE: (1472).to_bytes(2, "big"),
        PARAMETER_LIST: bytes((1, 3, 43, 60, 66, 67)),
        VENDOR_CLASS: f"{vendor}:Arch:{arch:05d}:UNDI:003016".encode(),
        CLIENT_ARCH: arch.to_bytes(2, "big"),
        CLIENT_NDI: b"\x01\x03\x10",
        CLIENT_GUID: GUID_OPTION,
    }
    said |= options or {}
    fixed: dict[str, Any] = {
        "op": 1,
        "htype": 1,
        "hlen": 6,
        "hops": 0,
        "xid": 0x12345678,
        "secs": 4,
        "flags": 0x8000,
        "chaddr": bytes.fromhex(MAC.replace(":", "")) + bytes(10),
    }
    kept = {code: value for code, value in said.items() if value is not None}
    return DhcpPacket(**fixed | fields, options=kept)


def an_ipxe_packet(*, name: bytes = b"iPXE", **changes: Any) -> DhcpPacket:
    """Return a DISCOVER of iPXE with HTTP; options given replace those of iPXE."""
    options = {USER_CLASS: name, IPXE: IPXE_OPTION} | changes.pop("options", {})
    return a_packet(options=options, **changes)


def a_boot_server_packet(
    *, options: dict[int, bytes | None] | None = None, arch: int = 7, **fields: Any
) -> DhcpPacket:
    """Return a REQUEST as EDK2 sends it to port 4011."""
    request: dict[int, bytes | None] = {MESSAGE_TYPE: bytes((MessageType.REQUEST,))}
    return a_packet(arch=arch, options=request | (options or {}), **{"ciaddr": CLIENT, **fields})


def heard(packet: DhcpPacket, *, port: int = 67, **how: Any) -> PxeQuestion | Ignore:
    return classify(packet, port=port, received_at=NOON, **how)


def asked(packet: DhcpPacket, *, port: int = 67, **how: Any) -> PxeQuestion:
    question = heard(packet, port=port, **how)
    assert isinstance(question, PxeQuestion), question
    return question


def replied(packet: DhcpPacket, answer: PxeAnswer, *, port: int = 67, **how: Any) -> DhcpPacket:
    """Return our reply as a client would read it."""
    return decode_packet(build_reply(asked(packet, port=port, **how), answer, ME))
