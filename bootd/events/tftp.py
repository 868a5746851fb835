"""Files by TFTP."""

from dataclasses import dataclass
from typing import ClassVar

from bootd.events.base import Event, Reasoned


@dataclass(frozen=True, slots=True, kw_only=True)
class TftpReadStarted(Event):
    """A machine began to read a file by TFTP."""

    name: ClassVar[str] = "tftp.read_started"
    level: ClassVar[str] = "debug"
    client: str  # IPv4 address
    filename: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TftpReadCompleted(Event):
    """A file was read to its end by TFTP.

    *confirmed* is False where the last ACK never came: many ROMs start the
    program at once and do not send it.
    """

    name: ClassVar[str] = "tftp.read_completed"
    client: str
    filename: str
    octets: int
    seconds: float
    confirmed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TftpReadFailed(Reasoned):
    """A TFTP read was given up.

    Look for a firewall on the transfer's own port: only the first packet uses 69.
    ``client-aborted`` after the first answer is how EDK2 asks for the size, and is normal.
    """

    name: ClassVar[str] = "tftp.read_failed"
    level: ClassVar[str] = "debug"
    client: str
    filename: str
    octets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TftpRefused(Reasoned):
    """A TFTP request was answered with an error.

    ``not-found`` is normal for loaders that try many names.
    """

    name: ClassVar[str] = "tftp.refused"
    level: ClassVar[str] = "debug"
    client: str
    filename: str
