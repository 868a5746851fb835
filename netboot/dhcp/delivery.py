"""Where a DHCP reply must be sent (RFC 2131 section 4.1, PXE 2.1 section 2.2)."""

from dataclasses import dataclass
from typing import Literal

from netboot.dhcp.packet import NO_ADDRESS, DhcpPacket

SERVER_PORT = 67
CLIENT_PORT = 68


@dataclass(frozen=True, slots=True)
class Relay:
    """To the relay agent, on the server port."""

    address: str  # dotted
    port: int = SERVER_PORT


@dataclass(frozen=True, slots=True)
class Unicast:
    """To an address the client already uses."""

    address: str  # dotted
    port: int = CLIENT_PORT


@dataclass(frozen=True, slots=True)
class Broadcast:
    """To 255.255.255.255, out of the interface the request came in by."""

    port: int = CLIENT_PORT


Destination = Relay | Unicast | Broadcast


def reply_destination(
    packet: DhcpPacket, *, kind: Literal["discover", "boot-server", "lease"], source: tuple[str, int]
) -> Destination:
    """Return where the reply to *packet*, which came from *source*, must go.

    A boot server answers to the port the request left from: EDK2 asks from 4011, iPXE
    from 68. A proxy offer has no yiaddr to send to, and RFC 2131 lets it be broadcast.
    """
    address, port = source
    if kind == "boot-server":
        if address != "0.0.0.0":
            return Unicast(address, port)
        return Broadcast(port) if packet.ciaddr == NO_ADDRESS else Unicast(dotted(packet.ciaddr), port)
    return Relay(dotted(packet.giaddr)) if packet.is_relayed else Broadcast()


def dotted(address: bytes) -> str:
    """Return four octets as text."""
    return ".".join(map(str, address))
