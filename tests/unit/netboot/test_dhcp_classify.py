"""What counts as a boot question. Rows named P are those of the conformance list in README.md."""

from dataclasses import replace

import pytest

from netboot.dhcp.options import IPXE
from netboot.dhcp.packet import MessageType
from netboot.dhcp.pxe import Ignore, decode_features, decode_vendor_options, encode_vendor_options
from netboot.errors import WireError
from netboot.ipxe import Feature
from netboot.request import Stage
from tests.helpers.dhcp import (
    GUID_OPTION,
    IPXE_OPTION,
    MAC,
    NOON,
    a_boot_server_packet,
    a_packet,
    an_ipxe_packet,
    asked,
    heard,
)

WITHOUT_HTTP = IPXE_OPTION.replace(b"\x13\x01\x01", b"")


def of_type(message_type):
    return {53: bytes((message_type,))}


def test_a_pxe_rom_is_understood():
    question = asked(a_packet(arch=7))
    request = question.request
    assert (question.kind, question.vendor_class, question.boot_item) == ("discover", "PXEClient", None)
    assert (request.mac, request.arch.name, request.stage) == (MAC, "x64-uefi", Stage.ROM)
    assert (request.received_at, request.http, request.features) == (NOON, False, frozenset())
    assert request.guid == "00010203-0405-0607-0809-0a0b0c0d0e0f"


@pytest.mark.parametrize(
    ("packet", "port", "reason"),
    [
        pytest.param(a_packet(op=2), 67, "not-a-request", id="p44-a-reply"),
        pytest.param(a_packet(options={53: None}), 67, "no-message-type", id="p44-bootp"),
        pytest.param(a_packet(options={60: None}), 67, "not-pxe", id="p07-no-vendor-class"),
        pytest.param(a_packet(vendor="pxeclient"), 67, "not-pxe", id="p08-lower-case"),
        pytest.param(a_packet(options={60: b"MSFT 5.0"}), 67, "not-pxe", id="p08-windows"),
        pytest.param(a_packet(options={60: b"U-Boot.armv8"}), 67, "not-pxe", id="u-boot-without-pxe"),
        pytest.param(
            a_packet(options={**of_type(MessageType.REQUEST), 54: b"\x0a\0\0\x01", 50: b"\x0a\0\0\x09"}),
            67,
            "request-on-67",
            id="p09-selecting-another-server",
        ),
        pytest.param(
            a_packet(options={**of_type(MessageType.REQUEST), 50: b"\x0a\0\0\x09"}),
            67,
            "request-on-67",
            id="p10-init-reboot",
        ),
        pytest.param(a_boot_server_packet(), 67, "request-on-67", id="p10-renewing"),
        pytest.param(a_packet(options=of_type(MessageType.RELEASE)), 67, "release-on-67", id="p11-release"),
        pytest.param(a_packet(options=of_type(MessageType.DECLINE)), 67, "decline-on-67", id="p11-decline"),
        pytest.param(a_packet(options=of_type(MessageType.INFORM)), 67, "inform-on-67", id="p11-inform"),
        pytest.param(a_packet(options={53: b"\x09"}), 67, "not-a-question", id="unknown-message-type"),
        pytest.param(a_boot_server_packet(options={60: None}), 4011, "not-pxe", id="p15-no-vendor-class"),
        pytest.param(a_packet(), 4011, "discover-on-4011", id="p16-discover-on-4011"),
        pytest.param(a_packet(options={93: None}), 67, "no-architecture", id="no-architecture"),
        pytest.param(a_packet(options={93: b""}), 67, "bad-architecture", id="p27-length-0"),
        pytest.param(a_packet(options={93: b"\0"}), 67, "bad-architecture", id="p27-length-1"),
        pytest.param(a_packet(options={93: b"\0\x07\0"}), 67, "bad-architecture", id="p27-length-3"),
        pytest.param(a_packet(hlen=16), 67, "no-mac", id="p43-guid-for-a-mac"),
        pytest.param(a_packet(hlen=0), 67, "no-mac", id="ipoib"),
        pytest.param(a_packet(giaddr=b"\xff" * 4), 67, "bad-relay-address", id="relay-is-broadcast"),
        pytest.param(a_packet(giaddr=b"\x7f\0\0\x01"), 67, "bad-relay-address", id="relay-is-loopback"),
        pytest.param(a_packet(giaddr=b"\0\0\0\x01"), 67, "bad-relay-address", id="relay-in-network-0"),
    ],
)
def test_what_is_no_boot_question_is_ignored_with_a_reason(packet, port, reason):
    assert heard(packet, port=port) == Ignore(reason)


