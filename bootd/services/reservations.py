"""Reservations: booked, moved, extended, taken back; two commands never both book."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo

from bootd.clock import Clock
from bootd.errors import BadValue, BootdError, CannotBook, NotFound, Refused
from bootd.formats.instants import at_wall, show_span
from bootd.lifecycle import RESERVATION
from bootd.model import Reservation
from bootd.services import deployments, nodeset, projects
from bootd.services.booking import LIVE, Desk, Draft, Resolved, lost_images, uncovered, whole_seconds
from bootd.services.deployments import NO_PLAN, Plan
from bootd.services.freetime import first_common
from bootd.store import JournalEntry, Reads, Store, Transaction

STEPS = {"daily": 1, "weekly": 7}  # days from one to the next
MOST_DATES = 366  # of one series
LONGEST = timedelta(days=3660)
_END_OF_TIME = datetime(9000, 1, 1, tzinfo=UTC)  # beyond every booking, and far from an overflow
_FIRST_LOOK = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Repeat:
    """How a booking comes again; *until* is the last day on which one may start."""

    step: str  # daily | weekly
    count: int | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """A booking as it is asked for. A repetition keeps the hour of the zone its start is in."""

    draft: Draft
    starts_at: datetime
    ends_at: datetime
    repeat: Repeat | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A new reservation, and where its images go."""

    reservation: Reservation
    plan: Plan = NO_PLAN


@dataclass(frozen=True, slots=True)
class Moved:
    """A reservation as it was and as it is."""

    before: Reservation
    after: Reservation
    plan: Plan = NO_PLAN


@dataclass(frozen=True, slots=True)
class Free:
    """A time at which nodes are free, and which of those asked for."""

    starts_at: datetime
    ends_at: datetime
    nodes: tuple[str, ...]


class _OnlyTried(Exception):
    """Takes back what was tried."""


@contextmanager
def changing(store: Store, actor: str, what: str, *, dry_run: bool) -> Iterator[Transaction]:
    """Write in one transaction; a dry run does all of it too and then takes it back."""
    try:
        with store.transaction(actor, what) as change:
            yield change
            if dry_run:
                raise _OnlyTried
    except _OnlyTried:
        return


def add(
    store: Store, actor: str, wish: Wish, *, clock: Clock, zone: tzinfo = UTC, dry_run: bool = False
) -> list[Made]:
    """Book what is asked for, every date of it or none; raises `CannotBook` with every reason."""
    with changing(store, actor, "reservations add", dry_run=dry_run) as change:
        now = clock()
        desk = Desk(change, now=now, zone=zone)
        found = desk.resolve(wish.draft)
        reasons = list(found.reasons)
        dates, unreal = _dates(wish)
        reasons += unreal
        drafts: list[Made] = []
        homeless: set[str] = set()  # why images have no place: often the same on every date, told once
        for span in dates:
            draft = _reservation(wish.draft.project, found, *span, now, actor)
            places = NO_PLAN if found.reasons else desk.place(draft)
            told = desk.objections(draft, found.project)
            told += [each for each in places.reasons if each not in homeless]
            homeless.update(places.reasons)
            when = f"{show_span(draft.starts_at, draft.ends_at, zone)}: " if wish.repeat else ""
            reasons += [f"{when}{reason}" for reason in told]
            desk.plan(draft, places)
            drafts.append(Made(draft, places))
        if reasons:
            raise CannotBook(f"cannot book for {wish.draft.project}", reasons)
        made = keep_all(change, drafts, is_series=wish.repeat is not None)
    return made


def keep_all(change: Transaction, drafts: Iterable[Made], *, is_series: bool) -> list[Made]:
    """Write new reservations with ids of their own, and one series id where they are one."""
    made: list[Made] = []
    for draft in drafts:
        number = change.next_id(Reservation)
        first = made[0].reservation.id if made else number
        series = draft.reservation.series or (f"s{first}" if is_series else "")
        kept = replace(draft.reservation, id=number, series=series)
        change.keep(kept)
        made.append(Made(kept, deployments.keep(change, kept, draft.plan)))
    return made


def _reservation(
    project: str, found: Resolved, starts_at: datetime, ends_at: datetime, now: datetime, actor: str
) -> Reservation:
    return Reservation(
        id=0,
        project=project,
        starts_at=starts_at,
        ends_at=ends_at,
        nodes=found.nodes,
        images=tuple(found.images),
        created_at=now,
        created_by=actor,
        note=found.note,
        state=RESERVATION.first,
    )


