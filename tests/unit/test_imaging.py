"""By which interface images go, and who a receiver is."""

from pathlib import Path

import pytest

from bootd import config
from bootd.boot.clients import Clients
from bootd.drivers.transport import Offers, TransportRefused, TransportUnreachable
from bootd.imaging import make_network, sending_address
from bootd.listeners.sockets import Interface

ETH0, ETH1 = Interface(2, "eth0", "10.0.0.2", 1500), Interface(3, "eth1", "10.1.0.2", 1500)
ALIAS = Interface(2, "eth0", "10.0.0.3", 1500)


def test_the_only_interface_needs_no_name() -> None:
    assert sending_address("", "", [ETH0, ALIAS]) == "10.0.0.2"


def test_the_address_that_machines_are_told_decides_between_several() -> None:
    assert sending_address("", "10.0.0.3", [ETH1, ETH0, ALIAS]) == "10.0.0.3"


def test_several_and_nobody_says_which_is_refused_with_the_key() -> None:
    with pytest.raises(TransportRefused, match=r"one interface of eth0, eth1: set imaging\.interface"):
        sending_address("", "", [ETH1, ETH0])


def test_a_named_interface_need_not_be_served() -> None:
    assert sending_address("eth1", "10.0.0.2", [ETH0], lambda: [ETH0, ETH1]) == "10.1.0.2"


def test_a_named_interface_without_an_address_may_have_one_later() -> None:
    with pytest.raises(TransportUnreachable, match=r"eth9 .imaging.interface., which has no IPv4 address"):
        sending_address("eth9", "", [ETH0], lambda: [ETH0])


def test_a_receiver_is_whom_the_kernel_knows_there_and_not_who_says_so_by_dhcp() -> None:
    arp = {"10.0.0.7": "52:54:00:00:00:07"}
    clients = Clients(arp.get)
    clients.heard_address("52:54:00:00:00:09", "10.0.0.7")
    clients.heard_address("52:54:00:00:00:09", "10.0.0.8")
    hosts = {"52:54:00:00:00:07": "node7", "52:54:00:00:00:09": "node9"}
    settings = config.parse("", Path("bootd.toml"))
    network = make_network(settings, lambda: [ETH0], clients, lambda mac: hosts.get(mac, ""), Offers())
    assert network.whose("10.0.0.7") == "node7"
    assert network.whose("10.0.0.8") == ""
    assert network.interface() == "10.0.0.2"
