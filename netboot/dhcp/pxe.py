"""What a PXE or UEFI HTTP Boot client asks (PXE 2.1 section 2, RFC 4578, RFC 3004).

Every packet becomes a `PxeQuestion` or an `Ignore` that says why not. Silence is the
rule: whatever is not clearly a boot question is left to the site's DHCP server.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from netboot.arch import Architecture, architecture
from netboot.dhcp.options import (
    CLIENT_ARCH,
    CLIENT_GUID,
    IPXE,
    USER_CLASS,
    VENDOR_CLASS,
    VENDOR_SPECIFIC,
    decode_options,
    encode_options,
)
from netboot.dhcp.packet import BOOTREQUEST, DhcpPacket, MessageType
from netboot.hwaddr import format_guid
from netboot.ipxe import FEATURE_CODES, Feature
from netboot.request import BootRequest, Stage

DHCP_PORT = 67
BOOT_SERVER_PORT = 4011

DISCOVERY_CONTROL = 6  # sub-options of option 43
BOOT_MENU = 9
MENU_PROMPT = 10
BOOT_ITEM = 71
USE_BOOT_FILE = 8  # bit 3 of DISCOVERY_CONTROL: no prompt, no menu, no discovery
BOOTSTRAP = 0  # boot item type of a request that names none (PXE 2.1 section 2.4.4)

VendorClass = Literal["PXEClient", "HTTPClient"]
Kind = Literal["discover", "boot-server", "lease"]  # lease: asked of a server that gives addresses too

# The boot ROM claims to be an x86 BIOS; only its address tells.
RASPBERRY_PI_OUIS = frozenset(
    ("28:cd:c1", "2c:cf:67", "88:a2:9e", "b8:27:eb", "d8:3a:dd", "dc:a6:32", "e4:5f:01")
)
_X86_BIOS = 0x00
_RASPBERRY_PI = architecture(0x29)

_STAGES = {b"iPXE": Stage.IPXE, b"gPXE": Stage.GPXE}
# What each port answers, and what the counters call the rest.
_ANSWERED: Mapping[Kind, frozenset[int]] = {
    "discover": frozenset((MessageType.DISCOVER,)),
    "boot-server": frozenset((MessageType.REQUEST, MessageType.INFORM)),
    "lease": frozenset((MessageType.DISCOVER, MessageType.REQUEST, MessageType.INFORM)),
}
_UNANSWERED: Mapping[Kind, Mapping[int, str]] = {
    "discover": {
        MessageType.REQUEST: "request-on-67",
        MessageType.DECLINE: "decline-on-67",
        MessageType.RELEASE: "release-on-67",
        MessageType.INFORM: "inform-on-67",
    },
    "boot-server": {
        MessageType.DISCOVER: "discover-on-4011",
        MessageType.DECLINE: "decline-on-4011",
        MessageType.RELEASE: "release-on-4011",
    },
    "lease": {},
}


@dataclass(frozen=True, slots=True)
class Ignore:
    """Not for us. *reason* is a stable slug, fit for a counter."""

    reason: str


@dataclass(frozen=True, slots=True)
class PxeQuestion:
    """A client that wants to boot, and what the reply must repeat to it."""

    packet: DhcpPacket
    request: BootRequest
    kind: Kind
    vendor_class: VendorClass
    guid_option: bytes | None = None  # option 97 as sent, if it is well formed
    boot_item: bytes | None = None  # option 43.71 as sent: type u16, layer u16


def classify(
    packet: DhcpPacket,
    *,
    port: int,
    received_at: datetime,
    boot_items: Collection[int] = (BOOTSTRAP,),
    gives_addresses: bool = False,
) -> PxeQuestion | Ignore:
    """Return the boot question *packet*, received on *port*, asks.

    *boot_items* are the boot server types we serve. Who *gives_addresses* is asked for the
    boot file in REQUEST and INFORM as well. Raises `WireError` for options 43 and 175 that do
    not hold together.
    """
    kind: Kind = "lease" if gives_addresses else "discover"
    if port == BOOT_SERVER_PORT:
        kind = "boot-server"
    vendor_class = _vendor_class(packet.options.get(VENDOR_CLASS, b""))
    refusal = _refusal(packet, vendor_class, kind)
    if refusal is not None or vendor_class is None:
        return Ignore(refusal or "not-pxe")
    arch = _architecture(packet.options.get(CLIENT_ARCH))
    if isinstance(arch, Ignore):
        return arch
    mac = packet.mac
    if mac is None:
        return Ignore("no-mac")
    item = _boot_item(packet, boot_items) if kind == "boot-server" else None
    if isinstance(item, Ignore):
        return item
    features = decode_features(packet.options.get(IPXE, b""))
    stage = _stage(packet)
    if stage is Stage.ROM and arch.code == _X86_BIOS and mac[:8] in RASPBERRY_PI_OUIS:
        arch = _RASPBERRY_PI
    guid_option = _guid_option(packet)
    request = BootRequest(
        mac=mac,
        arch=arch,
        stage=stage,
        received_at=received_at,
        http=vendor_class == "HTTPClient" or Feature.HTTP in features,
        guid=_guid(guid_option),
        features=features,
    )
    return PxeQuestion(packet, request, kind, vendor_class, guid_option, item)


def decode_features(value: bytes) -> frozenset[int]:
    """Return the codes of the features an option 175 claims (iPXE include/ipxe/features.h).

    A client that says iPXE in option 77 and sends no option 175 claims none, HTTP
    included: a URL it cannot fetch would leave it with nothing to boot.
    """
    sub_options = decode_options(value, reason="dhcp-bad-option-175")
    return frozenset(code for code, flag in sub_options.items() if code in FEATURE_CODES and any(flag))


def decode_vendor_options(value: bytes) -> dict[int, bytes]:
    """Return the PXE sub-options of an option 43."""
    return decode_options(value, reason="dhcp-bad-option-43")


def encode_vendor_options(sub_options: dict[int, bytes]) -> bytes:
    """Return an option 43; it ends in its own END, which BIOS ROMs insist on."""
    return encode_options(sub_options.items())


def _vendor_class(value: bytes) -> VendorClass | None:
    """Match the first octets only: iPXE sends a bare ``PXEClient`` after it saw ours."""
    if value.startswith(b"PXEClient"):
        return "PXEClient"
    return "HTTPClient" if value.startswith(b"HTTPClient") else None


def _refusal(packet: DhcpPacket, vendor_class: VendorClass | None, kind: Kind) -> str | None:
    """Return why the kind of message is none of our business, or None."""
    if packet.op != BOOTREQUEST:
        return "not-a-request"
    if packet.message_type is None:
        return "no-message-type"
    if vendor_class is None:
        return "not-pxe"
    if not packet.has_good_relay:
        return "bad-relay-address"
    if packet.message_type in _ANSWERED[kind]:
        return None
    return _UNANSWERED[kind].get(packet.message_type, "not-a-question")


def _architecture(value: bytes | None) -> Architecture | Ignore:
    """Return the first architecture of the list that we know, else the first (RFC 4578 section 2.1)."""
    if value is None:
        return Ignore("no-architecture")
    if not value or len(value) % 2:
        return Ignore("bad-architecture")
    if len(value) == 2:
        return architecture(int.from_bytes(value, "big"))
    listed = [architecture(int.from_bytes(value[at : at + 2], "big")) for at in range(0, len(value), 2)]
    return next((arch for arch in listed if arch.known), listed[0])


def _stage(packet: DhcpPacket) -> Stage:
    """Tell firmware from iPXE and gPXE, which name themselves in option 77.

    Both send the bare name without the length octet of RFC 3004. A script may have set
    another user class; option 175 then still gives iPXE away.
    """
    for user_class in _user_classes(packet.options.get(USER_CLASS, b"")):
        if user_class in _STAGES:
            return _STAGES[user_class]
    return Stage.IPXE if IPXE in packet.options else Stage.ROM


def _user_classes(value: bytes) -> list[bytes]:
    """Return the value itself and, where it reads as RFC 3004, the classes in it."""
    classes, position = [value], 0
    while position < len(value):
        end = position + 1 + value[position]
        if end > len(value):
            break
        classes.append(value[position + 1 : end])
        position = end
    return classes


def _guid_option(packet: DhcpPacket) -> bytes | None:
    value = packet.options.get(CLIENT_GUID, b"")
    return value if len(value) == 17 and value[0] == 0 else None


def _guid(option: bytes | None) -> str | None:
    """Return the GUID as text; all zeros or all ones is a board nobody numbered."""
    if option is None or option[1:] in (bytes(16), b"\xff" * 16):
        return None
    return format_guid(option[1:])


def _boot_item(packet: DhcpPacket, boot_items: Collection[int]) -> bytes | Ignore | None:
    """Return option 43.71, checked; PXE 2.1 section 2.4 note 6 wants silence for what we do not serve."""
    item = decode_vendor_options(packet.options.get(VENDOR_SPECIFIC, b"")).get(BOOT_ITEM)
    if item is None:
        return None
    if len(item) != 4:
        return Ignore("bad-boot-item")
    if item[2] & 0x80:
        return Ignore("bis-not-supported")
    return item if int.from_bytes(item[:2], "big") in boot_items else Ignore("boot-item-unknown")
