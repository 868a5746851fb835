"""The DHCP packet (RFC 2131 section 2), its fields under the RFC's own names."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from netboot.dhcp.options import (
    CLIENT_ID,
    END,
    MAX_MESSAGE_SIZE,
    MESSAGE_TYPE,
    OVERLOAD,
    RELAY_AGENT,
    decode_options,
    encode_options,
)
from netboot.errors import LocalError, WireError
from netboot.hwaddr import format_mac

BOOTREQUEST = 1
BOOTREPLY = 2
BROADCAST_FLAG = 0x8000
NO_ADDRESS = bytes(4)

_FIXED = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_COOKIE = b"\x63\x82\x53\x63"
_OVERLOAD_AT = {1: ((108, 236),), 2: ((44, 108),), 3: ((108, 236), (44, 108))}
_MIN_SIZE = 300  # octets, RFC 951; ROMs are known that drop less
_MIN_LIMIT = 576  # octets of IP datagram that every client takes, RFC 2131 section 2
_MTU = 1500
_HEADERS = 28  # octets of IP and UDP header, counted by option 57


class MessageType(IntEnum):
    """Option 53."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


@dataclass(frozen=True, slots=True)
class DhcpPacket:
    """One packet. Addresses are 4 raw octets; *options* keeps the order of the wire."""

    op: int
    htype: int
    hlen: int
    hops: int
    xid: int
    secs: int
    flags: int
    ciaddr: bytes = NO_ADDRESS
    yiaddr: bytes = NO_ADDRESS
    siaddr: bytes = NO_ADDRESS
    giaddr: bytes = NO_ADDRESS
    chaddr: bytes = bytes(16)
    sname: bytes = b""  # up to the first NUL
    file: bytes = b""  # up to the first NUL
    options: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def mac(self) -> str | None:
        """The client's MAC address, or None if it tells none.

        EDK2 built with SendGUID puts the GUID into chaddr (hlen 16) and IPoIB leaves
        it empty (hlen 0): then option 61 of type 1 may still know.
        """
        if self.hlen == 6:
            return format_mac(self.chaddr[:6])
        client_id = self.options.get(CLIENT_ID, b"")
        return format_mac(client_id[1:]) if len(client_id) == 7 and client_id[0] == 1 else None

    @property
    def message_type(self) -> int | None:
        """Option 53; None for plain BOOTP or an option of the wrong size."""
        value = self.options.get(MESSAGE_TYPE, b"")
        return value[0] if len(value) == 1 else None

    @property
    def is_relayed(self) -> bool:
        return self.giaddr != NO_ADDRESS

    def reply(
        self,
        *,
        options: Mapping[int, bytes],
        is_broadcast: bool = False,
        ciaddr: bytes = NO_ADDRESS,
        yiaddr: bytes = NO_ADDRESS,
        siaddr: bytes = NO_ADDRESS,
        sname: bytes = b"",
        file: bytes = b"",
    ) -> "DhcpPacket":
        """Return a reply: what identifies the client and its relay comes back as it was (RFC 2131 table 3).

        *is_broadcast* sets the flag whatever the client asked for.
        """
        return DhcpPacket(
            op=BOOTREPLY,
            htype=self.htype,
            hlen=self.hlen,
            hops=0,
            xid=self.xid,
            secs=0,
            flags=BROADCAST_FLAG if is_broadcast else self.flags & BROADCAST_FLAG,
            ciaddr=ciaddr,
            yiaddr=yiaddr,
            siaddr=siaddr,
            giaddr=self.giaddr,
            chaddr=self.chaddr,
            sname=sname,
            file=file,
            options=options,
        )

    @property
    def has_good_relay(self) -> bool:
        """False where giaddr is nobody's: loopback, multicast, or of network 0."""
        return not self.is_relayed or (self.giaddr[0] not in (0, 127) and self.giaddr[0] < 224)

    @property
    def reply_limit(self) -> int:
        """How many octets of UDP payload the client takes in one reply (option 57)."""
        value = self.options.get(MAX_MESSAGE_SIZE, b"")
        wanted = int.from_bytes(value, "big") if len(value) == 2 else _MIN_LIMIT
        return max(_MIN_LIMIT, min(wanted, _MTU)) - _HEADERS


