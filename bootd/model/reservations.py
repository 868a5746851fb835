"""Reservations: who has which machines, when, and with which image."""

from dataclasses import dataclass
from datetime import datetime

from bootd.model.images import ImageRef
from bootd.model.machines import Role


@dataclass(frozen=True, slots=True)
class Booked:
    """An image for the nodes of one role; `Role.NONE` is for all of them."""

    role: Role
    image: ImageRef  # with its version: what was booked is what will run


@dataclass(frozen=True, slots=True)
class Reservation:
    """A booking of *nodes* from *starts_at* to *ends_at*, the end not included."""

    id: int
    project: str
    starts_at: datetime  # UTC
    ends_at: datetime  # UTC
    nodes: tuple[str, ...]  # host names, sorted
    images: tuple[Booked, ...]
    created_at: datetime
    created_by: str
    note: str = ""
    series: str = ""  # the id that the bookings of a recurring one share
    uid: str = ""  # of the calendar event it came from
    state: str = "booked"  # see lifecycle.tables.RESERVATION

    def overlaps(self, starts_at: datetime, ends_at: datetime) -> bool:
        """Tell whether any instant is in both; bookings that touch do not overlap."""
        return self.starts_at < ends_at and starts_at < self.ends_at
