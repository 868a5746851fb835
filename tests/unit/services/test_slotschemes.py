"""Schemes of slots, set for a group or come by one's groups: no slot that is in use is lost."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bootd.errors import BadValue, NotFound, Refused
from bootd.formats import find_format
from bootd.model import Deployment, ImageRef, Role, Slot, SlotScheme
from bootd.services import hosts, slotschemes
from bootd.services.hosts import Given, HostEdit
from bootd.store import Store
from tests.helpers.bookings import a_disk_image, book, furnish
from tests.helpers.site import NOON, a_host, memory_store

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


def booked(store: Store, state: str = "sched", slot: int = 7, **fields: Any) -> Deployment:
    """Book mesh/debian@1 for node2 to node4, and have its deployment in *state* and *slot*."""
    number = book(store, 1, 3).id
    made = Deployment(1, number, Role.MESH, DEBIAN, f"ref:{DEBIAN}", MESH, NOON, slot=slot, state=state)
    keep(store, replace(made, **fields))
    return made


@pytest.fixture
def lab(store: Store) -> Store:
    """node4 is in the group lab."""
    with store.transaction("anna") as change:
        change.put_host(a_host(4, role=Role.MESH, groups=("lab",)))
    return store


def test_scheme_is_kept_and_forgotten(lab: Store) -> None:
    scheme = SlotScheme("lab", "/dev/nvme0n1", 2, 9, label="gpt")
    slotschemes.set_scheme(lab, "anna", scheme, dry_run=True)
    assert lab.every(SlotScheme) == []
    slotschemes.set_scheme(lab, "anna", scheme)
    assert lab.schemes().of(("lab",)) == scheme
    assert slotschemes.remove_scheme(lab, "anna", "lab") == scheme
    assert lab.every(SlotScheme) == []
    with pytest.raises(NotFound):
        slotschemes.remove_scheme(lab, "anna", "lab")


@pytest.mark.parametrize(
    ("scheme", "error"),
    [
        pytest.param(SlotScheme("nobody"), NotFound, id="group-without-hosts"),
        pytest.param(SlotScheme("lab", "sda"), BadValue, id="no-device"),
        pytest.param(SlotScheme("lab", first=9, last=8), BadValue, id="backwards"),
        pytest.param(SlotScheme("lab", first=0), BadValue, id="no-partition"),
        pytest.param(SlotScheme("lab", last=256), BadValue, id="too-many"),
        pytest.param(SlotScheme("lab", swap_mib=0), BadValue, id="no-swap"),
        pytest.param(SlotScheme("lab", label="bsd"), BadValue, id="no-such-table"),
    ],
)
def test_scheme_that_cannot_be_is_refused(lab: Store, scheme: SlotScheme, error: type[Exception]) -> None:
    with pytest.raises(error):
        slotschemes.set_scheme(lab, "anna", scheme)


@pytest.mark.parametrize(
    ("held", "scheme", "told"),
    [
        (holding("node4", 20), SlotScheme("lab", last=19), "slot 20 of node4 holds mesh/old@1"),
        (Slot("node4", 20, pinned=True), SlotScheme("lab", last=19), "slot 20 of node4 is pinned"),
        (holding("node4", 20), SlotScheme("lab", "/dev/sdb"), "slot 20 of node4 holds mesh/old@1"),
        (holding("node4", 20), SlotScheme("lab", label="gpt"), "slot 20 of node4 holds mesh/old@1"),
        (holding("node4", 20), SlotScheme("lab", last=20), ""),
        (Slot("node4", 20), SlotScheme("lab", last=19), ""),
        (holding("node2", 20), SlotScheme("lab", last=19), ""),
    ],
    ids=["image", "pinned", "other-disk", "other-table", "still-a-slot", "empty", "other-group"],
)
def test_scheme_that_would_lose_an_image_is_refused(
    lab: Store, held: Slot, scheme: SlotScheme, told: str
) -> None:
    keep(lab, held)
    if told:
        with pytest.raises(Refused, match=told):
            slotschemes.set_scheme(lab, "anna", scheme)
        assert lab.every(SlotScheme) == []
    else:
        assert slotschemes.set_scheme(lab, "anna", scheme) == scheme


def test_scheme_that_would_lose_a_booked_slot_is_refused(lab: Store) -> None:
    keep(lab, a_disk_image("old"))
    booked(lab, slot=20)
    with pytest.raises(Refused, match="slot 20 of node4 is booked by reservation 1"):
        slotschemes.set_scheme(lab, "anna", SlotScheme("lab", last=19))
    keep(lab, SlotScheme("lab", last=30))
    with pytest.raises(Refused, match=r"slot 20 of node\[2-3\] is booked by reservation 1"):
        slotschemes.set_scheme(lab, "anna", SlotScheme("", last=19))


# -- by the groups of a host --------------------------------------------------------------------

LOST = "slots would be lost; wipe them, or cancel the bookings, first"


@pytest.fixture
def two_disks(lab: Store) -> Store:
    """What is in the group lab has its slots on another disk."""
    keep(lab, SlotScheme("lab", "/dev/sdb"), a_disk_image("old"))
    return lab


def regrouped(store: Store, nodes: str, **groups: tuple[str, ...]) -> None:
    hosts.set_fields(store, "anna", nodes, HostEdit(**groups))


def test_host_with_a_booked_slot_keeps_the_groups_that_say_where_it_is(two_disks: Store) -> None:
    booked(two_disks, slot=20)
    told = rf"{LOST}: slot 20 of node\[2-3\] is booked by reservation 1"
    with pytest.raises(Refused, match=told):
        regrouped(two_disks, "node[2-3]", add_groups=("lab",))
    with pytest.raises(Refused, match="slot 20 of node4 is booked by reservation 1"):
        regrouped(two_disks, "node4", remove_groups=("lab",))
    assert [host.name for host in two_disks.hosts() if "lab" in host.groups] == ["node4"]
    regrouped(two_disks, "node[2-3]", add_groups=("rack",))  # says nothing of slots


def test_host_whose_slot_holds_an_image_keeps_them_until_it_is_wiped(two_disks: Store) -> None:
    keep(two_disks, holding("node2", 20))
    with pytest.raises(Refused, match="slot 20 of node2 holds mesh/old@1"):
        regrouped(two_disks, "node2", add_groups=("lab",))
    keep(two_disks, Slot("node2", 20))
    regrouped(two_disks, "node2", add_groups=("lab",))


def test_table_that_would_take_a_booked_slot_away_is_refused_whole_and_so_is_its_dry_run(
    two_disks: Store,
) -> None:
    booked(two_disks, slot=20)
    table = hosts.export_table(two_disks, "json").replace('"lab"', '"field"')
    before = two_disks.generation()
    for dry_run in (True, False):
        with pytest.raises(Refused, match="slot 20 of node4 is booked"):
            hosts.import_table(two_disks, "anna", Given(table, "table", find_format("json")), dry_run=dry_run)
    assert two_disks.generation() == before


def test_change_of_groups_is_not_undone_under_a_booked_slot(two_disks: Store) -> None:
    regrouped(two_disks, "node3", add_groups=("lab",))
    booked(two_disks, slot=20)
    with pytest.raises(Refused, match="slot 20 of node3 is booked"):
        hosts.undo(two_disks, "anna")
    assert "lab" in next(host.groups for host in two_disks.hosts() if host.name == "node3")
