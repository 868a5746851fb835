"""Attribution: what came with an address only is put down to its machine."""

from dataclasses import replace

import pytest

from bootd.attribution import Attribution
from bootd.boot.clients import Clients
from bootd.boot.snapshot import Changes, Snapshot, apply_changes
from bootd.events import Event, FileSent, ServiceStopped, TftpReadStarted, UnknownMachine
from tests.helpers.site import a_host

MAC = a_host().mac
SNAPSHOT = apply_changes(Snapshot(), Changes(1, hosts={"node1": a_host()}))


class Heard:
    """Where attributed events arrive, and which addresses the ARP table was asked for."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.asked: list[str] = []
        self.clients = Clients(self._neighbour)
        self.emit = Attribution(self.clients, lambda: SNAPSHOT, self.events.append).emit

    def _neighbour(self, address: str) -> str | None:
        self.asked.append(address)
        return None


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_address_becomes_a_machine_with_its_name(heard: Heard) -> None:
    heard.clients.heard_address(MAC, "10.0.0.1")
    heard.emit(TftpReadStarted(client="10.0.0.1", filename="x"))
    assert heard.events == [TftpReadStarted(mac=MAC, host="node1", client="10.0.0.1", filename="x")]


def test_machine_nobody_registered_keeps_its_address_and_has_no_name(heard: Heard) -> None:
    heard.clients.heard_address("52:54:00:00:00:99", "10.0.0.9")
    heard.emit(TftpReadStarted(client="10.0.0.9", filename="x"))
    assert heard.events == [TftpReadStarted(mac="52:54:00:00:00:99", client="10.0.0.9", filename="x")]


def test_what_an_event_knows_of_itself_is_not_replaced(heard: Heard) -> None:
    heard.clients.heard_address("52:54:00:00:00:99", "10.0.0.1")
    sent = FileSent(mac=MAC, host="old-name", client="10.0.0.1", path="a", octets=1, seconds=0, complete=True)
    heard.emit(sent)
    assert heard.events == [sent]


def test_known_machine_without_a_name_is_given_it(heard: Heard) -> None:
    heard.emit(UnknownMachine(mac=MAC, arch="x86-bios"))
    assert heard.events == [UnknownMachine(mac=MAC, host="node1", arch="x86-bios")]


def test_event_of_nobody_passes_as_it_is_and_asks_nobody(heard: Heard) -> None:
    stopped = ServiceStopped(why="SIGTERM")
    heard.emit(stopped)
    assert heard.events == [stopped]
    assert heard.asked == []


def test_address_nobody_heard_of_passes_without_a_machine(heard: Heard) -> None:
    started = TftpReadStarted(client="10.0.0.77", filename="x")
    heard.emit(started)
    assert heard.events == [started]
    assert heard.asked == ["10.0.0.77"]


def test_machine_is_found_by_its_address_in_the_host_table_and_by_none() -> None:
    hosts = {"node1": replace(a_host(), ip="10.1.0.1"), "node2": replace(a_host(2), ip=None)}
    snapshot = apply_changes(Snapshot(), Changes(1, hosts=hosts))
    attribution = Attribution(Clients(lambda address: None), lambda: snapshot, lambda event: None)
    found = [attribution.host_mac(address) for address in ("10.1.0.1", "10.1.0.2", "")]
    assert found == [MAC, "", ""]
