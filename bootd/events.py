"""What bootd says about itself: one class an event, its docstring the manual page.

An event says who first (*mac*, *host*); `Telemetry` stamps it with the time,
counts it and hands it on. Names are stable.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""

    name: ClassVar[str]
    level: ClassVar[str] = "info"  # debug | info | warning | error
    by_anyone: ClassVar[bool] = False  # any stranger can cause it, without end: the log takes only so many
    mac: str = ""  # canonical text; "" where nobody knows
    host: str = ""  # name in the host table; "" for an unknown machine

    @property
    def reason(self) -> str:
        """A slug that refines the count of this event; "" where there is none."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoned(Event):
    """Base of events that are counted by why they happened."""

    why: str  # a stable slug

    @property
    def reason(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferSent(Event):
    """A ProxyDHCP offer, or the answer of port 4011, left for a machine.

    Normal. A ROM repeats itself, so two or three a boot are seen.
    """

    name: ClassVar[str] = "dhcp.offer_sent"
    level: ClassVar[str] = "debug"
    arch: str
    stage: str
    rule: str
    boot_file: str
    port: int  # the one it was asked on: 67 or 4011
    octets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketIgnored(Reasoned):
    """A well-formed question that is not ours to answer, or that the decision left alone.

    The reason says which rule. ``request-on-67`` is the site's own DHCP at work.
    """

    name: ClassVar[str] = "dhcp.ignored"
    level: ClassVar[str] = "debug"
    arch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownMachine(Reasoned):
    """A machine asked to boot that no row of the host table names.

    It is left to other servers. If it is yours: ``bootd hosts add NAME --mac MAC``.
    """

    name: ClassVar[str] = "dhcp.unknown_machine"
    by_anyone: ClassVar[bool] = True
    arch: str
    why: str = "unknown-machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressOffered(Event):
    """A machine that looked for a DHCP server was offered its address."""

    name: ClassVar[str] = "dhcp.address_offered"
    level: ClassVar[str] = "debug"
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressGiven(Reasoned):
    """A machine was told that its address is its own (DHCPACK); counted by where it stood.

    ``selecting`` is a machine that starts, ``renewing`` one that runs, at half its lease.
    """

    name: ClassVar[str] = "dhcp.address_given"
    level: ClassVar[str] = "debug"
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTold(Event):
    """A machine that has its address already asked about its network (DHCPINFORM), and was told."""

    name: ClassVar[str] = "dhcp.network_told"
    level: ClassVar[str] = "debug"
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRefused(Reasoned):
    """A machine asked to go on with an address that is not its own, and was told to begin anew (DHCPNAK).

    Normal once after its row was changed, or when it moved to another network.
    """

    name: ClassVar[str] = "dhcp.address_refused"
    by_anyone: ClassVar[bool] = True
    address: str  # the one it wanted
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressDeclined(Event):
    """A machine found somebody else at the address it was given, and will not use it.

    Look for another machine with that address: one set up by hand, or another DHCP server's client.
    It is offered the same address again, for there is no other; ``/readyz`` tells of it until the
    machine has renewed it.
    """

    name: ClassVar[str] = "dhcp.address_declined"
    level: ClassVar[str] = "warning"
    by_anyone: ClassVar[bool] = True
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressReleased(Event):
    """A machine said that it uses its address no more. The address stays written down for it."""

    name: ClassVar[str] = "dhcp.address_released"
    level: ClassVar[str] = "debug"
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherServerChosen(Event):
    """A machine whose address we give took another DHCP server's offer.

    Two servers on one network: its address is then the other's choice, and so may be what it boots.
    """

    name: ClassVar[str] = "dhcp.other_server_chosen"
    level: ClassVar[str] = "warning"
    by_anyone: ClassVar[bool] = True
    server: str
    address: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReported(Event):
    """A machine told how it fares: an agent with the token of its command line, or an image without one.

    *given_at* is when the token was made, in seconds since 1970. Without a token only the address it
    came from, on our own link, says whose word it is.
    """

    name: ClassVar[str] = "node.reported"
    by_anyone: ClassVar[bool] = True
    state: str
    detail: str = ""
    override: int | None = None
    given_at: int | None = None


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
class SlotCaptured(Event):
    """A node has sent all of a slot, and what it is; the job makes an image of it."""

    name: ClassVar[str] = "node.slot_captured"
    job: int
    octets: int


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


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideUsed(Event):
    """A one-shot boot order was carried out; from now on the machine boots as decided before."""

    name: ClassVar[str] = "boot.override_used"
    override: int
    target: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSuspected(Event):
    """A machine was given the same answer again and again without any sign of going on.

    It gets a diagnostic script. Look at its screen, at ``bootd trace HOST``, and at its boot order.
    """

    name: ClassVar[str] = "boot.loop_suspected"
    level: ClassVar[str] = "warning"
    answer: str
    repeats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPublished(Event):
    """The answers follow a newer state of the store from now on."""

    name: ClassVar[str] = "store.snapshot_published"
    level: ClassVar[str] = "debug"
    generation: int
    hosts: int
    milliseconds: float


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
class ReservationMissed(Event):
    """The whole time of a booking passed and it never began: no daemon ran, or its nodes were not given back.

    Look at ``bootd jobs list --all`` for what held its nodes, and book anew.
    """

    name: ClassVar[str] = "calendar.reservation_missed"
    level: ClassVar[str] = "warning"
    reservation: int
    project: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded(Event):
    """A job came to its end. ``failed`` and ``partly`` leave nodes: ``bootd jobs show`` names them."""

    name: ClassVar[str] = "calendar.job_ended"
    job: int
    kind: str
    reservation: int | None
    state: str  # done | partly | failed | cancelled
    note: str

    @property
    def reason(self) -> str:
        return self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class LunsRestored(Event):
    """The target exports these volumes again: it had been restarted, or changed by hand."""

    name: ClassVar[str] = "luns.restored"
    volumes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LunsSwept(Event):
    """Clones that no node may use any more were deleted, or could not be: ``bootd luns gc`` says why."""

    name: ClassVar[str] = "luns.swept"
    removed: int
    left: str  # "" where nothing is


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