def test_a_bare_pxeclient_is_enough():
    """undionly.kpxe repeats the vendor class of the reply its ROM had got."""
    assert asked(a_packet(options={60: b"PXEClient"})).vendor_class == "PXEClient"


@pytest.mark.parametrize(
    ("option", "kept"),
    [
        pytest.param(None, None, id="p04-absent"),
        pytest.param(GUID_OPTION, GUID_OPTION, id="p03-well-formed"),
        pytest.param(GUID_OPTION[1:], None, id="p05-length-16"),
        pytest.param(b"\xff" + GUID_OPTION[1:], None, id="p05-first-octet-255"),
        pytest.param(b"", None, id="p05-empty"),
        pytest.param(bytes(17), bytes(17), id="all-zero-as-qemu-sends"),
    ],
)
def test_only_a_well_formed_guid_option_is_kept(option, kept):
    question = asked(a_packet(options={97: option}))
    assert question.guid_option == kept


@pytest.mark.parametrize("octet", [b"\0", b"\xff"])
def test_a_guid_nobody_set_identifies_no_machine(octet):
    assert asked(a_packet(options={97: b"\0" + octet * 16})).request.guid is None


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        pytest.param("0000", "x86-bios", id="bios"),
        pytest.param("0009", "ebc", id="p28-9"),
        pytest.param("00070000", "x64-uefi", id="p26-first-of-the-list"),
        pytest.param("77770007", "x64-uefi", id="p26-first-known-of-the-list"),
        pytest.param("77777778", "unknown-0x7777", id="p26-first-of-a-list-of-strangers"),
        pytest.param("7777", "unknown-0x7777", id="unknown-is-decides-affair"),
    ],
)
def test_architecture_is_the_first_known_of_the_list(listed, name):
    assert asked(a_packet(options={93: bytes.fromhex(listed)})).request.arch.name == name


@pytest.mark.parametrize(
    ("options", "stage"),
    [
        pytest.param({}, Stage.ROM, id="firmware"),
        pytest.param({77: b"iPXE", 175: IPXE_OPTION}, Stage.IPXE, id="p22-raw"),
        pytest.param({77: b"\x04iPXE", 175: IPXE_OPTION}, Stage.IPXE, id="p23-rfc-3004"),
        pytest.param({77: b"\x02ab\x04iPXE"}, Stage.IPXE, id="p23-second-of-two"),
        pytest.param({77: b"gPXE", 175: IPXE_OPTION}, Stage.GPXE, id="p24-raw"),
        pytest.param({77: b"\x04gPXE"}, Stage.GPXE, id="p24-rfc-3004"),
        pytest.param({77: b"bootd", 175: IPXE_OPTION}, Stage.IPXE, id="own-user-class"),
        pytest.param({175: IPXE_OPTION}, Stage.IPXE, id="no-user-class"),
        pytest.param({77: b"ipxe"}, Stage.ROM, id="lower-case-is-somebody-else"),
        pytest.param({77: b"\x09iPXE"}, Stage.ROM, id="rfc-3004-cut-short"),
        pytest.param({77: b""}, Stage.ROM, id="empty"),
    ],
)
def test_stage_is_read_from_options_77_and_175(options, stage):
    assert asked(a_packet(options=options)).request.stage is stage


@pytest.mark.parametrize(
    ("packet", "http"),
    [
        pytest.param(an_ipxe_packet(), True, id="p22-ipxe-with-http"),
        pytest.param(an_ipxe_packet(options={IPXE: WITHOUT_HTTP}), False, id="p25-ipxe-without-http"),
        pytest.param(an_ipxe_packet(options={IPXE: b"\x13\x01\0"}), False, id="p25-http-switched-off"),
        pytest.param(an_ipxe_packet(options={IPXE: None}), False, id="p25-ipxe-that-tells-nothing"),
        pytest.param(an_ipxe_packet(name=b"gPXE"), True, id="p24-gpxe-with-http"),
        pytest.param(a_packet(arch=0x10, vendor="HTTPClient"), True, id="p29-http-boot"),
        pytest.param(a_packet(arch=0x10), False, id="vendor-class-decides-not-the-architecture"),
    ],
)
def test_a_client_fetches_urls_only_if_it_says_so(packet, http):
    assert asked(packet).request.http is http


