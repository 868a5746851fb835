import pytest
from hypothesis import given
from hypothesis import strategies as st

from netboot.errors import LocalError
from netboot.hwaddr import format_guid, format_mac, mac_octets, parse_guid, parse_mac, swap_guid

MAC = "52:54:00:ab:cd:ef"


@pytest.mark.parametrize(
    "text",
    ["52:54:00:AB:CD:EF", "52-54-00-ab-cd-ef", "5254.00ab.cdef", "525400abcdef", " 52:54:00:ab:cd:ef\n"],
)
def test_every_common_spelling_is_one_address(text):
    assert parse_mac(text) == MAC


@pytest.mark.parametrize("text", ["", "52:54:00:ab:cd", "52:54:00:ab:cd:ef:00", "52:54:00:ab:cd:eg", "n1"])
def test_what_is_no_mac_address_is_refused(text):
    with pytest.raises(LocalError, match="not a MAC address"):
        parse_mac(text)


@given(st.binary(min_size=6, max_size=6))
def test_octets_and_canonical_text_are_the_same_address(octets):
    assert mac_octets(format_mac(octets)) == octets
    assert parse_mac(format_mac(octets)) == format_mac(octets)


def test_a_guid_is_read_with_and_without_dashes():
    text = "4c4c4544-0042-3510-8052-b4c04f4d3132"
    assert parse_guid(text.upper()) == parse_guid(text.replace("-", "")) == text


@pytest.mark.parametrize("text", ["", "4c4c4544", "4c4c4544-0042-3510-8052-b4c04f4d313x"])
def test_what_is_no_guid_is_refused(text):
    with pytest.raises(LocalError, match="not a UUID"):
        parse_guid(text)


def test_swapping_turns_the_first_three_fields_of_a_guid_only():
    assert swap_guid("00112233-4455-6677-8899-aabbccddeeff") == "33221100-5544-7766-8899-aabbccddeeff"


@given(st.binary(min_size=16, max_size=16))
def test_swapping_a_guid_twice_changes_nothing(octets):
    assert swap_guid(swap_guid(format_guid(octets))) == format_guid(octets)
