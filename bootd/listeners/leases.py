"""DHCP with addresses: known hosts get the one of their row, and their boot file with it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from bootd.boot.clients import Clients
from bootd.boot.decide import BootDecision, BootLun
from bootd.boot.leases import lease_of, lun_by_dhcp
from bootd.boot.offer import ServerFacts, answer_of, lun_answer
from bootd.boot.places import Chap
from bootd.boot.snapshot import Snapshot
from bootd.clock import Clock
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
    PacketIgnored,
    ScriptSent,
    UnknownMachine,
)
from bootd.listeners.reply import Reply
from bootd.model import Host, LunClone
from bootd.telemetry import Emit
from netboot.dhcp.authoritative import (
    NO_BOOT,
    Grant,
    Here,
    Notice,
    Phase,
    Refusal,
    grant_reply,
    judge,
    lease_destination,
    refusal_reply,
    unanswerable,
)
from netboot.dhcp.delivery import dotted
from netboot.dhcp.lease import Lease, Subnet
from netboot.dhcp.options import REQUESTED_ADDRESS, SERVER_ID
from netboot.dhcp.packet import DhcpPacket, MessageType
from netboot.dhcp.proxydhcp import BootPart, ServerIdentity, boot_part
from netboot.dhcp.pxe import DHCP_PORT, Ignore, PxeQuestion, classify
from netboot.dhcp.san import no_other_offers, san_part
from netboot.errors import LocalError
from netboot.request import BootRequest, Stage


class Decide(Protocol):
    """Says what a machine boots, and remembers what kind of machine it is."""

    def __call__(self, request: BootRequest, /) -> BootDecision: ...


class LeaseResponder:
    """Answers on port 67 for the hosts of *subnets*; silent to everybody else. Remembers nothing.

    *chap* says how a node logs in to its LUN; None: the targets ask for nothing.
    """

    def __init__(
        self,
        subnets: Mapping[str, Subnet],
        *,
        snapshot: Callable[[], Snapshot],
        decide: Decide,
        clients: Clients,
        clock: Clock,
        emit: Emit,
        chap: Callable[[LunClone], Chap] | None = None,
    ) -> None:
        self._subnets = subnets
        self._snapshot = snapshot
        self._decide = decide
        self._clients = clients
        self._clock = clock
        self._emit = emit
        self._chap = chap

    def answer(self, packet: DhcpPacket, server: ServerFacts) -> Reply | None:
        """Return the reply to *packet*, or None. Raises `WireError` for options that do not hold together."""
        host = self._host_of(packet)
        lease = self._lease_of(host, server) if host is not None else None
        if host is None or lease is None:
            return None
        here = Here(server.octets, server.own | {server.octets}, server.links, tuple(self._subnets.values()))
        verdict = judge(packet, lease, here)
        if isinstance(verdict, Grant):
            return self._grant(packet, verdict, host, lease, here, server)
        if isinstance(verdict, Refusal):
            return self._refuse(packet, verdict, host, here)
        if isinstance(verdict, Notice):
            self._note(verdict, host, lease)
        elif verdict.reason == "chose-another-server":
            self._lost(packet, host)
        else:
            self._ignore(host.mac, host, verdict.reason)
        return None

    def _host_of(self, packet: DhcpPacket) -> Host | None:
        """Return the host that sent *packet* by its MAC address, or say why it is left alone.

        The UUID, which finds a host elsewhere, is no good here: a machine with two cards on one
        network would have one address on both.
        """
        mac = packet.mac or ""
        why_not = unanswerable(packet)
        host = self._snapshot().hosts_by_mac.get(mac) if why_not is None else None
        if why_not is not None:
            self._ignore(mac, None, why_not)
        elif host is None:
            self._stranger(packet, mac)
        elif host.settings.get("boot") == "ignore":
            self._ignore(mac, host, "host-ignored")
            return None
        return host

    def _lease_of(self, host: Host, server: ServerFacts) -> Lease | None:
        """Return what *host* is given, or say why it is left alone; `/readyz` tells of such rows too."""
        lease = lease_of(host, self._subnets)
        if lease is not None and lease.address not in server.own:
            return lease
        self._ignore(host.mac, host, "address-not-to-give" if host.ip else "host-without-address")
        return None

    # -- silence --------------------------------------------------------------------------

    def _ignore(self, mac: str, host: Host | None, why: str) -> None:
        self._emit(PacketIgnored(mac=mac, host=host.name if host else "", why=why))

    def _stranger(self, packet: DhcpPacket, mac: str) -> None:
        """Say who asked, if it asked to boot: the other machines of the network are nobody's business."""
        question = self._question(packet)
        if packet.message_type != MessageType.DISCOVER or isinstance(question, Ignore):
            self._ignore(mac, None, "unknown-machine")
        else:
            self._emit(UnknownMachine(mac=mac, arch=question.request.arch.name))

    def _note(self, notice: Notice, host: Host, lease: Lease) -> None:
        if notice.address != lease.address:
            self._ignore(host.mac, host, "not-its-address")
        elif notice.kind == "declined":
            self._emit(AddressDeclined(mac=host.mac, host=host.name, address=dotted(notice.address)))
        else:
            self._emit(AddressReleased(mac=host.mac, host=host.name, address=dotted(notice.address)))

    def _lost(self, packet: DhcpPacket, host: Host) -> None:
        server, address = (_shown(packet.options.get(code, b"")) for code in (SERVER_ID, REQUESTED_ADDRESS))
        self._emit(OtherServerChosen(mac=host.mac, host=host.name, server=server, address=address))

    # -- replies --------------------------------------------------------------------------

    def _refuse(self, packet: DhcpPacket, refusal: Refusal, host: Host, here: Here) -> Reply:
        wanted = (
            packet.ciaddr if refusal.phase is Phase.RENEWING else packet.options.get(REQUESTED_ADDRESS, b"")
        )
        self._emit(
            AddressRefused(
                mac=host.mac,
                host=host.name,
                why=refusal.reason,
                address=_shown(wanted),
                phase=refusal.phase.value,
            )
        )
        return Reply(refusal_reply(packet, refusal, here), lease_destination(packet, refusal))

    def _grant(
        self, packet: DhcpPacket, grant: Grant, host: Host, lease: Lease, here: Here, server: ServerFacts
    ) -> Reply | None:
        question = self._question(packet)
        said: list[OfferSent | ScriptSent] = []
        try:
            part = NO_BOOT if isinstance(question, Ignore) else self._boot(question, grant, server, said)
            octets = grant_reply(packet, grant, lease, here, part)
        except LocalError as error:
            self._emit(InternalError(mac=host.mac, host=host.name, where="dhcp", text=str(error)))
            return None
        address = dotted(lease.address)
        if grant.phase is Phase.DISCOVER:
            self._emit(AddressOffered(mac=host.mac, host=host.name, address=address))
        elif grant.phase is Phase.INFORM:  # has an address, which may be another one
            self._emit(NetworkTold(mac=host.mac, host=host.name, address=dotted(packet.ciaddr)))
        else:
            self._clients.heard_address(host.mac, address)
            self._emit(AddressGiven(mac=host.mac, host=host.name, address=address, why=grant.phase.value))
        for event in said:
            self._emit(replace(event, octets=len(octets)))
        return Reply(octets, lease_destination(packet, grant))

    def _question(self, packet: DhcpPacket) -> PxeQuestion | Ignore:
        return classify(packet, port=DHCP_PORT, received_at=self._clock(), gives_addresses=True)

    def _boot(
        self, question: PxeQuestion, grant: Grant, server: ServerFacts, said: list[OfferSent | ScriptSent]
    ) -> BootPart:
        """Return what the reply says of booting; *said* takes what is to be told of it."""
        decision = self._decide(question.request)
        if isinstance(decision, BootLun) and lun_by_dhcp(decision.host, question.request):
            chap = self._chap(decision.clone) if self._chap is not None else None
            part = san_part(lun_answer(decision, chap), is_final=grant.phase is not Phase.DISCOVER)
            if grant.phase is Phase.SELECTING:
                said.append(_lun_given(decision))
            return part
        answer = answer_of(question, decision, server, self._snapshot().policy)
        if isinstance(answer, Ignore):
            host = decision.host
            self._ignore(question.request.mac, host, answer.reason)
            return NO_BOOT  # an address, and another server may say what to boot
        if grant.phase is Phase.DISCOVER:
            said.append(_offered(question, decision, answer.boot_file))
        part = boot_part(question, answer, ServerIdentity(server.octets))
        if question.request.stage is Stage.ROM:
            return part
        return replace(part, options={**part.options, **no_other_offers()})


def _offered(question: PxeQuestion, decision: BootDecision, boot_file: str) -> OfferSent:
    request, host = question.request, decision.host
    return OfferSent(
        mac=request.mac,
        host=host.name if host else "",
        arch=request.arch.name,
        stage=request.stage.value,
        rule=decision.rule,
        boot_file=boot_file,
        port=DHCP_PORT,
        octets=0,
    )


def _lun_given(decision: BootLun) -> ScriptSent:
    host = decision.host
    return ScriptSent(
        mac=host.mac,
        host=host.name,
        client=host.ip or "",
        dialect="dhcp",
        rule=decision.rule,
        answer=str(decision.place),
        octets=0,
    )


def _shown(address: bytes) -> str:
    return dotted(address) if len(address) == 4 else address.hex()
