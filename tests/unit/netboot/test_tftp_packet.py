"""TFTP packets: what is read, what is refused, what is written."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netboot.errors import LocalError, WireError
from netboot.tftp.packet import (
    Ack,
    Error,
    ReadRequest,
    WriteRequest,
    decode,
    encode_data,
    encode_error,
    encode_oack,
)


def test_ipxe_request_keeps_order_and_spelling_of_the_options() -> None:
    request = b"\0\1undionly.kpxe\0octet\0blksize\x001432\0tsize\x000\0"
    assert decode(request) == ReadRequest(b"undionly.kpxe", "octet", (("blksize", "1432"), ("tsize", "0")))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"\0\1f\0OcTeT\0", ReadRequest(b"f", "octet"), id="mode-in-any-case"),
        pytest.param(b"\0\1\xff\xfe\0mail\0", ReadRequest(b"\xff\xfe", "mail"), id="name-is-octets"),
        pytest.param(b"\0\1f\0octet\0blk", ReadRequest(b"f", "octet"), id="option-cut-in-its-name"),
        pytest.param(b"\0\1f\0octet\0a\x001\0b\0", ReadRequest(b"f", "octet", (("a", "1"),)), id="no-value"),
        pytest.param(b"\0\1f\0octet\0\0\0\0\0", ReadRequest(b"f", "octet"), id="padded-with-zeros"),
        pytest.param(b"\0\2boot\0octet\0", WriteRequest(b"boot"), id="write"),
        pytest.param(b"\0\4\xff\xff", Ack(65535), id="ack"),
        pytest.param(b"\0\4\0\7" + bytes(14), Ack(7), id="ack-padded-to-an-ethernet-frame"),
        pytest.param(b"\0\5\0\x08bad option\0", Error(8, "bad option"), id="error"),
        pytest.param(b"\0\5\0\0", Error(0, ""), id="error-without-text"),
        pytest.param(b"\0\5\x12\x34x", Error(0x1234, "x"), id="error-with-a-code-of-its-own"),
    ],
)
def test_clients_packets_are_read(data: bytes, expected: object) -> None:
    assert decode(data) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "tftp-truncated", id="empty"),
        pytest.param(b"\0", "tftp-truncated", id="one-octet"),
        pytest.param(b"\0\4\0", "tftp-truncated", id="short-ack"),
        pytest.param(b"\0\1name", "tftp-truncated", id="name-without-end"),
        pytest.param(b"\0\1name\0octet", "tftp-truncated", id="mode-without-end"),
        pytest.param(b"\0\1" + b"n" * 600 + b"\0octet\0", "tftp-truncated", id="name-ends-behind-512-octets"),
        pytest.param(b"\0\3\0\1x", "tftp-not-for-servers", id="data"),
        pytest.param(b"\0\6a\0b\0", "tftp-not-for-servers", id="oack"),
        pytest.param(b"\0\x09xx", "tftp-unknown-opcode", id="opcode-9"),
    ],
)
def test_what_no_client_sends_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(data)
    assert caught.value.reason == reason


def test_a_long_request_is_read_within_its_first_512_octets() -> None:
    request = b"\0\1f\0octet\0" + b"x\x001\0" * 200
    packet = decode(request)
    assert isinstance(packet, ReadRequest)
    assert len(packet.options) == (512 - 10) // 4


@given(st.binary(max_size=600))
def test_nothing_but_wire_errors_leaves_the_decoder(data: bytes) -> None:
    with contextlib.suppress(WireError):
        decode(data)


def test_packets_are_written_as_rfc_1350_and_2347_print_them() -> None:
    assert encode_data(1, b"abc") == b"\0\3\0\1abc"
    assert encode_data(65536, memoryview(b"")) == b"\0\3\0\0"
    assert encode_oack((("blksize", "1432"), ("tsize", "7"))) == b"\0\6blksize\x001432\0tsize\x007\0"
    assert encode_error(1, "no\0such fıle") == b"\0\5\0\1no?such f?le\0"


def test_an_empty_oack_is_our_own_mistake() -> None:
    with pytest.raises(LocalError):
        encode_oack(())
