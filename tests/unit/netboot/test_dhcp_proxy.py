"""The replies. Rows named P are those of the conformance list in README.md."""

import pytest

from netboot.dhcp.options import BOOT_FILE_NAME, RELAY_AGENT
from netboot.dhcp.packet import MessageType
from netboot.dhcp.proxydhcp import PxeAnswer, ServerIdentity, UefiStrategy, build_reply
from netboot.dhcp.pxe import decode_vendor_options, encode_vendor_options
from netboot.errors import LocalError
from tests.helpers.dhcp import (
    CLIENT,
    GUID_OPTION,
    ME,
    OTHER_SERVER,
    SERVER,
    a_boot_server_packet,
    a_packet,
    an_ipxe_packet,
    asked,
    replied,
)

BIOS = PxeAnswer("undionly.kpxe", SERVER)
UEFI = PxeAnswer("snponly.efi", SERVER)
UEFI_OFFER = PxeAnswer("snponly.efi", SERVER, UefiStrategy.OFFER)
URL = "http://10.99.0.2/boot/52:54:00:00:00:01.ipxe"
SCRIPT = PxeAnswer(URL, SERVER)
LONG_URL = "http://10.99.0.2/" + "x" * 183
# Address and lease configuration, and what only a client says (RFC 2131 table 3).
NEVER = {1, 3, 6, 12, 15, 28, 50, 51, 52, 55, 57, 58, 59, 121}

EVERY_KIND = [
    pytest.param(a_packet(), 67, BIOS, id="bios"),
    pytest.param(a_packet(arch=7), 67, UEFI, id="uefi-boot-server"),
    pytest.param(a_packet(arch=7), 67, UEFI_OFFER, id="uefi-offer"),
    pytest.param(a_boot_server_packet(), 4011, UEFI, id="4011"),
    pytest.param(an_ipxe_packet(), 67, SCRIPT, id="ipxe"),
    pytest.param(an_ipxe_packet(name=b"gPXE"), 67, SCRIPT, id="gpxe"),
    pytest.param(a_packet(arch=0x10, vendor="HTTPClient"), 67, PxeAnswer(LONG_URL, SERVER), id="http-boot"),
    pytest.param(
        a_packet(chaddr=bytes.fromhex("dca632000001") + bytes(10)), 67, PxeAnswer("x", SERVER), id="rpi"
    ),
]


def test_p01_an_offer_repeats_the_clients_header_and_gives_no_address():
    packet = a_packet(secs=9, htype=6)
    reply = replied(packet, BIOS)
    assert (reply.op, reply.hops, reply.secs, reply.flags) == (2, 0, 0, 0x8000)
    assert (reply.xid, reply.htype, reply.hlen) == (packet.xid, 6, 6)
    assert (reply.chaddr, reply.giaddr) == (packet.chaddr, packet.giaddr)
    assert (reply.ciaddr, reply.yiaddr) == (bytes(4), bytes(4))


@pytest.mark.parametrize("flags", [0x0000, 0x8000, 0x1234])
def test_p01_an_offer_always_carries_the_broadcast_flag_and_no_other(flags):
    assert replied(a_packet(flags=flags), BIOS).flags == 0x8000


def test_p02_an_offer_names_its_server_and_its_kind():
    options = replied(a_packet(), BIOS).options
    assert (options[53], options[54], options[60]) == (b"\x02", SERVER, b"PXEClient")


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        pytest.param(GUID_OPTION, GUID_OPTION, id="p03-well-formed"),
        pytest.param(None, None, id="p04-absent"),
        pytest.param(GUID_OPTION[1:], None, id="p05-malformed"),
    ],
)
def test_the_guid_is_echoed_as_it_came_or_not_at_all(sent, echoed):
    assert replied(a_packet(options={97: sent}), BIOS).options.get(97) == echoed


@pytest.mark.parametrize(("packet", "port", "answer"), EVERY_KIND)
def test_p06_p35_no_reply_configures_addresses_or_overloads(packet, port, answer):
    reply = replied(packet, answer, port=port)
    assert NEVER.isdisjoint(reply.options)
    assert reply.yiaddr == bytes(4)


@pytest.mark.parametrize(("packet", "port", "answer"), EVERY_KIND)
def test_every_reply_leads_somewhere(packet, port, answer):
    """P22, P47: siaddr and a file, an option 43 menu, or a boot server that will answer."""
    reply = replied(packet, answer, port=port)
    assert reply.siaddr != bytes(4)
    assert reply.file or BOOT_FILE_NAME in reply.options


