"""What has no use any more is taken back, and what others left is put in order."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from bootd.events import InternalError, ReservationMissed
from bootd.model import (
    Host,
    JobKind,
    JobPart,
    LunPair,
    Outcome,
    Role,
)
from bootd.services import jobs
from tests.helpers.bookings import a_disk_image
from tests.helpers.deeds import a_job, a_pair, a_reservation, a_slot, keep
from tests.helpers.planning import END, ROOT, START, WRITE, Site, at
from tests.helpers.site import a_host


@pytest.fixture
def site() -> Site:
    return Site()


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
