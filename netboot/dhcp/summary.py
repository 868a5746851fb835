"""A DHCP packet as readable text, for golden files and for people."""

from collections.abc import Callable, Iterator

from netboot.arch import architecture
from netboot.dhcp.delivery import dotted
from netboot.dhcp.options import (
    BOOT_FILE_NAME,
    BROADCAST_ADDRESS,
    CLIENT_ARCH,
    CLIENT_GUID,
    DNS_SERVERS,
    DOMAIN_NAME,
    HOST_NAME,
    INITIATOR_NAME,
    IPXE,
    LEASE_TIME,
    MAX_MESSAGE_SIZE,
    MESSAGE,
    MESSAGE_TYPE,
    NAMES,
    PARAMETER_LIST,
    REBINDING_TIME,
    RENEWAL_TIME,
    REQUESTED_ADDRESS,
    ROOT_PATH,
    ROUTERS,
    SERVER_ID,
    SUBNET_MASK,
    TFTP_SERVER_NAME,
    USER_CLASS,
    VENDOR_CLASS,
    VENDOR_SPECIFIC,
    decode_options,
)
from netboot.dhcp.packet import BROADCAST_FLAG, DhcpPacket, MessageType
from netboot.errors import WireError
from netboot.hwaddr import format_guid


def summary(packet: DhcpPacket) -> str:
    """Return *packet* in several lines: the fields, then one line for each option.

    Never fails: an option that cannot be read is shown in hexadecimal.
    """
    return "\n".join((*_fields(packet), *(_option(*option) for option in packet.options.items())))


def _fields(packet: DhcpPacket) -> Iterator[str]:
    flags = " broadcast" if packet.flags & BROADCAST_FLAG else ""
    yield (
        f"op {packet.op} htype {packet.htype} hlen {packet.hlen} hops {packet.hops}"
        f" xid {packet.xid:#010x} secs {packet.secs} flags {packet.flags:#06x}{flags}"
    )
    yield (
        f"ciaddr {dotted(packet.ciaddr)} yiaddr {dotted(packet.yiaddr)}"
        f" siaddr {dotted(packet.siaddr)} giaddr {dotted(packet.giaddr)}"
    )
    chaddr = packet.chaddr[: packet.hlen] if any(packet.chaddr[: packet.hlen]) else packet.chaddr
    yield f"chaddr {chaddr.hex(':')}"
    yield f"sname {_text(packet.sname)} file {_text(packet.file)}"


def _option(code: int, value: bytes) -> str:
    try:
        shown = _SHOW.get(code, bytes.hex)(value)
    except (WireError, IndexError):
        shown = f"malformed {value.hex()}"
    return f"option {code} {NAMES.get(code, '?')}: {shown}"


def _text(value: bytes) -> str:
    return repr(value)[1:]


def _message_type(value: bytes) -> str:
    code = int.from_bytes(value, "big")
    return MessageType(code).name if code in MessageType.__members__.values() else value.hex()


def _number(value: bytes) -> str:
    return str(int.from_bytes(value, "big"))


def _numbers(value: bytes) -> str:
    return " ".join(map(str, value))


def _architectures(value: bytes) -> str:
    codes = (int.from_bytes(value[at : at + 2], "big") for at in range(0, len(value), 2))
    return " ".join(f"{code:#06x} {architecture(code).name}" for code in codes)


def _addresses(value: bytes) -> str:
    return " ".join(dotted(value[at : at + 4]) for at in range(0, len(value), 4))


def _guid(value: bytes) -> str:
    return f"{value[0]} {format_guid(value[1:])}" if len(value) == 17 else f"malformed {value.hex()}"


def _sub_options(value: bytes) -> str:
    return " ".join(f"{code}={sub.hex() or '-'}" for code, sub in decode_options(value).items())


_SHOW: dict[int, Callable[[bytes], str]] = {
    SUBNET_MASK: dotted,
    ROUTERS: _addresses,
    DNS_SERVERS: _addresses,
    HOST_NAME: _text,
    DOMAIN_NAME: _text,
    ROOT_PATH: _text,
    INITIATOR_NAME: _text,
    MESSAGE: _text,
    BROADCAST_ADDRESS: dotted,
    VENDOR_SPECIFIC: _sub_options,
    REQUESTED_ADDRESS: dotted,
    LEASE_TIME: _number,
    MESSAGE_TYPE: _message_type,
    SERVER_ID: dotted,
    PARAMETER_LIST: _numbers,
    MAX_MESSAGE_SIZE: _number,
    RENEWAL_TIME: _number,
    REBINDING_TIME: _number,
    VENDOR_CLASS: _text,
    TFTP_SERVER_NAME: _text,
    BOOT_FILE_NAME: _text,
    USER_CLASS: _text,
    CLIENT_ARCH: _architectures,
    CLIENT_GUID: _guid,
    IPXE: _sub_options,
}
