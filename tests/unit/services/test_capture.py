"""What is captured is asked first: every reason against it at once, and nothing done."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootd.errors import Refused
from bootd.lifecycle import IllegalMove
from bootd.model import Job, JobKind, JobPart, Outcome, Project, Role, Slot, SlotScheme
from bootd.services import capture, images, jobs
from bootd.services.capture import Wish
from tests.helpers.capturing import WISH, Studio, a_studio
from tests.helpers.clonezilla import clonezilla_files, write
from tests.helpers.deeds import IMAGE, a_job, a_reservation
from tests.helpers.site import NOON, a_host


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return a_studio(tmp_path)


def reasons(studio: Studio, wish: Wish = WISH) -> str:
    """Return why *wish* is refused; nothing may have been done."""
    generation = studio.store.generation()
    with pytest.raises(Refused) as refused:
        studio.order(wish)
    assert studio.store.generation() == generation
    assert studio.store.jobs() == []
    return str(refused.value)


def test_order_is_a_job_for_the_node_with_its_slot_and_image(studio: Studio) -> None:
    job = studio.order()
    assert (job.kind, job.nodes, job.reservation) == (JobKind.CAPTURE, ("node1",), None)
    assert (job.facts[jobs.SLOT], job.facts[jobs.IMAGE], job.created_by) == (7, "mesh/mine", "anna")


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (Wish("node9", 7, "mesh/mine"), "node9"),
        (Wish("node[1-2]", 7, "mesh/mine"), "is 2 nodes"),
        (Wish("node1", 4, "mesh/mine"), "node1 has slots 5 to 25"),
        (Wish("node1", 26, "mesh/mine"), "node1 has slots 5 to 25"),
        (Wish("node1", 8, "mesh/mine"), "it is empty (nothing that could be booted)"),
        (Wish("node1", 7, "nobody/mine"), "no project 'nobody'"),
        (Wish("node1", 7, "mesh/mine@2"), "the version is counted by bootd"),
        (Wish("node1", 7, "mesh/a b"), "letters, digits"),
        (Wish("node1", 7, "mine"), "PROJECT/NAME"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.node}-{value.slot}-{value.image}",
)
def test_what_cannot_be_captured_is_refused_by_name(studio: Studio, wish: Wish, told: str) -> None:
    assert told in reasons(studio, wish)


@pytest.mark.parametrize("state", ["empty", "writing", "damaged"])
def test_slot_that_holds_nothing_whole_is_refused(studio: Studio, state: str) -> None:
    studio.keep(Slot("node1", 7, IMAGE, "sha256:1", state))
    assert f"it is {state} (" in reasons(studio)


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([a_reservation(3, project="other")], "node1 is held by reservation 3 of project other"),
        ([replace(Project("mesh", "anna", NOON), state="retired")], "project 'mesh' is retired"),
        ([SlotScheme(last=6)], "node1 has slots 5 to 6"),
    ],
    ids=["held", "retired", "scheme"],
)
def test_what_stands_against_it_is_said(studio: Studio, records: list[Any], told: str) -> None:
    studio.keep(*records)
    assert told in reasons(studio)


@pytest.mark.parametrize(
    ("host", "told"),
    [
        (a_host(1, settings={}), "node1 cannot be restarted by bootd: bootd hosts set node1 --set power=…"),
        (a_host(1, role=Role.ROOT, settings={"power": "fake"}), "node1 is a root node"),
    ],
    ids=["no-power", "root"],
)
def test_node_that_cannot_be_is_refused(studio: Studio, host: Any, told: str) -> None:
    with studio.store.transaction("anna", "test") as change:
        change.put_hosts([host])
    assert told in reasons(studio)


def test_site_without_an_imager_is_told_how_to_get_one(studio: Studio) -> None:
    with studio.store.transaction("anna", "test") as change:
        change.remove_memory_image("imager")
    assert "bootd memory build imager" in reasons(studio)


def test_dark_store_that_is_away_is_no_place_for_it(studio: Studio) -> None:
    studio.tree = replace(studio.tree, must_be_mount=True)
    studio.tree.root.mkdir()
    assert "is not mounted" in reasons(studio)


def test_all_reasons_come_at_once(studio: Studio) -> None:
    studio.keep(a_reservation(3, project="other"))
    told = reasons(studio, Wish("node1", 9, "nobody/mine"))
    for each in ("no project 'nobody'", "it is empty", "reservation 3 of project other"):
        assert each in told


def test_node_of_the_image_s_own_project_may_be_captured(studio: Studio) -> None:
    studio.keep(a_reservation(3, project="mesh"))
    assert studio.order().state == "waiting"


def test_booking_that_has_not_begun_holds_nobody_up(studio: Studio) -> None:
    studio.keep(a_reservation(3, project="other", state="booked"))
    assert studio.order().state == "waiting"


def test_dry_run_orders_nothing(studio: Studio) -> None:
    site = {"clock": studio.clock, "tree": studio.tree, "imager": "imager"}
    assert capture.order(studio.store, "anna", WISH, dry_run=True, **site) is None  # type: ignore[arg-type]
    assert studio.store.jobs() == []


@pytest.mark.parametrize(("outcome", "is_refused"), [(Outcome.OPEN, True), (Outcome.OK, False)])
def test_node_that_a_job_is_not_done_with_is_refused(
    studio: Studio, outcome: Outcome, is_refused: bool
) -> None:
    studio.keep(a_job(5, state="running", step="watch", nodes=("node1",)))
    with studio.store.transaction("anna", "test") as change:
        change.put_job_parts([JobPart(5, "node1", "joining", outcome)])
    if is_refused:
        with pytest.raises(Refused, match=r"job 5 \(write-slot\) has to do with node1"):
            studio.order()
    else:
        assert studio.order().id == 6


def test_one_node_is_captured_once_at_a_time(studio: Studio) -> None:
    studio.order()
    with pytest.raises(Refused, match=r"job 1 \(capture\) has to do with node1: bootd jobs follow 1"):
        studio.order()


# -- other jobs ---------------------------------------------------------------------------------


def failed(studio: Studio, **fields: Any) -> Job:
    job = replace(studio.order(), state="failed", ended_at=NOON, **fields)
    studio.keep(job)
    return job


def test_retry_keeps_what_was_ordered(studio: Studio) -> None:
    failed(studio, step="read", note="no")
    again = jobs.retry(studio.store, "anna", 1, clock=studio.clock)
    assert (again.state, again.step) == ("waiting", "")
    assert again.facts == {jobs.SLOT: 7, jobs.IMAGE: "mesh/mine"}


def test_capture_of_another_node_does_not_keep_one_from_being_tried_again(studio: Studio) -> None:
    failed(studio)
    studio.keep(Slot("node2", 7, IMAGE, "sha256:1", "ready"))
    studio.order(Wish("node2", 7, "mesh/mine"))
    assert jobs.retry(studio.store, "anna", 1, clock=studio.clock).state == "waiting"


def test_second_capture_of_a_node_is_not_brought_back_beside_the_first(studio: Studio) -> None:
    failed(studio)
    studio.order()
    with pytest.raises(Refused, match="job 2 does the same already"):
        jobs.retry(studio.store, "anna", 1, clock=studio.clock)


def test_capture_that_is_done_is_not_done_again(studio: Studio) -> None:
    studio.keep(replace(studio.order(), state="done", ended_at=NOON))
    with pytest.raises(IllegalMove):
        jobs.retry(studio.store, "anna", 1, clock=studio.clock)


# -- an image that is brought in --------------------------------------------------------------------


def test_image_whose_job_cannot_be_ended_is_not_there(studio: Studio, tmp_path: Path) -> None:
    folder = write(tmp_path / "saved", clonezilla_files())

    def fails() -> None:
        with (
            images.bringing(studio.store, studio.tree, "mesh/mine", folder, linked=True) as brought,
            studio.store.transaction("anna", "test") as change,
        ):
            brought.keep(change, studio.clock)
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fails()
    assert images.images(studio.store) == []
    assert not (studio.tree.root / "mesh/mine").exists()
    assert folder.is_dir()
