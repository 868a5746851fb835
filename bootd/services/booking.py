"""What stands against a booking: everything is looked at, every reason is told, nothing is written."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property, partial
from typing import TypeVar

from bootd.errors import BadValue, BootdError, Refused
from bootd.formats.instants import show_instant, show_span
from bootd.lifecycle import DISK_IMAGE
from bootd.model import Booked, DiskImage, Host, ImageRef, Project, Reservation, Role, parse_image_ref
from bootd.services import nodeset, projects
from bootd.services.deployments import Plan, Planner
from bootd.services.freetime import peak
from bootd.store import Reads

T = TypeVar("T")
LIVE = ("booked", "active")  # the states in which a reservation holds its nodes
BOOKABLE = ("registered", "dark")  # the states of an image that will be there when it is wanted
GRACE = timedelta(minutes=2)  # a start in the minute in which a person typed it is not in the past
NOTE_LENGTH = 500


def whole_seconds(at: datetime) -> datetime:
    """Return *at* in UTC as it is kept: calendars know nothing smaller than a second."""
    return at.astimezone(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be booked, as people write it, but for its time."""

    project: str
    nodes: str
    images: tuple[str, ...] = ()  # [ROLE:][PROJECT/]IMAGE[@VERSION]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A draft with its names looked up; *reasons* say what could not be."""

    project: Project | None
    hosts: Sequence[Host]
    images: Sequence[Booked]
    note: str
    reasons: Sequence[str]

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(sorted(host.name for host in self.hosts))


class Desk:
    """Holds bookings against those in the store, but for *besides*, and those planned with them.

    With *slot* the images of mesh nodes go there or nowhere.
    """

    def __init__(
        self,
        reads: Reads,
        *,
        now: datetime,
        zone: tzinfo = UTC,
        besides: Iterable[int] = (),
        slot: int | None = None,
    ) -> None:
        self._reads, self._now, self._zone = reads, now, zone
        self._besides = frozenset(besides)
        self._places = Planner(reads, now=now, zone=zone, besides=self._besides, slot=slot)
        self._planned: dict[str, list[Reservation]] = {}  # by node
        self._planned_of: dict[str, list[Reservation]] = {}  # by project

    @cached_property
    def _hosts(self) -> list[Host]:
        return self._reads.hosts()

    def resolve(self, draft: Draft) -> Resolved:
        """Look up the names of *draft*."""
        reasons: list[str] = []
        project = _tried(reasons, lambda: projects.require(self._reads, draft.project))
        hosts = _tried(reasons, lambda: nodeset.parse(draft.nodes, self._hosts)) or []
        note = _tried(reasons, lambda: _checked_note(draft.note)) or ""
        pinned = [_tried(reasons, partial(pin, self._reads, draft.project, text)) for text in draft.images]
        images = [booked for booked in pinned if booked is not None]
        if len(images) == len(pinned):
            reasons += uncovered(hosts, images)
        self._places.know(hosts)
        return Resolved(project, hosts, images, note, reasons)

    def objections(self, wanted: Reservation, project: Project | None, *, begun: bool = False) -> list[str]:
        """Return what stands against *wanted* at its time; *begun*: its start is not to be judged."""
        reasons = []
        if wanted.ends_at <= wanted.starts_at:
            end, start = (show_instant(at, self._zone) for at in (wanted.ends_at, wanted.starts_at))
            reasons.append(f"its end, {end}, is not after its start, {start}")
        judged = wanted.ends_at if begun else wanted.starts_at
        if judged < self._now - GRACE:
            side = "end" if begun else "start"
            now = show_instant(self._now, self._zone)
            reasons.append(f"its {side}, {show_instant(judged, self._zone)}, is in the past: it is {now}")
        if wanted.starts_at < wanted.ends_at:
            reasons += self._taken(wanted)
        if project is not None:
            reasons += self._over_limits(wanted, project)
        return reasons

    def place(self, wanted: Reservation) -> Plan:
        """Return where the images of *wanted* go, or why they cannot go anywhere."""
        return self._places.plan(wanted)

    def plan(self, wanted: Reservation, places: Plan) -> None:
        """Hold what comes later against *wanted* and its *places* too."""
        self._places.remember(wanted, places)
        for node in wanted.nodes:
            self._planned.setdefault(node, []).append(wanted)
        self._planned_of.setdefault(wanted.project, []).append(wanted)

    def _live(self, starts_at: datetime, ends_at: datetime) -> list[Reservation]:
        found = self._reads.reservations_between(starts_at, ends_at)
        return [each for each in found if each.state in LIVE and each.id not in self._besides]

    def _taken(self, wanted: Reservation) -> list[str]:
        """Return a reason for each booking that has any of the nodes at that time."""
        span = (wanted.starts_at, wanted.ends_at)
        nodes = set(wanted.nodes)
        reasons = []
        for other in self._live(*span):
            if shared := nodes.intersection(other.nodes):
                when = show_span(other.starts_at, other.ends_at, self._zone)
                who = f"reservation {other.id} of {other.project}"
                reasons.append(f"{nodeset.fold(shared)}: booked by {who}, {when}")
        rivals: dict[int, tuple[Reservation, set[str]]] = {}
        for node in wanted.nodes:
            for other in self._planned.get(node, ()):
                if other.overlaps(*span):
                    rivals.setdefault(id(other), (other, set()))[1].add(node)
        for other, shared in rivals.values():
            when = show_span(other.starts_at, other.ends_at, self._zone)
            reasons.append(
                f"{nodeset.fold(shared)}: the booking of {other.project} asked for with it, {when}"
            )
        return reasons

    def _over_limits(self, wanted: Reservation, project: Project) -> Iterable[str]:
        limits = project.limits
        hours = (wanted.ends_at - wanted.starts_at) / timedelta(hours=1)
        if limits.hours is not None and hours > limits.hours:
            yield f"{hours:g} hours: {project.name} may book {limits.hours:g} hours at a time"
        planned = self._planned_of.get(project.name, [])
        if limits.nodes is not None:
            span = (wanted.starts_at, wanted.ends_at)
            beside = [*(each for each in self._live(*span) if each.project == project.name), *planned]
            held = peak(((each.starts_at, each.ends_at, len(each.nodes)) for each in beside), span)
            if held + len(wanted.nodes) > limits.nodes:
                has = f" and has {held} then" if held else ""
                yield (f"{len(wanted.nodes)} nodes: {project.name} may book {limits.nodes} at one time{has}")
        if limits.bookings is not None and wanted.starts_at > self._now:
            end_of_time = datetime.max.replace(tzinfo=UTC)
            stored = self._reads.held_between(self._now, end_of_time, states=LIVE, project=project.name)
            ahead = sum(each.starts_at > self._now for each in stored if each.id not in self._besides)
            ahead += sum(each.starts_at > self._now for each in planned)
            if ahead >= limits.bookings:
                yield f"{project.name} may have {limits.bookings} bookings ahead and has {ahead}"


