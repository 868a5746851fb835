"""What every front end turns a client's question into."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from netboot.arch import Architecture


class Stage(StrEnum):
    """How far the client has come."""

    ROM = "rom"  # firmware: wants a network boot program
    IPXE = "ipxe"  # runs iPXE, in ROM or chained: wants a script
    GPXE = "gpxe"  # runs gPXE: wants a straight-line script
    LOADER = "loader"  # GRUB, PXELINUX: wants its configuration file


@dataclass(frozen=True, slots=True)
class BootRequest:
    """One client's question, the same whichever protocol heard it.

    *received_at* is UTC and the only clock the decision may use. *repeats* counts
    the same answer given to this client lately without any progress seen after it.
    """

    mac: str  # canonical text, see hwaddr
    arch: Architecture
    stage: Stage
    received_at: datetime
    http: bool = False  # the client can fetch http:// URLs
    guid: str | None = None  # option 97 in wire order, as text
    features: frozenset[int] = field(default_factory=frozenset)  # option 175 flags
    repeats: int = 0

    def repeated(self, repeats: int) -> "BootRequest":
        """Return the same question, known to be the last of *repeats* with the same answer."""
        return self if repeats == self.repeats else replace(self, repeats=repeats)
