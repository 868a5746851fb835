"""What a machine is told of its network: which options, in which order, and how they are written."""

from dataclasses import replace

import pytest

from netboot.dhcp.lease import FOR_EVER, Route, Subnet, encode_routes, network_options, times
from netboot.errors import LocalError
from tests.helpers.leases import LEASE, NEAR, ROUTER, a_lease_packet


def told(wanted, lease=LEASE):
    return network_options(a_lease_packet(options={55: wanted}), lease)


def test_d25_only_what_was_asked_for_is_told_and_the_mask():
    assert list(told(b"\x06\x03")) == [1, 6, 3]
    assert {12, 15, 121}.isdisjoint(told(b"\x01\x03\x06"))


def test_client_that_asks_for_nothing_is_told_the_usual():
    assert list(told(None)) == [1, 3, 6, 12, 15, 28]


def test_options_are_written_as_rfc_2132_says():
    options = told(bytes((1, 3, 6, 12, 15, 28)))
    assert options[1] == b"\xff\xff\xff\0"
    assert options[6] == ROUTER + bytes((10, 99, 0, 7))
    assert (options[12], options[15], options[28]) == (b"node1", b"lab.example", bytes((10, 99, 0, 255)))


def test_what_the_network_does_not_have_is_not_told():
    bare = replace(LEASE, subnet=Subnet(NEAR.network, 24), host_name="")
    assert set(told(bytes((1, 3, 6, 12, 15, 28, 121)), bare)) == {1, 28}


@pytest.mark.parametrize("lease", [60, 61, 3600, 86399, FOR_EVER - 1])
def test_d26_renewal_is_due_before_rebinding_and_that_before_the_end(lease):
    told = {code: int.from_bytes(value, "big") for code, value in times(replace(NEAR, lease=lease)).items()}
    assert told[51] == lease
    assert told[58] < told[59] < lease
    assert told[58] <= lease / 2
    assert told[59] <= lease * 7 / 8


def test_d26_lease_for_ever_has_no_times_of_renewal():
    assert times(replace(NEAR, lease=FOR_EVER)) == {51: b"\xff" * 4}


@pytest.mark.parametrize("lease", [0, -1, FOR_EVER + 1])
def test_lease_that_is_no_time_is_our_mistake(lease):
    with pytest.raises(LocalError, match="lease time"):
        times(replace(NEAR, lease=lease))


@pytest.mark.parametrize(
    ("network", "prefix", "octets"),
    [
        (bytes((10, 0, 0, 0)), 8, "080a"),
        (bytes((192, 168, 1, 128)), 25, "19c0a80180"),
        (bytes(4), 0, "00"),
        (bytes((10, 99, 4, 0)), 22, "160a6304"),
    ],
)
def test_d24_route_is_its_width_and_the_octets_that_count(network, prefix, octets):
    subnet = Subnet(NEAR.network, 24, routes=(Route(network, prefix, ROUTER),))
    assert encode_routes(subnet) == bytes.fromhex(octets) + ROUTER


def test_d24_default_route_is_repeated_in_option_121():
    subnet = replace(NEAR, routes=(Route(bytes((10, 0, 0, 0)), 8, bytes((10, 99, 0, 9))),))
    assert encode_routes(subnet) == b"\x08\x0a\x0a\x63\0\x09" + b"\0" + ROUTER


def test_subnet_knows_its_own():
    small = Subnet(bytes((10, 99, 0, 64)), 26)
    assert (small.mask, small.broadcast) == (b"\xff\xff\xff\xc0", bytes((10, 99, 0, 127)))
    assert [small.holds(bytes((10, 99, 0, last))) for last in (63, 64, 127, 128)] == [
        False,
        True,
        True,
        False,
    ]
    assert [small.is_for_machines(bytes((10, 99, 0, last))) for last in (64, 65, 127)] == [False, True, False]
