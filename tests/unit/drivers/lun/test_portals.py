"""Machines are told addresses that they can reach."""

from bootd.drivers.lun.portals import reachable


def test_addresses_are_told_as_they_are_and_once() -> None:
    assert reachable(["10.0.0.1:3260", "10.0.1.1:3999", "10.0.0.1:3260"]) == (
        "10.0.0.1:3260",
        "10.0.1.1:3999",
    )


def test_loopback_is_told_only_if_there_is_nothing_else() -> None:
    assert reachable(["127.0.0.1:3260"]) == ("127.0.0.1:3260",)
    assert reachable(["127.0.0.1:3260", "10.0.0.1:3260"]) == ("10.0.0.1:3260",)


def test_every_address_stands_for_those_of_this_machine() -> None:
    told = reachable(["0.0.0.0:3260", "[::]:3260"])
    assert told
    assert all(one.endswith(":3260") and not one.startswith(("0.", "[")) for one in told)
