"""iCalendar (RFC 5545): events written and read; recurring ones are spelled out within a bound.

Writing needs no library; reading is left to `icalendar`, imported when a calendar is read.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from bootd.errors import BadText, Mistake
from bootd.formats.instants import YEARS

MOST_OCCURRENCES = 1000  # of one event
_STAMP = "%Y%m%dT%H%M%SZ"
_ROW = 74  # octets; a row that goes on begins with a space
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PRODUCT = "-//bootd//reservations//EN"
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")  # not HOURLY: nobody keeps such a calendar by hand
_RULE_PARTS = frozenset(
    (
        *("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST"),
        *("BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYMONTH", "BYSETPOS"),
    )
)
_LAST_INTERVAL = 1000
_NEEDED = ("UID", "DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID", "STATUS")
# what the library is known to raise at texts that are no calendar
_BROKEN = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
    OSError,
)


@dataclass(frozen=True, slots=True)
class Event:
    """One event, or one occurrence of a recurring one. Instants are UTC."""

    uid: str  # an occurrence's: that of its event, "#", and the start the rule gave it
    starts_at: datetime
    ends_at: datetime
    summary: str = ""
    description: str = ""
    series: str = ""  # UID of the recurring event
    cancelled: bool = False
    categories: tuple[str, ...] = ()
    sequence: int = 0
    stamp_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)  # last changed


@dataclass(frozen=True, slots=True)
class Unread:
    """An event that could not be taken, by what people know it by."""

    summary: str
    uid: str
    reason: str


@dataclass(frozen=True, slots=True)
class Events:
    """What a calendar holds, by start."""

    events: tuple[Event, ...]
    unread: tuple[Unread, ...]


def format_events(events: Iterable[Event], name: str, *, look_again_min: int = 0) -> str:
    """Return a calendar; the same events give the same text.

    *look_again_min*: how often, in minutes, programs that subscribe may ask for it (RFC 7986 section 5.7).
    """
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:{_PRODUCT}", "CALSCALE:GREGORIAN", "METHOD:PUBLISH"]
    lines.append(f"X-WR-CALNAME:{_escaped(name)}")
    if look_again_min:
        lines.append(f"REFRESH-INTERVAL;VALUE=DURATION:PT{look_again_min}M")
        lines.append(f"X-PUBLISHED-TTL:PT{look_again_min}M")  # what programs ask by that are older than that
    for event in events:
        lines += _event_lines(event)
    lines.append("END:VCALENDAR")
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _event_lines(event: Event) -> list[str]:
    stamp = event.stamp_at.astimezone(UTC).strftime(_STAMP)
    return [
        "BEGIN:VEVENT",
        f"UID:{_escaped(event.uid)}",
        f"DTSTAMP:{stamp}",
        f"LAST-MODIFIED:{stamp}",
        f"SEQUENCE:{event.sequence}",
        f"DTSTART:{event.starts_at.astimezone(UTC).strftime(_STAMP)}",
        f"DTEND:{event.ends_at.astimezone(UTC).strftime(_STAMP)}",
        f"SUMMARY:{_escaped(event.summary)}",
        f"DESCRIPTION:{_escaped(event.description)}",
        f"CATEGORIES:{','.join(map(_escaped, event.categories))}",
        f"STATUS:{'CANCELLED' if event.cancelled else 'CONFIRMED'}",
        "TRANSP:OPAQUE",
        "END:VEVENT",
    ]


def _escaped(text: str) -> str:
    """Return *text* as a TEXT value (section 3.3.11), control characters left out."""
    for plain, escaped in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        text = text.replace(plain, escaped)
    return _CONTROL.sub("", text)


def _folded(line: str) -> str:
    """Cut *line* into lines of at most 75 octets, no character cut through (section 3.1)."""
    if line.isascii():
        return "\r\n ".join(line[at : at + _ROW] for at in range(0, len(line), _ROW))
    rows, size = [""], 0
    for char in line:
        octets = len(char.encode("utf-8", "replace"))
        if size + octets > _ROW:
            rows.append("")
            size = 0
        rows[-1] += char
        size += octets
    return "\r\n ".join(rows)


def parse_events(
    text: str, *, zone: tzinfo, after: datetime, until: datetime, source: str = "calendar"
) -> Events:
    """Return the events of *text*; times without a zone are those of *zone*.

    Recurring events are spelled out: the occurrences that end after *after* and start before *until*.
    Raises `BadText` where it is no calendar.
    """
    from icalendar import Calendar

    try:
        calendars = Calendar.from_ical(text, multiple=True)
        components = [part for each in calendars for part in each.walk("VEVENT")]
    except _BROKEN as error:
        raise BadText(source, [Mistake(0, f"no iCalendar file: {_told(error)}")]) from None
    if not calendars or any(each.name != "VCALENDAR" for each in calendars):
        raise BadText(source, [Mistake(0, "no iCalendar file: it must begin with BEGIN:VCALENDAR")])
    reader = _Reader(zone, after, until)
    for component in components:
        reader.take(component)
    return reader.result()


def _told(error: Exception) -> str:
    if isinstance(error, OSError):  # TZID=Europe/ is a folder of the zones
        return "one of its time zones is none"
    return " ".join(str(error).split())[:200] or type(error).__name__


class _Cannot(Exception):
    """Says why an event cannot be taken."""


class _Reader:
    """Collects events, then puts the changed occurrences of recurring ones in their places."""

    def __init__(self, zone: tzinfo, after: datetime, until: datetime) -> None:
        self._zone, self._after, self._until = zone, after, until
        self._masters: dict[str, list[Event]] = {}
        self._changed: dict[str, Event] = {}
        self._unread: list[Unread] = []

    def take(self, component: Any) -> None:
        summary, uid = _text(component, "SUMMARY"), _text(component, "UID").strip()
        try:
            for name, why in component.errors:
                if name in _NEEDED:
                    raise _Cannot(f"{name}: {why}")
            self._take(component, uid)
        except _Cannot as error:
            self._unread.append(Unread(summary, uid, str(error)))
        except _BROKEN as error:
            self._unread.append(Unread(summary, uid, f"cannot be read: {_told(error)}"))

    def _take(self, component: Any, uid: str) -> None:
        if not uid:
            raise _Cannot("it has no UID, it could not be known again")
        event = self._event(component, uid)
        changed = component.get("RECURRENCE-ID")
        if changed is not None:
            if "RANGE" in changed.params:
                raise _Cannot("it changes all occurrences from one on (RANGE): make it an event of its own")
            place = self._instant(changed)
            event = replace(event, uid=f"{uid}#{place.strftime(_STAMP)}", series=uid)
            self._changed[event.uid] = event
            return
        if uid in self._masters:
            raise _Cannot("there are two events with this UID")
        is_recurring = "RRULE" in component or "RDATE" in component
        self._masters[uid] = list(self._occurrences(component, event)) if is_recurring else [event]

    def _event(self, component: Any, uid: str) -> Event:
        start = component.get("DTSTART")
        if start is None:
            raise _Cannot("it has no start")
        starts_at = self._instant(start)
        ends_at = self._end(component, start.dt, starts_at)
        if ends_at <= starts_at:
            raise _Cannot("its end is not after its start")
        return Event(
            uid=uid,
            starts_at=starts_at,
            ends_at=ends_at,
            summary=_text(component, "SUMMARY"),
            description=_text(component, "DESCRIPTION"),
            cancelled=_text(component, "STATUS").strip().upper() == "CANCELLED",
        )

    def _end(self, component: Any, start: date, starts_at: datetime) -> datetime:
        end, duration = component.get("DTEND"), component.get("DURATION")
        if end is not None:
            return self._instant(end)
        length = duration.dt if duration is not None else None
        if isinstance(start, datetime):
            return starts_at + length if length else starts_at
        return self._at(datetime.combine(start, time()) + (length or timedelta(days=1)), None)

    def _instant(self, prop: Any) -> datetime:
        """Return what a property says; raises `_Cannot`."""
        value = prop.dt
        if isinstance(value, datetime):
            if value.tzinfo is None and "TZID" in prop.params:
                raise _Cannot(f"its time zone {prop.params['TZID']!r} is not known")
            return self._at(value.replace(tzinfo=None), value.tzinfo)
        if isinstance(value, date):
            return self._at(datetime.combine(value, time()), None)
        raise _Cannot("its start or end is no time")

    def _at(self, wall: datetime, zone: tzinfo | None) -> datetime:
        """Of a time that comes twice the first, of one left out that by the clocks before (3.3.5)."""
        if wall.year not in YEARS:
            raise _Cannot(f"the year {wall.year} is not one of {YEARS[0]} to {YEARS[-1]}")
        return wall.replace(tzinfo=zone or self._zone, fold=0).astimezone(UTC)

    def _occurrences(self, component: Any, event: Event) -> Iterator[Event]:
        length = event.ends_at - event.starts_at
        value = component["DTSTART"].dt
        own_zone = value.tzinfo if isinstance(value, datetime) else None
        left_out = {self._instant(each) for each in _listed(component, "EXDATE")}
        starts = {event.starts_at, *(self._instant(each) for each in _listed(component, "RDATE"))}
        if "RRULE" in component:
            first = event.starts_at.astimezone(own_zone or self._zone).replace(tzinfo=None)
            starts |= {self._at(wall, own_zone) for wall in self._walls(component["RRULE"], first, own_zone)}
        ahead = [at for at in sorted(starts - left_out) if at + length > self._after and at < self._until]
        if len(ahead) > MOST_OCCURRENCES:
            raise _Cannot(f"it comes {len(ahead)} times, at most {MOST_OCCURRENCES} can be taken")
        for at in ahead:
            uid = f"{event.uid}#{at.strftime(_STAMP)}"
            yield replace(event, uid=uid, series=event.uid, starts_at=at, ends_at=at + length)

    def _walls(self, rule: Any, first: datetime, zone: tzinfo | None) -> Iterator[datetime]:
        """Return the local times of a rule from *first* to the bound."""
        from dateutil.rrule import rrule, rrulestr

        if isinstance(rule, list):
            raise _Cannot("it has two rules")
        parts = {str(name).upper(): value for name, value in rule.items()}
        _check_rule(parts)
        bound = self._until.astimezone(zone or self._zone).replace(tzinfo=None)
        for until in parts.pop("UNTIL", []):
            bound = min(bound, _wall_until(until, zone or self._zone))
        counts = [int(each) for each in parts.pop("COUNT", [])]
        kept = type(rule)(parts).to_ical().decode()
        # without an end of its own a rule that never fits would be tried up to the year 9999
        walls = rrulestr(kept, dtstart=first)
        if not isinstance(walls, rrule):
            raise _Cannot("its rule cannot be read")
        return itertools.islice(walls.replace(until=bound), counts[0] if counts else None)

    def result(self) -> Events:
        found: dict[str, Event] = {}
        for events in self._masters.values():
            found |= {event.uid: event for event in events}
        found |= self._changed
        events = sorted(found.values(), key=lambda event: (event.starts_at, event.uid))
        return Events(tuple(events), tuple(self._unread))


def _check_rule(parts: Mapping[str, Any]) -> None:
    """Refuse rules that people do not write and that would keep us busy."""
    frequency = [str(each).upper() for each in parts.get("FREQ", [])]
    if frequency[:1] == [] or frequency[0] not in _FREQUENCIES:
        raise _Cannot(f"its rule is not one of {', '.join(_FREQUENCIES)}")
    if odd := sorted(set(parts) - _RULE_PARTS):
        raise _Cannot(f"its rule has {', '.join(odd)}, which is not supported")
    for interval in parts.get("INTERVAL", []):
        if not 1 <= int(interval) <= _LAST_INTERVAL:
            raise _Cannot(f"its rule has the interval {interval}, not 1 to {_LAST_INTERVAL}")


def _wall_until(until: date, zone: tzinfo) -> datetime:
    if not isinstance(until, datetime):
        return datetime.combine(until, time.max)
    return until if until.tzinfo is None else until.astimezone(zone).replace(tzinfo=None)


def _listed(component: Any, name: str) -> Iterator[Any]:
    """Yield the dates of a property that may hold many and come often, each with its parameters."""
    held = component.get(name, [])
    for prop in held if isinstance(held, list) else [held]:
        yield from prop.dts


def _text(component: Any, name: str) -> str:
    value = component.get(name, "")
    return str(value[0] if isinstance(value, list) and value else value)
