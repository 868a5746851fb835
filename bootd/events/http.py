"""Scripts, files and calendars over HTTP."""

from dataclasses import dataclass
from typing import ClassVar

from bootd.events.base import Event, Reasoned


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptSent(Event):
    """A machine fetched its boot script; *answer* says what it was told to boot.

    Dialect ``dhcp`` is a LUN named by DHCP itself, which is all the script such a machine has.
    """

    name: ClassVar[str] = "http.script_sent"
    client: str
    dialect: str  # ipxe | gpxe | grub | pxelinux | dhcp
    rule: str
    answer: str
    octets: int
    override: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRefused(Reasoned):
    """A script was asked for and the decision is silence: the machine gets a 404.

    The reason is the rule; ``unknown-machine`` may be a machine of yours that is not registered.
    """

    name: ClassVar[str] = "http.script_refused"
    by_anyone: ClassVar[bool] = True
    client: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalBootStarted(Event):
    """A machine's script said that it starts the machine's own disk next.

    The last that is heard of it until its system speaks.
    """

    name: ClassVar[str] = "http.local_boot_started"
    client: str
    override: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSent(Event):
    """A file went out over HTTP; *complete* where all of it did."""

    name: ClassVar[str] = "http.file_sent"
    client: str
    path: str
    octets: int
    seconds: float
    complete: bool
    attempt: str = ""  # the ?a= of the script that named the file


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarSent(Event):
    """A calendar program fetched what it subscribed to, or heard that nothing changed since (no octets).

    ``bootd reservations feed list`` says whose feed that number is.
    """

    name: ClassVar[str] = "http.calendar_sent"
    by_anyone: ClassVar[bool] = True
    client: str
    feed: int
    octets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarRefused(Reasoned):
    """A calendar was asked for that is nobody's: a feed that was removed, or somebody tries."""

    name: ClassVar[str] = "http.calendar_refused"
    by_anyone: ClassVar[bool] = True
    client: str
    why: str = "no-such-feed"