def _tried(reasons: list[str], look_up: Callable[[], T]) -> T | None:
    try:
        return look_up()
    except BootdError as error:
        reasons.append(str(error))
        return None


def pin(reads: Reads, project: str, text: str) -> Booked:
    """Return the image that ``[ROLE:][PROJECT/]IMAGE[@VERSION]`` names, its version fixed.

    Without a version the newest that can be booked; raises `BadValue`, and `Refused` with the reason.
    """
    role, colon, name = text.rpartition(":")
    if colon and role not in ("root", "mesh"):
        raise BadValue("role", role, "root or mesh")
    ref = parse_image_ref(name if "/" in name else f"{project}/{name}")
    versions = reads.image_versions(ref.project, ref.name)
    fitting = [image for image in versions if ref.version in (None, image.version)]
    if not fitting:
        known = ", ".join(str(image.version) for image in versions)
        hint = f"versions: {known}" if known else "bootd images list names them"
        raise Refused(f"no image {str(ref)!r}; {hint}")
    chosen = next((image for image in fitting if image.state in BOOKABLE), None)
    if chosen is None:
        raise Refused(_unfit(fitting[0]))
    return Booked(Role(role), ImageRef(ref.project, ref.name, chosen.version))


def _unfit(image: DiskImage) -> str:
    return f"image {image.ref} is {image.state}: {DISK_IMAGE.states[image.state]}"


def lost_images(reads: Reads, images: Iterable[Booked]) -> list[str]:
    """Return why images that were booked cannot be booked now."""
    held = {booked.image: reads.find(DiskImage, str(booked.image)) for booked in images}
    return [
        _unfit(image) if image else f"image {ref} is gone"
        for ref, image in held.items()
        if image is None or image.state not in BOOKABLE
    ]


def uncovered(hosts: Sequence[Host], images: Sequence[Booked]) -> list[str]:
    """Return why *images* and *hosts* do not go together: each node has one image, each image a node."""
    roles = [booked.role for booked in images]
    reasons = [f"two images for {_nodes_of(role)}" for role in dict.fromkeys(roles) if roles.count(role) > 1]
    if Role.NONE in roles and len(set(roles)) > 1:
        reasons.append(
            "an image for all nodes and one for a role: give each of them its role, root: or mesh:"
        )
    if not hosts or not images or Role.NONE in roles:
        return reasons
    bare = [host.name for host in hosts if host.role not in roles]
    if bare:
        reasons.append(f"{nodeset.fold(bare)}: no image for their role")
    present = {host.role for host in hosts}
    return reasons + [
        f"an image for {_nodes_of(role)} and none among the nodes" for role in set(roles) - present
    ]


def _nodes_of(role: Role) -> str:
    return f"{role} nodes" if role else "all nodes"


def _checked_note(text: str) -> str:
    if len(text) > NOTE_LENGTH or not text.isprintable():
        raise BadValue("note", text, f"a line of at most {NOTE_LENGTH} characters")
    return text
