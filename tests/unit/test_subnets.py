"""Tables [dhcp.subnets.NAME]: what they mean, and every mistake with its line."""

import pytest

from bootd.config import parse
from bootd.errors import BadConfig
from netboot.dhcp.lease import Route, Subnet

LAB = """\
[dhcp]
mode = "authoritative"
[dhcp.subnets.lab]
network = "10.99.0.0/24"
"""


def mistakes(text):
    with pytest.raises(BadConfig) as caught:
        parse(text, None)
    return [(mistake.line, mistake.message) for mistake in caught.value.mistakes]


def test_network_alone_makes_a_subnet():
    config = parse(LAB, None)
    assert config.subnets == {"lab": Subnet(bytes((10, 99, 0, 0)), 24, lease=86400)}
    assert config.values["dhcp.subnets.lab.lease"].source == "default"
    assert config.values["dhcp.subnets.lab.network"].source.endswith(":4")


def test_everything_a_subnet_can_be_told():
    more = """\
router = "10.99.0.1"
dns = ["10.99.0.1", "9.9.9.9"]
domain = "lab.example"
lease = 600
routes = ["10.1.0.0/16 via 10.99.0.9"]
[dhcp.subnets.behind-relay]
network = "10.77.0.0/16"
"""
    subnets = parse(LAB + more, None).subnets
    assert list(subnets) == ["lab", "behind-relay"]
    assert subnets["lab"] == Subnet(
        network=bytes((10, 99, 0, 0)),
        prefix=24,
        router=bytes((10, 99, 0, 1)),
        dns=(bytes((10, 99, 0, 1)), bytes((9, 9, 9, 9))),
        domain="lab.example",
        lease=600,
        routes=(Route(bytes((10, 1, 0, 0)), 16, bytes((10, 99, 0, 9))),),
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("lease = 59", "dhcp.subnets.lab.lease = 59: expected seconds from 60"),
        ("lease = true", "expected seconds from 60"),
        ('router = "10.99.0.256"', 'expected an IPv4 address such as "10.0.0.1"'),
        (
            'router = "10.98.0.1"',
            "dhcp.subnets.lab.router: 10.98.0.1 is no address of a machine in 10.99.0.0/24",
        ),
        ('router = "10.99.0.255"', "10.99.0.255 is no address of a machine in 10.99.0.0/24"),
        ('dns = "10.99.0.1"', "expected a list of at most 8 IPv4 addresses"),
        ('dns = ["0.0.0.0"]', "expected a list of at most 8 IPv4 addresses"),
        ('domain = "lab..example"', 'expected a domain name such as "lab.example"'),
        ('domain = "lab example"', 'expected a domain name such as "lab.example"'),
        ('routes = ["10.1.0.0/16"]', "expected a list of at most 16 routes"),
        ('routes = ["10.1.0.1/16 via 10.99.0.9"]', "expected a list of at most 16 routes"),
        ('routers = "10.99.0.1"', "dhcp.subnets.lab.routers: no such key; a subnet has network, router, dns"),
    ],
)
def test_mistake_in_a_subnet_names_its_line_and_what_was_expected(line, told):
    ((at, text),) = mistakes(f"{LAB}{line}\n")
    assert at == 5
    assert told in text


@pytest.mark.parametrize(
    "network", ['"10.99.0.1/24"', '"10.99.0.0"', '"10.99.0.0/31"', '"10.0.0.0/7"', '"fd00::/64"', "24", '""']
)
def test_network_that_is_none_is_one_mistake(network):
    ((at, text),) = mistakes(f"[dhcp.subnets.lab]\nnetwork = {network}\n")
    assert at == 2
    assert "expected a network of /8 to /30" in text


@pytest.mark.parametrize("table", ["[dhcp.subnets.lab]\n", '[dhcp.subnets.lab]\ndomain = "lab"\n'])
def test_subnet_without_a_network_is_told_to_have_one(table):
    ((at, text),) = mistakes(table)
    assert at == 1
    assert "10.0.0.0/24" in text


def test_networks_that_overlap_are_told_with_both_names():
    ((at, text),) = mistakes(f'{LAB}[dhcp.subnets.far]\nnetwork = "10.99.0.128/25"\n')
    assert (at, text) == (6, "dhcp.subnets.far.network: 10.99.0.128/25 overlaps 10.99.0.0/24 of lab")


def test_addresses_of_no_network_cannot_be_given():
    ((at, text),) = mistakes('[dhcp]\nmode = "authoritative"\n')
    assert at == 2
    assert "[dhcp.subnets.lab]" in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[dhcp.subnets]]\nnetwork = "10.0.0.0/24"\n', "expected a table: [dhcp.subnets]"),
        ('[dhcp.subnets]\nlab = "10.0.0.0/24"\n', "expected a table: [dhcp.subnets.lab]"),
        ('[dhcp.subnet.lab]\nnetwork = "10.0.0.0/24"\n', "[dhcp.subnets.NAME]"),
        ('[dhcp.subnets."10.0.0.0/24"]\nlease = 60\n', "no such table"),
    ],
)
def test_table_of_another_form_is_told_the_right_one(text, told):
    assert told in mistakes(text)[0][1]


def test_subnets_may_stand_there_while_another_server_gives_addresses():
    assert list(parse(LAB.replace("authoritative", "proxy"), None).subnets) == ["lab"]