def _dates(wish: Wish) -> tuple[list[tuple[datetime, datetime]], list[str]]:
    """Return each start and end in UTC, and why some of the dates cannot be; raises `BadValue`."""
    repeat = wish.repeat
    if repeat is None:
        return [(whole_seconds(wish.starts_at), whole_seconds(wish.ends_at))], []
    found, unreal = [], []
    for number in range(_count(repeat, wish.starts_at)):
        days = timedelta(days=number * STEPS[repeat.step])
        try:
            span = [_days_on(at, days) for at in (wish.starts_at, wish.ends_at)]
            found.append((span[0], span[1]))
        except BadValue as error:
            unreal.append(str(error))
    return found, unreal


def _days_on(at: datetime, days: timedelta) -> datetime:
    """Return the instant so many days on at which the clocks show the same hour."""
    zone = at.tzinfo
    if not days or zone is None:
        return whole_seconds(at)
    return whole_seconds(at_wall(at.replace(tzinfo=None, fold=0) + days, zone))


def _count(repeat: Repeat, first: datetime) -> int:
    if repeat.step not in STEPS:
        raise BadValue("repeat", repeat.step, "one of " + ", ".join(STEPS))
    if (repeat.count is None) == (repeat.until is None):
        raise Refused("a repetition needs its end: either a count or the last day")
    if repeat.until is not None:
        count = (repeat.until - first.date()).days // STEPS[repeat.step] + 1
        if count < 1:
            raise BadValue("last day", str(repeat.until), f"on or after the first, {first.date()}")
    else:
        count = repeat.count or 0
    if not 1 <= count <= MOST_DATES:
        raise BadValue("repetition", str(count), f"1 to {MOST_DATES} dates")
    return count


def find(reads: Reads, number: int) -> Reservation:
    """Return a reservation; raises `NotFound`."""
    found = reads.find(Reservation, number)
    if found is None:
        raise NotFound("reservation", str(number), "bootd reservations list names them")
    return found


def move(
    store: Store,
    actor: str,
    number: int,
    *,
    clock: Clock,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    nodes: str | None = None,
    zone: tzinfo = UTC,
    dry_run: bool = False,
) -> Moved:
    """Give a booking another time or other nodes; without *ends_at* it stays as long as it is.

    Raises `NotFound`, `IllegalMove` once it has begun, `CannotBook` with every reason.
    """
    with changing(store, actor, "reservations move", dry_run=dry_run) as change:
        before = find(change, number)
        state = RESERVATION.after(before.state, "move")
        start = whole_seconds(starts_at or before.starts_at)
        end = whole_seconds(ends_at or start + (before.ends_at - before.starts_at))
        names, reasons = before.nodes, []
        if nodes is not None:
            try:
                names = tuple(sorted(host.name for host in nodeset.parse(nodes, change.hosts())))
            except BootdError as error:
                reasons.append(str(error))
        after = replace(before, starts_at=start, ends_at=end, nodes=names, state=state)
        places = _check_again(change, after, reasons, now=clock(), zone=zone)
        change.keep(after)
        places = deployments.keep(change, after, places)
    return Moved(before, after, places)


def extend(
    store: Store,
    actor: str,
    number: int,
    ends_at: datetime,
    *,
    clock: Clock,
    zone: tzinfo = UTC,
    dry_run: bool = False,
) -> Moved:
    """Give a booking another end, later or earlier, also while it runs.

    Raises `NotFound`, `IllegalMove`, `CannotBook` with every reason.
    """
    with changing(store, actor, "reservations extend", dry_run=dry_run) as change:
        before = find(change, number)
        state = RESERVATION.after(before.state, "extend")
        after = replace(before, ends_at=whole_seconds(ends_at), state=state)
        places = NO_PLAN
        if after.ends_at > before.ends_at:
            places = _check_again(change, after, [], now=clock(), zone=zone, begun=True)
        else:  # giving back needs nobody's leave, nor a project that may book
            told = Desk(change, now=clock(), zone=zone, besides=[number])
            _refuse(after, told.objections(after, None, begun=True))
        change.keep(after)
        places = deployments.keep(change, after, places)
    return Moved(before, after, places)