def decode_packet(data: bytes) -> DhcpPacket:
    """Return the packet in *data*, one UDP payload.

    Option overload (52) is undone: the options of `file` and `sname` join the rest in
    RFC 3396 order and the two fields read empty. Raises `WireError`.
    """
    if len(data) < 240:
        raise WireError("dhcp-too-short", f"{len(data)} octets, a DHCP packet has at least 240")
    fields: tuple[Any, ...] = _FIXED.unpack_from(data)
    op, htype, hlen, hops, xid, secs, flags = fields[:7]
    ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file, cookie = fields[7:]
    if cookie != _COOKIE:
        raise WireError("dhcp-bad-cookie", f"cookie is {cookie.hex()}")
    if op not in (BOOTREQUEST, BOOTREPLY):
        raise WireError("dhcp-bad-op", f"op is {op}")
    if hlen > 16:
        raise WireError("dhcp-bad-hlen", f"hlen is {hlen}, chaddr has 16 octets")
    options = decode_options(data, 240)
    if OVERLOAD in options:
        overload = options.pop(OVERLOAD)
        sname, file = _undo_overload(data, overload, options, sname, file)
    sname, file = sname.partition(b"\0")[0], file.partition(b"\0")[0]
    return DhcpPacket(
        op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file, options
    )  # fmt: skip


def _undo_overload(
    data: bytes, overload: bytes, options: dict[int, bytes], sname: bytes, file: bytes
) -> tuple[bytes, bytes]:
    if len(overload) != 1 or overload[0] not in _OVERLOAD_AT:
        raise WireError("dhcp-bad-overload", f"option 52 is {overload.hex()}")
    for start, end in _OVERLOAD_AT[overload[0]]:
        decode_options(data, start, end, into=options)
    options.pop(OVERLOAD, None)  # an overload inside an overload says nothing
    return (b"" if overload[0] & 2 else sname), (b"" if overload[0] & 1 else file)


def encode_packet(packet: DhcpPacket, *, limit: int = _MTU - _HEADERS) -> bytes:
    """Return *packet* as a UDP payload of 300 to *limit* octets, option 53 first.

    Option 82 goes last, or is left out where it does not fit (RFC 3046 section 2.2).
    Raises `LocalError` if the rest does not fit either: nothing is cut.
    """
    head = _FIXED.pack(
        packet.op,
        packet.htype,
        packet.hlen,
        packet.hops,
        packet.xid,
        packet.secs,
        packet.flags,
        packet.ciaddr,
        packet.yiaddr,
        packet.siaddr,
        packet.giaddr,
        packet.chaddr,
        _fit(packet.sname, 64, "sname"),
        _fit(packet.file, 128, "file"),
        _COOKIE,
    )
    encoded = head + encode_options(_ordered(packet.options))
    relay = packet.options.get(RELAY_AGENT)
    if relay is not None and len(relay) <= 255 and len(encoded) + 2 + len(relay) <= limit:
        encoded = encoded[:-1] + bytes((RELAY_AGENT, len(relay))) + relay + bytes((END,))
    if len(encoded) > limit:
        raise LocalError(f"packet is {len(encoded)} octets long, the client takes {limit}")
    return encoded.ljust(_MIN_SIZE, b"\0")


def _ordered(options: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield all but option 82, the message type first as old ROMs expect."""
    if MESSAGE_TYPE in options:
        yield MESSAGE_TYPE, options[MESSAGE_TYPE]
    for code, value in options.items():
        if code not in (MESSAGE_TYPE, RELAY_AGENT):
            yield code, value


def _fit(text: bytes, size: int, name: str) -> bytes:
    """Check that *text* leaves room for the NUL that old ROMs rely on."""
    if len(text) >= size:
        raise LocalError(f"{name} is {len(text)} octets long, at most {size - 1} fit")
    return text
