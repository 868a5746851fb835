"""Calendars: exported, kept by hand, imported twice."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from bootd.model import Reservation
from bootd.services import calendar, reservations
from bootd.services.calendar import Imported, Rules
from bootd.store import Store
from tests.helpers.bookings import a_disk_image, at, book, furnish
from tests.helpers.site import HandClock, memory_store


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(clock: HandClock) -> Iterator[Store]:
    with memory_store(clock) as opened:
        furnish(opened)
        yield opened


def event(uid: str, start: str, end: str, *lines: str) -> str:
    inside = "\n".join([f"UID:{uid}", f"DTSTART:202601{start}00Z", f"DTEND:202601{end}00Z", *lines])
    return f"BEGIN:VEVENT\n{inside}\nEND:VEVENT\n"


def take(store: Store, *events: str, clock: HandClock | None = None, **how: object) -> Imported:
    dry_run = bool(how.pop("dry_run", False))
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\n{''.join(events)}END:VCALENDAR\n"
    rules = Rules(**how)  # type: ignore[arg-type]
    return calendar.import_(store, "anna", text, rules, clock=clock or HandClock(), dry_run=dry_run)


MESH = "DESCRIPTION:project: mesh\\nnodes: node[2-3]\\nimage: debian"
ORBIT = "DESCRIPTION:project: orbit\\nnodes: node4"
GOOD = event("a", "06T0900", "06T1100", "SUMMARY:Long run", MESH)
OTHER = event("b", "06T0900", "06T1100", ORBIT)


def test_events_become_reservations(store: Store) -> None:
    done = take(store, GOOD, OTHER)
    assert (done.problems, done.is_written) == ([], True)
    [mesh, orbit] = store.every(Reservation)
    assert (mesh.project, mesh.nodes, mesh.starts_at, mesh.note, mesh.uid) == (
        "mesh",
        ("node2", "node3"),
        at(21),
        "Long run",
        "a",
    )
    assert str(mesh.images[0].image) == "mesh/debian@2"
    assert (orbit.project, orbit.images, orbit.series) == ("orbit", (), "")


def test_the_same_calendar_changes_nothing_the_second_time(store: Store) -> None:
    weekly = event("w", "07T0900", "07T1000", "RRULE:FREQ=WEEKLY;COUNT=3", ORBIT)
    take(store, GOOD, weekly)
    with store.transaction("anna") as change:
        change.keep(a_disk_image(version=5))  # must not change what was booked
    generation = store.generation()
    again = take(store, GOOD, weekly)
    assert (again.unchanged, again.added, again.changed, again.problems) == (4, [], [], [])
    assert store.generation() == generation
    assert {each.series for each in store.every(Reservation) if each.project == "orbit"} == {"s2"}


def test_what_we_export_is_known_again(store: Store) -> None:
    book(store, 1, 3, images=("debian",), note="hi, you")
    book(store, 4, 6, "@all", "orbit")
    take(store, GOOD)
    text = calendar.export(store, reservations.select(store))
    generation = store.generation()
    done = calendar.import_(store, "anna", text, Rules(), clock=HandClock())
    assert (done.unchanged, done.problems, store.generation()) == (3, [], generation)


def test_sequence_rises_with_each_change_and_the_uid_stays(store: Store, clock: HandClock) -> None:
    book(store, 1, 3)

    def told() -> list[str]:
        text = calendar.export(store, reservations.select(store, over=True))
        return re.findall(r"(?:UID|SEQUENCE|STATUS|DTSTAMP):(\S+)", text)

    first = told()
    clock.move(minutes=1)
    reservations.move(store, "anna", 1, clock=clock, starts_at=at(2))
    second = told()
    reservations.cancel(store, "anna", [1])
    third = told()
    assert first == ["reservation-1-20260105T120000Z@bootd", "20260105T120000Z", "0", "CONFIRMED"]
    assert second == [first[0], "20260105T120100Z", "1", "CONFIRMED"]
    assert (third[0], third[2:]) == (first[0], ["2", "CANCELLED"])


def test_a_moved_event_moves_its_reservation_and_two_may_swap_places(store: Store) -> None:
    take(store, event("a", "06T0900", "06T1000", ORBIT), event("b", "06T1000", "06T1100", ORBIT))
    done = take(store, event("b", "06T0900", "06T1000", ORBIT), event("a", "06T1000", "06T1100", ORBIT))
    assert [(moved.before.id, moved.after.starts_at) for moved in done.changed] == [(2, at(21)), (1, at(22))]
    assert len(store.every(Reservation)) == 2


def test_a_cancelled_event_takes_its_reservation_back(store: Store) -> None:
    take(store, GOOD)
    done = take(store, event("a", "06T0900", "06T1100", "STATUS:CANCELLED", MESH))
    assert [moved.after.state for moved in done.cancelled] == ["cancelled"]
    assert take(store, GOOD).taken_back == 1  # and it stays so
    assert [each.state for each in store.every(Reservation)] == ["cancelled"]


def test_one_mistake_stops_it_all_and_every_mistake_is_told(store: Store) -> None:
    book(store, 22, 23, "node4", "orbit")
    events = (
        GOOD,
        OTHER,
        event("c", "08T0900", "08T1000", "SUMMARY:Holiday"),
        event("d", "08T0900", "08T1000", "SUMMARY:run", "DESCRIPTION:project: mash\\nnodes: node9"),
        event("e", "08T0900", "08T0800", "SUMMARY:backwards", ORBIT),
        event("f", "06T1000", "06T1200", "SUMMARY:second", MESH),
    )
    done = take(store, *events)
    assert not done.is_written
    assert len(store.every(Reservation)) == 1
    assert sorted({(each.uid, each.summary) for each in done.problems}) == [
        ("b", ""),
        ("c", "Holiday"),
        ("d", "run"),
        ("e", "backwards"),
        ("f", "second"),
    ]
    told = "\n".join(each.reason for each in done.problems)
    for part in (
        "its end is not after its start",
        calendar.UNMATCHED,
        "no project 'mash'; did you mean mesh?",
        "no host 'node9'",
        "node4: booked by reservation 1 of orbit",
        "node[2-3]: the booking of mesh asked for with it",
    ):
        assert part in told
    partly = take(store, *events, partial=True)
    assert ([each.reservation.uid for each in partly.added], partly.is_written) == (["a"], True)
    assert partly.problems == done.problems


def test_of_a_part_what_fails_keeps_its_place_against_the_others(store: Store) -> None:
    take(store, event("a", "06T0900", "06T1000", ORBIT), event("b", "06T1000", "06T1100", ORBIT))
    book(store, 30, 31, "node4", "mesh")
    # a would go where nobody may; so it stays, and b cannot have its place
    wish = (event("a", "06T1800", "06T1900", ORBIT), event("b", "06T0900", "06T1000", ORBIT))
    done = take(store, *wish, partial=True)
    assert ([each.uid for each in done.problems], done.changed) == (["a", "b"], [])
    assert [each.starts_at for each in store.every(Reservation)] == [at(21), at(22), at(30)]


def test_a_dry_run_tells_the_plan_and_writes_nothing(store: Store) -> None:
    generation = store.generation()
    done = take(store, GOOD, OTHER, dry_run=True)
    assert (len(done.added), done.is_written, store.generation()) == (2, False, generation)


def test_what_is_over_is_counted_and_what_runs_may_only_change_its_end(
    store: Store, clock: HandClock
) -> None:
    take(store, GOOD)
    with store.transaction("worker") as change:
        held = reservations.find(change, 1)
        change.keep(type(held)(**{f: getattr(held, f) for f in held.__slots__} | {"state": "active"}))
    clock.move(hours=22)
    later = event("a", "06T0900", "06T1200", "SUMMARY:Long run", MESH)
    done = take(store, event("x", "05T1200", "05T1300", ORBIT), later, clock=clock)
    assert (done.over, [moved.after.ends_at for moved in done.changed]) == (1, [at(24)])
    moved = take(store, event("a", "06T1100", "06T1200", "SUMMARY:Long run", MESH), clock=clock)
    assert "cannot move" in moved.problems[0].reason


def test_a_summary_is_read_by_the_pattern(store: Store) -> None:
    pattern = re.compile(r"\[(?P<project>\w+)\] (?P<nodes>\S+)")
    take(store, event("a", "06T0900", "06T1100", "SUMMARY:[orbit] @role:mesh"), summary=pattern)
    [made] = store.every(Reservation)
    assert (made.project, made.nodes) == ("orbit", ("node2", "node3", "node4"))


def test_later_occurrences_join_their_series(store: Store) -> None:
    endless = event("w", "07T0900", "07T1000", "RRULE:FREQ=WEEKLY", ORBIT)
    assert len(take(store, endless, horizon=timedelta(days=15)).added) == 2
    more = take(store, endless, horizon=timedelta(days=22))
    assert (more.unchanged, [each.reservation.series for each in more.added]) == (2, ["s1"])
