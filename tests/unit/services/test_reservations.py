"""Reservations: what is refused and why, and what is written."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bootd.errors import BadValue, CannotBook, NotFound, Refused
from bootd.lifecycle import IllegalMove
from bootd.model import Booked, ImageRef, Reservation, Role
from bootd.services import projects, reservations
from bootd.services.booking import Draft
from bootd.services.reservations import Repeat, Wish
from bootd.store import Store
from tests.helpers.bookings import a_disk_image, at, book, furnish, wish
from tests.helpers.site import HandClock, file_store, memory_store

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(clock: HandClock) -> Iterator[Store]:
    with memory_store(clock) as opened:
        furnish(opened)
        yield opened


def reasons(store: Store, *words: Any, **more: Any) -> tuple[str, ...]:
    """Return why a booking is refused."""
    generation = store.generation()
    with pytest.raises(CannotBook) as caught:
        book(store, *words, **more)
    assert store.generation() == generation
    return caught.value.reasons


def test_a_booking_is_kept_with_its_nodes_sorted_and_its_image_pinned(store: Store) -> None:
    made = book(store, 1, 3, "node4,node2", images=("debian",), note="night run")
    assert made == Reservation(
        id=1,
        project="mesh",
        starts_at=at(1),
        ends_at=at(3),
        nodes=("node2", "node4"),
        images=(Booked(Role.NONE, ImageRef("mesh", "debian", 2)),),
        created_at=at(0),
        created_by="anna",
        note="night run",
    )
    assert store.find(Reservation, 1) == made
    [entry] = store.journal(kinds=("reservation",))
    assert (entry.actor, entry.what, entry.action) == ("anna", "reservations add", "added")


def test_a_newer_version_leaves_a_booking_as_it_is(store: Store) -> None:
    made = book(store, 1, 3, images=("debian",))
    with store.transaction("anna") as change:
        change.keep(a_disk_image(version=4))
    moved = reservations.move(store, "anna", made.id, clock=HandClock(), starts_at=at(5))
    assert moved.after.images == made.images
    assert book(store, 1, 2, images=("debian",)).images[0].image.version == 4


def test_every_reason_is_told_at_once(store: Store) -> None:
    told = reasons(store, -5, -6, "node[2-9]", "mash", images=("debain", "x:y", "old"), note="a\nb")
    assert told == (
        "no project 'mash'; did you mean mesh?",
        "no host 'node5, node6, node7, node8, node9'",
        "note: 'a\\nb' is not a line of at most 500 characters",
        "no image 'mash/debain'; bootd images list names them",
        "role: 'x' is not root or mesh",
        "no image 'mash/old'; bootd images list names them",
        "its end, 2026-01-05 06:00, is not after its start, 2026-01-05 07:00",
        "its start, 2026-01-05 07:00, is in the past: it is 2026-01-05 12:00",
    )


def test_nodes_that_are_taken_are_told_with_the_booking_that_has_them(store: Store) -> None:
    book(store, 1, 3, "node[1-3]", "orbit")
    book(store, 3, 4, "node4", "orbit")
    assert reasons(store, 2, 5) == (
        "node[2-3]: booked by reservation 1 of orbit, 2026-01-05 13:00 – 15:00 UTC",
        "node4: booked by reservation 2 of orbit, 2026-01-05 15:00 – 16:00 UTC",
    )


def test_times_of_others_are_told_in_the_zone_of_the_person(store: Store) -> None:
    book(store, 1, 12)
    with pytest.raises(CannotBook, match=r"2026-01-05 14:00 – 2026-01-06 01:00 Europe/Berlin"):
        reservations.add(store, "anna", wish(2, 3), clock=HandClock(), zone=BERLIN)


def test_bookings_that_touch_and_those_of_other_nodes_are_no_hindrance(store: Store) -> None:
    book(store, 2, 3)
    assert [book(store, 1, 2).id, book(store, 3, 4).id, book(store, 2, 3, "node1").id] == [2, 3, 4]


def test_a_booking_taken_back_is_no_hindrance(store: Store) -> None:
    reservations.cancel(store, "anna", [book(store, 1, 2).id])
    assert book(store, 1, 2).id == 2


@pytest.mark.parametrize(
    ("seconds", "good"), [(-119, True), (0, True), (-121, False)], ids=["running-minute", "now", "past"]
)
def test_a_start_in_the_running_minute_is_not_in_the_past(store: Store, seconds: int, good: bool) -> None:
    start = seconds / 3600
    if good:
        assert book(store, start, 1).starts_at == at(start)
    else:
        assert "in the past" in reasons(store, start, 1)[0]


def test_a_dry_run_is_held_to_everything_and_writes_nothing(store: Store) -> None:
    generation = store.generation()
    assert book(store, 1, 2, dry_run=True).id == 1
    assert (store.generation(), store.every(Reservation)) == (generation, [])
    book(store, 1, 2)
    assert "booked by reservation 1" in reasons(store, 1, 2, dry_run=True)[0]


def test_a_suspended_project_may_not_book_but_may_give_back(store: Store) -> None:
    made = book(store, 1, 4)
    projects.move(store, "anna", "mesh", "suspend")
    assert reasons(store, 5, 6) == ("project 'mesh' is suspended: keeps its images, may not book",)
    with pytest.raises(CannotBook, match="is suspended"):
        reservations.extend(store, "anna", made.id, at(5), clock=HandClock())
    reservations.extend(store, "anna", made.id, at(2), clock=HandClock())
    reservations.cancel(store, "anna", [made.id])


@pytest.mark.parametrize(
    ("images", "nodes", "told"),
    [
        (("debian@3",), "node2", "image mesh/debian@3 is damaged: a digest does not match"),
        (("old",), "node2", "image mesh/old@1 is retired: not to be booked any more"),
        (("debian@9",), "node2", "no image 'mesh/debian@9'; versions: 3, 2, 1"),
        (("root:debian",), "node[1-2]", "node2: no image for their role"),
        (("root:debian", "mesh:debian"), "node2", "an image for root nodes and none among the nodes"),
        (("debian", "debian@1"), "node2", "two images for all nodes"),
        (("mesh:debian", "debian@1"), "node2", "an image for all nodes and one for a role"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(
    store: Store, images: tuple[str, ...], nodes: str, told: str
) -> None:
    assert told in "\n".join(reasons(store, 1, 2, nodes, images=images))


def test_each_role_has_an_image_and_one_of_another_project_is_named_in_full(store: Store) -> None:
    images = ("root:mesh/debian@1", "mesh:mesh/debian")
    made = book(store, 1, 2, "@all", "orbit", images=images)
    assert [f"{b.role}:{b.image}" for b in made.images] == ["root:mesh/debian@1", "mesh:mesh/debian@2"]


def test_limit_of_nodes_counts_what_runs_at_one_time(clock: HandClock) -> None:
    with memory_store(clock) as store:
        furnish(store, nodes=3)
        book(store, 0, 2, "node1")
        book(store, 2, 4, "node2")
        book(store, 0, 4, "node4", "orbit")
        book(store, 6, 8, "node[1-3]")
        assert reasons(store, 7, 9, "node4") == ("1 nodes: mesh may book 3 at one time and has 3 then",)
        # one or the other beside it, never both
        assert book(store, 1, 3, "node3").id == 5


def test_limit_of_hours_and_of_bookings_ahead(clock: HandClock) -> None:
    with memory_store(clock) as store:
        furnish(store, hours=2.5, bookings=2)
        assert reasons(store, 1, 4) == ("3 hours: mesh may book 2.5 hours at a time",)
        first = book(store, 1, 3)
        book(store, 4, 5)
        assert reasons(store, 6, 7) == ("mesh may have 2 bookings ahead and has 2",)
        reservations.move(store, "anna", first.id, clock=clock, starts_at=at(6))  # no third one
        clock.move(hours=4.5)
        assert book(store, 9, 10, clock=clock).id == 3


def test_a_weekly_booking_keeps_its_hour_when_the_clocks_change(store: Store) -> None:
    start, end = (datetime(2026, 3, 16, hour, tzinfo=BERLIN) for hour in (9, 17))
    added = reservations.add(
        store, "anna", Wish(Draft("mesh", "node2"), start, end, Repeat("weekly", 3)), clock=HandClock()
    )
    made = [each.reservation for each in added]
    assert [each.starts_at.hour for each in made] == [8, 8, 7]
    assert [each.starts_at.astimezone(BERLIN).strftime("%a %d %H:%M") for each in made] == [
        "Mon 16 09:00",
        "Mon 23 09:00",
        "Mon 30 09:00",
    ]
    assert {(each.series, each.ends_at - each.starts_at) for each in made} == {("s1", timedelta(hours=8))}


def test_a_date_on_which_the_hour_is_left_out_is_refused_with_both_readings(store: Store) -> None:
    start, end = (datetime(2026, 3, 28, hour, 30, tzinfo=BERLIN) for hour in (2, 5))
    daily = Wish(Draft("mesh", "node2"), start, end, Repeat("daily", 3))
    with pytest.raises(CannotBook, match=r"2026-03-29T03:30\+02:00 or 2026-03-29T01:30\+01:00"):
        reservations.add(store, "anna", daily, clock=HandClock())


def test_of_a_series_every_date_that_is_taken_is_told_and_none_is_booked(store: Store) -> None:
    book(store, 25, 26)
    book(store, 73, 74, "node2", "orbit")
    daily = replace(wish(1, 2), repeat=Repeat("daily", until=date(2026, 1, 9)))
    with pytest.raises(CannotBook) as caught:
        reservations.add(store, "anna", daily, clock=HandClock())
    assert [reason.partition(" UTC: ")[0] for reason in caught.value.reasons] == [
        "2026-01-06 13:00 – 14:00",
        "2026-01-08 13:00 – 14:00",
    ]
    assert len(store.every(Reservation)) == 2


def test_a_series_that_is_in_its_own_way_is_refused(store: Store) -> None:
    daily = replace(wish(1, 30), repeat=Repeat("daily", 2))
    with pytest.raises(CannotBook, match=r"node\[2-4\]: the booking of mesh asked for with it"):
        reservations.add(store, "anna", daily, clock=HandClock())


@pytest.mark.parametrize(
    "repeat",
    [
        Repeat("weekly"),
        Repeat("weekly", 2, date(2026, 2, 1)),
        Repeat("weekly", 0),
        Repeat("daily", 367),
        Repeat("hourly", 2),
        Repeat("daily", until=date(2026, 1, 4)),
    ],
)
def test_a_repetition_without_a_sensible_end_is_refused(store: Store, repeat: Repeat) -> None:
    with pytest.raises((BadValue, Refused)):
        reservations.add(store, "anna", replace(wish(1, 2), repeat=repeat), clock=HandClock())


def test_a_move_keeps_the_length_and_may_overlap_its_old_place(store: Store, clock: HandClock) -> None:
    book(store, 1, 3)
    moved = reservations.move(store, "bob", 1, clock=clock, starts_at=at(2))
    assert (moved.before.starts_at, moved.after.starts_at, moved.after.ends_at) == (at(1), at(2), at(4))
    assert store.find(Reservation, 1) == moved.after
    assert [(e.what, e.actor) for e in reservations.history(store, 1)] == [
        ("reservations add", "anna"),
        ("reservations move", "bob"),
    ]


def test_a_move_is_held_to_everything_again(store: Store, clock: HandClock) -> None:
    book(store, 1, 3, images=("mesh:debian",))
    book(store, 5, 6, "node4", "orbit")
    with store.transaction("anna") as change:
        change.keep(a_disk_image(version=2, state="retired"))
        change.remove_host("node3")
    with pytest.raises(CannotBook) as caught:
        reservations.move(store, "anna", 1, clock=clock, starts_at=at(4), nodes="node[8-9]")
    assert caught.value.reasons == (
        "no host 'node8, node9'",
        "node3: no such host any more",
        "image mesh/debian@2 is retired: not to be booked any more",
        "node4: booked by reservation 2 of orbit, 2026-01-05 17:00 – 18:00 UTC",
    )
    with pytest.raises(CannotBook, match="node1: no image for their role"):
        reservations.move(store, "anna", 1, clock=clock, nodes="node[1-2]")


def begin(store: Store, number: int) -> None:
    with store.transaction("worker") as change:
        change.keep(replace(reservations.find(store, number), state="active"))


def test_what_has_begun_can_be_extended_shortened_and_cancelled_but_not_moved(
    store: Store, clock: HandClock
) -> None:
    book(store, 0, 4)
    begin(store, 1)
    clock.move(hours=2)
    with pytest.raises(IllegalMove, match="cannot move"):
        reservations.move(store, "anna", 1, clock=clock, starts_at=at(5))
    assert reservations.extend(store, "anna", 1, at(5), clock=clock).after.ends_at == at(5)
    assert reservations.extend(store, "anna", 1, at(3), clock=clock).after.ends_at == at(3)
    with pytest.raises(CannotBook, match=r"its end, 2026-01-05 13:00, is in the past"):
        reservations.extend(store, "anna", 1, at(1), clock=clock)
    [gone] = reservations.cancel(store, "anna", [1])
    assert gone.after.state == "cancelled"
    for deed in (
        lambda: reservations.extend(store, "anna", 1, at(9), clock=clock),
        lambda: reservations.cancel(store, "anna", [1]),
    ):
        with pytest.raises(IllegalMove, match="nothing moves it any more"):
            deed()


def test_an_extension_into_the_next_booking_is_refused(store: Store, clock: HandClock) -> None:
    book(store, 1, 2)
    book(store, 3, 4, "node4", "orbit")
    assert reservations.extend(store, "anna", 1, at(3), clock=clock).after.ends_at == at(3)
    with pytest.raises(CannotBook, match="node4: booked by reservation 2 of orbit"):
        reservations.extend(store, "anna", 1, at(3.5), clock=clock)


def test_cancel_takes_all_that_are_named_or_none(store: Store) -> None:
    for hour in (1, 2):
        book(store, hour, hour + 1)
    with pytest.raises(NotFound, match="no reservation '7'"):
        reservations.cancel(store, "anna", [1, 7])
    assert {each.state for each in store.every(Reservation)} == {"booked"}
    assert len(reservations.cancel(store, "anna", [1, 2], dry_run=True)) == 2
    assert {each.state for each in store.every(Reservation)} == {"booked"}


def test_cancel_of_a_series_leaves_what_is_over(store: Store, clock: HandClock) -> None:
    reservations.add(store, "anna", replace(wish(1, 2), repeat=Repeat("daily", 4)), clock=clock)
    alone = book(store, 3, 4)
    reservations.cancel(store, "anna", [2])
    with store.transaction("worker") as change:
        change.keep(replace(reservations.find(change, 1), state="ended"))
    gone = reservations.cancel(store, "anna", [1, alone.id], series=True)
    assert [moved.before.id for moved in gone] == [3, 4, alone.id]
    with pytest.raises(IllegalMove):
        reservations.cancel(store, "anna", [1], series=True)


def test_next_free_is_now_where_nothing_is_booked(store: Store) -> None:
    free = reservations.next_free(store, "@all", 2, at(0))
    assert (free.starts_at, free.ends_at, len(free.nodes)) == (at(0), at(2), 4)


def test_next_free_goes_into_a_gap_that_just_fits(store: Store) -> None:
    book(store, 0, 2, "node2")
    book(store, 4, 6, "node[2-3]")
    assert reservations.next_free(store, "node[2-3]", 2, at(0)).starts_at == at(2)
    assert reservations.next_free(store, "node[2-3]", 2.01, at(0)).starts_at == at(6)


def test_next_free_of_some_takes_those_that_are(store: Store) -> None:
    book(store, 0, 5, "node[1-3]")
    book(store, 1, 3, "node4")
    free = reservations.next_free(store, "@all", 2, at(0), count=1)
    assert (free.starts_at, free.nodes) == (at(3), ("node4",))
    assert reservations.next_free(store, "@all", 2, at(0), count=2).starts_at == at(5)


def test_next_free_looks_beyond_its_first_look(store: Store) -> None:
    days = 24
    for start in range(0, 200, 20):  # days
        book(store, start * days, (start + 20) * days - 1, "node2")
    assert reservations.next_free(store, "node2", 1, at(0)).starts_at == at(20 * days - 1)
    assert reservations.next_free(store, "node2", 2, at(0)).starts_at == at(200 * days - 1)
    book(store, 0, 300 * days, "node3")
    book(store, 0, 25 * days, "node4")
    book(store, 31 * days, 32 * days, "node4")  # not seen at first, and in the way of what 25 promised
    assert reservations.next_free(store, "node4", 10 * days, at(0)).starts_at == at(32 * days)
    either = reservations.next_free(store, "node[2-3]", 2, at(0), count=1)
    assert (either.starts_at, either.nodes) == (at(200 * days - 1), ("node2",))


@pytest.mark.parametrize(("hours", "count"), [(0, None), (-1, None), (1e9, None), (1, 0), (1, 5)])
def test_next_free_of_what_cannot_be_is_refused(store: Store, hours: float, count: int | None) -> None:
    with pytest.raises(BadValue):
        reservations.next_free(store, "@all", hours, at(0), count=count)


def test_select_is_by_start_and_leaves_out_what_is_over(store: Store) -> None:
    book(store, 5, 6, "node2")
    book(store, 1, 2, "node3", "orbit")
    reservations.cancel(store, "anna", [book(store, 3, 4).id])
    assert [each.id for each in reservations.select(store)] == [2, 1]
    assert [each.id for each in reservations.select(store, over=True)] == [2, 3, 1]
    assert [each.id for each in reservations.select(store, project="orbit")] == [2]
    assert [each.id for each in reservations.select(store, nodes="node[1-2]")] == [1]


def test_instants_are_kept_in_utc_and_whole_seconds(store: Store) -> None:
    odd = datetime(2026, 1, 6, 9, 0, 0, 999, tzinfo=BERLIN)
    [added] = reservations.add(
        store, "anna", Wish(Draft("mesh", "node2"), odd, odd + timedelta(hours=1)), clock=HandClock()
    )
    made = added.reservation
    assert (made.starts_at, made.starts_at.tzinfo) == (datetime(2026, 1, 6, 8, tzinfo=UTC), UTC)


def test_of_two_commands_at_one_time_one_books(tmp_path: Path) -> None:
    with file_store(tmp_path) as store:
        furnish(store)
    ready, ended = threading.Barrier(4), []

    def command(project: str) -> None:
        with file_store(tmp_path) as own:
            ready.wait()
            try:
                ended.append(book(own, 1, 2, project=project).project)
            except CannotBook as error:
                ended.append(error.reasons[0])

    threads = [threading.Thread(target=command, args=(name,)) for name in ("mesh", "orbit") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [told for told in ended if "booked by reservation 1" in told]
    assert (len(ended), len(refused)) == (4, 3)
