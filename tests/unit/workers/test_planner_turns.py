"""Bookings begin and end, each once, as soon as may be."""

from datetime import timedelta

import pytest

from bootd.events import ReservationMissed
from bootd.services import jobs
from tests.helpers.deeds import a_job, keep
from tests.helpers.planning import END, START, Site, at
from tests.helpers.site import NOON


@pytest.fixture
def site() -> Site:
    return Site()


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
