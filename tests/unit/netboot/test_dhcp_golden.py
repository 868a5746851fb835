"""What real firmware said, how we understood it, and what we would have answered.

The captures are described in tests/golden/dhcp/README.md.
"""

import pytest

from netboot.arch import Firmware
from netboot.dhcp.delivery import reply_destination
from netboot.dhcp.packet import BOOTREQUEST, DhcpPacket, decode_packet
from netboot.dhcp.proxydhcp import PxeAnswer, build_reply
from netboot.dhcp.pxe import Ignore, PxeQuestion
from netboot.dhcp.summary import summary
from netboot.request import BootRequest, Stage
from tests.helpers.dhcp import ME, SERVER, heard
from tests.helpers.golden import GOLDEN, assert_golden
from tests.helpers.pcap import Datagram, dhcp_datagrams

CAPTURES = sorted((GOLDEN / "dhcp").glob("*.pcap"))


def _answer(request: BootRequest) -> PxeAnswer:
    if request.stage is Stage.IPXE:
        return PxeAnswer(f"http://10.99.0.2/boot/{request.mac}.ipxe", SERVER)
    loader = "snponly.efi" if request.arch.firmware is Firmware.UEFI else "undionly.kpxe"
    return PxeAnswer(loader, SERVER)


def _understood(question: PxeQuestion) -> str:
    request = question.request
    features = " ".join(f"{code:02x}" for code in sorted(request.features))
    return (
        f"{question.kind} {question.vendor_class} mac {request.mac} arch {request.arch.name}"
        f" stage {request.stage} http {request.http} guid {request.guid}\n"
        f"boot item {question.boot_item.hex() if question.boot_item else None} features {features or '-'}"
    )


def _story(datagram: Datagram, packet: DhcpPacket) -> str:
    (client, client_port), (server, port) = datagram.source, datagram.destination
    # 0x8003 is an item of the menu that the server in these captures had sent.
    question = heard(packet, port=port, boot_items=(0, 0x8003))
    parts = [f"== {client}:{client_port} > {server}:{port}", summary(packet)]
    if isinstance(question, Ignore):
        return "\n".join([*parts, f"-- ignored: {question.reason}"])
    reply = build_reply(question, _answer(question.request), ME)
    destination = reply_destination(packet, kind=question.kind, source=datagram.source)
    return "\n".join(
        [
            *(*parts, "-- understood", _understood(question)),
            *(f"-- our reply, {len(reply)} octets, to {destination}", summary(decode_packet(reply))),
        ]
    )


@pytest.mark.golden
@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_capture_is_understood_and_answered_as_before(capture):
    stories = []
    for datagram in dhcp_datagrams(capture):
        packet = decode_packet(datagram.payload)
        if packet.op == BOOTREQUEST:
            stories.append(_story(datagram, packet))
    assert_golden(f"dhcp/{capture.stem}.txt", "\n\n".join(stories) + "\n")


def test_every_capture_has_a_line_in_the_readme():
    readme = (GOLDEN / "dhcp" / "README.md").read_text()
    assert len(CAPTURES) == 7
    assert [capture.name for capture in CAPTURES if f"`{capture.name}`" not in readme] == []


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_other_servers_replies_are_no_questions(capture):
    replies = [decode_packet(found.payload) for found in dhcp_datagrams(capture)]
    reasons = {heard(packet, port=port) for packet in replies if packet.op == 2 for port in (67, 4011)}
    assert reasons == {Ignore("not-a-request")}
