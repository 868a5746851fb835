"""A node that somebody else has waits for its turn and holds up nobody; what never comes free fails alone."""

import re
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from bootd.cli.jobs_follow import lines
from bootd.drivers.power.fake import Start
from bootd.model import (
    DeployedNode,
    Deployment,
    DiskImage,
    ImageRef,
    Job,
    JobKind,
    JobPart,
    Outcome,
    Reservation,
    Role,
    Slot,
)
from bootd.services import jobs
from bootd.services.jobs import HELD
from bootd.services.tasks import task_text
from bootd.workers.agenda import Agenda, Make
from tests.helpers.deeds import a_reservation
from tests.helpers.imaging import NODES, SIZE, Shop, a_shop, ready
from tests.helpers.site import NOON

SOON, LATER = NOON + timedelta(minutes=10), NOON + timedelta(hours=9)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return a_shop(tmp_path)


@pytest.fixture
def other(shop: Shop) -> DiskImage:
    return shop.add_image(b"theirs".ljust(SIZE, b"."), "mesh/other")


def taken(shop: Shop, other: DiskImage, node: str = "node3") -> None:
    """Let a running booking, number 9, boot slot 7 of the node."""
    theirs = Deployment(*(9, 9, Role.MESH, other.ref, other.identity, (node,), NOON), slot=7, state="run")
    shop.keep(a_reservation(9, nodes=(node,), ends_at=LATER), replace(theirs, flipped_at=NOON))
    shop.keep(Slot(node, 7, other.ref, other.identity, "ready"), DeployedNode(9, node, "running"))


def given_back(shop: Shop, node: str = "node3") -> None:
    found = shop.store.find(Deployment, 9)
    assert found is not None
    shop.keep(a_reservation(9, nodes=(node,), state="ended"), replace(found, state="dark"))


def starts(shop: Shop) -> list[str]:
    return [node for verb, node in shop.switched() if verb == "on"]


# -- nodes that are free later ----------------------------------------------------------------


def test_node_whose_slot_is_booted_by_a_running_booking_waits_and_the_others_start(
    shop: Shop, other: DiskImage
) -> None:
    shop.book()
    taken(shop, other)
    shop.live(60)
    assert shop.part("node3").note == "waits: slot 7 is booted by reservation 9"
    assert (shop.job().state, shop.job().note) == ("running", f"node3 {shop.part('node3').note}")
    assert (shop.deployment().state, shop.slots()) == ("hd-ready", ready(*NODES))
    assert shop.nodes_of() == ready("node1", "node2")
    assert (shop.store.find(Slot, "node3/7"), starts(shop)) == (
        Slot("node3", 7, other.ref, other.identity, "ready"),
        ["node1", "node2"],
    )


def test_people_who_follow_the_job_see_whom_a_node_waits_for(shop: Shop, other: DiskImage) -> None:
    shop.book()
    taken(shop, other)
    shop.live(60)
    said: list[str] = []
    lines(said.append, UTC).show(shop.job(), shop.store.job_parts(1))
    [told] = [line for line in said if "  node3  " in line]
    assert told.endswith("  node3  held  waits: slot 7 is booted by reservation 9")


def test_node_that_comes_free_has_its_turn_in_a_session_of_its_own(shop: Shop, other: DiskImage) -> None:
    shop.book()
    taken(shop, other)
    shop.live(60)
    given_back(shop)
    shop.live(60)
    assert (shop.job().state, shop.nodes_of()) == ("done", ready(*NODES))
    assert shop.transport.order("job1-2").receivers == ("node3",)
    assert {slot.digest for slot in shop.store.slots()} == {shop.image.identity}


def test_node_that_comes_free_while_the_others_are_written_is_told_so(shop: Shop, other: DiskImage) -> None:
    shop.book()
    taken(shop, other)
    shop.live(until="watch")
    given_back(shop)
    shop.live(6)
    assert (shop.part("node3").step, shop.part("node3").note) == ("held", "is free: its turn comes next")


