"""Port 67 where addresses are ours too: who gets what, and what is said about it."""

from datetime import UTC, datetime

import pytest

from bootd.boot.clients import Clients
from bootd.boot.offer import ServerFacts, http_base
from bootd.boot.places import Chap
from bootd.boot.snapshot import Changes, Policy, Snapshot, apply_changes
from bootd.events import (
    AddressDeclined,
    AddressGiven,
    AddressOffered,
    AddressRefused,
    AddressReleased,
    InternalError,
    NetworkTold,
    OfferSent,
    OtherServerChosen,
    PacketDropped,
    PacketIgnored,
    ScriptSent,
    UnknownMachine,
)
from bootd.listeners.dhcp import DhcpResponder
from bootd.model import Assignment, Host, ImageRef, LunClone, Place, Role, parse_target
from netboot.dhcp.delivery import Broadcast, Relay, Unicast
from netboot.dhcp.options import IPXE, REQUESTED_ADDRESS, SERVER_ID, USER_CLASS, decode_options
from netboot.dhcp.packet import MessageType, decode_packet, encode_packet
from tests.helpers.dhcp import IPXE_OPTION, MAC, OTHER_SERVER, SERVER, a_boot_server_packet, a_packet
from tests.helpers.leases import (
    ADDRESS,
    BEHIND_RELAY,
    NEAR,
    RELAY,
    WRONG_ADDRESS,
    a_lease_packet,
    init_reboot,
    renewing,
    selecting,
)

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
IP = "10.99.0.11"
STRANGER = bytes.fromhex("525400000099") + bytes(10)
CLONE = LunClone(
    "rack1-a-node1", "rack1", 0, "node1", "iqn.x:node1", "u", "iqn.x:t", 3, ("10.0.0.5:3260", "10.0.0.6:3260")
)
IPXE_SAYS = {USER_CLASS: b"iPXE", IPXE: IPXE_OPTION}
CHOSEN = {53: b"\x03", SERVER_ID: SERVER, REQUESTED_ADDRESS: ADDRESS}


def a_snapshot(host, *, boots=True, place=None):
    policy = Policy(
        loaders={
            "x86-bios": "undionly.kpxe",
            "x64-uefi": "snponly.efi",
            "x64-uefi-http": "snponly.efi",
        },
        uefi_strategy="offer",
    )
    orders = {host.name: Assignment(host.name, parse_target("local"), NOON)} if boots else {}
    places = {host.name: place} if place else {}
    changes = Changes(1, hosts={host.name: host}, assignments=orders, places=places)
    return apply_changes(Snapshot(policy=policy), changes)


def a_host(**changes):
    return Host(**{"name": "node1", "mac": MAC, "ip": IP} | changes)


class Desk:
    """A responder that gives addresses, and what it said."""

    def __init__(self, snapshot=None, *, chap=None, repeats=0):
        self.events = []
        self.clients = Clients(lambda address: None)
        facts = ServerFacts(
            *("10.99.0.2", SERVER, http_base("10.99.0.2", 8080), SERVER),
            links=frozenset((SERVER,)),
            own=frozenset((SERVER,)),
        )
        self.responder = DhcpResponder(
            snapshot=lambda: snapshot or a_snapshot(a_host()),
            server_of=lambda index: facts,
            clients=self.clients,
            repeats_of=lambda mac: repeats,
            clock=lambda: NOON,
            emit=self.events.append,
            subnets={"lab": NEAR, "far": BEHIND_RELAY},
            chap=chap,
        )

    def ask(self, packet, *, port=67):
        return self.responder.receive(encode_packet(packet), source=("0.0.0.0", 68), port=port, interface=4)

    def told(self, packet, **how):
        return decode_packet(self.ask(packet, **how).octets)


def a_lun_desk(**how):
    place = Place(1, "p", 1, Role.ROOT, ImageRef("p", "deb"), "ready", clone=CLONE)
    host = a_host(role=Role.ROOT, settings={"lun": how.pop("lun", "dhcp")})
    return Desk(a_snapshot(host, place=place), **how)


def test_operating_system_is_given_its_address_and_no_boot_file():
    desk = Desk()
    reply = desk.ask(a_lease_packet())
    offer = decode_packet(reply.octets)
    assert (offer.yiaddr, offer.file, offer.siaddr) == (ADDRESS, b"", bytes(4))
    assert reply.destination == Broadcast()
    assert desk.events == [AddressOffered(mac=MAC, host="node1", address=IP)]


def test_acknowledged_address_is_remembered_as_its_machines_and_said():
    desk = Desk()
    assert desk.told(selecting()).message_type == MessageType.ACK
    assert desk.events == [AddressGiven(mac=MAC, host="node1", address=IP, why="selecting")]
    assert desk.clients.mac_at(IP) == MAC


