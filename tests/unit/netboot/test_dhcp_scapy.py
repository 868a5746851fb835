"""A second opinion: scapy reads what we write and we read what scapy writes."""

import pytest
from hypothesis import given, settings
from scapy.layers.dhcp import BOOTP, DHCP

from netboot.dhcp.authoritative import Grant, Phase, Refusal, grant_reply, refusal_reply
from netboot.dhcp.options import decode_options
from netboot.dhcp.packet import decode_packet, encode_packet
from tests.helpers.dhcp import SERVER, a_boot_server_packet, a_packet, an_ipxe_packet
from tests.helpers.leases import HERE, LEASE, a_lease_packet, init_reboot
from tests.unit.netboot.test_dhcp_packet import ANY_PACKET

FIXED = ("op", "htype", "hlen", "hops", "xid", "secs", "ciaddr", "yiaddr", "siaddr", "giaddr", "chaddr")


def _scapy_fields(wire):
    """Return what scapy makes of the fixed part, in our types."""
    read = BOOTP(wire)
    values = [getattr(read, name) for name in FIXED]
    plain = [bytes(map(int, value.split("."))) if isinstance(value, str) else value for value in values]
    return [*plain, int(read.flags), read.sname.rstrip(b"\0"), read.file.rstrip(b"\0")]


@settings(max_examples=60)
@given(ANY_PACKET)
def test_scapy_reads_the_fixed_part_we_write(packet):
    ours = [getattr(packet, name) for name in (*FIXED, "flags", "sname", "file")]
    assert _scapy_fields(encode_packet(packet)) == ours


@pytest.mark.parametrize("packet", [a_packet(), an_ipxe_packet(), a_boot_server_packet()])
def test_scapy_reads_the_options_we_write(packet):
    read = BOOTP(encode_packet(packet))
    shown = {option[0]: option[1:] for option in read["DHCP options"].options if isinstance(option, tuple)}
    assert shown["message-type"] == (packet.message_type,)
    assert shown["vendor_class_id"] == (packet.options[60],)
    assert shown["max_dhcp_size"] == (1472,)
    # A second writer: what scapy makes of what it read is the same octets again.
    assert decode_options(bytes(read["DHCP options"])) == packet.options


def test_we_read_the_packet_scapy_writes():
    chaddr = bytes.fromhex("525400000001") + bytes(10)
    layers = BOOTP(op=1, xid=0xDEADBEEF, flags="B", chaddr=chaddr, siaddr="10.99.0.2", file=b"pxelinux.0")
    layers /= DHCP(
        options=[("message-type", "discover"), ("vendor_class_id", b"PXEClient"), (93, b"\0\x07"), "end"]
    )
    packet = decode_packet(bytes(layers))
    assert (packet.op, packet.xid, packet.flags, packet.mac) == (1, 0xDEADBEEF, 0x8000, "52:54:00:00:00:01")
    assert (packet.siaddr, packet.file) == (SERVER, b"pxelinux.0")
    assert packet.options == {53: b"\x01", 60: b"PXEClient", 93: b"\0\x07"}


def test_scapy_reads_the_address_and_all_that_comes_with_it():
    offer = grant_reply(a_lease_packet(), Grant(Phase.DISCOVER), LEASE, HERE)
    read = BOOTP(offer)
    shown = {option[0]: option[1:] for option in read["DHCP options"].options if isinstance(option, tuple)}
    assert (read.yiaddr, shown["message-type"], shown["server_id"]) == ("10.99.0.11", (2,), ("10.99.0.2",))
    times = ("lease_time", "renewal_time", "rebinding_time")
    assert [shown[name] for name in times] == [(3600,), (1800,), (3150,)]
    assert (shown["subnet_mask"], shown["router"]) == (("255.255.255.0",), ("10.99.0.1",))
    assert shown["name_server"] == ("10.99.0.1", "10.99.0.7")
    assert (shown["hostname"], shown["domain"]) == ((b"node1",), (b"lab.example",))
    assert shown["broadcast_address"] == ("10.99.0.255",)


def test_scapy_reads_the_refusal():
    refusal = refusal_reply(init_reboot(), Refusal(Phase.INIT_REBOOT, "not-its-address"), HERE)
    options = BOOTP(refusal)["DHCP options"].options
    shown = {option[0]: option[1] for option in options if isinstance(option, tuple)}
    assert (shown["message-type"], shown["error_message"]) == (6, b"not-its-address")
