"""RFC 2131 section 2, tables 1 and 3. Rows named P are those of the conformance list in README.md."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netboot.dhcp.options import RELAY_AGENT
from netboot.dhcp.packet import DhcpPacket, MessageType, decode_packet, encode_packet
from netboot.dhcp.summary import summary
from netboot.errors import LocalError, WireError
from tests.helpers.dhcp import MAC, a_packet

FOUR = st.binary(min_size=4, max_size=4)
ANY_PACKET = st.builds(
    DhcpPacket,
    op=st.sampled_from((1, 2)),
    htype=st.integers(0, 255),
    hlen=st.integers(0, 16),
    hops=st.integers(0, 255),
    xid=st.integers(0, 2**32 - 1),
    secs=st.integers(0, 65535),
    flags=st.integers(0, 65535),
    ciaddr=FOUR,
    yiaddr=FOUR,
    siaddr=FOUR,
    giaddr=FOUR,
    chaddr=st.binary(min_size=16, max_size=16),
    sname=st.binary(max_size=63).filter(lambda text: 0 not in text),
    file=st.binary(max_size=127).filter(lambda text: 0 not in text),
    options=st.dictionaries(
        st.integers(1, 254).filter(lambda code: code not in (52, 82)), st.binary(max_size=60), max_size=9
    ),
)


@given(ANY_PACKET)
def test_every_packet_survives_the_wire(packet):
    assert decode_packet(encode_packet(packet)) == packet


@given(ANY_PACKET)
def test_every_packet_can_be_shown(packet):
    assert summary(packet).count("\n") == 3 + len(packet.options)


def _broken(**changes: bytes) -> bytes:
    """Return a good DISCOVER with other octets written at ``at_<offset>``."""
    wire = bytearray(encode_packet(a_packet()))
    for place, octets in changes.items():
        at = int(place.removeprefix("at_"))
        wire[at : at + len(octets)] = octets
    return bytes(wire)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "dhcp-too-short", id="empty"),
        pytest.param(_broken()[:239], "dhcp-too-short", id="239-octets"),
        pytest.param(_broken(at_236=b"\0\0\0\0"), "dhcp-bad-cookie", id="bad-cookie"),
        pytest.param(_broken(at_0=b"\x03"), "dhcp-bad-op", id="op-3"),
        pytest.param(_broken(at_2=b"\x11"), "dhcp-bad-hlen", id="hlen-17"),
        pytest.param(_broken()[:240] + b"\x3c\x20PXE", "dhcp-truncated-option", id="option-past-the-end"),
        pytest.param(_broken()[:240] + b"\x34\x01\x04\xff", "dhcp-bad-overload", id="overload-4"),
        pytest.param(_broken()[:240] + b"\x34\x00\xff", "dhcp-bad-overload", id="overload-empty"),
    ],
)
def test_p44_malformed_packets_are_wire_errors_with_a_reason(data, reason):
    with pytest.raises(WireError) as caught:
        decode_packet(data)
    assert caught.value.reason == reason


def _overloaded(overload: int) -> DhcpPacket:
    """Decode a packet whose option 67 is spread over options, `file` and `sname`."""
    file, sname = b"\x43\x01f\xff", b"\x43\x01s\xff"
    wire = bytearray(_broken()[:240])
    wire[44 : 44 + len(sname)], wire[108 : 108 + len(file)] = sname, file
    return decode_packet(bytes(wire) + b"\x43\x01o\x34\x01" + bytes((overload,)) + b"\xff")


@pytest.mark.parametrize(
    ("overload", "value", "sname", "file"),
    [
        pytest.param(1, b"of", b"\x43\x01s\xff", b"", id="file"),
        pytest.param(2, b"os", b"", b"\x43\x01f\xff", id="sname"),
        pytest.param(3, b"ofs", b"", b"", id="both-file-first"),
    ],
)
def test_overloaded_fields_join_the_options_in_rfc_3396_order(overload, value, sname, file):
    packet = _overloaded(overload)
    assert (packet.options, packet.sname, packet.file) == ({67: value}, sname, file)


def test_unknown_flags_and_options_survive():
    packet = replace(a_packet(options={224: b"site"}), flags=0x1234)
    assert decode_packet(encode_packet(packet)) == packet


def test_packets_are_padded_to_300_octets():
    assert len(encode_packet(DhcpPacket(1, 1, 6, 0, 0, 0, 0))) == 300


def test_the_message_type_is_the_first_option():
    packet = a_packet(options={53: None})
    late = replace(packet, options={**packet.options, 53: b"\x01"})
    assert encode_packet(late)[240:243] == b"\x35\x01\x01"


def test_p32_relay_information_is_the_last_option():
    packet = replace(a_packet(), options={RELAY_AGENT: b"\x01\x04eth0", **a_packet().options})
    assert encode_packet(packet).rstrip(b"\0").endswith(b"\x52\x06\x01\x04eth0\xff")


@pytest.mark.parametrize("room", [7, 8], ids=["one-too-few", "just-enough"])
def test_p33_relay_information_that_does_not_fit_is_left_out_whole(room):
    packet = a_packet(options={RELAY_AGENT: b"\x01\x04eth0", 224: bytes(100)})
    size = len(encode_packet(a_packet(options={224: bytes(100)})))
    decoded = decode_packet(encode_packet(packet, limit=size + room))
    assert (RELAY_AGENT in decoded.options) is (room == 8)


def test_p33_relay_information_in_two_pieces_is_left_out():
    """Two relays may have added one each; together they fit no single option."""
    twice = encode_packet(a_packet(options={RELAY_AGENT: bytes(200)})).rstrip(b"\0")[:-1]
    packet = decode_packet(twice + b"\x52\xc8" + bytes(200) + b"\xff")
    assert len(packet.options[RELAY_AGENT]) == 400
    assert RELAY_AGENT not in decode_packet(encode_packet(packet)).options


def test_a_packet_over_the_limit_is_refused_not_cut():
    with pytest.raises(LocalError, match="client takes 548"):
        encode_packet(a_packet(options={224: bytes(255)}), limit=548)


@pytest.mark.parametrize(("name", "size"), [("sname", 64), ("file", 128)])
def test_header_text_keeps_room_for_its_nul(name, size):
    fits = replace(a_packet(), **{name: b"x" * (size - 1)})
    assert getattr(decode_packet(encode_packet(fits)), name) == b"x" * (size - 1)
    with pytest.raises(LocalError, match=name):
        encode_packet(replace(a_packet(), **{name: b"x" * size}))


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        pytest.param(None, 548, id="absent"),
        pytest.param((576).to_bytes(2, "big"), 548, id="smallest"),
        pytest.param((100).to_bytes(2, "big"), 548, id="less-than-every-client-takes"),
        pytest.param((1400).to_bytes(2, "big"), 1372, id="said"),
        pytest.param((65280).to_bytes(2, "big"), 1472, id="ovmf-says-65280"),
        pytest.param(b"\x05", 548, id="malformed"),
    ],
)
def test_p34_reply_limit_follows_option_57(said, limit):
    assert a_packet(options={57: said}).reply_limit == limit


@pytest.mark.parametrize(
    ("changes", "mac"),
    [
        pytest.param({}, MAC, id="ethernet"),
        pytest.param({"htype": 32, "hlen": 0}, None, id="ipoib-tells-none"),
        pytest.param({"hlen": 16}, None, id="guid-in-chaddr"),
        pytest.param(
            {"hlen": 16, "options": {61: b"\x01\x52\x54\0\0\0\x02"}}, "52:54:00:00:00:02", id="option-61"
        ),
        pytest.param({"hlen": 16, "options": {61: b"\0" * 17}}, None, id="guid-in-option-61"),
    ],
)
def test_mac_is_read_where_the_client_tells_it(changes, mac):
    assert a_packet(**changes).mac == mac


@pytest.mark.parametrize(
    ("value", "want"),
    [(b"\x01", MessageType.DISCOVER), (b"\x63", 0x63), (b"", None), (b"\x01\x01", None), (None, None)],
)
def test_message_type_is_one_octet_or_none(value, want):
    assert a_packet(options={53: value}).message_type == want