def test_address_that_was_not_given_is_nobodys():
    desk = Desk()
    desk.ask(init_reboot(WRONG_ADDRESS))
    desk.ask(selecting(OTHER_SERVER, WRONG_ADDRESS))
    assert desk.clients.mac_at("10.99.0.12") == ""


@pytest.mark.parametrize("arch", [0, 7], ids=["bios", "uefi"])
@pytest.mark.parametrize("more", [{}, CHOSEN], ids=["offer", "ack"])
def test_d27_rom_gets_its_file_with_its_address_and_need_not_ask_again(arch, more):
    desk = Desk()
    reply = desk.told(a_packet(arch=arch, options=more))
    assert (reply.yiaddr, reply.siaddr) == (ADDRESS, SERVER)
    assert reply.file == (b"snponly.efi" if arch else b"undionly.kpxe")
    assert (reply.options[60], reply.options[43]) == (b"PXEClient", b"\x06\x01\x08\xff")
    assert [type(event) for event in desk.events].count(OfferSent) == (0 if more else 1)


def test_uefi_rom_set_to_ask_the_boot_server_is_sent_there_and_answered():
    desk = Desk(a_snapshot(a_host(settings={"uefi": "boot-server"})))
    offer = desk.told(a_packet(arch=7))
    assert (offer.siaddr, 43 in offer.options, offer.options[60]) == (SERVER, False, b"PXEClient")
    assert desk.told(a_boot_server_packet(), port=4011).file == b"snponly.efi"


def test_d28_ipxe_gets_its_script_and_does_not_wait_for_a_proxy():
    offer = Desk().told(a_packet(options=IPXE_SAYS))
    assert offer.file == b"http://10.99.0.2:8080/boot/52-54-00-00-00-01.ipxe"
    assert decode_options(offer.options[IPXE]) == {0xB0: b"\x01"}


def test_machine_with_nothing_to_boot_gets_its_address_and_may_hear_of_a_file_elsewhere():
    desk = Desk(a_snapshot(a_host(), boots=False))
    offer = desk.told(a_packet(options=IPXE_SAYS))
    assert (offer.yiaddr, offer.file) == (ADDRESS, b"")
    assert {43, 60, 66, 67, IPXE}.isdisjoint(offer.options)
    assert PacketIgnored(mac=MAC, host="node1", why="nothing-assigned") in desk.events


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (a_host(ip=None), "host-without-address"),
        (a_host(ip="10.1.1.1"), "address-not-to-give"),
        (a_host(ip="10.99.0.1"), "address-not-to-give"),  # the router's
        (a_host(ip="10.99.0.2"), "address-not-to-give"),  # our own
        (a_host(settings={"boot": "ignore"}), "host-ignored"),
    ],
)
@pytest.mark.parametrize("packet", [a_packet(), selecting(), init_reboot(WRONG_ADDRESS), renewing()])
def test_host_that_is_not_ours_to_address_is_left_alone(host, why, packet):
    desk = Desk(a_snapshot(host))
    assert desk.ask(packet) is None
    assert desk.events == [PacketIgnored(mac=MAC, host="node1", why=why)]


@pytest.mark.parametrize("packet", [a_packet, selecting, init_reboot, renewing])
def test_d01_d11_stranger_is_never_answered(packet):
    assert Desk().ask(packet(chaddr=STRANGER, options={61: None, 97: None})) is None


def test_inform_is_told_of_the_network_and_proves_no_address():
    desk = Desk()
    inform = a_lease_packet(MessageType.INFORM, ciaddr=WRONG_ADDRESS)
    assert desk.ask(inform).destination == Unicast("10.99.0.12")
    assert desk.events == [NetworkTold(mac=MAC, host="node1", address="10.99.0.12")]
    assert (desk.clients.mac_at("10.99.0.12"), desk.clients.mac_at(IP)) == ("", "")


def test_http_boot_gets_the_url_of_its_loader_with_its_address():
    offer = Desk().told(a_packet(arch=0x10, vendor="HTTPClient"))
    assert (offer.yiaddr, offer.file) == (ADDRESS, b"http://10.99.0.2:8080/files/snponly.efi")
    assert (offer.options[60], 43 in offer.options) == (b"HTTPClient", False)


def test_stranger_that_wants_to_boot_is_remembered_and_one_that_does_not_is_not():
    desk = Desk()
    desk.ask(a_packet(chaddr=STRANGER))
    desk.ask(a_lease_packet(chaddr=STRANGER))
    mac = "52:54:00:00:00:99"
    assert desk.events == [
        UnknownMachine(mac=mac, arch="x86-bios"),
        PacketIgnored(mac=mac, why="unknown-machine"),
    ]


