"""Free time: the first instant at which enough machines are free, and how much runs at once."""

from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootd.services.freetime import first_common, peak
from bootd.store import Held
from tests.helpers.bookings import at

NAMES = ["a", "b", "c"]


def first(*bookings: Held, names: Iterable[str] = "a", count: int = 0, hours: float = 1) -> tuple:
    """Return when, in hours from the first on, and who then is free."""
    names = list(names)
    found, free = first_common(bookings, names, count or len(names), at(0), timedelta(hours=hours))
    return (found - at(0)) / timedelta(hours=1), "".join(free)


def held(nodes: str, start: float, end: float) -> Held:
    return Held(1, at(start), at(end), list(nodes))


def test_where_nothing_is_booked_it_is_at_once() -> None:
    assert first() == (0, "a")
    assert first(names="abc", count=2) == (0, "abc")


@pytest.mark.parametrize("count", [pytest.param(1, id="some"), pytest.param(2, id="all")])
def test_a_gap_that_just_fits_is_taken_and_a_shorter_one_is_not(count: int) -> None:
    bookings = [held("ab", 5, 6), held("ab", -3, 1), held("ab", 2, 3), held("ab", 2.5, 4)]
    assert first(*bookings, names="ab", count=count) == (1, "ab")
    assert first(*bookings, names="ab", count=count, hours=1.5) == (6, "ab")


def test_a_machine_may_begin_at_the_instant_at_which_another_becomes_free() -> None:
    bookings = [held("a", 3, 9), held("b", 0, 2), held("b", 4, 9), held("c", 0, 2)]
    assert first(*bookings, names="abc") == (2, "abc")
    assert first(*bookings, names="abc", count=2) == (2, "abc")
    assert first(*bookings, names="abc", count=1) == (0, "a")


def test_bookings_of_one_machine_that_overlap_hold_it_until_the_last_is_over() -> None:
    bookings = [held("a", 0, 3), held("a", 1, 2), held("b", 0, 9)]
    assert first(*bookings, names="ab", count=1) == (3, "a")
    assert first(*bookings[:2], names="a") == (3, "a")


def test_machines_that_were_not_asked_for_do_not_matter() -> None:
    bookings = [held("xy", 0, 5), held("ax", 1, 2)]
    assert first(*bookings, names="ab", count=1) == (0, "ab")
    assert first(*bookings, names="ab") == (0, "ab")
    assert first(*bookings, names="ab", hours=2) == (2, "ab")


@pytest.mark.parametrize("count", [-1, 2])
def test_more_than_there_are_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} of 1"):
        first(names="a", count=count)


spans = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 6)).map(lambda span: (at(span[0]), at(span[0] + span[1]))),
    max_size=8,
)
nodes = st.lists(st.sampled_from([*NAMES, "other"]), min_size=1, unique=True)
bookings = st.lists(
    st.tuples(nodes, st.integers(-6, 20), st.integers(1, 6)).map(
        lambda drawn: Held(1, at(drawn[1]), at(drawn[1] + drawn[2]), drawn[0])
    ),
    max_size=12,
)


@given(bookings, st.integers(1, 5), st.integers(1, 3))
def test_first_common_is_what_trying_every_hour_finds(booked: list[Held], hours: int, count: int) -> None:
    def free(start: int) -> list[str]:
        begin, end = at(start), at(start + hours)
        busy = {
            name for each in booked if each.starts_at < end and begin < each.ends_at for name in each.nodes
        }
        return [name for name in NAMES if name not in busy]

    wanted = next(start for start in range(40) if len(free(start)) >= count)
    found = first_common(booked, NAMES, count, at(0), timedelta(hours=hours))
    assert found == (at(wanted), free(wanted))


@given(spans)
def test_peak_is_what_counting_every_half_hour_finds(busy: list) -> None:
    counted = max(sum(a <= at(t / 2) < b for a, b in busy) for t in range(8, 24))
    assert peak([(a, b, 1) for a, b in busy], (at(4), at(12))) == counted


def test_peak_of_what_touches_is_not_added_up() -> None:
    assert peak([(at(0), at(1), 3), (at(1), at(2), 4)], (at(0), at(2))) == 4
