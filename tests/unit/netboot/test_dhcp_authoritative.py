"""RFC 2131 section 4.3. Rows named D are those of the conformance list in netboot/dhcp/README.md."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netboot.dhcp.authoritative import (
    Grant,
    Notice,
    Phase,
    Refusal,
    grant_reply,
    judge,
    lease_destination,
    refusal_reply,
)
from netboot.dhcp.delivery import Broadcast, Relay, Unicast
from netboot.dhcp.options import CLIENT_ID, MESSAGE_TYPE, PARAMETER_LIST, REQUESTED_ADDRESS, SERVER_ID
from netboot.dhcp.packet import MessageType, decode_packet, encode_packet
from netboot.dhcp.proxydhcp import BootPart
from netboot.dhcp.pxe import Ignore
from netboot.errors import LocalError
from tests.helpers.dhcp import GUID_OPTION, OTHER_SERVER, SERVER
from tests.helpers.leases import (
    ADDRESS,
    FAR_LEASE,
    FAR_RELAY,
    HERE,
    LEASE,
    RELAY,
    SECOND_SERVER_ADDRESS,
    WRONG_ADDRESS,
    a_lease_packet,
    init_reboot,
    relay_option,
    renewing,
    reply_to,
    selecting,
)

ELSEWHERE = bytes((10, 1, 2, 3))
INFORM = {"kind": MessageType.INFORM, "ciaddr": ADDRESS}


@pytest.mark.parametrize(
    ("packet", "want"),
    [
        pytest.param(a_lease_packet(), Grant(Phase.DISCOVER), id="d02-discover"),
        pytest.param(selecting(), Grant(Phase.SELECTING), id="d05-chose-us"),
        pytest.param(selecting(OTHER_SERVER), Ignore("chose-another-server"), id="d06-chose-another"),
        pytest.param(
            selecting(OTHER_SERVER, WRONG_ADDRESS), Ignore("chose-another-server"), id="d06-another-address"
        ),
        pytest.param(selecting(SECOND_SERVER_ADDRESS), Grant(Phase.SELECTING), id="d07-by-our-other-address"),
        pytest.param(
            selecting(address=WRONG_ADDRESS), Refusal(Phase.SELECTING, "not-its-address"), id="d08-wrong"
        ),
        pytest.param(init_reboot(), Grant(Phase.INIT_REBOOT), id="d09-reboot"),
        pytest.param(
            init_reboot(WRONG_ADDRESS), Refusal(Phase.INIT_REBOOT, "not-its-address"), id="d10-reboot-wrong"
        ),
        pytest.param(
            init_reboot(giaddr=RELAY),
            Refusal(Phase.INIT_REBOOT, "wrong-network"),
            id="d12-moved-behind-relay",
        ),
        pytest.param(
            init_reboot(WRONG_ADDRESS, giaddr=FAR_RELAY), Ignore("on-another-network"), id="not-our-network"
        ),
        pytest.param(renewing(), Grant(Phase.RENEWING), id="d13-renewing"),
        pytest.param(renewing(flags=0x8000), Grant(Phase.RENEWING), id="d14-rebinding"),
        pytest.param(
            renewing(WRONG_ADDRESS), Refusal(Phase.RENEWING, "not-its-address"), id="d15-renewing-wrong"
        ),
        pytest.param(
            renewing(giaddr=RELAY), Refusal(Phase.RENEWING, "wrong-network"), id="rebinding-after-a-move"
        ),
        pytest.param(renewing(giaddr=FAR_RELAY), Ignore("on-another-network"), id="rebinding-abroad"),
        pytest.param(a_lease_packet(**INFORM), Grant(Phase.INFORM), id="d16-inform"),
        pytest.param(
            a_lease_packet(MessageType.INFORM, ciaddr=ELSEWHERE),
            Ignore("on-another-network"),
            id="inform-abroad",
        ),
        pytest.param(a_lease_packet(giaddr=RELAY), Ignore("on-another-network"), id="discover-elsewhere"),
        pytest.param(
            a_lease_packet(MessageType.DECLINE, options={REQUESTED_ADDRESS: ADDRESS, SERVER_ID: SERVER}),
            Notice("declined", ADDRESS),
            id="d17-decline",
        ),
        pytest.param(
            a_lease_packet(
                MessageType.DECLINE, options={REQUESTED_ADDRESS: ADDRESS, SERVER_ID: OTHER_SERVER}
            ),
            Ignore("told-another-server"),
            id="decline-of-another-servers-address",
        ),
        pytest.param(
            a_lease_packet(MessageType.RELEASE, ciaddr=ADDRESS, options={SERVER_ID: SERVER}),
            Notice("released", ADDRESS),
            id="d18-release",
        ),
        pytest.param(
            a_lease_packet(MessageType.RELEASE), Ignore("told-another-server"), id="release-to-nobody"
        ),
        pytest.param(a_lease_packet(options={MESSAGE_TYPE: None}), Ignore("no-message-type"), id="bootp"),
        pytest.param(a_lease_packet(op=2), Ignore("not-a-request"), id="a-servers-voice"),
        pytest.param(a_lease_packet(giaddr=b"\x7f\0\0\1"), Ignore("bad-relay-address"), id="relay-of-nobody"),
        pytest.param(a_lease_packet(hlen=0), Grant(Phase.DISCOVER), id="known-by-option-61"),
        pytest.param(
            a_lease_packet(hlen=0, options={CLIENT_ID: None}), Ignore("no-mac"), id="no-address-of-hardware"
        ),
        pytest.param(a_lease_packet(MessageType.OFFER), Ignore("not-a-question"), id="offer-from-a-client"),
        pytest.param(
            a_lease_packet(MessageType.REQUEST), Ignore("no-requested-address"), id="request-for-nothing"
        ),
        pytest.param(init_reboot(b"\x0a\x63"), Ignore("no-requested-address"), id="half-an-address"),
        pytest.param(
            renewing(options={REQUESTED_ADDRESS: b"x"}), Grant(Phase.RENEWING), id="renewing-goes-by-ciaddr"
        ),
    ],
)
def test_each_message_is_judged_by_its_phase(packet, want):
    assert judge(packet, LEASE, HERE) == want


def test_offer_carries_the_address_its_times_and_who_offers():
    offer = reply_to(a_lease_packet(ciaddr=ADDRESS, flags=0xFFFF, hops=3))
    assert (offer.op, offer.hops, offer.secs, offer.xid, offer.flags) == (2, 0, 0, 0x12345678, 0x8000)
    assert (offer.yiaddr, offer.ciaddr, offer.siaddr) == (ADDRESS, bytes(4), bytes(4))
    assert (offer.options[53], offer.options[54]) == (b"\x02", SERVER)
    assert [int.from_bytes(offer.options[code], "big") for code in (51, 58, 59)] == [3600, 1800, 3150]


def test_d05_ack_says_what_the_offer_said():
    offer, ack = reply_to(a_lease_packet()), reply_to(selecting())
    assert dict(ack.options) == {**offer.options, 53: b"\x05"}
    assert ack.yiaddr == offer.yiaddr


@pytest.mark.parametrize(
    "client_id",
    [GUID_OPTION, b"\x01\x52\x54\0\0\0\x01", b"\xff" + bytes(18)],
    ids=["rom", "ipxe", "operating-system"],
)
def test_d03_d04_one_machine_has_one_address_whatever_its_option_61_which_comes_back(client_id):
    offer = reply_to(a_lease_packet(options={CLIENT_ID: client_id}))
    assert (offer.yiaddr, offer.options[CLIENT_ID]) == (ADDRESS, client_id)


@pytest.mark.parametrize("packet", [selecting(address=WRONG_ADDRESS), renewing(WRONG_ADDRESS)])
def test_d08_a_nak_names_no_address_and_no_time(packet):
    nak = reply_to(packet)
    assert (nak.ciaddr, nak.yiaddr, nak.siaddr, nak.file, nak.sname) == (*[bytes(4)] * 3, b"", b"")
    assert set(nak.options) == {53, 54, 56, 61}
    assert (nak.options[53], nak.options[56]) == (b"\x06", b"not-its-address")


def test_d16_inform_is_told_of_the_network_and_given_no_lease():
    ack = reply_to(a_lease_packet(**INFORM))
    assert (ack.yiaddr, ack.ciaddr, ack.options[53]) == (bytes(4), ADDRESS, b"\x05")
    assert {51, 58, 59}.isdisjoint(ack.options)
    assert ack.options[3] == bytes((10, 99, 0, 1))


@pytest.mark.parametrize(
    ("packet", "want"),
    [
        pytest.param(a_lease_packet(flags=0x8000), Broadcast(), id="d19-broadcast-flag"),
        pytest.param(a_lease_packet(), Broadcast(), id="d20-without-it"),
        pytest.param(a_lease_packet(giaddr=RELAY), Relay("10.77.0.1", 67), id="d21-relay"),
        pytest.param(init_reboot(WRONG_ADDRESS), Broadcast(), id="d10-nak"),
        pytest.param(init_reboot(WRONG_ADDRESS, giaddr=RELAY), Relay("10.77.0.1", 67), id="d12-nak-by-relay"),
        pytest.param(renewing(), Unicast("10.99.0.11"), id="d13-renewing"),
        pytest.param(renewing(flags=0x8000), Unicast("10.99.0.11"), id="d14-rebinding"),
        pytest.param(renewing(WRONG_ADDRESS), Broadcast(), id="d15-nak-of-a-renewal"),
        pytest.param(a_lease_packet(**INFORM), Unicast("10.99.0.11"), id="d16-inform"),
        pytest.param(a_lease_packet(**INFORM, giaddr=RELAY), Unicast("10.99.0.11"), id="d16-inform-by-relay"),
        pytest.param(selecting(ciaddr=ELSEWHERE), Broadcast(), id="nobody-is-sent-to-on-anothers-word"),
    ],
)
def test_replies_go_where_the_client_can_hear_them(packet, want):
    lease = FAR_LEASE if packet.is_relayed and packet.message_type == MessageType.DISCOVER else LEASE
    assert lease_destination(packet, judge(packet, lease, HERE)) == want


def test_d12_nak_through_a_relay_orders_it_to_broadcast_and_others_keep_the_flag():
    assert reply_to(init_reboot(WRONG_ADDRESS, giaddr=RELAY)).flags == 0x8000
    assert reply_to(init_reboot(WRONG_ADDRESS)).flags == 0


def test_d21_relayed_client_gets_the_address_of_its_network_and_option_82_comes_back_last():
    packet = a_lease_packet(giaddr=RELAY, options=relay_option())
    offer = reply_to(packet, FAR_LEASE)
    assert (offer.giaddr, offer.yiaddr) == (RELAY, FAR_LEASE.address)
    assert list(offer.options.items())[-1] == (82, b"\x01\x04eth7")


def test_d22_link_selection_names_the_network_in_place_of_giaddr():
    packet = a_lease_packet(giaddr=FAR_RELAY, options=relay_option(s5=RELAY))
    assert reply_to(packet, FAR_LEASE).yiaddr == FAR_LEASE.address
    assert reply_to(packet, LEASE) is None


def test_d23_relay_that_wants_all_traffic_is_the_server_to_the_client():
    override = relay_option(s11=RELAY)
    assert reply_to(a_lease_packet(giaddr=RELAY, options=override), FAR_LEASE).options[SERVER_ID] == RELAY
    chosen = selecting(RELAY, FAR_LEASE.address, giaddr=RELAY, options=override)
    assert reply_to(chosen, FAR_LEASE).options[53] == b"\x05"


def test_override_that_no_relay_sent_is_not_believed():
    assert reply_to(a_lease_packet(options=relay_option(s11=RELAY))).options[SERVER_ID] == SERVER


def test_option_82_that_is_no_list_of_sub_options_comes_back_as_it_was():
    offer = reply_to(a_lease_packet(giaddr=RELAY, options={82: b"\x05\x09x"}), FAR_LEASE)
    assert offer.options[82] == b"\x05\x09x"


def test_renewal_that_was_routed_to_us_is_taken_though_no_card_of_ours_is_on_its_network():
    assert judge(renewing(FAR_LEASE.address), FAR_LEASE, HERE) == Grant(Phase.RENEWING)
    assert judge(a_lease_packet(), FAR_LEASE, HERE) == Ignore("on-another-network")


def test_d30_what_stands_in_sname_and_file_counts():
    plain = encode_packet(a_lease_packet(MessageType.REQUEST, options={CLIENT_ID: None, 52: b"\x03"}))
    file = bytes((REQUESTED_ADDRESS, 4)) + ADDRESS + b"\xff"
    sname = bytes((SERVER_ID, 4)) + SERVER + b"\xff"
    wire = plain[:44] + sname.ljust(64, b"\0") + file.ljust(128, b"\0") + plain[236:]
    assert judge(decode_packet(wire), LEASE, HERE) == Grant(Phase.SELECTING)


def test_d31_option_55_in_two_pieces_is_one():
    wire = encode_packet(a_lease_packet(options={PARAMETER_LIST: b"\x01\x03"}))
    at = wire.index(b"\x37\x02\x01\x03")
    packet = decode_packet(wire[:at] + b"\x37\x01\x0f" + wire[at:])
    assert [code for code in reply_to(packet).options if code in (1, 3, 15)] == [1, 15, 3]


def test_small_packet_goes_without_the_least_useful_and_keeps_what_makes_it_an_answer():
    big = {CLIENT_ID: bytes(255), 57: (576).to_bytes(2, "big")} | relay_option(s9=bytes(200))
    packet = a_lease_packet(options=big)
    wire = grant_reply(packet, Grant(Phase.DISCOVER), LEASE, HERE)
    offer = decode_packet(wire)
    assert len(wire) <= 548
    assert {1, 3, 51, 53, 54} <= set(offer.options)
    assert {15, 82}.isdisjoint(offer.options)


def test_boot_part_too_large_for_the_client_is_our_mistake_and_said():
    packet = a_lease_packet(options={57: (576).to_bytes(2, "big")})
    with pytest.raises(LocalError, match="octets long"):
        grant_reply(
            packet, Grant(Phase.DISCOVER), LEASE, HERE, BootPart(options={17: bytes(255), 67: bytes(255)})
        )


def test_p34_replies_are_at_least_300_octets():
    assert len(refusal_reply(init_reboot(), Refusal(Phase.INIT_REBOOT, "x"), HERE)) == 300


# -- a client that does as the RFC says, whatever happens to it -----------------------------------

STEPS = st.lists(
    st.sampled_from(
        ("discover", "reboot", "renew", "rebind", "inform", "release", "decline", "another", "lost")
    ),
    max_size=12,
)


class Client:
    """The machine's side: keeps what it was given, forgets what it is told to forget."""

    def __init__(self, lease, **path):
        self.lease, self.path = lease, path
        self.address = None

    def step(self, name):
        """Take one step; return the reply, None for silence."""
        if name in ("reboot", "renew", "rebind", "inform") and self.address is None:
            name = "discover"
        if name == "discover":
            offer = self._ask(a_lease_packet(**self.path))
            return self._take(self._ask(selecting(offer.options[SERVER_ID], offer.yiaddr, **self.path)))
        if name == "reboot":
            return self._take(self._ask(init_reboot(self.address, **self.path)))
        if name in ("renew", "rebind"):
            path = self.path if name == "rebind" else {}
            return self._take(self._ask(renewing(self.address, **path)))
        if name == "inform":
            return self._ask(a_lease_packet(MessageType.INFORM, ciaddr=self.address))
        if name == "another":
            return self._ask(selecting(OTHER_SERVER, WRONG_ADDRESS, **self.path))
        said = {SERVER_ID: SERVER, REQUESTED_ADDRESS: self.address or ADDRESS}
        kind = MessageType.RELEASE if name == "release" else MessageType.DECLINE
        self.address = None
        return None if name == "lost" else self._ask(a_lease_packet(kind, options=said, ciaddr=ADDRESS))

    def _ask(self, packet):
        return reply_to(decode_packet(encode_packet(packet)), self.lease)

    def _take(self, reply):
        assert reply is not None
        assert reply.message_type != MessageType.NAK
        self.address = reply.yiaddr
        return reply


@pytest.mark.parametrize(
    ("lease", "path"), [(LEASE, {}), (FAR_LEASE, {"giaddr": RELAY})], ids=["near", "behind-a-relay"]
)
@given(steps=STEPS)
def test_every_path_of_a_client_ends_with_the_same_address_and_no_valid_lease_is_refused(lease, path, steps):
    client = Client(lease, **path)
    for name in [*steps, "renew"]:
        reply = client.step(name)
        if name in ("release", "decline", "another", "lost"):
            assert reply is None
    assert client.address == lease.address


@given(address=st.binary(min_size=4, max_size=4), server=st.sampled_from((None, SERVER, OTHER_SERVER)))
def test_no_address_but_its_own_is_ever_acknowledged_and_another_servers_client_is_never_refused(
    address, server
):
    options = {REQUESTED_ADDRESS: address, SERVER_ID: server}
    reply = reply_to(a_lease_packet(MessageType.REQUEST, options=options))
    if server == OTHER_SERVER:
        assert reply is None
    elif reply is not None:
        assert (reply.message_type == MessageType.ACK) == (address == ADDRESS)
        assert reply.yiaddr == (ADDRESS if address == ADDRESS else bytes(4))