def test_node_that_does_not_come_free_within_up_timeout_has_failed_with_the_name_of_who_has_it(
    shop: Shop, other: DiskImage
) -> None:
    shop.book()
    taken(shop, other)
    shop.live(shop.settings.up_s + 15)
    assert (shop.job().state, shop.outcomes()["node3"]) == ("partly", Outcome.FAILED)
    assert re.fullmatch(r"waited 30\d s: slot 7 is booted by reservation 9", shop.part("node3").note)
    [node] = [node for node in shop.store.deployed_nodes(1) if node.node == "node3"]
    assert (node.state, node.note) == ("failed", shop.part("node3").note)
    assert shop.store.find(Slot, "node3/7") == Slot("node3", 7, other.ref, other.identity, "ready")
    assert shop.deployment().state == "hd-ready"


def test_bound_of_those_that_wait_does_not_end_before_up_timeout_after_the_start(
    shop: Shop, other: DiskImage
) -> None:
    shop.book()
    taken(shop, other)
    found = shop.store.find(Reservation, 1)
    assert found is not None
    shop.keep(replace(found, starts_at=NOON + timedelta(hours=1)))
    shop.live(3600 + shop.settings.up_s - 20)
    assert shop.outcomes()["node3"] is Outcome.OPEN
    shop.live(40)
    assert shop.outcomes()["node3"] is Outcome.FAILED


def test_job_all_of_whose_nodes_wait_touches_none_and_ends_with_the_reason(
    shop: Shop, other: DiskImage
) -> None:
    shop.book(("node3",))
    taken(shop, other)
    shop.live(60)
    assert (shop.deployment().state, shop.switched()) == ("sched", [])
    shop.live(shop.settings.up_s)
    assert (shop.job().state, shop.deployment().state, shop.switched()) == ("failed", "failed", [])
    assert re.search(r"without node3: waited 30\d s: slot 7 is booted by res", shop.deployment().note)


def test_node_that_a_booking_without_image_has_waits(shop: Shop) -> None:
    shop.keep(a_reservation(9, nodes=("node3",), images=()))
    shop.book()
    shop.live(60)
    assert shop.part("node3").note == "waits: it is held by reservation 9"
    shop.keep(a_reservation(9, nodes=("node3",), images=(), state="ended"))
    shop.live(60)
    assert (shop.job().state, shop.slots()) == ("done", ready(*NODES))


@pytest.mark.parametrize(
    ("kind", "step", "does"),
    [
        (JobKind.CAPTURE, "read", "captures a slot of it"),
        (JobKind.WRITE_SLOT, "watch", "writes to it"),
        (JobKind.START, "watch", "switches it"),
        (JobKind.END, "", "switches it"),
    ],
)
def test_node_that_a_job_is_at_work_on_waits_for_it(shop: Shop, kind: JobKind, step: str, does: str) -> None:
    theirs = Job(99, kind, 9, None, ("node3",), NOON, "anna", SOON, state="running", step=step)
    with shop.store.transaction("anna", "test") as change:
        change.keep(theirs)
        change.put_job_parts([JobPart(99, "node3", step="receiving")])
    job = shop.book().id
    shop.live(10)
    assert shop.part("node3", job).note == f"waits for job 99, which {does}"
    shop.keep(replace(theirs, state="done"))
    shop.live(90)
    assert (shop.job(job).state, shop.slots()) == ("done", ready(*NODES))


def test_second_try_of_a_node_comes_before_the_turn_of_those_that_wait(shop: Shop, other: DiskImage) -> None:
    shop.says["node2"] = ("failed", "disk error")
    shop.book()
    taken(shop, other)
    shop.live(until="verify")
    given_back(shop)
    shop.live(90)
    assert [shop.transport.order(f"job1-{number}").receivers for number in (1, 2, 3)] == [
        ("node1", "node2"),
        ("node2",),
        ("node3",),
    ]
    assert (shop.job().state, shop.slots()) == ("partly", {**ready("node1", "node3"), "node2": "damaged"})
    assert shop.part("node2").note == "disk error"
    assert shop.store.overrides() == []


