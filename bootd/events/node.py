"""What nodes themselves say and send, and may write."""

from dataclasses import dataclass
from typing import ClassVar

from bootd.events.base import Event, Reasoned


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReported(Event):
    """A machine told how it fares: an agent with the token of its command line, or an image without one.

    *given_at* is when the token was made, in seconds since 1970. Without a token only the address it
    came from, on our own link, says whose word it is. *job* is the job that an imager speaks of, *note*
    what else is to be known of its last word.
    """

    name: ClassVar[str] = "node.reported"
    by_anyone: ClassVar[bool] = True
    state: str
    detail: str = ""
    override: int | None = None
    given_at: int | None = None
    job: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReportRefused(Reasoned):
    """A report came with a token that is not good: old, used, or another machine's.

    Normal for a node that has run for a day and reports again. Many from one address, or
    ``token-forged``: somebody is trying; look at that machine.
    """

    name: ClassVar[str] = "node.report_refused"
    level: ClassVar[str] = "warning"
    by_anyone: ClassVar[bool] = True
    client: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePermitted(Event):
    """A node asked a last time, and may write to its disk."""

    name: ClassVar[str] = "node.write_permitted"
    disk: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRefused(Event):
    """A node asked a last time and may not write to its disk; nothing was written. The text says why."""

    name: ClassVar[str] = "node.write_refused"
    level: ClassVar[str] = "warning"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPermitted(Event):
    """A node asked which disk it is to read, and may: a slot of it is captured."""

    name: ClassVar[str] = "node.read_permitted"
    disk: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRefused(Event):
    """A node was to read a slot and found another disk than the right one; the text says why. Look there."""

    name: ClassVar[str] = "node.read_refused"
    level: ClassVar[str] = "warning"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotCaptured(Event):
    """A node has sent all of a slot, and what it is; the job makes an image of it."""

    name: ClassVar[str] = "node.slot_captured"
    job: int
    received: int  # octets


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceRefused(Reasoned):
    """A node sent a piece of its slot, and it was not taken.

    ``bad-digest``: octets were changed on the way; the node sends it again. ``not-wanted``: its job was
    ended meanwhile. ``no-room``: the dark store is full, make room there.
    """

    name: ClassVar[str] = "node.piece_refused"
    level: ClassVar[str] = "warning"
    client: str
    text: str
