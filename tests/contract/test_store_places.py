"""What a host has to boot by its reservation, as a snapshot has it and as changes bring it about."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from bootd.boot.snapshot import Policy, apply_changes
from bootd.model import DeployedNode, Deployment, LunClone, Place, Reservation, Role
from bootd.store import Store, Transaction
from tests.helpers.deeds import (
    HOUR,
    IMAGE,
    NODES,
    a_clone,
    a_deployment,
    a_node,
    a_reservation,
    keep,
    keep_in,
    put_in_place,
)
from tests.helpers.site import NOON

IN_SLOT = Place(
    reservation=1,
    project="mesh",
    deployment=1,
    role=Role.MESH,
    image=IMAGE,
    state="ready",
    slot=7,
    device="/dev/sda7",
)
ROOTS = a_deployment(role=Role.ROOT, slot=None, group="roots", side=0, state="lun-ready")


def put_on_lun(store: Store) -> None:
    """Have node1 and node2 boot their clones of side 0 by reservation 1."""
    put_in_place(store)
    keep(store, ROOTS, *(a_node(node, device="", volume=f"roots-0-{node}") for node in NODES))
    keep(store, *(a_clone(node) for node in NODES))


@contextmanager
def followed(store: Store) -> Iterator[dict[str, Place | None]]:
    """Give the places that the block changes, and hold changes to what a fresh look says."""
    changed: dict[str, Place | None] = {}
    old = store.load_snapshot(Policy())
    yield changed
    changes = store.changes_since(old.generation)
    changed.update(changes.places)
    assert apply_changes(old, changes) == store.load_snapshot(Policy())


def test_an_image_that_is_ready_in_its_slot_is_what_a_node_boots(store: Store) -> None:
    put_in_place(store)
    assert store.places() == {"node1": IN_SLOT, "node2": IN_SLOT}
    assert store.places(["node2", "node9"]) == {"node2": IN_SLOT}
    assert store.places([]) == {}
    assert store.load_snapshot(Policy()).places == store.places()


def test_a_node_of_a_lun_boots_its_own_clone(store: Store) -> None:
    put_on_lun(store)
    place = store.places()["node2"]
    assert (place.role, place.clone, place.slot, place.device) == (Role.ROOT, a_clone("node2"), None, "")


@pytest.mark.parametrize(
    ("deployment", "node", "state", "note"),
    [
        ({"flipped_at": None, "note": "copying"}, {}, "waiting", "copying"),
        ({"state": "deploy-hd"}, {"state": "waiting"}, "waiting", ""),
        ({}, {"state": "running"}, "running", ""),
        ({"state": "run"}, {"state": "ready"}, "ready", ""),
        ({}, {"state": "failed", "note": "disk"}, "failed", "disk"),
        ({"flipped_at": None}, {"state": "failed", "note": "disk"}, "failed", "disk"),
        ({"state": "failed", "note": "no room"}, {}, "failed", "no room"),
    ],
)
def test_how_a_place_stands(
    store: Store, deployment: dict[str, Any], node: dict[str, Any], state: str, note: str
) -> None:
    put_in_place(store)
    keep(store, a_deployment(**deployment), a_node(**node))
    place = store.places(["node1"])["node1"]
    assert (place.state, place.note) == (state, note)


def test_a_node_without_a_row_waits(store: Store) -> None:
    put_in_place(store)
    with store.transaction("anna") as change:
        change.discard(DeployedNode, "1/node1")
    assert store.places()["node1"].state == "waiting"
    assert store.places()["node2"].state == "ready"


@pytest.mark.parametrize("state", ["booked", "ended", "cancelled", "failed"])
def test_a_reservation_that_is_not_active_gives_nothing(store: Store, state: str) -> None:
    put_in_place(store)
    keep(store, a_reservation(state=state))
    assert store.places() == {}


# what changes -> which hosts must be told of
CHANGES: list[tuple[str, Callable[[Transaction], object], set[str]]] = [
    ("the reservation ends", lambda c: c.keep(a_reservation(state="ended")), set(NODES)),
    ("the reservation is put back", lambda c: c.keep(a_reservation(state="booked")), set(NODES)),
    ("the reservation is gone", lambda c: c.discard(Reservation, 1), set(NODES)),
    ("the flip is taken back", lambda c: c.keep(a_deployment(flipped_at=None)), set(NODES)),
    ("the deployment fails", lambda c: c.keep(a_deployment(state="failed")), set(NODES)),
    ("the deployment goes dark", lambda c: c.keep(a_deployment(state="dark")), set(NODES)),
    ("the deployment loses a node", lambda c: c.keep(a_deployment(nodes=("node2",))), set(NODES)),
    ("the deployment is gone", lambda c: c.discard(Deployment, 1), set(NODES)),
    ("a node runs", lambda c: c.keep(a_node(state="running")), {"node1"}),
    ("a node fails", lambda c: c.keep(a_node(state="failed")), {"node1"}),
    ("a node is gone", lambda c: c.discard(DeployedNode, "1/node1"), {"node1"}),
]


@pytest.mark.parametrize(("what", "alter", "hosts"), CHANGES, ids=[row[0] for row in CHANGES])
def test_a_change_of_a_slot_reaches_the_snapshot(
    store: Store, what: str, alter: Callable[[Transaction], object], hosts: set[str]
) -> None:
    put_in_place(store)
    before = store.places()
    with followed(store) as changed, store.transaction("anna") as change:
        alter(change)
    assert set(changed) == hosts, what
    assert store.places() != before


def test_a_flip_reaches_the_snapshot(store: Store) -> None:
    put_in_place(store)
    keep(store, a_deployment(flipped_at=None))
    with followed(store) as changed:
        keep(store, a_deployment())
    assert changed == {"node1": IN_SLOT, "node2": IN_SLOT}


def test_a_clone_exported_again_reaches_its_node(store: Store) -> None:
    put_on_lun(store)
    with followed(store) as changed:
        keep(store, a_clone("node2", target="iqn.2026-01.net.bootd:new"))
    assert set(changed) == {"node2"}
    assert changed["node2"] is not None
    assert changed["node2"].clone == a_clone("node2", target="iqn.2026-01.net.bootd:new")


def test_a_clone_that_is_dropped_is_no_longer_offered(store: Store) -> None:
    put_on_lun(store)
    with followed(store) as changed, store.transaction("anna") as change:
        change.discard(LunClone, "roots-0-node2")
    assert changed["node2"] is not None
    assert changed["node2"].clone is None


def test_a_clone_given_to_another_node_leaves_the_first(store: Store) -> None:
    put_on_lun(store)
    with followed(store) as changed:
        keep(store, replace(a_clone("node1"), node="node2"))
    assert set(changed) == {"node1", "node2"}


def test_back_to_back_reservations_leave_a_host_with_the_later_one(store: Store) -> None:
    put_in_place(store)
    later = a_reservation(2, starts_at=NOON + HOUR, ends_at=NOON + 2 * HOUR, state="booked")
    next_one = a_deployment(2, 2, slot=8, flipped_at=None)
    keep(store, later, next_one, a_node("node1", 2, device="/dev/sda8"))
    with followed(store) as changed:
        keep(
            store,
            replace(later, state="active"),
            replace(next_one, flipped_at=NOON + HOUR),
            a_reservation(state="ended"),
            a_deployment(state="dark"),
        )
    assert changed["node1"] == replace(IN_SLOT, reservation=2, deployment=2, slot=8, device="/dev/sda8")
    assert changed["node2"] is not None
    assert (changed["node2"].reservation, changed["node2"].state) == (2, "waiting")


def test_what_is_decided_by_a_booking_to_come_is_nothing_yet(store: Store) -> None:
    put_in_place(store)
    with followed(store) as changed:
        keep(store, a_reservation(2, nodes=("node3",), state="booked"))
    assert changed == {"node3": None}


def test_a_reservation_of_thousands_of_nodes_is_told_whole(store: Store) -> None:
    nodes = tuple(sorted(f"node{n}" for n in range(1, 2001)))
    put_in_place(store)
    with followed(store) as changed, store.transaction("anna") as change:
        keep_in(change, a_reservation(nodes=nodes), a_deployment(nodes=nodes))
        keep_in(change, *(a_node(node) for node in nodes))
    assert set(changed) == set(nodes)
    assert set(changed.values()) == {IN_SLOT}
