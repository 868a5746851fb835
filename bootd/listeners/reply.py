"""A datagram to be sent."""

from dataclasses import dataclass

from netboot.dhcp.delivery import Destination


@dataclass(frozen=True, slots=True)
class Reply:
    """A datagram and where it must go."""

    octets: bytes
    destination: Destination