def _check_again(
    change: Transaction,
    wanted: Reservation,
    reasons: Sequence[str],
    *,
    now: datetime,
    zone: tzinfo,
    begun: bool = False,
) -> Plan:
    """Hold a changed booking against everything and return its places; *reasons* are known already."""
    desk = Desk(change, now=now, zone=zone, besides=[wanted.id])
    hosts = [host for name in wanted.nodes if (host := change.host(name)) is not None]
    gone = set(wanted.nodes) - {host.name for host in hosts}
    reasons = [*reasons, *([f"{nodeset.fold(gone)}: no such host any more"] if gone else [])]
    reasons += [*lost_images(change, wanted.images), *uncovered(hosts, wanted.images)]
    try:
        project = projects.require(change, wanted.project)
    except Refused as error:
        reasons.append(str(error))
        project = None
    reasons += desk.objections(wanted, project, begun=begun)
    places = desk.place(wanted)
    _refuse(wanted, list(dict.fromkeys([*reasons, *places.reasons])))
    return places


def _refuse(wanted: Reservation, reasons: Sequence[str]) -> None:
    if reasons:
        raise CannotBook(f"reservation {wanted.id} of {wanted.project} stays as it is", reasons)


def cancel(
    store: Store, actor: str, numbers: Sequence[int], *, series: bool = False, dry_run: bool = False
) -> list[Moved]:
    """Take bookings back; *series*: with all of theirs that are not over.

    Raises `NotFound`, and `IllegalMove` for one that is over: then none of them is taken back.
    """
    with changing(store, actor, "reservations cancel", dry_run=dry_run) as change:
        chosen = {number: find(change, number) for number in numbers}
        named = {each.series for each in chosen.values() if each.series} if series else set()
        if named:
            every = change.every(Reservation)
            ahead = {each.id: each for each in every if each.series in named and each.state in LIVE}
            alone = {n: each for n, each in chosen.items() if each.series not in named}
            chosen = ahead | alone or chosen
        gone = [Moved(each, taken_back(each)) for each in chosen.values()]
        for moved in gone:
            keep_taken_back(change, moved)
    return gone


def taken_back(reservation: Reservation) -> Reservation:
    """Return it cancelled; raises `IllegalMove`."""
    return replace(reservation, state=RESERVATION.after(reservation.state, "cancel"))


def keep_taken_back(change: Transaction, moved: Moved) -> None:
    """Write that a reservation was cancelled; the places of one that runs are given up at its end."""
    change.keep(moved.after)
    if moved.before.state == RESERVATION.first:
        deployments.release(change, moved.after)


def next_free(reads: Reads, nodes: str, hours: float, after: datetime, *, count: int | None = None) -> Free:
    """Return the first time from *after* on at which *count* of *nodes* (None: all) are free so long.

    Raises `BadValue`, `NotFound`.
    """
    length = _length(hours)
    names = [host.name for host in nodeset.parse(nodes, reads.hosts())]
    needed = len(names) if count is None else count
    if not 1 <= needed <= len(names):
        raise BadValue("number of nodes", str(needed), f"1 to {len(names)}, as many as {nodes} names")
    after = after.astimezone(UTC)
    seen_until = after + max(_FIRST_LOOK, 2 * length)
    while True:
        held = reads.held_between(after, seen_until, states=LIVE, nodes=set(names))
        at, free = first_common(held, names, needed, after, length)
        if at + length <= seen_until:  # beyond it there may be bookings that were not looked at
            return Free(at, at + length, tuple(free[:needed]))
        after, seen_until = at, min(at + length + 4 * (seen_until - after), _END_OF_TIME)


def _length(hours: float) -> timedelta:
    if not 0 < hours <= LONGEST / timedelta(hours=1):
        raise BadValue("hours", f"{hours:g}", "a number of hours above 0, at most ten years")
    return timedelta(hours=hours)


def select(
    reads: Reads, *, project: str | None = None, nodes: str | None = None, over: bool = False
) -> list[Reservation]:
    """Return the reservations by their start: those that hold nodes, with *over* the others too."""
    states = tuple(RESERVATION.states) if over else LIVE
    found = reads.reservations_in(states, project=project)
    if nodes is None:
        return found
    names = {host.name for host in nodeset.parse(nodes, reads.hosts())}
    return [each for each in found if not names.isdisjoint(each.nodes)]


def history(reads: Reads, number: int) -> list[JournalEntry]:
    """Return what was done to a reservation and to its deployments, oldest first."""
    deployed = [str(each.id) for each in reads.deployments_of(number)]
    entries = [
        *reads.entries_about("reservation", [str(number)]),
        *reads.entries_about("deployment", deployed),
    ]
    return sorted(entries, key=lambda entry: entry.id)
