"""Slots: written, pinned and wiped, and never taken from anybody who counts on them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bootd.errors import Refused
from bootd.lifecycle import IllegalMove
from bootd.model import Deployment, ImageRef, Role, Slot, SlotScheme
from bootd.services import slots
from bootd.store import Store
from tests.helpers.bookings import book, furnish
from tests.helpers.site import NOON, memory_store

DEBIAN = ImageRef("mesh", "debian", 1)
OLD = ImageRef("mesh", "old", 1)
MESH = ("node2", "node3", "node4")


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store() as opened:
        furnish(opened)
        yield opened


def keep(store: Store, *records: Any) -> None:
    with store.transaction("anna") as change:
        for record in records:
            change.keep(record)


def holding(host: str, number: int = 7, image: ImageRef = OLD, **fields: Any) -> Slot:
    return replace(Slot(host, number, image, f"ref:{image}", "ready", last_used_at=NOON), **fields)


def begin(store: Store, nodes: tuple[str, ...] = MESH, number: int = 7, image: ImageRef = DEBIAN) -> None:
    with store.transaction("calendar") as change:
        slots.begin(change, nodes, number, image, f"ref:{image}")


def booked(store: Store, state: str = "sched", slot: int = 7, **fields: Any) -> Deployment:
    """Book mesh/debian@1 for node2 to node4, and have its deployment in *state* and *slot*."""
    number = book(store, 1, 3).id
    made = Deployment(1, number, Role.MESH, DEBIAN, f"ref:{DEBIAN}", MESH, NOON, slot=slot, state=state)
    keep(store, replace(made, **fields))
    return made


# -- written ------------------------------------------------------------------------------------


def test_slot_is_written_verified_used_and_written_again(store: Store) -> None:
    begin(store)
    assert store.slots(["node2"]) == [Slot("node2", 7, DEBIAN, f"ref:{DEBIAN}", "writing")]
    with store.transaction("calendar") as change:
        slots.verified(change, ["node2", "node3"], 7)
        slots.failed(change, ["node4"], 7)
        slots.used(change, ["node2", "node4"], 7, NOON)
    assert store.slots() == [
        holding("node2", 7, DEBIAN),
        holding("node3", 7, DEBIAN, last_used_at=None),
        Slot("node4", 7, state="damaged"),
    ]
    begin(store, image=OLD)
    assert {slot.image for slot in store.slots()} == {OLD}


def test_what_holds_the_image_or_is_being_written_with_it_stays(store: Store) -> None:
    keep(store, holding("node2", 7, DEBIAN))
    begin(store)
    generation = store.generation()
    begin(store)
    assert store.generation() == generation
    assert store.slots(["node2"]) == [holding("node2", 7, DEBIAN)]


def test_what_is_told_twice_changes_nothing(store: Store) -> None:
    begin(store)
    for _ in range(2):
        with store.transaction("calendar") as change:
            slots.verified(change, ["node2"], 7)
            slots.failed(change, ["node3"], 7)
    assert [slot.state for slot in store.slots()] == ["ready", "damaged", "writing"]


def test_nothing_is_verified_that_was_not_written(store: Store) -> None:
    with pytest.raises(IllegalMove), store.transaction("calendar") as change:
        slots.verified(change, ["node2"], 7)


def test_slot_that_is_being_written_is_not_written_with_something_else(store: Store) -> None:
    begin(store)
    with pytest.raises(IllegalMove, match="a slot that is writing cannot write"):
        begin(store, image=OLD)


@pytest.mark.parametrize("state", ["sched", "hd-ready", "run"])
def test_slot_that_a_booking_counts_on_is_not_overwritten(store: Store, state: str) -> None:
    booked(store, state)
    with pytest.raises(Refused, match=rf"node2: reservation 1 needs mesh/debian@1 there \({state}\)"):
        begin(store, ("node2",), image=OLD)
    assert store.slots() == []
    begin(store, ("node2",), 8, OLD)
    begin(store, ("node2",))


@pytest.mark.parametrize("state", ["dark", "failed"])
def test_slot_of_a_deployment_that_is_over_is_free(store: Store, state: str) -> None:
    booked(store, state)
    begin(store, image=OLD)
    assert len(store.slots()) == 3


def test_pinned_slot_is_not_overwritten(store: Store) -> None:
    keep(store, holding("node3", pinned=True))
    with pytest.raises(Refused, match="slot 7 cannot be written with mesh/debian@1: node3: pinned"):
        begin(store)


# -- pinned -------------------------------------------------------------------------------------


def test_pinning_tells_what_it_changed(store: Store) -> None:
    keep(store, holding("node2", pinned=True))
    changed = slots.pin(store, "anna", "node[2-3]", 7)
    assert changed == [Slot("node3", 7, pinned=True)]
    assert [slot.host for slot in slots.unpin(store, "anna", "@role:mesh", 7)] == ["node2", "node3"]
    assert not any(slot.pinned for slot in store.slots())
    assert store.journal(limit=1)[0].what == "slots unpin"


def test_pinning_something_else_than_what_is_booked_there_is_refused(store: Store) -> None:
    booked(store)
    keep(store, holding("node2"), holding("node3", 7, DEBIAN))
    with pytest.raises(Refused, match="node2: reservation 1 needs mesh/debian@1 there"):
        slots.pin(store, "anna", "node[2-3]", 7)
    assert slots.pin(store, "anna", "node3", 7) == [holding("node3", 7, DEBIAN, pinned=True)]


@pytest.mark.parametrize("deed", [slots.pin, slots.wipe])
def test_dry_run_says_the_same_and_changes_nothing(store: Store, deed: Any) -> None:
    keep(store, holding("node2"))
    generation = store.generation()
    told = deed(store, "anna", "node2", 7, dry_run=True)
    assert store.generation() == generation
    assert deed(store, "anna", "node2", 7) == told != []


@pytest.mark.parametrize(
    ("nodes", "number", "told"),
    [("node2", 4, "node2: slots 5 to 25"), ("node1", 7, "node1: root nodes boot from LUNs")],
)
def test_number_that_is_no_slot_is_refused(store: Store, nodes: str, number: int, told: str) -> None:
    with pytest.raises(Refused, match=told):
        slots.pin(store, "anna", nodes, number)


# -- wiped --------------------------------------------------------------------------------------


def test_wiped_slot_is_empty_and_those_that_held_something_are_told(store: Store) -> None:
    keep(store, holding("node2"), Slot("node3", 7, state="damaged"))
    assert slots.wipe(store, "anna", "node[2-4]", 7) == [holding("node2"), Slot("node3", 7, state="damaged")]
    assert store.slots() == [Slot("node2", 7), Slot("node3", 7)]


@pytest.mark.parametrize(
    ("held", "state", "told"),
    [
        pytest.param({"pinned": True}, "dark", "node2: pinned", id="pinned"),
        pytest.param({"state": "writing"}, "dark", "node2: being written", id="being-written"),
        pytest.param({}, "run", "node2: reservation 1 needs", id="running"),
        pytest.param({}, "hd-ready", "node2: reservation 1 needs", id="ready-to-run"),
        pytest.param({"image": DEBIAN}, "sched", "node2: reservation 1 needs", id="booked-and-there"),
    ],
)
def test_slot_in_use_is_not_wiped(store: Store, held: dict[str, Any], state: str, told: str) -> None:
    booked(store, state)
    keep(store, holding("node2", **held))
    with pytest.raises(Refused, match=told):
        slots.wipe(store, "anna", "node2", 7)
    assert store.slots() == [holding("node2", **held)]


def test_slot_into_which_a_booking_will_write_something_else_may_be_wiped(store: Store) -> None:
    booked(store)
    keep(store, holding("node2"))
    assert slots.wipe(store, "anna", "node2", 7) == [holding("node2")]


# -- looking ------------------------------------------------------------------------------------


def test_contents_put_numbers_and_nodes_together_that_hold_the_same(store: Store) -> None:
    keep(store, *(holding(node, number) for node in MESH for number in (5, 7)), Slot("node2", 6))
    keep(store, holding("node2", 8, last_used_at=NOON - timedelta(days=1)), Slot("node3", 9, pinned=True))
    rows = [
        ((5, 7), "ready", OLD, False, MESH, NOON),
        ((6, *range(10, 26)), "empty", None, False, MESH, None),
        ((8,), "empty", None, False, ("node3", "node4"), None),
        ((8,), "ready", OLD, False, ("node2",), NOON - timedelta(days=1)),
        ((9,), "empty", None, False, ("node2", "node4"), None),
        ((9,), "empty", None, True, ("node3",), None),
    ]
    assert slots.contents(store) == [slots.Row(*row) for row in rows]


def test_contents_of_some_nodes_leave_out_the_others_and_root_nodes(store: Store) -> None:
    keep(store, holding("node2"), holding("node3"))
    [row] = [row for row in slots.contents(store, "node[1-2]") if row.state != "empty"]
    assert row.nodes == ("node2",)


def test_host_is_shown_slot_by_slot_with_the_bookings_that_count_on_them(store: Store) -> None:
    booked(store)
    keep(store, SlotScheme("", "/dev/nvme0n1", 6, 7), holding("node2", 6))
    assert slots.show(store, "node2") == [
        slots.Shown(holding("node2", 6), "/dev/nvme0n1p6", ()),
        slots.Shown(Slot("node2", 7), "/dev/nvme0n1p7", (1,)),
    ]
    with pytest.raises(Refused, match="node1 is a root node"):
        slots.show(store, "node1")
