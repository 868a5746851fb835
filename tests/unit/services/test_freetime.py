"""Free time: openings, the first common one, and how much runs at once."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootd.services.freetime import first_common, openings, peak
from tests.helpers.bookings import at

HOUR = timedelta(hours=1)


def test_openings_lie_between_what_is_busy_and_both_their_ends_are_possible_starts() -> None:
    busy = [(at(5), at(6)), (at(-3), at(1)), (at(2), at(3)), (at(2.5), at(4))]
    assert openings(busy, at(0), HOUR) == [(at(1), at(1)), (at(4), at(4)), (at(6), None)]


def test_of_nothing_busy_all_is_open() -> None:
    assert openings([], at(0), HOUR) == [(at(0), None)]


def test_the_last_instant_of_an_opening_and_the_first_of_another_meet() -> None:
    each = {"a": [(at(0), at(2)), (at(9), None)], "b": [(at(2), at(3)), (at(9), None)], "c": [(at(2), None)]}
    assert first_common(each, 3) == (at(2), ["a", "b", "c"])
    assert first_common(each, 1) == (at(0), ["a"])


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError):
        first_common({"a": [(at(0), None)]}, 2)


spans = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 6)).map(lambda span: (at(span[0]), at(span[0] + span[1]))),
    max_size=8,
)


@given(st.lists(spans, min_size=1, max_size=4), st.integers(1, 5), st.data())
def test_first_common_is_what_trying_every_hour_finds(busy: list, hours: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(busy)))
    each = {f"n{i}": openings(spans, at(0), hours * HOUR) for i, spans in enumerate(busy)}

    def free(start: int) -> list[str]:
        span = (at(start), at(start + hours))
        return [
            f"n{i}" for i, spans in enumerate(busy) if not any(a < span[1] and span[0] < b for a, b in spans)
        ]

    first = next(start for start in range(40) if len(free(start)) >= count)
    assert first_common(each, count) == (at(first), free(first))


@given(spans)
def test_peak_is_what_counting_every_half_hour_finds(busy: list) -> None:
    counted = max(sum(a <= at(t / 2) < b for a, b in busy) for t in range(8, 24))
    assert peak([(a, b, 1) for a, b in busy], (at(4), at(12))) == counted


def test_peak_of_what_touches_is_not_added_up() -> None:
    assert peak([(at(0), at(1), 3), (at(1), at(2), 4)], (at(0), at(2))) == 4
