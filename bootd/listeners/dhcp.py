"""The DHCP ports, 67 and 4011: one datagram in, at most one out; all it knows is handed to it."""

import socket
from collections.abc import Callable, Mapping
from functools import partial

from bootd.boot.clients import Clients
from bootd.boot.decide import BootDecision, decide, find_host
from bootd.boot.leases import lun_by_dhcp
from bootd.boot.offer import ServerFacts, answer_of
from bootd.boot.places import Chap
from bootd.boot.snapshot import Snapshot
from bootd.clock import Clock
from bootd.events import InternalError, OfferSent, PacketDropped, PacketIgnored, UnknownMachine
from bootd.listeners.leases import LeaseResponder
from bootd.listeners.reply import Reply
from bootd.listeners.sockets import Datagram, UdpEndpoint
from bootd.model import Host, LunClone
from bootd.telemetry import Emit
from netboot.dhcp.delivery import Broadcast, dotted, reply_destination
from netboot.dhcp.lease import Subnet
from netboot.dhcp.options import REQUESTED_ADDRESS
from netboot.dhcp.packet import NO_ADDRESS, DhcpPacket, MessageType, decode_packet
from netboot.dhcp.proxydhcp import ServerIdentity, build_reply
from netboot.dhcp.pxe import DHCP_PORT, Ignore, PxeQuestion, classify
from netboot.errors import LocalError, WireError
from netboot.request import BootRequest, Stage


class DhcpResponder:
    """Answers datagrams: decode, classify, decide, build. Holds no socket and writes nothing.

    *server_of* returns how a client on the interface of that index reaches us, or
    None where we do not serve. *repeats_of* counts a machine's identical answers. With
    *subnets* their hosts are given addresses too, and *chap* says how they log in to LUNs.
    """

    def __init__(
        self,
        *,
        snapshot: Callable[[], Snapshot],
        server_of: Callable[[int], ServerFacts | None],
        clients: Clients,
        repeats_of: Callable[[str], int],
        clock: Clock,
        emit: Emit,
        subnets: Mapping[str, Subnet] | None = None,
        chap: Callable[[LunClone], Chap] | None = None,
    ) -> None:
        self._leases = subnets and LeaseResponder(
            subnets,
            snapshot=snapshot,
            decide=self._decide,
            clients=clients,
            clock=clock,
            emit=emit,
            chap=chap,
        )
        self._snapshot = snapshot
        self._server_of = server_of
        self._clients = clients
        self._repeats_of = repeats_of
        self._clock = clock
        self._emit = emit

    def receive(self, datagram: bytes, *, source: tuple[str, int], port: int, interface: int) -> Reply | None:
        """Return the reply to *datagram*, which came to *port* by *interface*, or None for silence."""
        server = self._server_of(interface)
        if server is None:
            return None
        try:
            packet = decode_packet(datagram)
            if self._leases and port == DHCP_PORT:
                return self._leases.answer(packet, server)
            self._learn(packet)
            question = classify(packet, port=port, received_at=self._clock())
        except WireError as error:
            self._emit(PacketDropped(protocol="dhcp", why=error.reason, source=source[0]))
            return None
        if isinstance(question, Ignore):
            self._emit(PacketIgnored(mac=packet.mac or "", why=question.reason))
            return None
        return self._answer(question, server, source, port)

    def _learn(self, packet: DhcpPacket) -> None:
        """Remember who is about to use which address, from the site's own DHCP traffic."""
        if packet.message_type != MessageType.REQUEST or packet.mac is None:
            return
        requested = packet.options.get(REQUESTED_ADDRESS, packet.ciaddr)
        if len(requested) == 4 and requested != NO_ADDRESS:
            self._clients.heard_address(packet.mac, dotted(requested))

    def _answer(
        self, question: PxeQuestion, server: ServerFacts, source: tuple[str, int], port: int
    ) -> Reply | None:
        request = question.request
        decision = self._decide(request)
        answer = answer_of(question, decision, server, self._snapshot().policy)
        if isinstance(answer, Ignore):
            self._say_why_not(question, decision.host, answer.reason)
            return None
        try:
            octets = build_reply(question, answer, ServerIdentity(server.octets))
        except LocalError as error:
            self._emit(InternalError(mac=request.mac, where="dhcp", text=str(error)))
            return None
        self._emit(
            OfferSent(
                mac=request.mac,
                host=decision.host.name if decision.host else "",
                arch=request.arch.name,
                stage=request.stage.value,
                rule=decision.rule,
                boot_file=answer.boot_file,
                port=port,
                octets=len(octets),
            )
        )
        return Reply(octets, reply_destination(question.packet, kind=question.kind, source=source))

    def _decide(self, request: BootRequest) -> BootDecision:
        """Decide; what DHCP itself gives without a script to follow is counted like a script."""
        snapshot = self._snapshot()
        self._clients.heard_architecture(request.mac, request.arch)
        host = find_host(snapshot, request)
        lacks_http = request.stage is not Stage.ROM and not request.http
        if lacks_http or (self._leases and host is not None and lun_by_dhcp(host, request)):
            request = request.repeated(self._repeats_of(request.mac))
        return decide(snapshot, request)

    def _say_why_not(self, question: PxeQuestion, host: Host | None, why: str) -> None:
        mac, arch = question.request.mac, question.request.arch.name
        if host is None:
            self._emit(UnknownMachine(mac=mac, arch=arch, why=why))
        else:
            self._emit(PacketIgnored(mac=mac, host=host.name, arch=arch, why=why))


class DhcpListener:
    """The sockets of 67 and 4011 around a `DhcpResponder`."""

    def __init__(self, sockets: Mapping[int, socket.socket], responder: DhcpResponder, emit: Emit) -> None:
        self._responder = responder
        self._emit = emit
        self._endpoints: dict[int, UdpEndpoint] = {
            port: UdpEndpoint(sock, partial(self._receive, port)) for port, sock in sockets.items()
        }

    def close(self) -> None:
        for endpoint in self._endpoints.values():
            endpoint.close()

    def _receive(self, port: int, datagram: Datagram) -> None:
        """Answer one datagram; whatever goes wrong costs this datagram only."""
        try:
            reply = self._responder.receive(
                datagram.data, source=datagram.source, port=port, interface=datagram.interface
            )
            if reply is not None:
                self._send(port, reply, datagram)
        except OSError as error:
            why = f"send: {error.strerror}"
            self._emit(PacketDropped(protocol="dhcp", why=why, source=datagram.source[0]))
        except Exception as error:  # noqa: BLE001 - a bug must not stop the other machines
            self._emit(InternalError(where="dhcp", text=repr(error)))

    def _send(self, port: int, reply: Reply, datagram: Datagram) -> None:
        destination = reply.destination
        if isinstance(destination, Broadcast):
            to = ("255.255.255.255", destination.port)
            self._endpoints[port].send(reply.octets, to, interface=datagram.interface, local=datagram.local)
        else:
            # a relay may be reached by another way than its packet came
            self._endpoints[port].send(
                reply.octets, (destination.address, destination.port), local=datagram.local
            )
