"""No session is sent where another one's receivers, or the whole switch, would hear it."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootd.drivers.transport import STANDARD, Channel, ChannelsTaken, Range, allocate
from bootd.drivers.transport.channels import is_usable

CHANNELS = st.builds(
    Channel,
    st.integers(0, 2**18 - 1).map(lambda n: str(STANDARD.network[n])),
    st.sampled_from(STANDARD.pairs),
)
SMALL = Range(IPv4Network("239.255.7.0/29"), 9000, 9007)  # .1 to .7, four pairs of ports


def test_the_first_channel_is_the_ranges_first_usable_one() -> None:
    assert allocate([]) == Channel("239.192.0.1", 9000)


def test_the_next_one_is_another_even_when_the_last_has_ended() -> None:
    assert allocate([], last=Channel("239.192.0.1", 9000)) == Channel("239.192.0.2", 9002)


def test_after_the_end_of_the_range_comes_its_beginning() -> None:
    assert allocate([], last=Channel("239.195.255.254", 9998)) == Channel("239.192.0.1", 9000)


def test_a_last_channel_from_another_range_is_no_hindrance() -> None:
    assert allocate([], Channel("239.1.2.3", 20000), SMALL).port == 9000


@settings(deadline=None)
@given(st.lists(CHANNELS, max_size=40), st.none() | CHANNELS)
def test_a_channel_collides_with_none_that_is_taken(taken: list[Channel], last: Channel | None) -> None:
    channel = allocate(taken, last)
    assert not any(channel.collides(other) for other in taken)
    assert IPv4Address(channel.address) in IPv4Network("239.192.0.0/14")
    assert channel.port in STANDARD.pairs
    assert channel.is_valid


@settings(deadline=None)
@given(st.integers(2, 60))
def test_sessions_that_run_together_have_different_ethernet_addresses_and_ports(count: int) -> None:
    taken: list[Channel] = []
    for _ in range(count):
        taken.append(allocate(taken, taken[-1] if taken else None))
    assert len({channel.ethernet for channel in taken}) == count
    assert len({port for channel in taken for port in channel.ports}) == 2 * count


def test_when_all_ports_are_taken_the_next_session_may_come_later() -> None:
    taken: list[Channel] = []
    for _ in range(4):
        taken.append(allocate(taken, within=SMALL))
    with pytest.raises(ChannelsTaken, match="no port pair of 9000-9007") as caught:
        allocate(taken, within=SMALL)
    assert not caught.value.is_permanent
    assert allocate(taken[1:], within=SMALL) == taken[0]


def test_when_all_addresses_are_taken_the_next_session_may_come_later() -> None:
    taken = [Channel(f"239.255.7.{n}", 9000 + 2 * n) for n in range(1, 8)]
    with pytest.raises(ChannelsTaken, match=r"no multicast address of 239\.255\.7\.0/29"):
        allocate(taken, within=Range(SMALL.network))


@pytest.mark.parametrize(
    "address",
    ["239.0.0.5", "239.128.0.5", "224.0.0.5", "239.192.1.0", "239.192.1.255"],
)
def test_addresses_that_every_port_of_a_switch_gets_are_passed_over(address: str) -> None:
    assert not is_usable(IPv4Address(address))


def test_a_range_of_such_addresses_gives_none() -> None:
    with pytest.raises(ChannelsTaken):
        allocate([], within=Range(IPv4Network("239.128.0.0/24")))


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        pytest.param(Channel("239.192.0.1", 9000), Channel("239.192.0.1", 9002), True, id="address"),
        pytest.param(Channel("239.192.0.1", 9000), Channel("239.192.0.2", 9000), True, id="ports"),
        pytest.param(Channel("239.192.0.1", 9000), Channel("239.64.0.1", 9002), True, id="same-ethernet"),
        pytest.param(Channel("239.192.0.1", 9000), Channel("239.192.0.2", 9002), False, id="neither"),
    ],
)
def test_what_a_receiver_cannot_tell_apart_collides(one: Channel, other: Channel, collide: bool) -> None:
    assert one.collides(other) is other.collides(one) is collide


@pytest.mark.parametrize(
    ("network", "first", "last"),
    [
        ("192.168.0.0/16", 9000, 9999),
        ("224.0.0.0/4", 9000, 9999),
        ("239.192.0.0/14", 9001, 9999),
        ("239.192.0.0/14", 80, 9999),
        ("239.192.0.0/14", 9000, 9000),
        ("239.192.0.0/14", 9000, 70000),
    ],
)
def test_a_range_without_sense_is_refused(network: str, first: int, last: int) -> None:
    with pytest.raises(ValueError, match=r"is not within|do not begin"):
        Range(IPv4Network(network), first, last)
