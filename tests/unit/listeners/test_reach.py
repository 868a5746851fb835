"""Reach: which interfaces are served, and as whom we are known there."""

import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bootd.boot.offer import ServerFacts
from bootd.listeners.reach import InterfaceMissing, NoInterface, Reach, neighbour
from bootd.listeners.sockets import Interface

LO = Interface(1, "lo", "127.0.0.1", 65536)
ETH0 = Interface(2, "eth0", "192.168.1.5", 1500)
ETH1 = Interface(3, "eth1", "10.0.0.2", 1500)
ETH1_TOO = Interface(3, "eth1", "10.9.0.2", 1500)

ARP = """\
IP address       HW type     Flags       HW address            Mask     Device
10.0.0.11        0x1         0x2         52:54:00:AB:CD:01     *        eth1
10.0.0.12        0x1         0x0         00:00:00:00:00:00     *        eth1
10.0.0.13        0x20        0x2         80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:00:00:01 * ib0
10.0.0.1         0x1         0x2         52:54:00:ab:cd:02     *        eth1
"""


class Machine:
    """Interfaces that come and go, and a clock moved by hand."""

    def __init__(self, *interfaces: Interface) -> None:
        self.interfaces = interfaces
        self.now = 0.0
        self.looks = 0

    def look(self) -> Sequence[Interface]:
        self.looks += 1
        return self.interfaces

    def reach(self, names: Sequence[str] = (), **how: str) -> Reach:
        return Reach(names, http_port=8080, look=self.look, monotonic=lambda: self.now, **how)


def test_all_interfaces_but_loopback_are_served() -> None:
    assert Machine(LO, ETH0, ETH1).reach().served == (ETH0, ETH1)


def test_named_interfaces_alone_are_served_and_loopback_where_it_is_named() -> None:
    machine = Machine(LO, ETH0, ETH1)
    assert machine.reach(["eth1"]).served == (ETH1,)
    assert machine.reach(["lo"]).served == (LO,)


def test_client_is_told_the_address_of_its_own_interface() -> None:
    reach = Machine(ETH0, ETH1).reach()
    octets = bytes((10, 0, 0, 2))
    found = reach.server_of(3)
    assert found is not None
    assert replace(found, links=frozenset(), own=frozenset()) == ServerFacts(
        "10.0.0.2", octets, "http://10.0.0.2:8080", octets
    )
    assert reach.facts()[0].address == "192.168.1.5"


def test_first_address_of_an_interface_is_the_one_we_go_by() -> None:
    reach = Machine(ETH1, ETH1_TOO).reach()
    assert [facts.address for facts in reach.facts()] == ["10.0.0.2"]


def test_configured_address_and_tftp_server_are_told_everywhere() -> None:
    reach = Machine(ETH0, ETH1).reach(address="10.0.0.100", tftp_server="10.0.0.3")
    for index in (2, 3):
        facts = reach.server_of(index)
        assert facts is not None
        assert (facts.address, facts.octets) == ("10.0.0.100", bytes((10, 0, 0, 100)))
        assert (facts.http_base, facts.tftp_server) == ("http://10.0.0.100:8080", bytes((10, 0, 0, 3)))


def test_each_interface_knows_its_own_addresses_and_all_of_ours() -> None:
    reach = Machine(LO, ETH0, ETH1, ETH1_TOO).reach(["eth1"], address="10.0.0.100")
    facts = reach.server_of(ETH1.index)
    assert facts is not None
    links = {socket.inet_aton(each.address) for each in (ETH1, ETH1_TOO)}
    told = {bytes((10, 0, 0, 100)), *(socket.inet_aton(each.address) for each in (LO, ETH0))}
    assert (facts.links, facts.own) == (links, links | told)


def test_interface_that_comes_up_later_is_found_by_its_packets() -> None:
    machine = Machine(ETH0)
    reach = machine.reach()
    machine.interfaces = (ETH0, ETH1)
    machine.now = 10.0
    found = reach.server_of(3)
    assert found is not None
    assert found.address == "10.0.0.2"
    assert reach.served == (ETH0, ETH1)


def test_packets_by_strange_interfaces_make_us_look_once_in_a_while_only() -> None:
    machine = Machine(ETH0)
    reach = machine.reach()
    machine.now = 10.0
    looks = machine.looks
    assert [reach.server_of(7) for _ in range(5)] == [None] * 5
    assert machine.looks == looks + 1


def test_changed_address_is_told_from_the_next_look_on() -> None:
    machine = Machine(ETH0)
    reach = machine.reach(["eth0"])
    machine.interfaces = (replace(ETH0, address="192.168.1.6"),)
    reach.refresh()
    assert [facts.address for facts in reach.facts()] == ["192.168.1.6"]


def test_named_interface_that_comes_back_is_served_again() -> None:
    machine = Machine(ETH0)
    reach = machine.reach(["eth0"])
    machine.interfaces = (replace(ETH0, index=9),)
    machine.now = 10.0
    assert reach.server_of(9) is not None


def test_named_interfaces_are_not_added_to() -> None:
    machine = Machine(ETH0)
    reach = machine.reach(["eth0"])
    machine.interfaces = (ETH0, ETH1)
    machine.now = 10.0
    assert reach.server_of(3) is None


def test_named_interface_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(InterfaceMissing, match=r"eth7.*this machine has eth0 \(192\.168\.1\.5\)"):
        Machine(ETH0).reach(["eth0", "eth7"])


def test_machine_without_an_address_is_refused() -> None:
    with pytest.raises(NoInterface, match="no interface is up with an IPv4 address"):
        Machine(LO).reach()
    with pytest.raises(InterfaceMissing, match="this machine has none"):
        Machine().reach(["eth0"])


@pytest.mark.parametrize(
    ("address", "mac"),
    [
        pytest.param("10.0.0.11", "52:54:00:ab:cd:01", id="known"),
        pytest.param("10.0.0.1", "52:54:00:ab:cd:02", id="not-its-prefix"),
        pytest.param("10.0.0.12", None, id="nobody-answered"),
        pytest.param("10.0.0.13", None, id="infiniband"),
        pytest.param("10.0.0.99", None, id="unknown"),
    ],
)
def test_arp_table_names_an_ethernet_neighbour(address: str, mac: str | None, tmp_path: Path) -> None:
    table = tmp_path / "arp"
    table.write_text(ARP + "10.0.0.14 0x1\n")
    assert neighbour(address, table) == mac


def test_half_a_row_of_the_arp_table_names_nobody(tmp_path: Path) -> None:
    table = tmp_path / "arp"
    table.write_text(ARP.splitlines()[0] + "\n10.0.0.14 0x1\n")
    assert neighbour("10.0.0.14", table) is None


def test_without_an_arp_table_nobody_is_known(tmp_path: Path) -> None:
    assert neighbour("10.0.0.11", tmp_path / "arp") is None
