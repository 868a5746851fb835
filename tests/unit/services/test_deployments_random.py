"""Whatever is booked, moved and taken back in whatever order: places never contradict each other."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from bootd.errors import CannotBook, NotFound
from bootd.lifecycle import DEPLOYMENT, IllegalMove
from bootd.model import Deployment, Reservation, Role, Slot, SlotScheme
from bootd.services import deployments, reservations, slots
from bootd.services.booking import LIVE
from bootd.services.deployments import OVER
from bootd.store import Store
from tests.helpers.bookings import a_disk_image, at, book, furnish
from tests.helpers.site import HandClock, a_host, memory_store

IMAGES = ("debian@1", "router@1", "switch@1")
NODES = st.sampled_from(["node1", "node5", "node[1-2]", "node2", "node[2-3]", "node[3-4]", "node[1-5]"])
HOURS = st.tuples(st.integers(1, 6), st.integers(1, 4))
BOOK = st.tuples(st.just("book"), NODES, HOURS, st.sampled_from(IMAGES))
STEPS = st.one_of(
    *(BOOK, BOOK, BOOK, BOOK),  # as often as all others together
    st.tuples(st.just("move"), st.integers(1, 6), st.none() | NODES, HOURS),
    st.tuples(st.just("extend"), st.integers(1, 6), st.integers(1, 16)),
    st.tuples(st.just("cancel"), st.integers(1, 6)),
    st.tuples(st.just("work"), st.integers(1, 6)),
)


def do(store: Store, step: tuple) -> None:  # type: ignore[type-arg]
    """Do one step; what is refused changes nothing."""
    clock = HandClock()
    match step:
        case "book", nodes, (start, length), image:
            book(store, start, start + length, nodes, images=(image,))
        case "move", number, nodes, (start, length):
            span = {"starts_at": at(start), "ends_at": at(start + length)}
            reservations.move(store, "anna", number, clock=clock, nodes=nodes, **span)
        case "extend", number, end:
            reservations.extend(store, "anna", number, at(end), clock=clock)
        case "cancel", number:
            reservations.cancel(store, "anna", [number])
        case "work", number:
            write(store, number)


def write(store: Store, number: int) -> None:
    """Have the images of a reservation be written, as workers do it."""
    for each in store.deployments_of(number):
        if each.slot is None or each.state != DEPLOYMENT.first:
            continue
        with store.transaction("calendar") as change:
            begun = deployments.moved(change, each, "deploy-hd")
            slots.begin(change, each.nodes, each.slot, each.image, each.digest)
            slots.verified(change, each.nodes, each.slot)
            deployments.moved(change, begun, "written")


def check(store: Store) -> None:
    live = {each.id: each for each in store.every(Reservation) if each.state in LIVE}
    counting = [each for each in store.every(Deployment) if each.state not in OVER]
    for one, other in itertools.combinations(counting, 2):
        if one.reservation not in live or other.reservation not in live or one.image == other.image:
            continue
        if one.slot is not None and one.slot == other.slot:
            assert set(one.nodes).isdisjoint(other.nodes), f"{one} and {other}"
        if one.group is not None and one.group == other.group:
            second = live[other.reservation]
            assert not live[one.reservation].overlaps(second.starts_at, second.ends_at), f"{one} and {other}"
    for number, reservation in live.items():
        placed = [node for each in counting if each.reservation == number for node in each.nodes]
        assert sorted(placed) == sorted(reservation.nodes)
    assert all(each.state != "sched" for each in counting if each.reservation not in live)
    legal = {(state, move.target) for move in DEPLOYMENT.moves for state in move.sources}
    for entry in store.journal(limit=1000, kinds=("deployment",)):
        if entry.before and entry.after and entry.before["state"] != entry.after["state"]:
            assert (entry.before["state"], entry.after["state"]) in legal
    held = {slot.key: slot for slot in store.every(Slot)}
    for each in counting:
        if each.state == "hd-ready" and each.reservation in live:
            for node in each.nodes:
                assert held[f"{node}/{each.slot}"].image == each.image


@settings(max_examples=150)
@given(st.lists(STEPS, min_size=4, max_size=16))
def test_places_never_contradict_each_other(steps: list) -> None:  # type: ignore[type-arg]
    with memory_store() as store:
        furnish(store)
        with store.transaction("anna") as change:
            change.put_host(a_host(5, role=Role.ROOT, groups=("rack",)))
            change.keep(SlotScheme("", "/dev/sda", 5, 6))
            for name in ("router", "switch"):
                change.keep(a_disk_image(name))
        for step in steps:
            generation = store.generation()
            try:
                do(store, step)
            except (CannotBook, IllegalMove, NotFound):
                assert store.generation() == generation
            check(store)