@pytest.mark.parametrize(("packet", "port", "answer"), EVERY_KIND)
def test_p20_discovery_control_bypasses_discovery_or_comes_with_a_menu(packet, port, answer):
    sub_options = decode_vendor_options(replied(packet, answer, port=port).options.get(43, b""))
    control = sub_options.get(6, b"\x08")[0]
    assert control & 0xF0 == 0
    assert control & 8 or sub_options[9]


@pytest.mark.parametrize(("packet", "port", "answer"), EVERY_KIND)
def test_p31_the_boot_file_is_named_once_and_option_67_ends_in_nul(packet, port, answer):
    reply = replied(packet, answer, port=port)
    named = reply.options.get(BOOT_FILE_NAME, b"")
    assert bool(reply.file) is not bool(named)
    assert named == b"" or named.endswith(b"\0")


def test_p21_a_bios_rom_gets_its_file_at_once():
    reply = replied(a_packet(), BIOS)
    assert (reply.siaddr, reply.sname, reply.file) == (SERVER, b"10.99.0.2", b"undionly.kpxe")
    assert reply.options[43] == bytes.fromhex("060108ff")


@pytest.mark.parametrize(
    ("port", "packet"), [(67, a_packet()), (4011, a_boot_server_packet(arch=0))], ids=["67", "4011"]
)
def test_a_bios_rom_may_be_sent_to_another_tftp_server(port, packet):
    reply = replied(packet, PxeAnswer("pxelinux.0", OTHER_SERVER), port=port)
    assert (reply.siaddr, reply.sname, reply.file) == (OTHER_SERVER, b"10.99.0.7", b"pxelinux.0")
    assert reply.options[54] == SERVER


def test_p17_a_uefi_rom_is_asked_back_to_our_own_4011():
    reply = replied(a_packet(arch=7), UEFI)
    assert (reply.siaddr, reply.file) == (SERVER, b"snponly.efi")
    assert 43 not in reply.options


def test_p18_siaddr_of_the_offer_is_the_boot_server_and_of_the_ack_the_tftp_server():
    answer = PxeAnswer("snponly.efi", OTHER_SERVER)
    offer = replied(a_packet(arch=7), answer)
    ack = replied(a_boot_server_packet(), answer, port=4011)
    assert (offer.siaddr, offer.sname, offer.file) == (SERVER, b"", b"")
    assert (ack.siaddr, ack.sname, ack.file) == (OTHER_SERVER, b"10.99.0.7", b"snponly.efi")


def test_p19_a_uefi_rom_can_be_given_its_file_in_the_offer():
    answer = PxeAnswer("snponly.efi", OTHER_SERVER, UefiStrategy.OFFER)
    reply = replied(a_packet(arch=7), answer)
    assert (reply.siaddr, reply.file) == (OTHER_SERVER, b"snponly.efi")
    assert decode_vendor_options(reply.options[43]) == {6: b"\x08"}


@pytest.mark.parametrize("strategy", UefiStrategy)
def test_p12_p14_a_boot_server_request_is_acknowledged_without_an_address(strategy):
    reply = replied(a_boot_server_packet(), PxeAnswer("snponly.efi", SERVER, strategy), port=4011)
    assert (reply.op, reply.ciaddr, reply.yiaddr) == (2, CLIENT, bytes(4))
    assert (reply.siaddr, reply.file) == (SERVER, b"snponly.efi")
    assert dict(reply.options) == {53: b"\x05", 54: SERVER, 60: b"PXEClient", 97: GUID_OPTION}


@pytest.mark.parametrize(("flags", "want"), [(0, 0), (0x8000, 0x8000), (0x0001, 0)])
def test_p14_the_flag_of_a_boot_server_request_is_copied(flags, want):
    assert replied(a_boot_server_packet(flags=flags), UEFI, port=4011).flags == want


@pytest.mark.parametrize("message_type", [MessageType.REQUEST, MessageType.INFORM], ids=["p38", "p41"])
def test_the_boot_item_is_echoed(message_type):
    item = b"\x80\x01\0\0"
    packet = a_boot_server_packet(options={53: bytes((message_type,)), 43: encode_vendor_options({71: item})})
    reply = replied(packet, UEFI, port=4011, boot_items=(0x8001,))
    assert reply.options[53] == b"\x05"
    assert reply.options[43] == b"\x47\x04" + item + b"\xff"