# -- what never comes free --------------------------------------------------------------------


def test_pinned_slot_fails_at_once_for_its_node_alone(shop: Shop) -> None:
    pinned = Slot("node2", 7, ImageRef("orbit", "old", 1), "sha256:old", "ready", pinned=True)
    shop.keep(pinned)
    shop.book()
    shop.run()
    assert shop.outcomes()["node2"] is Outcome.FAILED
    assert shop.part("node2").note == "slot 7 cannot be written with mesh/debian@1: node2: pinned"
    shop.live(60)
    assert (shop.job().state, shop.nodes_of()) == ("partly", {**ready("node1", "node3"), "node2": "failed"})
    assert (shop.store.find(Slot, "node2/7"), "node2" in starts(shop)) == (pinned, False)


def test_slot_that_a_coming_booking_counts_on_fails_at_once_for_its_node_alone(
    shop: Shop, other: DiskImage
) -> None:
    later = a_reservation(9, nodes=("node3",), state="booked", starts_at=NOON + timedelta(hours=5))
    theirs = Deployment(
        *(9, 9, Role.MESH, other.ref, other.identity, ("node3",), NOON), slot=7, state="hd-ready"
    )
    held = Slot("node3", 7, other.ref, other.identity, "ready")
    shop.keep(later, theirs, held, DeployedNode(9, "node3", "ready"))
    job = shop.book().id
    shop.live(60)
    needs = "node3: reservation 9 needs mesh/other@1 there (hd-ready)"
    assert shop.part("node3", job).note == f"slot 7 cannot be written with mesh/debian@1: {needs}"
    assert (shop.job(job).state, shop.store.find(Slot, "node3/7")) == ("partly", held)
    assert starts(shop) == ["node1", "node2"]


def test_where_every_slot_is_pinned_nothing_is_sent(shop: Shop) -> None:
    shop.keep(*(Slot(node, 7, pinned=True) for node in NODES))
    shop.book()
    shop.run()
    assert (shop.job().state, shop.deployment().state, shop.switched()) == ("failed", "failed", [])
    assert {shop.outcomes()[node] for node in NODES} == {Outcome.FAILED}


# -- two jobs that want one node --------------------------------------------------------------


def test_two_jobs_that_want_one_node_write_to_it_one_after_the_other_and_to_the_rest_at_once(
    shop: Shop, other: DiskImage
) -> None:
    shop.book()
    shop.book(("node3", "node4"), other, 8)
    shop.live(until="watch")
    assert shop.part("node3", 2).note == "waits for job 1, which writes to it"
    assert "\njob 1\n" in task_text(shop.store, "node3")
    shop.live(25)
    assert shop.slots(8)["node4"] == "ready"
    shop.live(60)
    assert (shop.job(1).state, shop.job(2).state) == ("done", "done")
    assert (shop.slots(7), shop.slots(8)) == (ready(*NODES), ready("node3", "node4"))


def test_of_two_jobs_that_wait_for_a_node_the_older_one_has_it_first(shop: Shop, other: DiskImage) -> None:
    first, second = shop.book(("node3",)).id, shop.book(("node3",), other, 8).id
    taken(shop, other)
    shop.live(20)
    given_back(shop)
    shop.live(11)
    assert shop.part("node3", second).note.startswith(f"waits for job {first}, which ")
    shop.live(90)
    assert [shop.transport.order(f"job{job}-1").receivers for job in (first, second)] == [("node3",)] * 2
    assert (shop.job(first).state, shop.job(second).state) == ("done", "done")


