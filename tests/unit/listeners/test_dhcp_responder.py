"""The DHCP ports without their sockets: who is answered, with what, and what is said about it."""

from datetime import UTC, datetime

import pytest

from bootd.boot.clients import Clients
from bootd.boot.offer import ServerFacts, http_base
from bootd.boot.snapshot import Changes, Policy, Snapshot, apply_changes
from bootd.events import OfferSent, PacketDropped, PacketIgnored, UnknownMachine
from bootd.listeners.dhcp import DhcpResponder
from bootd.model import Assignment, Host, parse_target
from netboot.dhcp.delivery import Broadcast, Unicast
from netboot.dhcp.options import (
    IPXE,
    MESSAGE_TYPE,
    REQUESTED_ADDRESS,
    USER_CLASS,
)
from netboot.dhcp.packet import decode_packet, encode_packet
from tests.helpers.dhcp import a_packet

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
MAC = "52:54:00:00:00:01"
SERVER = bytes((10, 0, 0, 2))
IFINDEX = 4
HTTP_FEATURE = bytes((0x13, 1, 1))


def a_snapshot(*hosts):
    hosts = hosts or (Host("node1", MAC),)
    policy = Policy(
        loaders={"x86-bios": "undionly.kpxe", "x64-uefi": "snponly.efi", "x64-uefi-http": "snponly.efi"}
    )
    return apply_changes(
        Snapshot(policy=policy),
        Changes(
            1,
            hosts={host.name: host for host in hosts},
            assignments={host.name: Assignment(host.name, parse_target("local"), NOON) for host in hosts},
        ),
    )


def a_discover(arch=0, *, mac=MAC, message=1, vendor="PXEClient", more=None, **fields):
    options = {MESSAGE_TYPE: bytes((message,)), **(more or {})}
    chaddr = bytes.fromhex(mac.replace(":", "")) + bytes(10)
    return a_packet(arch=arch, vendor=vendor, options=options, chaddr=chaddr, **fields)


class Desk:
    """A responder with everything it needs, and what it said."""

    def __init__(self, snapshot=None, repeats=0):
        self.events = []
        self.clients = Clients(lambda address: None)
        facts = ServerFacts("10.0.0.2", SERVER, http_base("10.0.0.2", 8080), SERVER)
        self.responder = DhcpResponder(
            snapshot=lambda: snapshot or a_snapshot(),
            server_of=lambda index: facts if index == IFINDEX else None,
            clients=self.clients,
            repeats_of=lambda mac: repeats,
            clock=lambda: NOON,
            emit=self.events.append,
        )

    def ask(self, packet, *, source=("0.0.0.0", 68), port=67, interface=IFINDEX):
        octets = packet if isinstance(packet, bytes) else encode_packet(packet)
        return self.responder.receive(octets, source=source, port=port, interface=interface)


def test_bios_rom_is_offered_its_loader_by_broadcast():
    desk = Desk()
    reply = desk.ask(a_discover())
    offer = decode_packet(reply.octets)
    assert (offer.file, offer.siaddr, offer.yiaddr) == (b"undionly.kpxe", SERVER, bytes(4))
    assert reply.destination == Broadcast()
    assert isinstance(desk.events[-1], OfferSent)
    assert desk.events[-1].boot_file == "undionly.kpxe"


def test_uefi_rom_is_acknowledged_on_the_port_it_asked_from():
    reply = Desk().ask(a_discover(7, message=3), source=("10.0.0.9", 4011), port=4011)
    assert decode_packet(reply.octets).file == b"snponly.efi"
    assert reply.destination == Unicast("10.0.0.9", 4011)


def test_http_boot_is_given_a_url_of_the_loader():
    reply = Desk().ask(a_discover(0x10, vendor="HTTPClient"))
    assert decode_packet(reply.octets).file == b"http://10.0.0.2:8080/files/snponly.efi"


def test_ipxe_in_rom_is_given_its_script_at_once_so_there_is_no_loop():
    reply = Desk().ask(a_discover(more={USER_CLASS: b"iPXE", IPXE: HTTP_FEATURE}))
    assert decode_packet(reply.octets).file == b"http://10.0.0.2:8080/boot/52-54-00-00-00-01.ipxe"


def test_gpxe_is_given_a_script_in_its_own_language():
    reply = Desk().ask(a_discover(more={USER_CLASS: b"gPXE", IPXE: HTTP_FEATURE}))
    assert decode_packet(reply.octets).file.endswith(b"/boot/52-54-00-00-00-01.gpxe")


def test_ipxe_without_http_gets_our_ipxe_and_in_a_loop_its_diagnosis_by_tftp():
    question = a_discover(more={USER_CLASS: b"iPXE"})
    assert decode_packet(Desk().ask(question).octets).file == b"undionly.kpxe"
    looping = Desk(repeats=3).ask(question)
    assert decode_packet(looping.octets).file == b"boot/52-54-00-00-00-01.ipxe"


def test_unknown_machine_is_left_alone_and_remembered():
    desk = Desk()
    assert desk.ask(a_discover(mac="52:54:00:00:00:99")) is None
    assert desk.events == [UnknownMachine(mac="52:54:00:00:00:99", arch="x86-bios")]


def test_known_machine_left_alone_says_by_which_rule():
    desk = Desk(a_snapshot(Host("node1", MAC, settings={"boot": "ignore"})))
    assert desk.ask(a_discover()) is None
    assert desk.events == [PacketIgnored(mac=MAC, host="node1", arch="x86-bios", why="host-ignored")]


def test_interface_we_do_not_serve_is_deaf():
    desk = Desk()
    assert desk.ask(a_discover(), interface=9) is None
    assert desk.events == []


@pytest.mark.parametrize(
    "datagram", [b"", b"\x01" * 239, b"\x02" + bytes(300)], ids=["empty", "short", "reply"]
)
def test_bytes_that_are_no_question_are_dropped_and_counted(datagram):
    desk = Desk()
    assert desk.ask(datagram) is None
    assert len(desk.events) == 1
    assert isinstance(desk.events[0], PacketDropped)


def test_request_to_the_sites_own_server_is_not_answered_but_tells_who_uses_the_address():
    desk = Desk()
    request = a_discover(message=3, more={REQUESTED_ADDRESS: bytes((10, 0, 0, 9))})
    assert desk.ask(request) is None
    assert desk.events == [PacketIgnored(mac=MAC, why="request-on-67")]
    assert desk.clients.mac_at("10.0.0.9") == MAC


def test_host_chooses_the_uefi_strategy():
    host = Host("node1", MAC, settings={"uefi": "offer"})
    offer = decode_packet(Desk(a_snapshot(host)).ask(a_discover(7)).octets)
    assert offer.options[43] == bytes((6, 1, 8, 255))


def test_loaders_on_another_tftp_server_are_named_there():
    desk = Desk()
    facts = ServerFacts("10.0.0.2", SERVER, "http://10.0.0.2:8080", bytes((10, 0, 0, 7)))
    desk.responder._server_of = lambda index: facts
    assert decode_packet(desk.ask(a_discover()).octets).siaddr == bytes((10, 0, 0, 7))


def test_a_packet_with_a_foreign_hardware_type_does_not_stop_the_desk():
    desk = Desk()
    assert desk.ask(a_discover(hlen=0)) is None
    assert desk.events[0].reason == "no-mac"