@pytest.mark.parametrize("name", [b"iPXE", b"\x04iPXE", b"gPXE"], ids=["p22", "p23", "p24"])
@pytest.mark.parametrize("arch", [0, 7])
def test_ipxe_gets_its_script_at_once(name, arch):
    reply = replied(an_ipxe_packet(name=name, arch=arch), SCRIPT)
    assert (reply.siaddr, reply.file, reply.sname) == (SERVER, URL.encode(), b"")
    assert 43 not in reply.options


def test_p28_ebc_is_answered_as_x64():
    nine, seven = (replied(a_packet(arch=arch), UEFI) for arch in (9, 7))
    assert nine == seven


def test_p29_http_boot_gets_a_url_under_its_own_vendor_class():
    reply = replied(a_packet(arch=0x10, vendor="HTTPClient"), PxeAnswer("http://10.99.0.2/s.efi", SERVER))
    assert (reply.options[60], reply.file) == (b"HTTPClient", b"http://10.99.0.2/s.efi")
    assert 43 not in reply.options


@pytest.mark.parametrize("size", [127, 128, 254])
def test_p30_a_url_too_long_for_the_file_field_stands_in_option_67(size):
    url = "http://10.99.0.2/".ljust(size, "x")
    reply = replied(a_packet(arch=0x10, vendor="HTTPClient"), PxeAnswer(url, SERVER))
    if size == 127:
        assert (reply.file, reply.options.get(67)) == (url.encode(), None)
    else:
        assert (reply.file, reply.options.get(67)) == (b"", url.encode() + b"\0")


def test_p32_a_relayed_request_gets_its_relay_and_option_82_back():
    packet = a_packet(giaddr=b"\x0a\x01\0\x01", hops=1, options={RELAY_AGENT: b"\x01\x02\x0a\x0b"})
    wire = build_reply(asked(packet), BIOS, ME)
    reply = replied(packet, BIOS)
    assert (reply.giaddr, reply.hops) == (packet.giaddr, 0)
    assert wire.rstrip(b"\0").endswith(b"\x52\x04\x01\x02\x0a\x0b\xff")


def test_p33_an_option_82_too_large_for_the_client_is_left_out():
    packet = a_packet(giaddr=b"\x0a\x01\0\x01", options={57: b"\x02\x40", RELAY_AGENT: bytes(255)})
    url = PxeAnswer(LONG_URL, SERVER)
    assert RELAY_AGENT not in replied(packet, url).options
    assert RELAY_AGENT in replied(packet, BIOS).options


@pytest.mark.parametrize(("packet", "port", "answer"), EVERY_KIND)
def test_p34_every_reply_has_300_to_548_octets(packet, port, answer):
    assert 300 <= len(build_reply(asked(packet, port=port), answer, ME)) <= 548


def test_p43_a_guid_in_chaddr_is_copied_back():
    packet = a_packet(hlen=16, chaddr=GUID_OPTION[1:], options={61: b"\x01\x52\x54\0\0\0\x01"})
    reply = replied(packet, BIOS)
    assert (reply.hlen, reply.chaddr) == (16, GUID_OPTION[1:])


def test_p46_a_raspberry_pi_finds_the_text_it_looks_for():
    packet = a_packet(chaddr=bytes.fromhex("dca632000001") + bytes(10))
    reply = replied(packet, PxeAnswer("bootcode.bin", SERVER))
    assert b"Raspberry Pi Boot" in reply.options[43]
    assert len(reply.options[43]) == 0x20
    assert (reply.siaddr, reply.options[66], reply.hops) == (SERVER, b"10.99.0.2\0", 0)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(PxeAnswer("", SERVER), "without a boot file", id="p47-nothing-to-boot"),
        pytest.param(PxeAnswer("x", bytes(4)), "tftp_server", id="no-tftp-server"),
        pytest.param(PxeAnswer("x", b"10.0.0.2"), "tftp_server", id="dotted-text"),
        pytest.param(PxeAnswer("boot file", SERVER), "blank", id="blank"),
        pytest.param(PxeAnswer("a\0b", SERVER), "control", id="nul"),
        pytest.param(PxeAnswer("bücher", SERVER), "not ASCII", id="not-ascii"),
        pytest.param(PxeAnswer("x" * 255, SERVER), "option 67", id="longer-than-an-option"),
    ],
)
def test_an_answer_of_ours_that_fits_no_reply_is_refused(answer, message):
    with pytest.raises(LocalError, match=message):
        build_reply(asked(a_packet()), answer, ME)


def test_a_server_without_address_is_refused():
    with pytest.raises(LocalError, match="server address"):
        build_reply(asked(a_packet()), BIOS, ServerIdentity(bytes(4)))