def test_the_features_of_undionly_are_read():
    features = decode_features(IPXE_OPTION)
    assert {Feature.HTTP, Feature.ISCSI, Feature.DNS, Feature.MENU, Feature.NFS} < features
    assert not features & {Feature.HTTPS, Feature.EFI, Feature.VLAN}
    assert features.isdisjoint({0xB1, 0xEB})  # bus id and version are no features


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        pytest.param(an_ipxe_packet(options={IPXE: b"\x13\x05\x01"}), "dhcp-bad-option-175", id="175"),
        pytest.param(a_boot_server_packet(options={43: b"\x47\x04\x80"}), "dhcp-bad-option-43", id="43"),
    ],
)
def test_p44_broken_encapsulated_options_are_wire_errors(packet, reason):
    with pytest.raises(WireError) as caught:
        heard(packet, port=67 if reason.endswith("175") else 4011)
    assert caught.value.reason == reason


def test_option_43_of_a_discover_is_nobodys_business():
    assert asked(a_packet(options={43: b"\x47\x04\x80"})).boot_item is None


def with_item(item, message_type=MessageType.REQUEST):
    value = encode_vendor_options({71: bytes.fromhex(item)})
    return a_boot_server_packet(options={53: bytes((message_type,)), 43: value})


@pytest.mark.parametrize(
    "message_type",
    [
        pytest.param(MessageType.REQUEST, id="p38-request"),
        pytest.param(MessageType.INFORM, id="p41-inform"),
    ],
)
@pytest.mark.parametrize("item", ["00000000", "80010000"], ids=["bootstrap", "menu-item"])
def test_a_boot_item_we_serve_is_asked_for(message_type, item):
    question = asked(with_item(item, message_type), port=4011, boot_items=(0, 0x8001))
    assert (question.kind, question.boot_item) == ("boot-server", bytes.fromhex(item))


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        pytest.param("80020000", "boot-item-unknown", id="p39-unknown-type"),
        pytest.param("00008000", "bis-not-supported", id="p40-credentials"),
        pytest.param("8001", "bad-boot-item", id="short"),
    ],
)
def test_a_boot_item_we_do_not_serve_is_ignored(item, reason):
    assert heard(with_item(item), port=4011) == Ignore(reason)


@pytest.mark.parametrize("message_type", [MessageType.REQUEST, MessageType.INFORM])
def test_p12_a_request_without_boot_item_asks_for_the_bootstrap(message_type):
    question = asked(a_boot_server_packet(options={53: bytes((message_type,))}), port=4011)
    assert (question.kind, question.boot_item) == ("boot-server", None)


def test_p43_a_guid_in_chaddr_is_no_obstacle_if_option_61_has_the_mac():
    packet = a_packet(hlen=16, options={61: b"\x01\x52\x54\0\0\0\x01"})
    packet = replace(packet, chaddr=GUID_OPTION[1:])
    assert asked(packet).request.mac == MAC


@pytest.mark.parametrize(
    ("mac", "changes", "name"),
    [
        pytest.param("dca632000001", {}, "rpi", id="p46-boot-rom"),
        pytest.param("dca632000001", {"arch": 0x0B}, "arm64-uefi", id="uefi-on-a-pi"),
        pytest.param("dca632000001", {"options": {77: b"iPXE"}}, "x86-bios", id="ipxe-is-no-rom"),
        pytest.param("525400000001", {}, "x86-bios", id="anybody-else"),
    ],
)
def test_the_raspberry_pi_is_told_by_its_address_alone(mac, changes, name):
    packet = a_packet(chaddr=bytes.fromhex(mac) + bytes(10), **changes)
    assert asked(packet).request.arch.name == name


def test_option_43_ends_in_its_own_end():
    value = encode_vendor_options({6: b"\x08"})
    assert value == bytes.fromhex("060108ff")
    assert decode_vendor_options(value) == {6: b"\x08"}
