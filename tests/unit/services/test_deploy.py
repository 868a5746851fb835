"""Deploying by hand: what is written, and everything that is refused, all reasons at once."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bootd.errors import BadValue, CannotBook
from bootd.model import (
    DeployedNode,
    Deployment,
    Job,
    JobKind,
    JobPart,
    Outcome,
    Reservation,
    Slot,
    SlotScheme,
)
from bootd.services import deploy as service
from bootd.services import jobs
from bootd.services.deploy import SPAN, Deployed, Means, Order
from bootd.store import Store
from tests.helpers.bookings import a_disk_image, at, book, furnish
from tests.helpers.site import NOON, HandClock, a_host, memory_store

NODES = ("node2", "node3", "node4")
PLACE = "mesh/router"


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store() as opened:
        furnish(opened)
        keep(opened, a_disk_image("router"), a_disk_image("whole", description={"label": "gpt"}))
        with opened.transaction("anna") as change:
            change.put_hosts([a_host(5)])
        yield opened


def keep(store: Store, *records: Any) -> None:
    with store.transaction("anna") as change:
        for record in records:
            change.keep(record)


def deploy(store: Store, image: str = PLACE, nodes: str = "node[2-4]", **order: Any) -> Deployed:
    more = {key: order.pop(key) for key in ("dry_run", "means") if key in order}
    return service.deploy(store, "anna", Order(image, nodes, **order), clock=HandClock(), **more)


def refused(store: Store, *words: Any, **order: Any) -> str:
    """Return why it is refused; and nothing of it is kept."""
    generation = store.generation()
    with pytest.raises(CannotBook) as caught:
        deploy(store, *words, **order)
    assert store.generation() == generation
    return "\n".join(caught.value.reasons)


def running(store: Store, image: str = "debian", nodes: str = "node[2-4]", slot: int = 5) -> Reservation:
    """Return a reservation that runs *image* from *slot* on its nodes."""
    made = book(store, 0, 2, nodes, images=(image,))
    [deployment] = store.deployments_of(made.id)
    active = replace(made, state="active")
    keep(store, active, replace(deployment, state="run", slot=slot, flipped_at=NOON))
    for node in deployment.nodes:
        keep(store, DeployedNode(deployment.id, node, "running"))
        keep(store, Slot(node, slot, deployment.image, deployment.digest, "ready"))
    return active


def places(store: Store, reservation: int = 1) -> list[tuple[str, int | None, tuple[str, ...], str]]:
    found = store.deployments_of(reservation)
    return [(each.image.name, each.slot, each.nodes, each.state) for each in found]


# -- a reservation of its own ----------------------------------------------------------------------


def test_nodes_that_are_free_are_reserved_from_now_and_their_slot_is_written_at_once(store: Store) -> None:
    made = deploy(store, slot=7)
    assert made.is_new
    reservation = store.find(Reservation, 1)
    assert reservation is not None
    assert (reservation.starts_at, reservation.ends_at) == (NOON, NOON + SPAN)
    assert (reservation.project, reservation.nodes, reservation.state) == ("mesh", NODES, "booked")
    assert places(store) == [("router", 7, NODES, "sched")]
    [job] = store.jobs()
    assert (job.kind, job.nodes, job.deployment, job.created_by) == (JobKind.WRITE_SLOT, NODES, 1, "anna")
    assert next(entry.what for entry in store.journal()) == "deploy"


def test_without_a_slot_bootd_chooses_one_and_says_so(store: Store) -> None:
    router = a_disk_image("router")
    keep(store, *(Slot(node, 9, router.ref, router.identity, "ready") for node in NODES))
    made = deploy(store)
    assert made.plan.notes == ("slot 9 on node[2-4]: holds it already, nothing is copied",)


def test_end_that_nobody_named_is_told(store: Store) -> None:
    made = deploy(store, dry_run=True)
    assert "4 h" in made.notes[0]
    assert deploy(store, ends_at=at(1)).notes == ()


def test_end_that_nobody_named_is_before_the_next_booking_of_any_of_the_nodes(store: Store) -> None:
    book(store, 2, 3, "node3", project="orbit")
    made = deploy(store)
    assert made.reservation.ends_at == at(2)
    assert "reservation 1 of orbit begins then" in made.notes[0]


def test_end_that_nobody_named_is_within_what_the_project_may_book() -> None:
    with memory_store() as store:
        furnish(store, hours=1.5)
        assert deploy(store, "mesh/debian").reservation.ends_at == at(1.5)


def test_image_of_another_project_can_be_deployed(store: Store) -> None:
    assert deploy(store, project="orbit").reservation.project == "orbit"


def test_root_nodes_get_their_lun_from_the_calendar(store: Store) -> None:
    made = deploy(store, nodes="node1")
    assert [(each.group, each.state) for each in made.plan.deployments] == [("rack", "sched")]
    assert store.jobs() == []


def test_dry_run_says_it_all_and_keeps_nothing(store: Store) -> None:
    made = deploy(store, slot=7, dry_run=True)
    assert made.plan.notes == ("slot 7 on node[2-4]: copied there",)
    assert (store.every(Reservation), store.every(Deployment), store.jobs()) == ([], [], [])


# -- what is refused -------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once(store: Store) -> None:
    told = refused(store, "mesh/nosuch", "node[2,9]", project="nobody")
    assert "no image 'mesh/nosuch'" in told
    assert "node9" in told
    assert "nobody" in told


def test_slot_that_the_scheme_does_not_have_is_named_with_those_it_has(store: Store) -> None:
    assert "node[2-4] have no slot 30: the slots 5 to 25" in refused(store, slot=30)
    keep(store, SlotScheme(last=9))
    assert "the slots 5 to 9" in refused(store, slot=12)


def test_pinned_slot_is_refused_and_another_one_named(store: Store) -> None:
    keep(store, Slot("node3", 7, pinned=True))
    told = refused(store, slot=7)
    assert told.startswith("slot 7 cannot be had, it is pinned on node3")
    assert "--slot 5 can be had" in told


def test_slot_that_a_booking_ahead_counts_on_is_refused(store: Store) -> None:
    book(store, 8, 9, "node3", images=("debian",))
    assert "needed by reservation 1 on node3" in refused(store, slot=5)
    assert deploy(store).plan.deployments[0].slot == 6


def test_nodes_of_another_booking_are_refused_with_its_owner(store: Store) -> None:
    book(store, 1, 2, "node3", project="orbit")
    assert "node3: booked by reservation 1 of orbit" in refused(store, ends_at=at(3))


def test_nodes_of_which_the_project_holds_some_are_refused_with_the_way_out(store: Store) -> None:
    running(store, nodes="node2")
    told = refused(store)
    assert "node2: in reservation 1, the others are not: deploy to node2 by itself" in told


def test_node_without_a_role_and_an_image_for_no_slot_are_both_told(store: Store) -> None:
    told = refused(store, "mesh/whole", "node[4-5]")
    assert "node5 has no role: bootd hosts set node5 --role mesh|root" in told
    assert "mesh/whole@1 is a whole disk (gpt)" in told


def test_site_that_cannot_write_slots_says_both_that_it_lacks(store: Store) -> None:
    told = refused(store, means=Means("", "imager"))
    assert 'imaging.transport = "mixed"' in told
    assert "no memory image 'imager' that writes slots: bootd memory build imager" in told
    assert deploy(store, nodes="node1", means=Means("", "imager")).is_new  # goes to a LUN


def test_slot_for_a_root_node_is_refused(store: Store) -> None:
    assert "node1 is a root node, which boot from LUNs" in refused(store, nodes="node1", slot=7)


def test_image_without_its_project_is_refused(store: Store) -> None:
    with pytest.raises(BadValue, match="PROJECT/IMAGE"):
        deploy(store, "router")


# -- into a reservation that runs ------------------------------------------------------------------


def test_running_reservation_gets_another_image_on_all_of_its_nodes(store: Store) -> None:
    running(store)
    made = deploy(store, slot=7)
    assert (made.is_new, made.reservation.id) == (False, 1)
    assert places(store) == [("debian", 5, NODES, "dark"), ("router", 7, NODES, "sched")]
    assert [str(booked.image) for booked in store.every(Reservation)[0].images] == ["mesh/router@1"]
    assert [(job.kind, job.deployment, job.nodes) for job in reversed(store.jobs())] == [
        (JobKind.WRITE_SLOT, 2, NODES),
        (JobKind.START, 2, NODES),
    ]


def test_nodes_that_are_not_named_stay_as_they_are(store: Store) -> None:
    held = running(store)
    deploy(store, nodes="node[2-3]")
    assert places(store) == [("debian", 5, ("node4",), "run"), ("router", 6, ("node2", "node3"), "sched")]
    assert [node.node for node in store.deployed_nodes(1)] == ["node4"]
    after = store.find(Reservation, 1)
    assert after == held
    assert store.places(["node4"])["node4"].state == "running"
    assert store.places(["node2"])["node2"].state == "waiting"


def test_its_own_slot_can_be_overwritten(store: Store) -> None:
    running(store)
    assert deploy(store, slot=5).plan.notes == (
        "slot 5 on node[2-4]: copied there; takes the place of mesh/debian@2 (never used)",
    )


def test_deployment_that_failed_makes_room(store: Store) -> None:
    running(store)
    [before] = store.deployments_of(1)
    keep(store, replace(before, state="failed"))
    deploy(store)
    assert places(store)[0][-1] == "dark"


def test_node_on_which_a_job_works_is_refused_with_both_ways_out(store: Store) -> None:
    running(store)
    keep(store, a_writing_job(store))
    told = refused(store, nodes="node[3-4]")
    assert "node3: job 1 (start) is at work there" in told
    assert "bootd jobs follow 1" in told
    assert "bootd jobs cancel 1" in told


def a_writing_job(store: Store) -> Job:
    with store.transaction("calendar") as change:
        job = jobs.add(change, JobKind.START, by="calendar", now=NOON, nodes=NODES, reservation=1)
        change.put_job_parts([JobPart(job.id, node, outcome=Outcome.OK) for node in ("node2", "node4")])
    return replace(job, state="running")


def test_end_of_a_reservation_that_runs_is_not_changed_by_the_way(store: Store) -> None:
    running(store)
    assert "bootd reservations extend 1" in refused(store, ends_at=at(3))


def test_root_nodes_of_a_reservation_that_runs_are_refused_with_the_way_out(store: Store) -> None:
    keep(store, replace(book(store, 0, 2, "node1"), state="active"))
    assert "bootd luns flip" in refused(store, nodes="node1")


def test_reservation_of_another_project_is_not_entered(store: Store) -> None:
    running(store)
    assert "booked by reservation 1 of mesh" in refused(store, project="orbit")


# -- disks of another layout -----------------------------------------------------------------------


def test_repartition_is_a_fact_of_the_one_job(store: Store) -> None:
    deploy(store, repartition=True)
    assert store.jobs()[0].facts[jobs.REPARTITION] is True
    assert store.hosts()[1].settings == {}


def test_repartition_is_refused_where_others_count_on_what_is_there(store: Store) -> None:
    book(store, 8, 9, "node3", images=("debian",))
    [ahead] = store.deployments_of(1)
    keep(store, Slot("node3", 5, ahead.image, ahead.digest, "ready"), Slot("node4", 9, pinned=True))
    told = refused(store, repartition=True)
    assert "node3: reservation 1 needs mesh/debian@2 in slot 5" in told
    assert "node4: slot 9 is pinned: bootd slots unpin node4 9" in told
