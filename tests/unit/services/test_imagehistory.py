"""The path of an image is read back from what was written down, with who and why."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootd.errors import BadValue, NotFound
from bootd.lifecycle import DEPLOYMENT, DISK_IMAGE
from bootd.model import ImageRef, LunPair, Role, Slot
from bootd.services.imagehistory import DEPLOYMENT_STEPS, IMAGE_STEPS, Step, history, place_of
from bootd.store import Store
from tests.helpers.bookings import a_disk_image
from tests.helpers.deeds import IMAGE, NODES, a_deployment, a_node, a_pair, a_project, a_reservation, a_slot
from tests.helpers.site import NOON, HandClock, memory_store
from tests.helpers.world import World

OTHER = ImageRef("mesh", "other", 1)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(clock: HandClock) -> Iterator[Store]:
    with memory_store(clock) as opened:
        yield opened


def deed(store: Store, clock: HandClock, who: str, why: str, *records: Any) -> None:
    """Have *who* keep *records*, a minute after the last deed."""
    with store.transaction(who, why) as change:
        for record in records:
            change.keep(record)
    clock.move(minutes=1)


def a_life(store: Store, clock: HandClock) -> None:
    """Lead mesh/debian@1 from its registration through slot 7 of node1 and node2, and back."""
    image = a_disk_image()
    booked = a_deployment(state="sched", flipped_at=None)
    writing = [a_slot(node, state="writing", pinned=False, last_used_at=None) for node in NODES]
    deed(store, clock, "anna", "projects add", a_project())
    deed(store, clock, "anna", "images add", replace(image, state="registered"))
    deed(store, clock, "anna", "images verify", image)
    deed(store, clock, "ben", "reservations add", a_reservation(state="booked"), booked)
    begun = [replace(booked, state="deploy-hd"), *(a_node(node, state="waiting") for node in NODES), *writing]
    deed(store, clock, "calendar", "job 1 write-slot", *begun)
    held = [replace(slot, state="ready") for slot in writing]
    ready = replace(booked, state="hd-ready")
    deed(store, clock, "calendar", "job 1", ready, *(a_node(node) for node in NODES), *held)
    flipped = replace(ready, flipped_at=NOON)
    deed(store, clock, "calendar", "job 2 start", flipped)
    deed(store, clock, "bootd", "reports", a_node("node1", state="running"))
    deed(store, clock, "bootd", "reports", a_node("node2", state="running"), replace(flipped, state="run"))
    deed(store, clock, "calendar", "job 3 end", replace(flipped, state="dark"))


def told(steps: list[Step]) -> list[tuple[str, str, str, str]]:
    return [(step.step, place_of(step), step.by, step.why) for step in steps]


def capitals(steps: list[Step]) -> list[str]:
    return [step.step for step in steps if step.step.isupper()]


def test_the_path_is_that_of_the_process(store: Store, clock: HandClock) -> None:
    a_life(store, clock)
    steps = history(store, "mesh/debian")
    assert told([step for step in steps if step.step.isupper()]) == [
        ("REG", "dark store", "anna", "images add"),
        ("DARK", "dark store", "anna", "images verify"),
        ("SCHED", "slot 7 on node[1-2]", "ben", "reservations add"),
        ("DEPLOY HD", "slot 7 on node[1-2]", "calendar", "job 1 write-slot"),
        ("HD READY", "slot 7 on node[1-2]", "calendar", "job 1"),
        ("FLIP", "slot 7 on node[1-2]", "calendar", "job 2 start"),
        ("RUN", "slot 7 on node[1-2]", "bootd", "reports"),
        ("DARK", "slot 7 on node[1-2]", "calendar", "job 3 end"),
    ]
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert {step.reservation for step in steps if step.step == "RUN"} == {1}


def test_nodes_and_slots_that_change_alike_are_one_step(store: Store, clock: HandClock) -> None:
    a_life(store, clock)
    assert told([step for step in history(store, "mesh/debian@1") if not step.step.isupper()]) == [
        ("waiting", "node[1-2]", "calendar", "job 1 write-slot"),
        ("slot writing", "slot 7 on node[1-2]", "calendar", "job 1 write-slot"),
        ("ready", "node[1-2]", "calendar", "job 1"),
        ("slot ready", "slot 7 on node[1-2]", "calendar", "job 1"),
        ("running", "node1", "bootd", "reports"),
        ("running", "node2", "bootd", "reports"),
    ]


def test_what_displaces_an_image_from_its_slot_is_told_of_both(store: Store, clock: HandClock) -> None:
    a_life(store, clock)
    deed(store, clock, "anna", "images add", a_disk_image("other"))
    second = a_deployment(2, 2, image=OTHER, nodes=("node1",), state="sched", flipped_at=None)
    taken = a_slot("node1", image=OTHER, state="writing", pinned=False, last_used_at=None)
    deed(store, clock, "calendar", "job 4 write-slot", second, taken)
    deed(store, clock, "calendar", "job 4", replace(taken, state="damaged", image=None, digest=""))
    assert told(history(store, "mesh/debian"))[-1] == (
        *("slot cleared", "slot 7 on node1", "calendar", "job 4 write-slot"),
    )
    assert [step.step for step in history(store, "mesh/other")] == [
        *("DARK", "SCHED", "slot writing", "slot cleared"),
    ]


def test_pinning_a_slot_is_no_step(store: Store, clock: HandClock) -> None:
    a_life(store, clock)
    before = history(store, "mesh/debian")
    held = store.find(Slot, "node1/7")
    assert held is not None
    deed(store, clock, "anna", "slots pin", replace(held, pinned=True))
    assert history(store, "mesh/debian") == before


def test_sides_of_a_pair_are_named(store: Store, clock: HandClock) -> None:
    deed(store, clock, "anna", "images add", a_project(), a_disk_image())
    on_lun: dict[str, Any] = {"role": Role.ROOT, "slot": None, "group": "roots", "flipped_at": None}
    booked = a_deployment(state="sched", **on_lun)
    deed(store, clock, "anna", "reservations add", booked, replace_side(a_pair(), 0, image=None, digest=""))
    pair = store.find(LunPair, "roots")
    assert pair is not None
    staged = replace_side(pair, 1, image=IMAGE, state="staged")
    deed(store, clock, "calendar", "stage", replace(booked, state="deploy-lun", side=1), staged)
    flipped = replace_side(replace_side(staged, 0, state="inactive"), 1, state="active")
    deed(store, clock, "calendar", "start", flipped)
    assert told(history(store, "mesh/debian"))[1:] == [
        ("SCHED", "LUN roots on node[1-2]", "anna", "reservations add"),
        ("DEPLOY LUN", "LUN roots:b on node[1-2]", "calendar", "stage"),
        ("LUN staged", "LUN roots:b", "calendar", "stage"),
        ("LUN active", "LUN roots:b", "calendar", "start"),
    ]


def replace_side(pair: LunPair, side: int, **fields: Any) -> LunPair:
    first, second = (replace(each, **fields) if n == side else each for n, each in enumerate(pair.sides))
    return replace(pair, sides=(first, second))


def test_a_booking_that_moves_to_another_slot_is_booked_again(store: Store, clock: HandClock) -> None:
    deed(store, clock, "anna", "images add", a_project(), a_disk_image())
    booked = a_deployment(state="sched", flipped_at=None)
    deed(store, clock, "anna", "reservations add", booked)
    deed(store, clock, "anna", "reservations move", replace(booked, slot=9))
    deed(store, clock, "anna", "x", replace(booked, slot=9, note="waits"))
    assert [place_of(step) for step in history(store, "mesh/debian")[1:]] == [
        "slot 7 on node[1-2]",
        "slot 9 on node[1-2]",
    ]


def test_versions_have_paths_of_their_own(store: Store, clock: HandClock) -> None:
    a_life(store, clock)
    deed(store, clock, "anna", "images add", a_disk_image(version=2, state="registered"))
    deed(store, clock, "anna", "images verify", a_disk_image(version=2, state="damaged"))
    assert capitals(history(store, "mesh/debian@2")) == ["REG", "DAMAGED"]
    assert len(history(store, "mesh/debian")) == len(history(store, "mesh/debian@1")) + 2


def test_an_image_that_is_not_there_is_refused(store: Store) -> None:
    with pytest.raises(NotFound, match="mesh/nothing"):
        history(store, "mesh/nothing")
    with pytest.raises(BadValue):
        history(store, "nothing")


def test_every_state_has_a_word_of_the_process() -> None:
    assert set(IMAGE_STEPS) == set(DISK_IMAGE.states)
    assert set(DEPLOYMENT_STEPS) == set(DEPLOYMENT.states)


def test_a_booking_from_its_making_to_its_end_leaves_the_whole_path(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.book(2, 4, "node[1-5]")
    world.run(5)
    steps = history(world.store, "mesh/debian")
    by_role = {where: capitals([step for step in steps if where in step.where]) for where in ("slot", "LUN")}
    assert by_role["slot"] == ["SCHED", "DEPLOY HD", "HD READY", "FLIP", "RUN", "DARK"]
    assert by_role["LUN"] == ["SCHED", "DEPLOY LUN", "LUN READY", "FLIP", "RUN", "DARK"]
    assert all(step.by and step.why for step in steps)
    world.store.close()
