"""The process itself, and all of its ports."""

from dataclasses import dataclass
from typing import ClassVar

from bootd.events.base import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketDropped(Event):
    """Bytes that no rule of the protocol allows; dropped without an answer.

    A few are normal on an open network. Many from one source: look at that machine.
    """

    name: ClassVar[str] = "packet.dropped"
    level: ClassVar[str] = "debug"
    protocol: str  # dhcp | tftp | http
    why: str
    source: str  # address of the sender

    @property
    def reason(self) -> str:
        return f"{self.protocol}:{self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStarted(Event):
    """bootd is ready to answer."""

    name: ClassVar[str] = "service.started"
    listening: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStopped(Event):
    """bootd has closed its ports and written what it knew."""

    name: ClassVar[str] = "service.stopped"
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivilegesDropped(Event):
    """The ports are bound and the process runs as an ordinary user from now on."""

    name: ClassVar[str] = "service.privileges_dropped"
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivilegesKept(Event):
    """The process goes on as root because the user to become does not exist.

    ``useradd --system --no-create-home bootd`` makes it; then start bootd again.
    """

    name: ClassVar[str] = "service.privileges_kept"
    level: ClassVar[str] = "warning"
    user: str
    why: str = "there is no such user: bootd stays root"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemFound(Event):
    """Something is wrong that bootd works around; ``/readyz`` says it until it is mended."""

    name: ClassVar[str] = "service.problem_found"
    level: ClassVar[str] = "warning"
    topic: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemCleared(Event):
    """What was wrong is mended."""

    name: ClassVar[str] = "service.problem_cleared"
    topic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesLeftOut(Event):
    """One kind of event came so often that the log was spared the rest; all were counted.

    Somebody floods the network or tries names: the lines before say from where, ``bootd status`` how many.
    """

    name: ClassVar[str] = "service.lines_left_out"
    level: ClassVar[str] = "warning"
    kind: str  # name of the event
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalError(Event):
    """A bug: a packet or request met an error nobody foresaw. It was dropped, the service goes on.

    Please report it with the text.
    """

    name: ClassVar[str] = "service.internal_error"
    level: ClassVar[str] = "error"
    where: str
    text: str
