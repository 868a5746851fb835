"""The calendar writes down what is due, once, and takes back what has no use any more."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bootd.events import Event, InternalError, ReservationMissed
from bootd.model import (
    Deployment,
    Host,
    ImageKind,
    Job,
    JobKind,
    JobPart,
    LunPair,
    Outcome,
    Reservation,
    Role,
)
from bootd.services import jobs
from bootd.workers.agenda import free_for
from bootd.workers.planner import plan
from tests.helpers.bookings import a_disk_image
from tests.helpers.deeds import a_deployment, a_job, a_pair, a_project, a_reservation, a_slot, keep
from tests.helpers.jobs import a_context
from tests.helpers.site import NOON, HandClock, a_host, memory_store

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
WRITE_LEAD = 15 * MINUTE  # of an image that nothing is known of
STAGE_LEAD = 5 * MINUTE
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


@pytest.fixture
def site() -> Site:
    return Site()


ROOT = {"role": Role.ROOT, "slot": None, "group": "rack"}


# -- images on their way -------------------------------------------------------------------------


def test_slot_is_written_a_lead_time_before_the_start(site: Site) -> None:
    site.book()
    due_at = at(10) - WRITE_LEAD
    assert site.plan() == due_at
    assert site.plan(due_at - timedelta(seconds=1)) == due_at
    assert site.open == []
    site.plan(due_at)
    assert site.open == [(WRITE, 1)]
    job = site.job()
    assert (job.deployment, job.nodes, job.created_by, job.due_at) == (
        1,
        ("node1", "node2"),
        "calendar",
        due_at,
    )
    assert site.store.job_parts(1) == [JobPart(1, "node1"), JobPart(1, "node2")]


def test_lun_is_staged_a_lead_time_before_the_start(site: Site) -> None:
    site.book(place=ROOT)
    site.plan(at(10) - STAGE_LEAD - MINUTE)
    assert site.open == []
    site.plan(at(10) - STAGE_LEAD)
    assert site.open == [(STAGE, 1)]


def test_lun_is_staged_in_the_time_that_the_disk_takes_and_not_what_it_is_packed_in(site: Site) -> None:
    site.book(place=ROOT)
    ref, size = site.deployment().image, 100 << 30
    described = {"kind": ImageKind.QCOW2, "description": {"virtual_size": size}}
    keep(site.store, a_disk_image(ref.name, ref.version or 1, project=ref.project, **described))
    site.plan(at(10) - STAGE_LEAD - timedelta(minutes=30))
    assert (site.open, site.job().facts) == ([(STAGE, 1)], {jobs.OCTETS: size})


def test_booking_without_images_needs_nothing_before_its_start(site: Site) -> None:
    site.book(images=())
    assert site.plan() == at(10)
    site.plan(at(9.9))
    assert site.open == []


def test_planning_twice_writes_one_job_and_the_second_time_nothing_at_all(site: Site) -> None:
    site.book()
    site.plan(at(9.9))
    generation = site.store.generation()
    assert site.plan() == at(10)
    assert site.store.generation() == generation
    assert site.open == [(WRITE, 1)]


def test_slots_are_not_written_while_somebody_else_has_their_nodes(site: Site) -> None:
    site.book(1, start=-2, end=9.9, state="active", nodes=("node2", "node3"), images=())
    site.book(2)
    site.plan(at(9.8))
    assert site.open == []
    site.now_is(1, state="ended")
    site.plan(at(9.9))
    assert site.open == [(WRITE, 2)]


def test_slots_of_the_second_of_two_bookings_without_a_gap_are_written_before_the_first(site: Site) -> None:
    site.book(1, start=5, end=10, images=())
    site.book(2, start=10, end=12)
    assert site.plan() == at(5) - WRITE_LEAD
    site.plan(at(5) - WRITE_LEAD)
    assert site.open == [(WRITE, 2)]


def test_without_any_gap_slots_are_written_when_their_nodes_are_given_back(site: Site) -> None:
    site.book(1, start=-1, end=10, state="active", images=())
    site.book(2, start=10, end=12)
    site.plan(at(10))
    assert site.open == [(END, 1)]
    site.now_is(1, state="ended")
    site.change(1, state="done", ended_at=at(10))
    site.plan()
    assert site.open == [(START, 2), (WRITE, 2)]


def test_two_jobs_never_switch_the_same_machines(site: Site) -> None:
    site.book(1, start=10, end=12)
    site.book(2, start=12, end=14, nodes=("node2",))
    site.plan(at(10) - WRITE_LEAD)
    assert site.open == [(WRITE, 1)]
    site.plan()
    assert site.open == [(WRITE, 1)]
    site.change(1, state="done", ended_at=site.clock())
    keep(site.store, replace(site.deployment(1), state="hd-ready"))
    site.plan()
    assert site.open == [(WRITE, 2)]


def test_pair_is_staged_for_the_next_booking_only(site: Site) -> None:
    site.book(1, start=10, end=12, place=ROOT)
    site.book(
        2, start=10.05, end=12, nodes=("node3",), place=ROOT | {"digest": "sha256:2", "nodes": ("node3",)}
    )
    site.plan(at(10))
    assert (STAGE, 2) not in site.open
    keep(site.store, replace(site.deployment(1), state="lun-ready"))
    site.change(1, state="done")
    site.plan()
    assert (STAGE, 2) not in site.open
    keep(site.store, replace(site.deployment(1), state="lun-ready", flipped_at=site.clock()))
    site.plan()
    assert (STAGE, 2) in site.open


def test_bookings_of_one_pair_with_one_image_are_staged_together(site: Site) -> None:
    site.book(1, place=ROOT)
    site.book(2, nodes=("node3",), place=ROOT | {"nodes": ("node3",)})
    site.plan(at(10) - STAGE_LEAD)
    assert site.open == [(STAGE, 1), (STAGE, 2)]


def test_image_that_failed_waits_for_a_person(site: Site) -> None:
    site.book(place={"state": "failed"})
    site.plan(at(9.9))
    assert site.open == []


def test_image_on_its_way_that_no_job_carries_is_given_up(site: Site) -> None:
    site.book(place={"state": "deploy-hd"})
    site.plan()
    assert (site.deployment().state, site.deployment().note) == (
        "failed",
        "its job ended and left it half done",
    )


def test_image_that_is_late_is_still_sent_while_its_booking_runs(site: Site) -> None:
    site.book(start=-1, end=1, state="active")
    site.plan()
    assert site.open == [(WRITE, 1)]


# -- gaps ----------------------------------------------------------------------------------------


def gap(lead: float, start: float, *held: tuple[float, float]) -> float:
    """Return the hour after NOON at which to begin; it is NOON."""
    due = free_for(lead * HOUR, NOON, at(start), [(at(a), at(b)) for a, b in held])
    return (due - NOON) / HOUR


@pytest.mark.parametrize(
    ("held", "due"),
    [
        ([], 8),
        ([(1, 5)], 8),
        ([(1, 9)], 9),  # no gap is long enough: begin as soon as may be, and be late
        ([(5, 9)], 3),
        ([(5, 9), (2.5, 3)], 3),
        ([(3, 5), (5, 10)], 1),
        ([(3, 7), (4, 10)], 1),
        ([(1, 2), (3, 10)], 10),
        ([(-5, 10)], 10),
        ([(12, 14)], 8),  # after the start: somebody else's matter
        ([(9, 12)], 7),
    ],
)
def test_work_is_put_into_the_last_gap_that_is_long_enough(
    held: list[tuple[float, float]], due: float
) -> None:
    assert gap(2, 10, *held) == due


def test_gap_that_has_just_begun_to_be_too_short_is_not_missed() -> None:
    assert gap(2, 10, (1.9, 10)) == 0


# -- beginnings ----------------------------------------------------------------------------------


def test_booking_begins_at_its_start(site: Site) -> None:
    site.book(place={"state": "hd-ready"})
    site.plan(at(10) - timedelta(seconds=1))
    assert site.open == []
    assert site.plan(at(10)) == at(12)
    assert site.open == [(START, 1)]
    assert site.job().nodes == ("node1", "node2")


def test_booking_begins_late_where_no_daemon_ran_at_its_start(site: Site) -> None:
    site.book(place={"state": "hd-ready"})
    site.plan(at(11.5))
    assert site.open == [(START, 1)]


def test_booking_begins_when_those_before_have_given_its_nodes_back(site: Site) -> None:
    site.book(1, start=8, end=10, state="active", images=(), nodes=("node2",))
    site.book(2, place={"state": "hd-ready"})
    site.plan(at(10))
    assert site.open == [(END, 1)]
    site.now_is(1, state="ended")
    site.plan()
    assert site.open == [(END, 1), (START, 2)]


def test_booking_whose_whole_time_passed_has_failed_and_that_is_said(site: Site) -> None:
    site.book()
    site.plan(at(12))
    assert site.reservation().state == "failed"
    assert (site.deployment().state, site.open) == ("dark", [])
    assert site.events == [ReservationMissed(reservation=1, project="mesh")]


def test_what_was_placed_for_a_booking_that_never_began_is_taken_out(site: Site) -> None:
    site.book(place={"state": "hd-ready"})
    site.plan(at(13))
    assert site.reservation().state == "failed"
    assert site.open == [(END, 1)]


@pytest.mark.parametrize("person", ["anna", "calendar"])
def test_beginning_that_was_taken_back_by_a_person_is_not_made_again(site: Site, person: str) -> None:
    site.book(images=())
    site.plan(at(10))
    jobs.cancel(site.store, person, 1, clock=site.clock)
    site.plan(at(10.5))
    assert site.open == []


def test_beginning_that_failed_is_made_again_after_a_while_and_less_and_less_often(site: Site) -> None:
    site.book(images=(), end=100)
    site.plan(at(10))
    site.change(1, state="failed", ended_at=at(10))
    assert site.plan(at(10.1)) == at(10.25)
    assert site.open == []
    site.plan(at(10.25))
    site.change(2, state="failed", ended_at=at(10.25))
    assert site.plan(at(10.3)) == at(10.75)
    site.plan(at(10.75))
    assert site.open == [(START, 1)]


# -- ends ----------------------------------------------------------------------------------------


def test_booking_ends_at_its_end(site: Site) -> None:
    site.book(start=-1, end=2, state="active", place={"state": "run"})
    assert site.plan() == at(2)
    assert site.open == []
    site.plan(at(2))
    assert site.open == [(END, 1)]


def test_end_waits_for_what_still_works_on_the_booking(site: Site) -> None:
    site.book(start=-1, end=2, state="active", place={"state": "run"})
    keep(site.store, a_job(1, kind=START, deployment=None, state="running"))
    site.plan(at(2))
    assert site.job().facts[jobs.CANCEL] == "calendar: reservation 1 is over"
    assert site.open == [(START, 1)]
    site.change(1, state="cancelled", ended_at=at(2))
    site.plan()
    assert site.open == [(END, 1)]


def test_work_that_nobody_began_makes_room_for_the_end_at_once(site: Site) -> None:
    site.book(start=-1, end=2, state="active", place={"state": "run"})
    keep(site.store, a_job(1, kind=START, deployment=None))
    site.plan(at(2))
    assert site.job().state == "cancelled"
    assert site.open == [(END, 1)]


def test_booking_that_is_extended_meanwhile_goes_on(site: Site) -> None:
    site.book(start=-1, end=2, state="active", place={"state": "run"})
    site.plan(at(2))
    site.now_is(1, ends_at=at(4))
    assert site.plan() == at(4)
    assert (site.job().state, site.open) == ("cancelled", [])
    site.plan(at(4))
    assert site.open == [(END, 1)]


def test_booking_that_is_made_shorter_ends_earlier(site: Site) -> None:
    site.book(start=-1, end=5, state="active", place={"state": "run"})
    assert site.plan() == at(5)
    site.now_is(1, ends_at=at(1))
    assert site.plan() == at(1)


def test_running_booking_that_is_cancelled_is_taken_out_of_its_places(site: Site) -> None:
    site.book(start=-1, end=2, state="cancelled", place={"state": "run"})
    site.plan()
    assert site.open == [(END, 1)]


@pytest.mark.parametrize("state", ["dark", "failed", "sched"])
def test_cancelled_booking_that_is_in_no_place_needs_no_end(site: Site, state: str) -> None:
    site.book(start=-1, end=2, state="cancelled", place={"state": state})
    site.plan()
    assert site.open == []


def test_end_that_left_images_behind_is_made_again(site: Site) -> None:
    site.book(start=-1, end=0, state="ended", place={"state": "run"})
    keep(
        site.store,
        a_job(1, kind=END, deployment=None, state="failed", ended_at=NOON, facts={jobs.AT: "ended"}),
    )
    site.plan(at(0.1))
    assert site.open == []
    site.plan(at(0.25))
    assert site.open == [(END, 1)]


# -- changes while a job runs --------------------------------------------------------------------


def running(site: Site, kind: JobKind) -> None:
    """Have a job of *kind* run for reservation 1."""
    site.book(start=-1 if kind is not WRITE else 0.1, end=2, place={"state": "deploy-hd"})
    keep(site.store, a_job(1, kind=kind, deployment=1 if kind is WRITE else None, state="running"))


Change = Callable[[Site], None]


@pytest.mark.parametrize(
    ("kind", "change", "why"),
    [
        (WRITE, lambda site: site.now_is(1, state="cancelled"), "reservation 1 is cancelled"),
        (START, lambda site: site.now_is(1, state="cancelled"), "reservation 1 is cancelled"),
        (START, lambda site: site.now_is(1, starts_at=at(1)), "reservation 1 was moved"),
        (START, lambda site: site.now_is(1, ends_at=at(0)), "reservation 1 is over"),
        (
            WRITE,
            lambda site: keep(site.store, replace(site.deployment(), state="dark")),
            "reservation 1 does not want its image there any more",
        ),
    ],
)
def test_running_job_that_has_no_use_any_more_is_told_so(
    site: Site, kind: JobKind, change: Change, why: str
) -> None:
    running(site, kind)
    site.plan()
    assert jobs.CANCEL not in site.job().facts
    change(site)
    site.plan()
    assert site.job().facts[jobs.CANCEL] == f"calendar: {why}"
    told = site.store.generation()
    site.plan()
    assert site.store.generation() == told


def test_job_that_tidies_up_after_itself_is_left_to_it(site: Site) -> None:
    running(site, WRITE)
    keep(site.store, replace(site.deployment(), state="failed"))
    site.change(1, facts={jobs.FAILING: "no answer"})
    site.plan()
    assert jobs.CANCEL not in site.job().facts


# -- what others left ----------------------------------------------------------------------------


def test_half_written_slots_of_an_image_that_no_job_carries_are_free_again(site: Site) -> None:
    site.book(place={"state": "deploy-hd"})
    keep(
        site.store,
        a_slot("node1", state="writing", pinned=False),
        a_slot("node2", state="ready"),
    )
    site.plan()
    states = {slot.host: (slot.state, slot.image is None) for slot in site.store.slots()}
    assert states == {"node1": ("damaged", True), "node2": ("ready", False)}


def test_half_staged_side_of_an_image_that_no_job_carries_is_free_again(site: Site) -> None:
    pair = a_pair("rack")
    staging = replace(pair.sides[1], state="staging")
    keep(site.store, replace(pair, sides=(pair.sides[0], staging)))
    site.book(place=ROOT | {"state": "deploy-lun", "side": 1})
    site.plan()
    found = site.store.find(LunPair, "rack")
    assert found is not None
    assert [side.state for side in found.sides] == ["active", "inactive"]


def test_cancelled_booking_whose_job_nobody_began_is_dark_again(site: Site) -> None:
    site.book()
    site.plan(at(9.9))
    site.now_is(1, state="cancelled")
    site.plan()
    assert (site.job().state, site.deployment().state) == ("cancelled", "dark")
    assert site.job().note == "taken back by calendar: reservation 1 is cancelled"


def test_deed_that_cannot_be_done_is_told_and_keeps_no_other_from_being_done(site: Site) -> None:
    """The pair of an image on its way is gone: nobody can say what becomes of its side."""
    site.book(1, start=-3, end=-2, nodes=("node5",), images=())
    site.book(2, start=0, images=())
    site.book(3, nodes=("node3",), place=ROOT | {"state": "deploy-lun", "side": 1, "nodes": ("node3",)})
    site.plan()
    assert site.open == [(START, 2)]
    assert site.reservation(1).state == "failed"
    [bug, missed] = sorted(site.events, key=lambda event: event.name, reverse=True)
    assert isinstance(bug, InternalError)
    assert (bug.where, "rack" in bug.text) == ("planner: GiveUp", True)
    assert missed == ReservationMissed(reservation=1, project="mesh")


def test_nodes_that_a_job_has_finished_with_can_be_written(site: Site) -> None:
    site.book(1, start=-3, end=-1, state="ended", nodes=("node1", "node2"), images=())
    site.book(2, start=0.1)
    job = a_job(1, kind=END, deployment=None, state="running", step="clear")
    keep(site.store, job)
    put_parts(site, JobPart(1, "node1", outcome=Outcome.OK), JobPart(1, "node2"))
    site.plan()
    assert (WRITE, 2) not in site.open
    put_parts(site, JobPart(1, "node2", outcome=Outcome.FAILED))
    site.plan()
    assert (WRITE, 2) in site.open


def put_parts(site: Site, *parts: JobPart) -> None:
    with site.store.transaction("calendar") as change:
        change.put_job_parts(parts)


def old_booking(site: Site, *hosts: Host) -> None:
    """Keep a booking of an older bootd: it has no deployments."""
    with site.store.transaction("anna") as change:
        change.put_hosts(hosts)
    keep(site.store, a_disk_image(), a_reservation(1, state="booked", starts_at=at(10), ends_at=at(12)))


def test_booking_of_an_older_bootd_is_given_its_deployments(site: Site) -> None:
    old_booking(site, *(a_host(n, role=Role.MESH) for n in (1, 2)))
    site.plan()
    [made] = site.store.deployments_of(1)
    assert (made.state, made.nodes) == ("sched", ("node1", "node2"))
    site.plan(at(9.9))
    assert site.open == [(WRITE, 1)]


def test_booking_of_an_older_bootd_that_has_no_place_costs_no_write(site: Site) -> None:
    old_booking(site, *(a_host(n) for n in (1, 2)))
    generation = site.store.generation()
    assert site.plan() == at(10)
    assert site.store.generation() == generation
    site.plan(at(10))
    assert site.open == [(START, 1)]
