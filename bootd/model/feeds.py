"""Calendars that programs subscribe to: who asks with the right token gets the reservations."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class CalendarFeed:
    """One subscription. Its token is shown once and kept nowhere, but for its digest."""

    id: int
    project: str  # whose reservations it shows; "" for all
    digest: str  # SHA-256 of the token, hexadecimal
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class PublishedCalendar:
    """A calendar as it goes out."""

    feed: int
    text: bytes
    etag: str  # of the text, without quotes
    modified_at: datetime  # UTC, whole seconds
