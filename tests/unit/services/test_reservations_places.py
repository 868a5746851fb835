"""Reservations and the places of their images: found when booked, kept or given up when that changes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bootd.errors import CannotBook
from bootd.model import Deployment, Reservation, Role, Slot, SlotScheme
from bootd.services import calendar, reservations
from bootd.services.calendar import Imported, Rules
from bootd.services.reservations import Repeat
from bootd.store import Store
from tests.helpers.bookings import a_disk_image, at, book, furnish, wish
from tests.helpers.site import HandClock, a_host, memory_store


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store() as opened:
        furnish(opened)
        with opened.transaction("anna") as change:
            change.keep(a_disk_image("router"))
            change.put_hosts([a_host(5), a_host(9, role=Role.ROOT, groups=("rack",))])
        yield opened


def keep(store: Store, *records: Any) -> None:
    with store.transaction("anna") as change:
        for record in records:
            change.keep(record)


def places(store: Store, reservation: int = 1) -> list[tuple[str, tuple[str, ...], str]]:
    found = store.deployments_of(reservation)
    return [(each.group or str(each.slot), each.nodes, each.state) for each in found]


def refused(store: Store, *words: Any, **more: Any) -> str:
    generation = store.generation()
    with pytest.raises(CannotBook) as caught:
        book(store, *words, **more)
    assert store.generation() == generation
    return "\n".join(caught.value.reasons)


def test_booking_and_its_places_are_one_transaction(store: Store) -> None:
    book(store, 1, 3, "node[1-3]", images=("debian",))
    assert places(store) == [("5", ("node2", "node3"), "sched"), ("rack", ("node1",), "sched")]
    newest, *_ = store.journal()
    assert newest.what == "reservations add"
    assert {entry.kind for entry in store.entries(newest.change)} == {"reservation", "deployment"}


def test_why_there_is_no_place_is_told_with_everything_else(store: Store) -> None:
    book(store, 1, 3, "node5")
    told = refused(store, 2, 4, "node[2,5]", images=("debian",))
    assert "node5: booked by reservation 1" in told
    assert "node5 has no role: bootd hosts set node5 --role mesh|root" in told


def test_of_a_series_the_same_reason_is_told_once(store: Store) -> None:
    daily = replace(wish(1, 2, "node5", images=("debian",)), repeat=Repeat("daily", 3))
    with pytest.raises(CannotBook) as caught:
        reservations.add(store, "anna", daily, clock=HandClock())
    assert len(caught.value.reasons) == 1


def test_bookings_of_a_series_share_their_slot(store: Store) -> None:
    daily = replace(wish(1, 2, images=("debian",)), repeat=Repeat("daily", 3))
    made = reservations.add(store, "anna", daily, clock=HandClock())
    assert [each.plan.deployments[0].slot for each in made] == [5, 5, 5]
    assert [each.id for each in store.every(Deployment)] == [1, 2, 3]
    book(store, 5, 6, "node2", images=("router",))
    assert places(store, 4) == [("6", ("node2",), "sched")]


def test_dry_run_finds_the_places_and_keeps_none(store: Store) -> None:
    [made] = reservations.add(store, "anna", wish(1, 2, images=("debian",)), clock=HandClock(), dry_run=True)
    assert made.plan.notes == ("slot 5 on node[2-4]: copied there",)
    assert store.every(Deployment) == []


def test_moved_booking_has_its_places_on_the_new_nodes(store: Store) -> None:
    book(store, 1, 3, "node2", images=("debian",))
    moved = reservations.move(store, "anna", 1, clock=HandClock(), nodes="node1,node[3-4]")
    assert places(store) == [("5", ("node3", "node4"), "sched"), ("rack", ("node1",), "sched")]
    assert moved.plan.deployments == tuple(store.deployments_of(1))


def test_moved_booking_whose_image_is_on_its_way_keeps_its_place_or_its_nodes(store: Store) -> None:
    book(store, 1, 3, "node[2-3]", images=("debian",))
    [made] = store.deployments_of(1)
    keep(store, replace(made, state="deploy-hd"))
    reservations.move(store, "anna", 1, clock=HandClock(), starts_at=at(5))
    assert places(store) == [("5", ("node2", "node3"), "deploy-hd")]
    with pytest.raises(CannotBook, match="bootd reservations cancel 1, and book again"):
        reservations.move(store, "anna", 1, clock=HandClock(), nodes="node4")


def test_booking_that_is_over_a_pair_for_longer_is_held_against_the_others(store: Store) -> None:
    book(store, 1, 3, "node1", images=("debian",))
    book(store, 4, 6, "node9", images=("router",))
    reservations.extend(store, "anna", 1, at(4), clock=HandClock())
    with pytest.raises(CannotBook, match="LUN pair of rack serves mesh/router@1 to reservation 2"):
        reservations.extend(store, "anna", 1, at(5), clock=HandClock())


def test_giving_time_back_needs_no_place(store: Store) -> None:
    book(store, 1, 3, "node2", images=("debian",))
    with store.transaction("anna") as change:
        change.put_host(a_host(2))  # it lost its role
    with pytest.raises(CannotBook, match="node2 has no role"):
        reservations.extend(store, "anna", 1, at(4), clock=HandClock())
    reservations.extend(store, "anna", 1, at(2), clock=HandClock())
    assert places(store) == [("5", ("node2",), "sched")]


def test_booking_taken_back_gives_its_slot_to_others(store: Store) -> None:
    keep(store, SlotScheme("", "/dev/sda", 5, 5))
    book(store, 1, 3, images=("debian",))
    assert "5: needed by reservation 1" in refused(store, 5, 6, images=("router",))
    reservations.cancel(store, "anna", [1])
    assert places(store) == [("5", ("node2", "node3", "node4"), "dark")]
    book(store, 5, 6, images=("router",))


def test_one_that_runs_gives_its_places_up_at_its_end(store: Store) -> None:
    made = book(store, 1, 3, "node2", images=("debian",))
    [placed] = store.deployments_of(1)
    keep(store, replace(made, state="active"), replace(placed, state="run"))
    reservations.cancel(store, "anna", [1])
    assert places(store) == [("5", ("node2",), "run")]


# -- from a calendar ------------------------------------------------------------------------------


def event(uid: str, day: int, nodes: str, image: str = "debian") -> str:
    return (
        f"BEGIN:VEVENT\nUID:{uid}\nDTSTART:202601{day:02}T090000Z\nDTEND:202601{day:02}T110000Z\n"
        f"DESCRIPTION:project: mesh\\nnodes: {nodes}\\nimage: {image}\nEND:VEVENT\n"
    )


def take(store: Store, *events: str, partial: bool = False) -> Imported:
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\n{''.join(events)}END:VCALENDAR\n"
    return calendar.import_(store, "anna", text, Rules(partial=partial), clock=HandClock())


def test_events_get_places_beside_each_other(store: Store) -> None:
    done = take(store, event("a", 6, "node[2-3]"), event("b", 7, "node[3-4]", "router"))
    assert [each.plan.deployments[0].slot for each in done.added] == [5, 6]
    assert places(store, 2) == [("6", ("node3", "node4"), "sched")]


def test_event_without_a_place_is_a_problem_and_the_rest_may_be_taken(store: Store) -> None:
    keep(store, *(Slot("node2", number, pinned=True) for number in range(5, 26)))
    events = (event("a", 6, "node2"), event("b", 6, "node3"), event("c", 6, "node5"))
    done = take(store, *events)
    assert [problem.uid for problem in done.problems] == ["a", "c"]
    assert "pinned on node2" in done.problems[0].reason
    assert store.every(Reservation) == []
    assert [made.reservation.uid for made in take(store, *events, partial=True).added] == ["b"]
    assert [each.nodes for each in store.every(Deployment)] == [("node3",)]


def test_changed_event_moves_its_places_and_one_taken_away_gives_them_up(store: Store) -> None:
    take(store, event("a", 6, "node2"), event("b", 7, "node3"))
    changed = event("a", 6, "node4", "router")
    gone = event("b", 7, "node3").replace("UID:b", "UID:b\nSTATUS:CANCELLED")
    take(store, changed, gone)
    assert places(store, 1) == [("5", ("node4",), "sched")]
    assert str(store.deployments_of(1)[0].image) == "mesh/router@1"
    assert places(store, 2) == [("5", ("node3",), "dark")]


def test_shorter_event_is_not_judged_by_its_places(store: Store) -> None:
    take(store, event("a", 6, "node2"))
    with store.transaction("anna") as change:
        change.put_host(a_host(2))
    shorter = event("a", 6, "node2").replace("T110000Z", "T100000Z")
    assert [moved.after.ends_at for moved in take(store, shorter).changed] == [at(22)]
    assert places(store) == [("5", ("node2",), "sched")]
