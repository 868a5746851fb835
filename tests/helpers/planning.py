"""What the calendar plans: bookings in a store, and its look at them at any hour."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bootd.events import Event
from bootd.model import Deployment, Job, JobKind, Reservation, Role
from bootd.services import jobs
from bootd.workers.planner import plan
from tests.helpers.deeds import a_deployment, a_project, a_reservation, keep
from tests.helpers.jobs import a_context
from tests.helpers.site import NOON, HandClock, memory_store

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
WRITE_LEAD = 15 * MINUTE  # of an image that nothing is known of
STAGE_LEAD = 5 * MINUTE
ROOT = {"role": Role.ROOT, "slot": None, "group": "rack"}
START, END, WRITE, STAGE = JobKind.START, JobKind.END, JobKind.WRITE_SLOT, JobKind.STAGE_LUN


def at(hours: float) -> datetime:
    return NOON + hours * HOUR


class Site:
    """A store and a clock at NOON, and the calendar that plans on them."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.store = memory_store(self.clock)
        self.events: list[Event] = []
        keep(self.store, a_project())

    def plan(self, moment: datetime | None = None) -> datetime | None:
        self.clock.at = moment or self.clock.at
        return plan(a_context(self.store, self.clock, emit=self.events.append))

    def book(
        self,
        number: int = 1,
        start: float = 10,
        end: float = 12,
        nodes: Iterable[str] = ("node1", "node2"),
        *,
        place: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Reservation:
        """Keep a reservation, booked by default, and its deployment with what *place* says of it."""
        names = tuple(nodes)
        made = a_reservation(
            number,
            **{"starts_at": at(start), "ends_at": at(end), "nodes": names, "state": "booked"} | fields,
        )
        keep(self.store, made)
        if made.images:
            standard = {"state": "sched", "flipped_at": None, "nodes": names}
            keep(self.store, a_deployment(number, number, **standard | (place or {})))
        return made

    def now_is(self, number: int, **fields: Any) -> None:
        """Change a reservation as a command would."""
        keep(self.store, replace(self.reservation(number), **fields))

    def reservation(self, number: int = 1) -> Reservation:
        found = self.store.find(Reservation, number)
        assert found is not None
        return found

    def deployment(self, number: int = 1) -> Deployment:
        found = self.store.find(Deployment, number)
        assert found is not None
        return found

    @property
    def open(self) -> list[tuple[JobKind, int | None]]:
        return [(job.kind, job.reservation) for job in reversed(self.store.jobs(states=jobs.OPEN))]

    def job(self, number: int = 1) -> Job:
        return jobs.find(self.store, number)

    def change(self, number: int, **fields: Any) -> None:
        keep(self.store, replace(self.job(number), **fields))
