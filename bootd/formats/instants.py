"""Instants as people write them: a zone's local time, or with an offset or a zone of its own."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bootd.errors import BadValue

_WALL = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?))?", re.ASCII)
_AFTER = re.compile(r"\+([0-9]{1,5})([mhd])\Z")
_OFFSET = re.compile(r"(Z|[+-]\d\d:?\d\d)\Z", re.ASCII)
YEARS = range(1970, 2200)  # so that no arithmetic with them leaves the calendar
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
FORMS = "a time such as '2026-01-05 09:00', '2026-01-05 09:00+01:00', '2026-01-05 09:00 Europe/Berlin' or +2h"


def parse_instant(text: str, zone: tzinfo, *, base: datetime, field: str = "time") -> datetime:
    """Return the aware instant *text* names, in the zone it is written in; ``+2h`` counts from *base*.

    Raises `BadValue`, also for a local time that a zone has twice or leaves out: with both readings.
    """
    words = text.strip()
    try:
        if words == "now":
            return base.astimezone(zone)
        if after := _AFTER.match(words):
            at = (base.astimezone(UTC) + timedelta(**{_UNITS[after[2]]: int(after[1])})).astimezone(zone)
        else:
            at = _parse_wall(words, zone, field)
        if at.year not in YEARS:
            raise ValueError
        return at
    except (OverflowError, ValueError):
        raise BadValue(field, text, FORMS) from None


def _parse_wall(words: str, zone: tzinfo, field: str) -> datetime:
    match = _WALL.match(words)
    if match is None:
        raise ValueError
    wall = datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00'}")
    rest = words[match.end() :].strip()
    if _OFFSET.match(rest):
        return datetime.fromisoformat(f"{wall.isoformat()}{rest}")
    return at_wall(wall, find_zone(rest.strip("[]"), field) if rest else zone, field)


def at_wall(wall: datetime, zone: tzinfo, field: str = "time") -> datetime:
    """Return the one instant at which the clocks of *zone* show *wall*; raises `BadValue`."""
    readings = [wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    if readings[0].utcoffset() == readings[1].utcoffset():
        return readings[0]
    first, second = (each.astimezone(UTC).astimezone(zone) for each in readings)
    either = f"write {first.isoformat(timespec='minutes')} or {second.isoformat(timespec='minutes')}"
    if first.replace(tzinfo=None, fold=0) == wall:
        why = f"one instant: the clocks of {zone_name(zone)} go back and show it twice"
    else:
        why = f"a time of {zone_name(zone)}: the clocks go forward over it"
    raise BadValue(field, f"{wall:%Y-%m-%d %H:%M}", f"{why}; {either}")


def find_zone(name: str, field: str = "time zone") -> ZoneInfo:
    """Return the zone of that name; raises `BadValue`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones, "Europe"
        raise BadValue(field, name, "a time zone such as Europe/Berlin") from None


def zone_name(zone: tzinfo) -> str:
    """Return how people call *zone*."""
    return getattr(zone, "key", None) or str(zone)


def show_instant(at: datetime, zone: tzinfo) -> str:
    """Return *at* to the minute, in local time."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def show_span(starts_at: datetime, ends_at: datetime, zone: tzinfo) -> str:
    """Return a span in local time with its zone named; the date of the end only where it differs."""
    start, end = starts_at.astimezone(zone), ends_at.astimezone(zone)
    until = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
    return f"{start:%Y-%m-%d %H:%M} – {until} {zone_name(zone)}"
