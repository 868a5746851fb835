"""What real firmware said, and what it would have been told had its address been ours too."""

import pytest

from netboot.arch import Firmware
from netboot.dhcp.authoritative import (
    Grant,
    Here,
    Phase,
    Refusal,
    Verdict,
    grant_reply,
    judge,
    lease_destination,
    refusal_reply,
)
from netboot.dhcp.lease import Lease, Subnet
from netboot.dhcp.packet import BOOTREQUEST, DhcpPacket, decode_packet
from netboot.dhcp.proxydhcp import BootPart, PxeAnswer, UefiStrategy, boot_part
from netboot.dhcp.pxe import Ignore, classify
from netboot.dhcp.san import SanAnswer, san_part
from netboot.dhcp.summary import summary
from netboot.request import Stage
from tests.helpers.dhcp import ME, NOON, SERVER
from tests.helpers.golden import GOLDEN, assert_golden
from tests.helpers.pcap import Datagram, dhcp_datagrams

CAPTURES = sorted((GOLDEN / "dhcp").glob("*.pcap"))
SITE_SERVER = bytes((10, 99, 0, 1))  # gave the addresses in these captures: here we take its place
LAB = Subnet(bytes((10, 99, 0, 0)), 24, SITE_SERVER, (SITE_SERVER,), "lab.example", 3600)
HERE = Here(SERVER, (SERVER, SITE_SERVER), (SERVER,), (LAB,))
LUN = SanAnswer(
    "iscsi:10.99.0.5:::1:iqn.2026-01.example:node1", "iqn.2026-01.example:host1", "node1", "sixteen-octets.."
)


def _given(capture: str) -> bytes:
    """Return the address that the site's server gave the machine of *capture*."""
    replies = (decode_packet(found.payload) for found in dhcp_datagrams(GOLDEN / "dhcp" / f"{capture}.pcap"))
    return next(packet.yiaddr for packet in replies if any(packet.yiaddr))


def _boot(packet: DhcpPacket, verdict: Grant) -> BootPart:
    question = classify(packet, port=67, received_at=NOON, gives_addresses=True)
    if isinstance(question, Ignore):
        return BootPart()
    if question.request.stage is Stage.IPXE:
        return san_part(LUN, is_final=verdict.phase is not Phase.DISCOVER)
    loader = "snponly.efi" if question.request.arch.firmware is Firmware.UEFI else "undionly.kpxe"
    return boot_part(question, PxeAnswer(loader, SERVER, UefiStrategy.OFFER), ME)


def _reply(packet: DhcpPacket, lease: Lease, verdict: Verdict) -> bytes | None:
    if isinstance(verdict, Grant):
        return grant_reply(packet, verdict, lease, HERE, _boot(packet, verdict))
    return refusal_reply(packet, verdict, HERE) if isinstance(verdict, Refusal) else None


def _story(datagram: Datagram, packet: DhcpPacket, lease: Lease) -> str:
    verdict = judge(packet, lease, HERE)
    reply = _reply(packet, lease, verdict)
    asked = f"== {datagram.source[0]}:{datagram.source[1]}, {verdict}"
    if reply is None or isinstance(verdict, Ignore):
        return asked
    where = lease_destination(packet, verdict)
    return f"{asked}\n-- our reply, {len(reply)} octets, to {where}\n{summary(decode_packet(reply))}"


@pytest.mark.golden
@pytest.mark.parametrize("capture", [path.stem for path in CAPTURES])
def test_capture_is_answered_with_an_address_as_before(capture: str) -> None:
    lease = Lease(_given(capture), LAB, "node1")
    stories = []
    for datagram in dhcp_datagrams(GOLDEN / "dhcp" / f"{capture}.pcap"):
        packet = decode_packet(datagram.payload)
        if packet.op == BOOTREQUEST and datagram.destination[1] == 67:
            stories.append(_story(datagram, packet, lease))
    assert_golden(f"dhcp/leases/{capture}.txt", "\n\n".join(stories) + "\n")
