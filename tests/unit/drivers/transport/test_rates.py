"""The budget is never exceeded, and nobody gets less than is fair."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootd.drivers.transport import grant, share

RATES = st.integers(1, 1000)
WISHES = st.dictionaries(st.sampled_from("abcdefgh"), RATES)


def test_small_wishes_are_met_and_the_rest_is_halved() -> None:
    assert share(100, {"a": 90, "b": 10, "c": 200}) == {"a": 45, "b": 10, "c": 45}


def test_what_is_not_wished_for_is_not_given() -> None:
    assert share(1000, {"a": 90, "b": 10}) == {"a": 90, "b": 10}


def test_who_would_get_less_than_the_floor_waits() -> None:
    assert share(100, {"a": 90, "b": 90, "c": 90}, floor=40) == {"a": 50, "b": 50}


def test_what_runs_keeps_its_rate() -> None:
    assert grant(100, {"x": 70}, {"a": 90}) == {"a": 30}
    assert grant(100, {"x": 70}, {"a": 90}, floor=31) == {}
    assert grant(100, {"x": 170}, {"a": 90}) == {}


@settings(deadline=None)
@given(st.integers(0, 2000), WISHES, st.integers(1, 300))
def test_the_budget_holds_and_all_that_are_served_have_the_floor(
    total: int, wishes: dict[str, int], floor: int
) -> None:
    rates = share(total, wishes, floor)
    assert sum(rates.values()) <= total
    assert all(min(floor, wishes[name]) <= rate <= wishes[name] for name, rate in rates.items())


@settings(deadline=None)
@given(st.integers(0, 2000), WISHES, st.integers(1, 300))
def test_nobody_overtakes(total: int, wishes: dict[str, int], floor: int) -> None:
    rates = share(total, wishes, floor)
    assert list(rates) == list(wishes)[: len(rates)]
    first_waiting = list(wishes)[len(rates) : len(rates) + 1]
    needed = sum(min(floor, wishes[name]) for name in [*rates, *first_waiting])
    assert not first_waiting or needed > total


@settings(deadline=None)
@given(st.integers(0, 2000), WISHES)
def test_who_gets_less_than_wished_gets_as_much_as_any_other(total: int, wishes: dict[str, int]) -> None:
    rates = share(total, wishes)
    short = [rate for name, rate in rates.items() if rate < wishes[name]]
    assert all(rate >= max(rates.values()) - 1 for rate in short)
    assert not short or sum(rates.values()) == total


@settings(deadline=None)
@given(st.integers(0, 2000), WISHES, WISHES)
def test_sessions_that_run_and_start_stay_within_the_budget(
    total: int, running: dict[str, int], wishes: dict[str, int]
) -> None:
    started = grant(total, running, wishes)
    assert not started or sum(running.values()) + sum(started.values()) <= total


@pytest.mark.parametrize(("total", "wishes", "floor"), [(-1, {}, 1), (1, {"a": 0}, 1), (1, {"a": 1}, 0)])
def test_a_budget_without_sense_is_refused(total: int, wishes: dict[str, int], floor: int) -> None:
    with pytest.raises(ValueError, match="budget"):
        share(total, wishes, floor)
