"""What a DHCP reply says: a decision put into the words of ProxyDHCP."""

from dataclasses import dataclass

from bootd.boot.decide import BootDecision, BootLun, ChainLoader, Silent
from bootd.boot.places import Chap, check_chap, lun_uris
from bootd.boot.snapshot import Policy
from bootd.model import Host
from netboot.dhcp.proxydhcp import PxeAnswer, UefiStrategy
from netboot.dhcp.pxe import Ignore, PxeQuestion
from netboot.dhcp.san import SanAnswer
from netboot.request import BootRequest, Stage


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Where a client reaches this server: the interface its question came in by."""

    address: str  # dotted
    octets: bytes  # the same, 4 octets
    http_base: str  # "http://10.0.0.2:8080"
    tftp_server: bytes  # 4 octets; ours unless the loaders lie elsewhere
    links: frozenset[bytes] = frozenset()  # our own addresses on that interface, 4 octets each
    own: frozenset[bytes] = frozenset()  # those of all interfaces


def http_base(address: str, port: int) -> str:
    """Return the URL everything begins with; port 80 goes without saying, and some ROMs cut at 127."""
    return f"http://{address}" if port == 80 else f"http://{address}:{port}"


def script_path(host: Host, request: BootRequest) -> str:
    """Return the path of the script *host* is to run, in the language of whoever asks.

    The host's own address names it even where its UUID found it: one host, one URL.
    """
    dialect = "gpxe" if request.stage is Stage.GPXE else "ipxe"
    return f"boot/{host.mac.replace(':', '-')}.{dialect}"


def answer_of(
    question: PxeQuestion, decision: BootDecision, server: ServerFacts, policy: Policy
) -> PxeAnswer | Ignore:
    """Return what the reply to *question* names, or why there is none."""
    if isinstance(decision, Silent):
        return Ignore(decision.rule)
    request = question.request
    if isinstance(decision, ChainLoader):
        strategy = UefiStrategy(decision.host.settings.get("uefi", policy.uefi_strategy))
        if question.vendor_class == "HTTPClient":
            return PxeAnswer(f"{server.http_base}/files/{decision.loader}", server.tftp_server, strategy)
        return PxeAnswer(decision.loader, server.tftp_server, strategy)
    path = script_path(decision.host, request)
    if request.http:
        return PxeAnswer(f"{server.http_base}/{path}", server.octets)
    return PxeAnswer(path, server.octets)  # only a diagnosis goes to an iPXE without HTTP


def lun_answer(decision: BootLun, chap: Chap | None) -> SanAnswer:
    """Return the LUN of *decision* for a client that is to have it from DHCP, without a script.

    There is room for one portal. Raises `LocalError` for what DHCP cannot carry.
    """
    login = check_chap(chap) if chap is not None else Chap("", "")
    return SanAnswer(lun_uris(decision.clone)[0], decision.clone.initiator, login.user, login.secret)
