"""Which address a host is given, and which rows cannot be."""

import pytest

from bootd.boot.leases import lease_of, unleasable
from bootd.model import Host
from tests.helpers.leases import ADDRESS, BEHIND_RELAY, NEAR

SUBNETS = {"lab": NEAR, "far": BEHIND_RELAY}


def a_host(ip, name="node1"):
    return Host(name, "52:54:00:00:00:01", ip=ip)


def test_host_is_given_the_address_of_its_row_in_the_subnet_that_holds_it():
    near, far = (lease_of(a_host(ip), SUBNETS) for ip in ("10.99.0.11", "10.77.0.11"))
    assert (near.address, near.subnet, near.host_name) == (ADDRESS, NEAR, "node1")
    assert far.subnet == BEHIND_RELAY


@pytest.mark.parametrize("ip", [None, "10.1.1.1", "10.99.0.0", "10.99.0.255", "10.99.0.1"])
def test_host_without_an_address_that_can_be_given_has_no_lease(ip):
    assert lease_of(a_host(ip), SUBNETS) is None


@pytest.mark.parametrize(("name", "told"), [("node-1", "node-1"), ("node_1", ""), ("node1.lab", "")])
def test_name_that_is_no_host_name_is_not_told(name, told):
    assert lease_of(a_host("10.99.0.11", name), SUBNETS).host_name == told


@pytest.mark.parametrize(
    ("ip", "why"),
    [
        ("10.1.1.1", "its address 10.1.1.1 is no machine's in lab (10.99.0.0/24), far (10.77.0.0/24)"),
        ("10.99.0.255", "its address 10.99.0.255 is no machine's in lab (10.99.0.0/24), far (10.77.0.0/24)"),
        ("10.99.0.1", "its address 10.99.0.1 is that of the router of lab"),
        ("10.99.0.2", "its address 10.99.0.2 is that of bootd itself"),
        ("10.99.0.12", "its address 10.99.0.12 is that of good"),
    ],
)
def test_row_whose_address_cannot_be_given_says_why(ip, why):
    hosts = [a_host("10.99.0.12", "good"), a_host(None, "bare"), a_host(ip)]
    assert unleasable(hosts, SUBNETS, ["10.99.0.2"]) == {"node1": why}


def test_rows_that_are_well_are_not_spoken_of():
    assert unleasable([a_host("10.99.0.11"), a_host(None, "bare")], SUBNETS, ["10.99.0.2"]) == {}
