"""Which octets of a file a request wants (RFC 9110 sections 13 and 14).

Done here because aiohttp 3.14 takes no entity tag in If-Range: a download that goes on after
the file was replaced would be spliced from two images.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

_SINGLE = re.compile(r"\s*bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*\Z", re.IGNORECASE)
_TAGS = re.compile(r'\s*(W/)?("[^"]*")\s*(?:,|\Z)')


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the file: *count* octets from *start*."""

    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """The range lies behind the end."""


def wanted_span(header: str | None, size: int) -> Span | Unsatisfiable | None:
    """Return what a Range header asks of a file of *size* octets; None where all of it is to be sent.

    Several ranges, an unknown unit and nonsense are ignored, as section 14.2 allows.
    """
    match = _SINGLE.match(header) if header else None
    if match is None or (not match[1] and not match[2]):
        return None
    if not match[1]:
        count = min(int(match[2]), size)
        return Span(size - count, count) if count else Unsatisfiable()
    start = int(match[1])
    end = int(match[2]) if match[2] else size - 1
    if match[2] and end < start:
        return None
    if start >= size:
        return Unsatisfiable()
    return Span(start, min(end, size - 1) - start + 1)


def entity_tag(size: int, mtime_ns: int) -> str:
    """Return the strong tag of a file as it is now."""
    return f'"{mtime_ns:x}-{size:x}"'


def http_date(mtime_ns: int) -> str:
    """Return the Last-Modified of a file; whole seconds, rounded down."""
    return format_datetime(datetime.fromtimestamp(mtime_ns // 1_000_000_000, UTC), usegmt=True)


def range_still_holds(if_range: str | None, etag: str, mtime_ns: int) -> bool:
    """Say whether the file is the one the client has a part of (RFC 9110 section 13.1.5).

    A weak tag never matches, a date only exactly.
    """
    if if_range is None:
        return True
    value = if_range.strip()
    if value.startswith(('"', "W/")):
        return value == etag
    return _seconds(value) == mtime_ns // 1_000_000_000


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditional headers of a request, as they came."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None


def conditional_status(given: Conditions, etag: str, mtime_ns: int) -> int | None:
    """Return 304 or 412 where a precondition decides the answer, else None (section 13.2.2)."""
    mtime = mtime_ns // 1_000_000_000
    if given.if_match is not None:
        if not _names(given.if_match, etag, weak=False):
            return 412
    elif (since := _seconds(given.if_unmodified_since)) is not None and mtime > since:
        return 412
    if given.if_none_match is not None:
        return 304 if _names(given.if_none_match, etag, weak=True) else None
    if (since := _seconds(given.if_modified_since)) is not None and mtime <= since:
        return 304
    return None


def _names(header: str, etag: str, *, weak: bool) -> bool:
    if header.strip() == "*":
        return True
    return any(tag == etag and (weak or not mark) for mark, tag in _TAGS.findall(header))


def _seconds(date: str | None) -> int | None:
    """Return an HTTP date in seconds since 1970; None where there is none that can be read."""
    if date is None:
        return None
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError):
        return None
