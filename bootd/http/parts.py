"""What the HTTP handlers are given; nothing here knows where it comes from."""

import resource
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from bootd.boot.attempt import Attempts
from bootd.boot.clients import Clients
from bootd.boot.desk import ScriptDesk
from bootd.boot.files import Answer
from bootd.boot.token import Tokens
from bootd.clock import Clock
from bootd.darkstore.captured import BadPiece, Piece, State
from bootd.drivers.transport import Offered
from bootd.events import PacketDropped
from bootd.http.errors import failure
from bootd.model import PublishedCalendar
from bootd.services.attendance import Attendance
from bootd.services.capturing import Sender
from bootd.telemetry import Emit, Problems

_OTHER_FILES = 200  # descriptors kept for everything but transfers
_FEWEST, _MOST = 16, 4000


def transfers_that_fit() -> int:
    """Return how many transfers the process's limit of open files allows: each has a socket and a file."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST
    return min(max((soft - _OTHER_FILES) // 2, _FEWEST), _MOST)


@dataclass(slots=True)
class Transfers:
    """Files on their way out now, and how many at most."""

    limit: int = field(default_factory=transfers_that_fit)
    running: int = 0
    finished: int = 0
    octets: int = 0  # sent since the start, unfinished transfers included

    @property
    def full(self) -> bool:
        return self.running >= self.limit


class Tasks(Protocol):
    """Tells nodes that run the imager what to do; lines ``key value``."""

    async def task(self, node: str) -> str: ...

    async def permit(self, node: str, form: Mapping[str, str]) -> str: ...


class NoTasks:
    """A site where nobody has anything to be written."""

    async def task(self, node: str) -> str:
        return "task none\n"

    async def permit(self, node: str, form: Mapping[str, str]) -> str:
        return "permit no\nreason nothing is to be written\n"


class Captures(Protocol):
    """Takes what nodes send of their slots; raises `BadPiece` and `DarkStoreAway`."""

    async def piece(
        self, sender: Sender, piece: Piece, octets: int, chunks: AsyncIterator[bytes]
    ) -> State: ...

    async def end(self, sender: Sender, form: Mapping[str, str]) -> State: ...


class NoCaptures:
    """A site where nobody wants anything of a slot."""

    async def piece(self, sender: Sender, piece: Piece, octets: int, chunks: AsyncIterator[bytes]) -> State:
        raise BadPiece("not-wanted", "nothing is captured here")

    async def end(self, sender: Sender, form: Mapping[str, str]) -> State:
        raise BadPiece("not-wanted", "nothing is captured here")


async def _no_calendar(token: str) -> PublishedCalendar | None:
    return None


def _no_image(name: str) -> Offered | None:
    return None


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a handler may use."""

    desk: ScriptDesk
    lookup: Callable[[str], Answer]  # a name under /files/
    attempts: Attempts
    tokens: Tokens
    emit: Emit
    problems: Problems
    clock: Clock
    clients: Clients
    host_name: Callable[[str], str]  # MAC address -> name in the host table, "" for none
    mac_of: Callable[[str], str] = lambda address: ""  # of the host with that address in the host table
    address: str = ""  # what nodes are to call us; "" for the address they reached us by
    transfers: Transfers = field(default_factory=Transfers)
    calendar: Callable[[str], Awaitable[PublishedCalendar | None]] = _no_calendar  # by its token
    offered: Callable[[str], Offered | None] = _no_image  # what a session of imaging offers, by its name
    tasks: Tasks = field(default_factory=NoTasks)
    captures: Captures = field(default_factory=NoCaptures)
    attendance: Attendance = field(default_factory=Attendance)


PARTS: web.AppKey[Parts] = web.AppKey("parts", Parts)


def peer_of(request: web.BaseRequest) -> str:
    """Return the address a request came from, an IPv4 one in its own form."""
    return (request.remote or "").removeprefix("::ffff:")


async def read_form(request: web.Request) -> dict[str, str]:
    """Return the form in the body of *request*; what cannot be read as one is refused and counted."""
    try:
        form = await request.post()
    except (ValueError, LookupError, RuntimeError, zlib.error):  # each a way for a body to be no form
        dropped = PacketDropped(protocol="http", why="bad-form", source=peer_of(request))
        request.app[PARTS].emit(dropped)
        raise failure(web.HTTPBadRequest, "bad-form", "the body is not a form that can be read") from None
    return {key: value for key, value in form.items() if isinstance(value, str)}
