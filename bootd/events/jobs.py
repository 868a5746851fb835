"""The calendar and its jobs."""

from dataclasses import dataclass
from typing import ClassVar

from bootd.events.base import Event


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