def test_job_that_reads_its_image_first_keeps_no_younger_one_waiting(shop: Shop, other: DiskImage) -> None:
    theirs = Job(0, JobKind.WRITE_SLOT, 9, None, ("node1",), NOON, "anna", SOON, "running", "compare")
    with shop.store.transaction("anna", "test") as change:
        change.keep(theirs)
        change.put_job_parts([JobPart(0, "node1", HELD)])
    shop.book(("node1",))
    shop.live(until="watch")
    assert "\njob 1\n" in task_text(shop.store, "node1")
    shop.live(60)
    assert shop.job(1).state == "done"


def test_node_that_waits_keeps_no_other_booking_from_beginning(shop: Shop, other: DiskImage) -> None:
    shop.book()
    taken(shop, other)
    shop.live(60)
    given_back(shop)
    coming = a_reservation(12, nodes=("node3",), images=(), state="booked", ends_at=LATER)
    shop.keep(coming)
    deeds = Agenda(shop.store, shop.clock(), shop.settings).deeds
    assert Make(JobKind.START, coming, facts={jobs.AT: NOON.isoformat()}) in deeds


def test_two_jobs_each_of_which_has_a_node_that_the_other_wants_both_end(
    shop: Shop, other: DiskImage
) -> None:
    shop.says["node1"] = ("failed", "no disk")
    older = shop.book(("node1", "node2")).id
    shop.says["node2"] = ("failed", "no disk")
    shop.live(90)
    assert shop.job(older).state == "failed"
    shop.says.clear()
    taken(shop, other, "node1")
    younger = shop.book(("node1", "node2"), other, 8).id
    shop.live(2)
    jobs.retry(shop.store, "anna", older, clock=shop.clock)
    given_back(shop, "node1")
    shop.live(2)
    assert shop.part("node2", older).note == f"waits for job {younger}, which writes to it"
    shop.live(6)
    assert f"\njob {younger}\n" in task_text(shop.store, "node2")
    shop.live(120)
    assert (shop.job(older).state, shop.job(younger).state) == ("done", "done")
    assert (shop.slots(7), shop.slots(8)) == (ready("node1", "node2"), ready("node1", "node2"))


def test_job_that_waits_for_a_node_harms_nothing_there_when_it_is_taken_back(shop: Shop) -> None:
    shop.asleep.update(NODES)
    shop.book(("node2", "node3"))
    shop.live(3)
    shop.book(("node3", "node4"))  # the same image to the same slot: one session
    shop.live(3)
    jobs.cancel(shop.store, "bob", 2, clock=shop.clock)
    shop.run()
    assert (shop.job(2).state, shop.part("node3", 2).note) == ("cancelled", "taken back by bob")
    assert shop.slots() == {"node2": "writing", "node3": "writing", "node4": "damaged"}
    shop.asleep.clear()
    shop.live(120)
    assert (shop.job(1).state, shop.slots()["node3"]) == ("done", "ready")


def test_node_that_another_job_brought_the_image_meanwhile_is_not_written_again(shop: Shop) -> None:
    shop.book(("node3",))
    shop.live(until="watch")
    shop.book(("node3", "node4"))
    shop.live(120)
    assert (shop.job(2).state, shop.part("node3", 2).note) == ("done", "had the image already")
    assert starts(shop).count("node3") == 1


def test_killed_while_a_node_waits_the_next_worker_knows_for_whom(shop: Shop, other: DiskImage) -> None:
    began: list[str] = []
    fetch = shop.power.started

    def started(start: Start) -> None:
        began.append(start.node)
        if fetch is not None:
            fetch(start)

    shop.power.started = started
    shop.book()
    taken(shop, other)
    shop.live(until="watch")
    shop.holder = "second"
    shop.clock.move(seconds=61)
    shop.live(20)
    assert shop.part("node3").note == "waits: slot 7 is booted by reservation 9"
    given_back(shop)
    shop.live(90)
    assert (shop.job().state, began) == ("done", list(NODES))
