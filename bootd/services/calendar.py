"""Reservations as a calendar, and a calendar kept by hand as reservations."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo

from bootd.clock import Clock
from bootd.errors import BootdError
from bootd.formats import bookingtext, ical
from bootd.formats.bookingtext import Fields
from bootd.formats.ical import Event, Unread
from bootd.lifecycle import RESERVATION
from bootd.model import Booked, Project, Reservation
from bootd.services import deployments, nodeset
from bootd.services.booking import LIVE, Desk, Draft
from bootd.services.deployments import NO_PLAN, Plan
from bootd.services.reservations import Made, Moved, changing, keep_all, keep_taken_back, taken_back
from bootd.store import Reads, Store, Transaction

HORIZON = timedelta(days=366)  # recurring events are booked so far ahead
UNMATCHED = "neither its summary nor project: and nodes: lines of its description say what is booked"


@dataclass(slots=True)
class Imported:
    """What an import did, or would do; with *problems* and no leave for a part of it nothing was done."""

    added: list[Made] = field(default_factory=list)
    changed: list[Moved] = field(default_factory=list)
    cancelled: list[Moved] = field(default_factory=list)
    unchanged: int = 0
    over: int = 0  # events that have ended
    taken_back: int = 0  # events whose reservation was cancelled here: they stay so
    problems: list[Unread] = field(default_factory=list)
    is_written: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """How a calendar is read."""

    zone: tzinfo = UTC  # of times that name none
    summary: re.Pattern[str] | None = None
    horizon: timedelta = HORIZON
    partial: bool = False  # take what can be taken


def export(
    reads: Reads, reservations: Sequence[Reservation], name: str = "bootd", *, look_again_min: int = 0
) -> str:
    """Return *reservations* as a calendar; each change of one raises its SEQUENCE."""
    changed = reads.times_changed("reservation")
    events = (_event(each, *changed.get(str(each.id), (1, each.created_at))) for each in reservations)
    return ical.format_events(events, name, look_again_min=look_again_min)


def uid_of(reservation: Reservation) -> str:
    """Return the UID it has in calendars: that of the event it came from, or one of its own."""
    made = reservation.created_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return reservation.uid or f"reservation-{reservation.id}-{made}@bootd"


def _event(reservation: Reservation, times_changed: int, changed_at: datetime) -> Event:
    images = [f"{b.role}:{b.image}" if b.role else str(b.image) for b in reservation.images]
    fields = Fields(reservation.project, nodeset.fold(reservation.nodes), tuple(images), reservation.note)
    return Event(
        uid=uid_of(reservation),
        starts_at=reservation.starts_at,
        ends_at=reservation.ends_at,
        summary=bookingtext.summary_of(fields.project, fields.nodes),
        description=bookingtext.description_of(fields),
        cancelled=reservation.state in ("cancelled", "failed"),
        categories=(reservation.project,),
        sequence=times_changed - 1,
        stamp_at=changed_at,
    )


def import_(
    store: Store,
    actor: str,
    text: str,
    rules: Rules,
    *,
    clock: Clock,
    source: str = "calendar",
    dry_run: bool = False,
) -> Imported:
    """Make the reservations say what a calendar says; events it no longer has are left alone.

    Known again by their UID, so that the same calendar changes nothing the second time. With any
    problem nothing is written, unless the rules allow a part. Raises `BadText` where it is none.
    """
    now = clock()
    read = ical.parse_events(text, zone=rules.zone, after=now, until=now + rules.horizon, source=source)
    with changing(store, actor, "reservations import", dry_run=dry_run) as change:
        plan = _Plan(change, actor, rules, now)
        plan.done.problems += read.unread
        for event in read.events:
            plan.take(event)
        plan.check()
        if rules.partial or not plan.done.problems:
            plan.write(change)
            plan.done.is_written = not dry_run
    return plan.done


@dataclass(frozen=True, slots=True)
class _Candidate:
    event: Event
    held: Reservation | None
    wanted: Reservation
    project: Project | None

    @property
    def is_shorter(self) -> bool:
        """Whether it only gives time back: its places are not to be judged."""
        held, wanted = self.held, self.wanted
        return (
            held is not None
            and wanted.ends_at < held.ends_at
            and replace(wanted, ends_at=held.ends_at) == held
        )


class _Plan:
    """Works out what the events of one calendar change."""

    def __init__(self, reads: Reads, actor: str, rules: Rules, now: datetime) -> None:
        self._reads, self._actor, self._rules, self._now = reads, actor, rules, now
        self._desk = Desk(reads, now=now, zone=rules.zone)
        every = reads.every(Reservation)
        self._held = {uid_of(each): each for each in every}
        self._series = {each.uid.partition("#")[0]: each.series for each in every if each.uid and each.series}
        self._candidates: list[_Candidate] = []
        self._places: dict[int, Plan] = {}  # by the identity of the candidate
        self.done = Imported()

    def take(self, event: Event) -> None:
        held = self._held.get(event.uid)
        if event.cancelled:
            if held is not None and held.state in LIVE:
                self.done.cancelled.append(Moved(held, taken_back(held)))
        elif event.ends_at <= self._now:
            self.done.over += 1
        elif held is not None and held.state not in LIVE:
            self.done.taken_back += 1
        else:
            try:
                self._wish(event, held)
            except BootdError as error:
                self._problem(event, [str(error)])

    def _wish(self, event: Event, held: Reservation | None) -> None:
        fields = bookingtext.read_fields(event.summary, event.description, self._rules.summary)
        if fields is None:
            self._problem(event, [UNMATCHED])
            return
        images = tuple(_as_held(text, fields.project, held) for text in fields.images)
        found = self._desk.resolve(Draft(fields.project, fields.nodes, images, fields.note))
        if found.reasons:
            self._problem(event, found.reasons)
            return
        wanted = Reservation(
            id=held.id if held else 0,
            project=fields.project,
            starts_at=event.starts_at,
            ends_at=event.ends_at,
            nodes=found.nodes,
            images=tuple(found.images),
            created_at=held.created_at if held else self._now,
            created_by=held.created_by if held else self._actor,
            note=found.note,
            series=held.series if held else self._series.get(event.series, ""),
            uid=held.uid if held else event.uid,
            state=held.state if held else RESERVATION.first,
        )
        if wanted == held:
            self.done.unchanged += 1
            return
        if held is not None:
            only_its_end = replace(wanted, ends_at=held.ends_at) == held
            RESERVATION.after(held.state, "extend" if only_its_end else "move")
        self._candidates.append(_Candidate(event, held, wanted, found.project))

    def check(self) -> None:
        """Hold the candidates against the store and each other.

        One that fails keeps its old place, which may be in the way of another: hence the rounds.
        """
        left = self._candidates
        while True:
            leaving = [each.wanted.id for each in left if each.held]
            leaving += [moved.before.id for moved in self.done.cancelled]
            desk = Desk(self._reads, now=self._now, zone=self._rules.zone, besides=leaving)
            good = [each for each in left if self._fits(desk, each)]
            if len(good) == len(left):
                self._candidates = good
                return
            left = good

    def _fits(self, desk: Desk, candidate: _Candidate) -> bool:
        begun = candidate.held is not None and candidate.held.starts_at == candidate.wanted.starts_at
        reasons = desk.objections(candidate.wanted, candidate.project, begun=begun)
        places = NO_PLAN if candidate.is_shorter else desk.place(candidate.wanted)
        if reasons or places.reasons:
            self._problem(candidate.event, [*reasons, *places.reasons])
            return False
        desk.plan(candidate.wanted, places)
        self._places[id(candidate)] = places
        return True

    def write(self, change: Transaction) -> None:
        for moved in self.done.cancelled:
            keep_taken_back(change, moved)
        fresh: dict[str, list[Made]] = {}
        for each in self._candidates:
            places = self._places[id(each)]
            if each.held is None:
                fresh.setdefault(each.event.series, []).append(Made(each.wanted, places))
            else:
                change.keep(each.wanted)
                places = deployments.keep(change, each.wanted, places)
                self.done.changed.append(Moved(each.held, each.wanted, places))
        for series, wanted in fresh.items():
            self.done.added += keep_all(change, wanted, is_series=bool(series))

    def _problem(self, event: Event, reasons: Iterable[str]) -> None:
        uid = event.series or event.uid
        self.done.problems += [Unread(event.summary, uid, f"{_when(event)}: {each}") for each in reasons]


def _when(event: Event) -> str:
    return f"{event.starts_at:%Y-%m-%d %H:%M} UTC"


def _as_held(text: str, project: str, held: Reservation | None) -> str:
    """Return *text* with the version that was booked: a newer one must not change a booking by itself."""
    role, colon, name = text.rpartition(":")
    path = name if "/" in name else f"{project}/{name}"
    for booked in held.images if held else ():
        if _is_same(booked, role, path):
            return f"{role}{colon}{booked.image}"
    return text


def _is_same(booked: Booked, role: str, path: str) -> bool:
    return booked.role == role and f"{booked.image.project}/{booked.image.name}" == path
