"""Sources and netascii."""

import pytest

from netboot.tftp.source import BytesSource, encode_netascii


def test_octets_in_memory_are_read_where_asked() -> None:
    source = BytesSource(b"0123456789")
    assert source.size == 10
    assert bytes(source.read_at(3, 4)) == b"3456"
    assert bytes(source.read_at(8, 10)) == b"89"
    assert bytes(source.read_at(10, 1)) == b""


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        pytest.param(b"one\ntwo", b"one\r\ntwo", id="lf"),
        pytest.param(b"a\rb", b"a\r\0b", id="bare-cr"),
        pytest.param(b"a\r\nb", b"a\r\0\r\nb", id="cr-then-lf"),
        pytest.param(b"", b"", id="empty"),
    ],
)
def test_netascii(text: bytes, wire: bytes) -> None:
    assert encode_netascii(text) == wire