def test_second_card_of_a_machine_does_not_get_the_address_of_the_first():
    uuid = "00010203-0405-0607-0809-0a0b0c0d0e0f"
    desk = Desk(a_snapshot(a_host(settings={"uuid": uuid})))
    assert desk.ask(a_packet(chaddr=STRANGER)) is None


def test_refusal_is_broadcast_and_says_what_was_wanted():
    desk = Desk()
    reply = desk.ask(renewing(WRONG_ADDRESS))
    assert reply.destination == Broadcast()
    assert decode_packet(reply.octets).message_type == MessageType.NAK
    said = AddressRefused(
        mac=MAC, host="node1", why="not-its-address", address="10.99.0.12", phase="renewing"
    )
    assert desk.events == [said]


def test_renewal_goes_to_the_address_and_a_relayed_offer_to_the_relay():
    assert Desk().ask(renewing()).destination == Unicast(IP)
    far = Desk(a_snapshot(a_host(ip="10.77.0.11")))
    assert far.ask(a_lease_packet(giaddr=RELAY)).destination == Relay("10.77.0.1")


def test_other_servers_choice_is_left_to_it_and_said():
    desk = Desk()
    assert desk.ask(selecting(OTHER_SERVER, WRONG_ADDRESS)) is None
    said = OtherServerChosen(mac=MAC, host="node1", server="10.99.0.7", address="10.99.0.12")
    assert desk.events == [said]


@pytest.mark.parametrize(
    ("kind", "event"), [(MessageType.DECLINE, AddressDeclined), (MessageType.RELEASE, AddressReleased)]
)
def test_d17_d18_notices_are_written_down_and_the_address_is_offered_again(kind, event):
    desk = Desk()
    said = {SERVER_ID: SERVER, REQUESTED_ADDRESS: ADDRESS}
    assert desk.ask(a_lease_packet(kind, options=said, ciaddr=ADDRESS)) is None
    assert desk.events == [event(mac=MAC, host="node1", address=IP)]
    assert desk.told(a_lease_packet()).yiaddr == ADDRESS


def test_notice_of_an_address_that_is_not_its_own_means_nothing():
    desk = Desk()
    said = {SERVER_ID: SERVER, REQUESTED_ADDRESS: WRONG_ADDRESS}
    assert desk.ask(a_lease_packet(MessageType.DECLINE, options=said)) is None
    assert desk.events == [PacketIgnored(mac=MAC, host="node1", why="not-its-address")]


def test_options_that_do_not_hold_together_are_dropped_and_counted():
    desk = Desk()
    assert desk.ask(a_packet(options={USER_CLASS: b"iPXE", IPXE: b"\x13\x09"})) is None
    assert [type(event) for event in desk.events] == [PacketDropped]


def test_lun_is_named_by_dhcp_without_a_script_and_its_login_comes_with_the_ack():
    desk = a_lun_desk(chap=lambda clone: Chap(clone.volume, "topsecret"))
    offer, ack = desk.told(a_packet(options=IPXE_SAYS)), desk.told(a_packet(options=IPXE_SAYS | CHOSEN))
    for reply in (offer, ack):
        assert (reply.options[17], reply.options[203]) == (b"iscsi:10.0.0.5:::3:iqn.x:t", b"iqn.x:node1")
        assert (reply.yiaddr, reply.file) == (ADDRESS, b"")
        assert {43, 60, 67}.isdisjoint(reply.options)
    assert b"topsecret" not in offer.options[IPXE]
    assert decode_options(ack.options[IPXE])[0xBF] == b"topsecret"
    given = [event for event in desk.events if isinstance(event, ScriptSent)]
    assert [(event.host, event.client, event.dialect, event.answer) for event in given] == [
        ("node1", IP, "dhcp", "lun:rack1 p/deb")
    ]
    assert "topsecret" not in repr(desk.events)


def test_lun_by_script_is_the_default_and_a_rom_gets_its_loader_first():
    assert a_lun_desk(lun="script").told(a_packet(options=IPXE_SAYS)).file.startswith(b"http://")
    offer = a_lun_desk().told(a_packet())
    assert (offer.file, 17 in offer.options) == (b"undionly.kpxe", False)


def test_machine_whose_lun_does_not_start_gets_a_diagnosis_in_the_end():
    offer = a_lun_desk(repeats=3).told(a_packet(options=IPXE_SAYS))
    assert offer.file.endswith(b".ipxe")
    assert 17 not in offer.options


def test_secret_that_dhcp_cannot_carry_costs_this_answer_and_is_not_shown():
    desk = a_lun_desk(chap=lambda clone: Chap(clone.volume, "with blank"))
    assert desk.ask(a_packet(options=IPXE_SAYS | CHOSEN)) is None
    assert [type(event) for event in desk.events] == [InternalError]
    assert "with blank" not in repr(desk.events)
