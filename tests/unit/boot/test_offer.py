"""A decision in the words of ProxyDHCP: silence, a loader by TFTP or by URL, a script's URL."""

from dataclasses import replace

import pytest

from bootd.boot.decide import BootDecision, BootLocal, ChainLoader, Diagnose, Silent
from bootd.boot.offer import ServerFacts, answer_of, http_base, script_path
from bootd.boot.snapshot import Policy
from bootd.model import Host, Target, TargetKind
from netboot.arch import BY_NAME
from netboot.dhcp.packet import decode_packet, encode_packet
from netboot.dhcp.proxydhcp import PxeAnswer, UefiStrategy
from netboot.dhcp.pxe import Ignore, PxeQuestion
from netboot.request import BootRequest, Stage
from tests.helpers.dhcp import a_boot_server_packet
from tests.helpers.site import NOON, a_host

OURS, THEIRS = b"\x0a\x00\x00\x02", b"\x0a\x00\x00\x03"
SERVER = ServerFacts("10.0.0.2", OURS, "http://10.0.0.2:8080", OURS)
LOCAL = Target(TargetKind.LOCAL)
PACKET = decode_packet(encode_packet(a_boot_server_packet()))


def question(stage: Stage = Stage.ROM, *, http: bool = False, vendor_class: str = "PXEClient") -> PxeQuestion:
    arch = BY_NAME["x64-uefi-http" if vendor_class == "HTTPClient" else "x64-uefi"]
    request = BootRequest(a_host().mac, arch, stage, NOON, http=http)
    return PxeQuestion(PACKET, request, "discover", vendor_class)  # type: ignore[arg-type]


def loader(host: Host | None = None) -> ChainLoader:
    return ChainLoader(host or a_host(), "assigned", "snponly.efi", LOCAL)


def local() -> BootLocal:
    return BootLocal(a_host(), "local-default", "/dev/sda1", None, chain=False)


def answer(asked: PxeQuestion, decision: BootDecision, **changes: object) -> PxeAnswer | Ignore:
    return answer_of(asked, decision, replace(SERVER, **changes), Policy())  # type: ignore[arg-type]


def test_silence_is_no_reply_and_names_its_rule() -> None:
    assert answer(question(), Silent("unknown-machine")) == Ignore("unknown-machine")


def test_rom_gets_its_loader_by_tftp() -> None:
    assert answer(question(), loader()) == PxeAnswer("snponly.efi", OURS, UefiStrategy.BOOT_SERVER)


def test_loader_may_lie_on_another_server() -> None:
    assert answer(question(), loader(), tftp_server=THEIRS) == PxeAnswer("snponly.efi", THEIRS)


def test_http_boot_gets_its_loader_by_url_from_us() -> None:
    found = answer(question(vendor_class="HTTPClient"), loader(), tftp_server=THEIRS)
    assert isinstance(found, PxeAnswer)
    assert found.boot_file == "http://10.0.0.2:8080/files/snponly.efi"


@pytest.mark.parametrize(
    ("policy", "own", "strategy"),
    [
        ("boot-server", {}, UefiStrategy.BOOT_SERVER),
        ("offer", {}, UefiStrategy.OFFER),
        ("offer", {"uefi": "boot-server"}, UefiStrategy.BOOT_SERVER),
        ("boot-server", {"uefi": "offer"}, UefiStrategy.OFFER),
    ],
)
def test_host_chooses_its_strategy_before_the_policy(
    policy: str, own: dict[str, str], strategy: UefiStrategy
) -> None:
    host = a_host(settings=own)
    found = answer_of(question(), loader(host), SERVER, Policy(uefi_strategy=policy))
    assert found == PxeAnswer("snponly.efi", OURS, strategy)


def test_ipxe_with_http_gets_the_url_of_its_script() -> None:
    found = answer(question(Stage.IPXE, http=True), local(), tftp_server=THEIRS)
    assert found == PxeAnswer("http://10.0.0.2:8080/boot/52-54-00-00-00-01.ipxe", OURS)


def test_gpxe_gets_its_own_dialect() -> None:
    assert answer(question(Stage.GPXE, http=True), local()) == PxeAnswer(
        "http://10.0.0.2:8080/boot/52-54-00-00-00-01.gpxe", OURS
    )


def test_diagnosis_for_an_ipxe_without_http_comes_from_our_own_tftp() -> None:
    diagnosis = Diagnose(a_host(), "going-in-circles", "again and again", LOCAL)
    found = answer(question(Stage.IPXE), diagnosis, tftp_server=THEIRS)
    assert found == PxeAnswer("boot/52-54-00-00-00-01.ipxe", OURS)


def test_host_found_by_its_uuid_is_sent_to_the_url_of_its_own_address() -> None:
    request = BootRequest("52:54:00:00:00:99", BY_NAME["x64-uefi"], Stage.IPXE, NOON, http=True)
    assert script_path(a_host(), request) == "boot/52-54-00-00-00-01.ipxe"


def test_port_80_goes_without_saying() -> None:
    assert http_base("10.0.0.2", 80) == "http://10.0.0.2"
    assert http_base("10.0.0.2", 8080) == "http://10.0.0.2:8080"
