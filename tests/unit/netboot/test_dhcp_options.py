"""RFC 2132 section 2, RFC 3396."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netboot.dhcp.options import NAMES, decode_options, encode_options
from netboot.errors import LocalError, WireError

ANY_OPTIONS = st.dictionaries(st.integers(1, 254), st.binary(max_size=255), max_size=12)


@pytest.mark.parametrize(
    ("wire", "options"),
    [
        pytest.param("ff", {}, id="none"),
        pytest.param("350101 ff", {53: b"\x01"}, id="one"),
        pytest.param("00 350101 0000 ff", {53: b"\x01"}, id="pads-between"),
        pytest.param("350101 ff 360101", {53: b"\x01"}, id="nothing-counts-after-end"),
        pytest.param("350101", {53: b"\x01"}, id="end-forgotten"),
        pytest.param("6100 ff", {97: b""}, id="empty-value"),
        pytest.param("4d0169 350101 4d0150 ff", {77: b"iP", 53: b"\x01"}, id="pieces-join-in-wire-order"),
    ],
)
def test_options_are_read_as_the_rfc_says(wire, options):
    assert decode_options(bytes.fromhex(wire)) == options


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param("35", id="no-length"),
        pytest.param("3502 01", id="value-cut-short"),
        pytest.param("350101 61ff00", id="length-255"),
    ],
)
def test_a_length_past_the_end_is_a_wire_error(wire):
    with pytest.raises(WireError) as caught:
        decode_options(bytes.fromhex(wire))
    assert caught.value.reason == "dhcp-truncated-option"


@pytest.mark.parametrize("end", [1, 2], ids=["before-the-length", "before-the-value"])
def test_an_option_may_not_reach_out_of_its_field(end):
    with pytest.raises(WireError):
        decode_options(bytes.fromhex("350101 ff"), 0, end)


def test_a_later_field_continues_the_options_of_an_earlier_one():
    options = {67: b"http://10.0.0.1/"}
    decode_options(b"..\x43\x01a\xff..", 2, 6, into=options)
    assert options == {67: b"http://10.0.0.1/a"}


@given(ANY_OPTIONS)
def test_what_is_encoded_is_what_is_decoded(options):
    decoded = decode_options(encode_options(options.items()))
    assert list(decoded.items()) == list(options.items())


@given(st.binary(max_size=80), st.integers(0, 80), st.integers(0, 90))
def test_no_octet_outside_the_bounds_becomes_part_of_a_value(data, start, end):
    inside = data[start:end]
    try:
        options = decode_options(data, start, end)
    except WireError:
        with pytest.raises(WireError):
            decode_options(inside)
    else:
        assert options == decode_options(inside)


@pytest.mark.parametrize(
    "option",
    [
        pytest.param((67, bytes(256)), id="too-long"),
        pytest.param((0, b""), id="pad"),
        pytest.param((255, b""), id="end"),
        pytest.param((256, b""), id="no-octet"),
    ],
)
def test_what_no_client_could_read_is_not_encoded(option):
    with pytest.raises(LocalError):
        encode_options([option])


def test_codes_have_the_names_of_the_standards():
    assert (NAMES[53], NAMES[93], NAMES[175]) == ("message-type", "client-arch", "ipxe")
