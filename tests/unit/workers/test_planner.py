"""The calendar writes down once what is due: images are on their way a lead time before the start."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bootd.model import (
    ImageKind,
    JobPart,
)
from bootd.services import jobs
from bootd.workers.agenda import free_for
from tests.helpers.bookings import a_disk_image
from tests.helpers.deeds import keep
from tests.helpers.planning import (
    END,
    HOUR,
    MINUTE,
    ROOT,
    STAGE,
    STAGE_LEAD,
    START,
    WRITE,
    WRITE_LEAD,
    Site,
    at,
)
from tests.helpers.site import NOON


@pytest.fixture
def site() -> Site:
    return Site()


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
