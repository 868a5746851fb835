"""Where the images of a reservation go, why they cannot go there, and what becomes of them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bootd.errors import CannotBook
from bootd.lifecycle import IllegalMove
from bootd.model import (
    Booked,
    DeployedNode,
    Deployment,
    ImageKind,
    ImagePart,
    ImageRef,
    Job,
    JobKind,
    LunSide,
    Reservation,
    Role,
    Slot,
    SlotScheme,
)
from bootd.services import deployments
from bootd.services.deployments import Plan, Planner
from bootd.store import Store
from tests.helpers.bookings import a_disk_image, a_pair, at, furnish
from tests.helpers.site import NOON, a_host, memory_store

DEBIAN = ImageRef("mesh", "debian", 1)
ROUTER = ImageRef("mesh", "router", 1)
MESH = ("node2", "node3", "node4")


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store() as opened:
        furnish(opened)
        with opened.transaction("anna") as change:
            change.keep(a_disk_image("router"))
        yield opened


def a_reservation(
    start: float = 1, end: float = 3, nodes: tuple[str, ...] = MESH, *images: ImageRef, **fields: Any
) -> Reservation:
    booked = tuple(Booked(Role.NONE, image) for image in images or (DEBIAN,))
    standard = {"id": 0, "project": "mesh", "created_at": NOON, "created_by": "anna", "images": booked}
    return Reservation(starts_at=at(start), ends_at=at(end), nodes=nodes, **standard | fields)


def keep(store: Store, *records: Any) -> None:
    with store.transaction("anna") as change:
        for record in records:
            change.keep(record)


def book(store: Store, *words: Any, **fields: Any) -> Plan:
    with store.transaction("anna") as change:
        kept = replace(a_reservation(*words, **fields), id=change.next_id(Reservation))
        change.keep(kept)
        return deployments.book(change, kept, now=NOON)


def planned(store: Store, *words: Any, **fields: Any) -> Plan:
    return deployments.plan(store, a_reservation(*words, **fields), now=NOON)


def holding(host: str, number: int, image: ImageRef = ROUTER, **fields: Any) -> Slot:
    return Slot(host, number, image, f"ref:{image}", "ready", **fields)


# -- which image for which nodes ----------------------------------------------------------------


def test_mesh_nodes_get_one_slot_and_root_nodes_the_pair_of_their_group(store: Store) -> None:
    found = book(store, 1, 3, ("node1", *MESH))
    standard = {"reservation": 1, "image": DEBIAN, "digest": "ref:mesh/debian@1", "created_at": NOON}
    assert found.deployments == (
        Deployment(id=1, role=Role.MESH, nodes=MESH, slot=5, **standard),
        Deployment(id=2, role=Role.ROOT, nodes=("node1",), group="rack", **standard),
    )
    assert store.deployments_of(1) == list(found.deployments)


def test_root_nodes_of_two_groups_have_a_deployment_each(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_host(a_host(5, role=Role.ROOT, groups=("hall", "attic")))
        change.keep(a_pair("attic"))
    assert [(d.group, d.nodes) for d in planned(store, 1, 2, ("node1", "node5")).deployments] == [
        ("attic", ("node5",)),
        ("rack", ("node1",)),
    ]


def test_each_role_gets_its_own_image(store: Store) -> None:
    images = (Booked(Role.ROOT, ROUTER), Booked(Role.MESH, DEBIAN))
    found = planned(store, 1, 2, ("node1", "node2"), images=images)
    assert [(d.role, d.image) for d in found.deployments] == [(Role.MESH, DEBIAN), (Role.ROOT, ROUTER)]


def test_reservation_without_images_just_holds_its_nodes(store: Store) -> None:
    assert planned(store, images=()) == Plan()


def test_node_without_a_role_or_without_a_pair_is_refused_with_the_way_out(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_hosts([a_host(6), a_host(7), a_host(8, role=Role.ROOT)])
    assert planned(store, 1, 2, ("node2", "node6", "node7", "node8")).reasons == (
        "node[6-7] have no role: bootd hosts set node[6-7] --role mesh|root",
        "node8: no group of it has a LUN pair: bootd luns add GROUP --size SIZE",
    )


def test_lun_takes_disks_that_fit_however_they_are_kept(store: Store) -> None:
    big = ImagePart("disk.raw", 2 << 30, "a" * 64)
    keep(
        store,
        a_disk_image("packed", kind=ImageKind.QCOW2, description={"virtual_size": 1 << 30}),
        a_disk_image("big", parts=(big,)),
        a_disk_image("unpacks", kind=ImageKind.QCOW2, description={"virtual_size": 2 << 30}),
        a_disk_image("parts", kind=ImageKind.CLONEZILLA, description={"whole": False, "disks": []}),
    )

    def reasons(name: str) -> tuple[str, ...]:
        return tuple(planned(store, 1, 2, ("node1",), ImageRef("mesh", name, 1)).reasons)

    assert reasons("packed") == ()
    assert reasons("big") == ("node1: the disk of mesh/big@1 has 2.1 GB, the LUNs of rack 1.1 GB",)
    assert reasons("unpacks") == ("node1: the disk of mesh/unpacks@1 has 2.1 GB, the LUNs of rack 1.1 GB",)
    [parts] = reasons("parts")
    assert parts.startswith("node1: mesh/parts@1 holds partitions and no disk: save the whole disk")


# -- slots --------------------------------------------------------------------------------------


def test_note_says_what_is_copied_and_what_must_go(store: Store) -> None:
    keep(store, SlotScheme("", "/dev/sda", 7, 7), holding("node4", 7, DEBIAN))
    keep(store, holding("node2", 7, last_used_at=NOON - timedelta(days=2)), holding("node3", 7))
    assert planned(store).notes == (
        "slot 7 on node[2-4]: copied to node[2-3], node4 holds it already;"
        " takes the place of mesh/router@1 (last used 3 Jan)",
    )


def test_note_says_when_nothing_is_copied(store: Store) -> None:
    keep(store, *(holding(node, 9, DEBIAN) for node in MESH))
    [note] = planned(store).notes
    assert note == "slot 9 on node[2-4]: holds it already, nothing is copied"


def test_only_slots_that_every_node_has_are_taken(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_host(a_host(4, role=Role.MESH, groups=("new",)))
        change.keep(SlotScheme("new", "/dev/nvme0n1", 20, 30))
    assert planned(store).deployments[0].slot == 20


def test_slot_of_another_booking_is_left_alone_and_shared_where_the_image_is_the_same(store: Store) -> None:
    book(store, 1, 3)
    assert planned(store, 5, 6, MESH, ROUTER).deployments[0].slot == 6
    assert planned(store, 5, 6, ("node2",)).deployments[0].slot == 5


def test_refusal_says_what_takes_every_slot(store: Store) -> None:
    keep(store, SlotScheme("", "/dev/sda", 5, 6), Slot("node3", 6, pinned=True))
    book(store, 1, 3, ("node2",))
    [reason] = planned(store, 5, 6, MESH, ROUTER).reasons
    assert reason == (
        "no slot for mesh/router@1 that is the same on all 3 nodes:"
        " 5: needed by reservation 1 on node2; 6: pinned on node3 (empty)"
    )


def test_places_that_are_planned_together_see_each_other(store: Store) -> None:
    planner = Planner(store, now=NOON)
    first = a_reservation(1, 2)
    planner.remember(first, planner.plan(first))
    assert planner.plan(a_reservation(3, 4, MESH, ROUTER)).deployments[0].slot == 6


def test_bookings_that_leave_are_not_in_the_way(store: Store) -> None:
    keep(store, SlotScheme("", "/dev/sda", 5, 5))
    book(store, 1, 2)
    assert planned(store, 3, 4, MESH, ROUTER).reasons
    leaving = Planner(store, now=NOON, besides=[1]).plan(a_reservation(3, 4, MESH, ROUTER))
    assert leaving.deployments[0].slot == 5


# -- LUN pairs ----------------------------------------------------------------------------------


@pytest.fixture
def rack(store: Store) -> Store:
    """A second root node in the rack of node1."""
    with store.transaction("anna") as change:
        change.put_host(a_host(9, role=Role.ROOT, groups=("rack",)))
    return store


def test_overlapping_bookings_that_share_a_pair_need_the_same_image(rack: Store) -> None:
    book(rack, 1, 3, ("node1",))
    assert planned(rack, 2, 4, ("node9",), ROUTER).reasons == (
        "node9: the LUN pair of rack serves mesh/debian@1 to reservation 1, 2026-01-05 13:00 – 15:00 UTC;"
        " at one time it serves one image: book that one, or another time",
    )
    assert planned(rack, 2, 4, ("node9",)).reasons == ()
    assert planned(rack, 3, 4, ("node9",), ROUTER).reasons == ()


def test_those_planned_together_need_the_same_image_too(rack: Store) -> None:
    planner = Planner(rack, now=NOON)
    first = a_reservation(1, 3, ("node1",))
    planner.remember(first, planner.plan(first))
    [reason] = planner.plan(a_reservation(2, 4, ("node9",), ROUTER)).reasons
    assert "serves mesh/debian@1 to the booking of mesh asked for with it" in reason


def test_note_of_a_pair_says_whether_anything_is_written(store: Store) -> None:
    assert planned(store, 1, 2, ("node1",)).notes == (
        "LUN pair rack for node1: written to the LUN that is inactive then",
    )
    pair = a_pair()
    held = LunSide("rack.b", "inactive", DEBIAN, f"ref:{DEBIAN}")
    keep(store, replace(pair, sides=(pair.sides[0], held)))
    assert planned(store, 1, 2, ("node1",)).notes == (
        "LUN pair rack for node1: rack.b holds it already, nothing is written",
    )


# -- bookings that are kept ----------------------------------------------------------------------


def again(store: Store, **changed: Any) -> Plan:
    """Plan reservation 1 anew with what is *changed*, and keep it."""
    held = store.find(Reservation, 1)
    assert held is not None
    after = replace(held, **changed)
    with store.transaction("anna") as change:
        found = deployments.plan(change, after, now=at(1))
        if found.reasons:
            return found
        change.keep(after)
        return deployments.keep(change, after, found)


def test_booking_with_other_nodes_keeps_its_deployment_and_its_slot(store: Store) -> None:
    keep(store, holding("node2", 5))
    [before] = book(store, 1, 3, ("node2", "node3")).deployments
    assert before.slot == 6
    with store.transaction("anna") as change:
        change.discard(Slot, "node2/5")
    [after] = again(store, nodes=MESH).deployments
    assert after == replace(before, nodes=MESH)
    assert store.deployments_of(1) == [after]


def test_deployment_that_is_not_needed_any_more_goes_dark(store: Store) -> None:
    book(store, 1, 3, ("node1", "node2"))
    again(store, nodes=("node2",))
    assert [(d.group, d.state) for d in store.deployments_of(1)] == [(None, "sched"), ("rack", "dark")]


def test_one_that_failed_is_scheduled_again(store: Store) -> None:
    [failed] = book(store).deployments
    keep(store, replace(failed, state="failed", note="no room"))
    [after] = again(store, starts_at=at(2)).deployments
    assert (after.id, after.state, after.note) == (failed.id, "sched", "")


@pytest.mark.parametrize("state", ["deploy-hd", "hd-ready", "run"])
def test_what_is_under_way_keeps_its_place_at_another_time_and_refuses_other_nodes(
    store: Store, state: str
) -> None:
    [begun] = book(store).deployments
    keep(store, replace(begun, state=state))
    assert again(store, starts_at=at(2)).notes == ("slot 5 on node[2-4] stays",)
    assert store.deployments_of(1) == [replace(begun, state=state)]
    [reason] = again(store, nodes=("node2",)).reasons
    assert f"mesh/debian@1 is {state}" in reason
    assert "bootd reservations cancel 1, and book again" in reason


def test_one_whose_job_is_written_down_is_under_way(store: Store) -> None:
    [before] = book(store).deployments
    keep(store, Job(1, JobKind.WRITE_SLOT, 1, before.id, MESH, NOON, "calendar", NOON))
    assert "work on them has begun" in again(store, nodes=("node2",)).reasons[0]


def test_longer_time_is_refused_where_the_pair_serves_another_image_by_then(rack: Store) -> None:
    [begun] = book(rack, 1, 3, ("node1",)).deployments
    keep(rack, replace(begun, state="lun-ready"))
    book(rack, 4, 5, ("node9",), ROUTER)
    assert "serves mesh/router@1 to reservation 2" in again(rack, ends_at=at(6)).reasons[0]
    assert again(rack, ends_at=at(4)).reasons == ()


# -- kept, released, moved ------------------------------------------------------------------------


def test_book_raises_every_reason_and_keeps_nothing(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_hosts([a_host(6), a_host(8, role=Role.ROOT)])
    with pytest.raises(CannotBook) as caught:
        book(store, 1, 2, ("node6", "node8"))
    assert len(caught.value.reasons) == 2
    assert store.every(Deployment) == []


def test_released_deployments_go_dark_but_for_what_is_under_way(store: Store) -> None:
    _, root = book(store, 1, 3, ("node1", "node2")).deployments
    keep(store, replace(root, state="deploy-lun", side=1))
    kept = store.find(Reservation, 1)
    assert kept is not None
    with store.transaction("anna") as change:
        deployments.release(change, kept)
    assert [d.state for d in store.deployments_of(1)] == ["dark", "deploy-lun"]


def test_booking_of_an_older_database_gets_its_deployments_once(store: Store) -> None:
    older = a_reservation(id=1)
    keep(store, older)
    for expected in ((5,), ()):
        with store.transaction("calendar") as change:
            found = deployments.ensure(change, older, NOON)
        assert tuple(each.slot for each in found.deployments) == expected
    assert len(store.deployments_of(1)) == 1


def test_booking_of_an_older_database_that_has_no_place_says_why(store: Store) -> None:
    older = a_reservation(id=1)
    keep(store, older, *(Slot("node2", number, pinned=True) for number in range(5, 26)))
    with store.transaction("calendar") as change:
        assert "pinned on node2" in deployments.ensure(change, older, NOON).reasons[0]
    assert store.deployments_of(1) == []


def test_deployments_and_nodes_move_by_their_tables_only(store: Store) -> None:
    [made] = book(store).deployments
    with store.transaction("calendar") as change:
        begun = deployments.moved(change, made, "deploy-hd", note="to 3 nodes")
        node = deployments.node_moved(change, DeployedNode(made.id, "node2"), "place", changed_at=at(1))
        with pytest.raises(IllegalMove):
            deployments.moved(change, begun, "run")
    assert store.deployments_of(1) == [replace(made, state="deploy-hd", note="to 3 nodes")]
    assert store.deployed_nodes(made.id) == [node]
    assert (node.state, node.changed_at) == ("ready", at(1))


def test_flipped_deployment_keeps_since_when(store: Store) -> None:
    [made] = book(store).deployments
    with store.transaction("calendar") as change:
        assert deployments.flipped(change, made, now=at(1)) == replace(made, flipped_at=at(1))
    assert store.deployments_of(1) == [replace(made, flipped_at=at(1))]
