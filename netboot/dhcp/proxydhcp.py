"""The replies of a ProxyDHCP and boot server (PXE 2.1 section 2.5): never an address, only a boot file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from netboot.arch import Firmware
from netboot.dhcp.delivery import dotted
from netboot.dhcp.options import (
    BOOT_FILE_NAME,
    CLIENT_GUID,
    MESSAGE_TYPE,
    RELAY_AGENT,
    SERVER_ID,
    TFTP_SERVER_NAME,
    VENDOR_CLASS,
    VENDOR_SPECIFIC,
)
from netboot.dhcp.packet import (
    NO_ADDRESS,
    MessageType,
    encode_packet,
)
from netboot.dhcp.pxe import (
    BOOT_ITEM,
    BOOT_MENU,
    DISCOVERY_CONTROL,
    MENU_PROMPT,
    USE_BOOT_FILE,
    PxeQuestion,
    encode_vendor_options,
)
from netboot.errors import LocalError
from netboot.request import Stage

_FILE_ROOM = 127  # octets of the `file` field before its NUL
_NOT_A_NAME = re.compile(rb"[\x00-\x20\x7f]")
_BYPASS = encode_vendor_options({DISCOVERY_CONTROL: bytes((USE_BOOT_FILE,))})
# The boot ROM of the Raspberry Pi looks for this text and no more; the rest is what it was seen to take.
_RASPBERRY_PI = encode_vendor_options(
    {
        DISCOVERY_CONTROL: b"\x03",
        MENU_PROMPT: b"\0PXE",
        BOOT_MENU: b"\0\0\x11Raspberry Pi Boot",
    }
)


class UefiStrategy(StrEnum):
    """How a UEFI PXE ROM is brought to its file.

    Each is broken on some firmware, so a host may choose. OVMF takes both; after a reply
    from port 4011 it waits out a second before its first TFTP request.
    """

    BOOT_SERVER = "boot-server"  # no option 43: the ROM asks again on port 4011
    OFFER = "offer"  # option 43.6 bit 3: the ROM boots straight from the offer


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """Who answers: the address of the interface the question came in by, 4 octets."""

    address: bytes


@dataclass(frozen=True, slots=True)
class PxeAnswer:
    """What the client is to fetch, and from where."""

    boot_file: str  # a name on *tftp_server*, or a URL
    tftp_server: bytes  # 4 octets
    strategy: UefiStrategy = UefiStrategy.BOOT_SERVER


@dataclass(frozen=True, slots=True)
class BootPart:
    """What a reply says of booting, whatever else it says."""

    siaddr: bytes = NO_ADDRESS
    sname: bytes = b""
    file: bytes = b""
    options: Mapping[int, bytes] = field(default_factory=dict)


def boot_part(question: PxeQuestion, answer: PxeAnswer, server: ServerIdentity) -> BootPart:
    """Return how *answer* is put to the client that asked *question*.

    Raises `LocalError` if *answer* names nothing to boot.
    """
    _check(answer, server)
    asks_again = question.kind != "boot-server" and _asks_again(question, answer)
    siaddr = server.address if asks_again else answer.tftp_server
    # While it asks again the ROM takes siaddr for the boot server, so a file offered
    # now would be sought on ourselves.
    has_file = answer.tftp_server == siaddr
    file, sname, file_options = _boot_file(question, answer) if has_file else (b"", b"", {})
    return BootPart(siaddr, sname, file, _options(question, answer) | file_options)


def build_reply(question: PxeQuestion, answer: PxeAnswer, server: ServerIdentity) -> bytes:
    """Return the OFFER (port 67) or ACK (port 4011) to *question*.

    Raises `LocalError` if *answer* names nothing to boot or does not fit a packet.
    """
    part = boot_part(question, answer, server)
    packet = question.packet
    is_offer = question.kind == "discover"
    options = {
        MESSAGE_TYPE: bytes((MessageType.OFFER if is_offer else MessageType.ACK,)),
        SERVER_ID: server.address,  # EDK2 drops an offer without it
        **part.options,
    }
    if RELAY_AGENT in packet.options:
        options[RELAY_AGENT] = packet.options[RELAY_AGENT]
    reply = packet.reply(
        options=options,
        is_broadcast=is_offer,
        ciaddr=NO_ADDRESS if is_offer else packet.ciaddr,
        siaddr=part.siaddr,
        sname=part.sname,
        file=part.file,
    )
    return encode_packet(reply, limit=packet.reply_limit)


def _check(answer: PxeAnswer, server: ServerIdentity) -> None:
    if not answer.boot_file:
        raise LocalError("a reply without a boot file stops the client")
    for name, address in (("tftp_server", answer.tftp_server), ("server address", server.address)):
        if len(address) != 4 or address == NO_ADDRESS:
            raise LocalError(f"{name} is not an IPv4 address: {address.hex()}")


def _is_uefi_rom(question: PxeQuestion) -> bool:
    request = question.request
    return (
        question.vendor_class == "PXEClient"
        and request.stage is Stage.ROM
        and request.arch.firmware is Firmware.UEFI
    )


def _asks_again(question: PxeQuestion, answer: PxeAnswer) -> bool:
    """Say whether the client will come to port 4011 for its file.

    EDK2 does whenever an offer has option 60 and none of option 43.6-10, and asks
    siaddr before option 54.
    """
    return _is_uefi_rom(question) and answer.strategy is UefiStrategy.BOOT_SERVER


def _options(question: PxeQuestion, answer: PxeAnswer) -> dict[int, bytes]:
    options = {VENDOR_CLASS: question.vendor_class.encode()}
    if question.guid_option is not None:
        options[CLIENT_GUID] = question.guid_option
    vendor = _vendor_options(question, answer)
    if vendor is not None:
        options[VENDOR_SPECIFIC] = vendor
    return options


def _vendor_options(question: PxeQuestion, answer: PxeAnswer) -> bytes | None:
    """Return option 43, or None where the client must not see one.

    A BIOS ROM without 43.6 bit 3 hunts for boot servers. iPXE and gPXE take siaddr and
    file as they are, and HTTP Boot knows no option 43.
    """
    if question.kind == "boot-server":
        item = question.boot_item
        return None if item is None else encode_vendor_options({BOOT_ITEM: item})
    if question.vendor_class == "HTTPClient" or question.request.stage is not Stage.ROM:
        return None
    if _is_raspberry_pi(question):
        return _RASPBERRY_PI
    return None if _asks_again(question, answer) else _BYPASS


def _is_raspberry_pi(question: PxeQuestion) -> bool:
    return question.request.arch.name == "rpi"


def _boot_file(question: PxeQuestion, answer: PxeAnswer) -> tuple[bytes, bytes, dict[int, bytes]]:
    """Return `file`, `sname` and the options that name the boot file.

    The name stands in one place only: iPXE believes `file`, EDK2 option 67. Option 67
    ends in NUL, because ROMs have been seen to swallow the END after it.
    """
    try:
        name = answer.boot_file.encode("ascii")
    except UnicodeEncodeError:
        raise LocalError(f"boot file is not ASCII: {answer.boot_file!r}") from None
    if _NOT_A_NAME.search(name):
        raise LocalError(f"boot file has a blank or control character: {answer.boot_file!r}")
    options: dict[int, bytes] = {}
    address = dotted(answer.tftp_server).encode()
    if _is_raspberry_pi(question):
        options[TFTP_SERVER_NAME] = address + b"\0"
    sname = b"" if b"://" in name else address
    if len(name) <= _FILE_ROOM:
        return name, sname, options
    return b"", sname, options | {BOOT_FILE_NAME: name + b"\0"}
