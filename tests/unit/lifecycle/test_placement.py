"""Which slot a booking gets, and why it gets none."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootd.lifecycle.placement import Need, NoSlot, Placement, place, placement
from bootd.model import ImageRef
from bootd.model.places import Slot
from tests.helpers.site import NOON
from tests.helpers.standings import summed_up

IMAGE = ImageRef("centmesh", "router", 2)
OTHER = ImageRef("orbit", "sniffer", 1)
NODES = ("node1", "node2")


def disk(*numbers: int, nodes: tuple[str, ...] = NODES, **fields: object) -> list[Slot]:
    return [Slot(node, number, **fields) for node in nodes for number in numbers]  # type: ignore[arg-type]


def holding(*numbers: int, digest: str = "other", days_ago: float = 1, **fields: object) -> list[Slot]:
    used_at = NOON - timedelta(days=days_ago)
    return disk(*numbers, image=OTHER, digest=digest, state="ready", last_used_at=used_at, **fields)


def where(slots: list[Slot], *needs: Need, numbers: tuple[int, ...] = ()) -> Placement:
    """Return the place among *numbers*, or those of *slots*."""
    among = numbers or {slot.number for slot in slots}
    chosen = place(IMAGE, "wanted", NODES, among, summed_up(NODES, "wanted", slots), needs)
    return placement(chosen, "wanted", NODES, slots)


def test_slot_that_holds_the_image_on_every_node_is_taken_and_nothing_is_copied() -> None:
    assert where(disk(5) + holding(6, digest="wanted")) == Placement(6, (), ())


def test_else_the_first_that_is_free_on_every_node() -> None:
    half_full = [*disk(5, nodes=("node1",)), *holding(5, nodes=("node2",))]
    assert where([*half_full, *disk(7, 6)]) == Placement(6, NODES, ())


def test_image_that_some_nodes_hold_is_copied_to_the_others_only() -> None:
    slots = [*holding(5, digest="wanted", nodes=("node1",)), *disk(5, nodes=("node2",)), *disk(6)]
    assert where(slots) == Placement(5, ("node2",), ())


def test_else_the_one_used_longest_ago_is_evicted() -> None:
    old = holding(6, days_ago=30)
    assert where([*holding(5, days_ago=2), *old, *holding(7, days_ago=9)]) == Placement(6, NODES, tuple(old))


def test_slot_counts_as_used_when_any_of_its_nodes_used_it() -> None:
    mixed = [*holding(5, days_ago=90, nodes=("node1",)), *holding(5, days_ago=1, nodes=("node2",))]
    assert where([*mixed, *holding(6, days_ago=10)]).number == 6


@pytest.mark.parametrize(
    ("slots", "needs", "reason"),
    [
        pytest.param(holding(5, pinned=True), (), "pinned on node1", id="pinned"),
        pytest.param(disk(5, state="writing"), (), "being written on node1", id="being-written"),
        pytest.param(
            holding(5),
            (Need(7, 5, frozenset({"node2"}), "other"),),
            "needed by reservation 7 on node2",
            id="booked",
        ),
        pytest.param([], (), "they have none", id="no-slots"),
    ],
)
def test_refusal_names_every_slot_and_why(slots: list[Slot], needs: tuple[Need, ...], reason: str) -> None:
    with pytest.raises(NoSlot, match=reason):
        where(slots, *needs)


def test_booking_of_other_nodes_or_of_the_same_image_does_not_stand_in_the_way() -> None:
    elsewhere = Need(7, 5, frozenset({"node9"}), "other")
    same = Need(8, 5, frozenset({"node1"}), "wanted")
    assert where(disk(5), elsewhere, same).number == 5


def test_slot_that_was_never_written_is_empty() -> None:
    assert where(holding(5), numbers=(5, 6)) == Placement(6, NODES, ())


def test_slot_into_which_another_booking_of_the_image_puts_it_is_better_than_an_empty_one() -> None:
    same = Need(8, 6, frozenset(NODES), "wanted")
    assert where([*disk(5), *holding(6)], same).number == 6
    on_one_node_only = Need(8, 6, frozenset({"node1"}), "wanted")
    assert where([*disk(5), *holding(6)], on_one_node_only).number == 5


def test_booking_of_the_same_image_under_an_older_digest_does_not_stand_in_the_way() -> None:
    unverified = Need(8, 5, frozenset(NODES), "ref:centmesh/router@2", IMAGE)
    assert where(disk(5), unverified).number == 5


def test_refusal_knows_a_booking_that_has_no_number_yet() -> None:
    with pytest.raises(NoSlot, match="5: needed by a booking asked for with it on node1"):
        where(disk(5), Need(0, 5, frozenset(NODES), "other"))


def test_pinned_slot_that_holds_the_image_serves() -> None:
    assert where(holding(5, digest="wanted", pinned=True)).number == 5


SLOTS = st.builds(
    Slot,
    host=st.sampled_from([*NODES, "node3"]),
    number=st.integers(5, 8),
    image=st.sampled_from([None, IMAGE, OTHER]),
    digest=st.sampled_from(["wanted", "other"]),
    state=st.sampled_from(["empty", "writing", "ready", "damaged"]),
    pinned=st.booleans(),
    last_used_at=st.none() | st.integers(0, 9).map(lambda days: NOON - timedelta(days=days)),
)
NEEDS = st.builds(
    Need,
    reservation=st.integers(1, 9),
    number=st.integers(5, 8),
    nodes=st.frozensets(st.sampled_from([*NODES, "node3"]), min_size=1),
    digest=st.sampled_from(["wanted", "other"]),
)


@given(st.lists(SLOTS, unique_by=lambda s: (s.host, s.number)), st.lists(NEEDS, max_size=4))
def test_nothing_that_somebody_counts_on_is_ever_overwritten(slots: list[Slot], needs: list[Need]) -> None:
    try:
        found = where(slots, *needs)
    except NoSlot:
        return
    written = {(node, found.number) for node in found.copy_to}
    assert {(slot.host, slot.number) for slot in found.evicts} <= written
    for slot in slots:
        if (slot.host, slot.number) in written:
            assert not slot.pinned
            assert slot.state != "writing"
    for need in needs:
        if need.digest != "wanted" and need.number == found.number:
            assert not need.nodes & set(NODES)


@given(st.lists(SLOTS, unique_by=lambda s: (s.host, s.number)), st.lists(NEEDS, max_size=4), st.randoms())
def test_order_of_what_is_known_does_not_matter(slots: list[Slot], needs: list[Need], random: object) -> None:
    def outcome(known: list[Slot], wanted: list[Need]) -> object:
        try:
            return where(known, *wanted)
        except NoSlot as error:
            return set(error.reasons)

    shuffled, mixed = slots.copy(), needs.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert outcome(slots, needs) == outcome(shuffled, mixed)


def test_evicted_slots_say_what_they_held() -> None:
    gone = where(holding(5)).evicts
    assert [(slot.host, slot.image) for slot in gone] == [("node1", OTHER), ("node2", OTHER)]
