import pytest
from hypothesis import given
from hypothesis import strategies as st

from netboot.errors import WireError
from netboot.wire import Reader


def test_numbers_are_in_network_order():
    reader = Reader(bytes.fromhex("01 0203 04050607"))
    assert (reader.u8(), reader.u16(), reader.u32()) == (1, 0x0203, 0x04050607)
    assert (reader.position, reader.remaining) == (7, 0)


def test_text_ends_at_its_nul_and_reading_goes_on_after_it():
    reader = Reader(b"octet\0rest")
    assert (reader.until_nul(), reader.rest()) == (b"octet", b"rest")


def test_reading_starts_and_ends_inside_the_datagram():
    reader = Reader(b"..inside..", start=2, end=8)
    assert reader.rest() == b"inside"


def test_an_end_past_the_datagram_is_its_end():
    assert Reader(b"ab", end=9).rest() == b"ab"


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda reader: reader.u16(), id="number"),
        pytest.param(lambda reader: reader.take(2), id="octets"),
        pytest.param(lambda reader: reader.take(-1), id="negative"),
        pytest.param(lambda reader: reader.until_nul(), id="text-without-nul"),
    ],
)
def test_too_few_octets_are_a_wire_error_with_the_readers_reason(read):
    reader = Reader(b"a\0", end=1, reason="tftp-truncated")
    with pytest.raises(WireError) as caught:
        read(reader)
    assert caught.value.reason == "tftp-truncated"
    assert reader.position == 0


@given(st.binary(max_size=40), st.integers(0, 45), st.integers(0, 45), st.lists(st.integers(-2, 20)))
def test_nothing_outside_the_bounds_is_ever_read(data, start, end, counts):
    reader = Reader(data, start=start, end=end)
    seen = b""
    for count in counts:
        try:
            seen += reader.take(count)
        except WireError:
            continue
    assert data[start:end].startswith(seen)
