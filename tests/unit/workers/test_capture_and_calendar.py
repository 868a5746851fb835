"""What the calendar does while a slot is captured: it begins and ends nothing on that node."""

from datetime import timedelta
from pathlib import Path

import pytest

from bootd.model import Booked, DiskImage, JobKind, JobPart, Outcome, Reservation, Role, Slot
from bootd.workers.engine import Engine
from bootd.workers.planner import plan
from tests.helpers.capturing import Studio, a_studio
from tests.helpers.deeds import IMAGE, a_deployment, a_job, a_reservation
from tests.helpers.imaging import a_shop
from tests.helpers.site import NOON

HOUR = timedelta(hours=1)


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    made = a_studio(tmp_path)
    made.order()
    made.starts()
    return made


def planned(studio: Studio) -> list[JobKind]:
    """Return what the calendar makes just now."""
    before = {job.id for job in studio.store.jobs()}
    plan(studio.context)
    return [job.kind for job in studio.store.jobs() if job.id not in before]


def over(studio: Studio) -> None:
    studio.sends()
    studio.ends()


def a_booking(studio: Studio, **fields: object) -> Reservation:
    """Return one of node1 without images, which begins now."""
    now = studio.clock()
    standard = {"nodes": ("node1",), "images": (), "starts_at": now, "ends_at": now + HOUR, "project": "mesh"}
    return a_reservation(3, **standard | fields)


def test_booking_begins_when_the_slot_is_captured(studio: Studio) -> None:
    studio.keep(a_booking(studio, project="other", state="booked"))
    assert planned(studio) == []
    over(studio)
    assert planned(studio) == [JobKind.START]


def test_booking_of_other_nodes_begins(studio: Studio) -> None:
    studio.keep(a_booking(studio, state="booked", nodes=("node2",)))
    assert planned(studio) == [JobKind.START]


def test_booking_whose_time_is_over_ends_when_the_slot_is_captured(studio: Studio) -> None:
    studio.keep(a_booking(studio, state="active", starts_at=NOON - HOUR, ends_at=studio.clock()))
    assert planned(studio) == []
    over(studio)
    assert planned(studio) == [JobKind.END]


def test_slot_of_that_node_is_not_planned_to_be_written(studio: Studio) -> None:
    image = DiskImage(*("mesh", "debian", 1, "raw", "mesh/debian", (), NOON), description={"file": "x"})
    starts_at = studio.clock() + timedelta(minutes=1)
    images = (Booked(Role.MESH, IMAGE),)
    booking = a_booking(studio, state="booked", starts_at=starts_at, ends_at=starts_at + HOUR, images=images)
    deployment = a_deployment(3, 3, nodes=("node1",), slot=9, state="sched", flipped_at=None)
    studio.keep(image, booking, deployment)
    assert planned(studio) == []
    over(studio)
    assert planned(studio) == [JobKind.WRITE_SLOT]


def test_node_whose_slot_is_to_be_written_already_waits_and_the_others_do_not(tmp_path: Path) -> None:
    shop = a_shop(tmp_path)
    shop.book(("node1", "node2"))
    of_none = {"reservation": None, "deployment": None}
    shop.keep(a_job(9, kind=JobKind.CAPTURE, nodes=("node1",), state="running", step="read", **of_none))
    with shop.store.transaction("anna", "test") as change:
        change.put_job_parts([JobPart(9, "node1", "reading")])
    Engine(shop.context, shop.handlers).run(1)
    assert shop.part("node1").note == "waits for job 9, which captures a slot of it"
    assert {node for _, node in shop.switched()} == {"node2"}


def test_project_s_own_booking_goes_on(studio: Studio) -> None:
    booking = a_booking(studio, state="active", starts_at=NOON - HOUR)
    studio.keep(booking)
    assert planned(studio) == []
    over(studio)
    assert studio.store.find(Reservation, 3) == booking
    assert studio.outcomes() == {"node1": Outcome.OK}
    assert studio.store.find(Slot, "node1/7") == Slot("node1", 7, IMAGE, "sha256:1", "ready")
