"""A clock that jumps holds the calendar, for long enough to be put right and not for ever."""

from datetime import timedelta

import pytest

from bootd.workers.clockguard import ClockGuard
from tests.helpers.site import NOON

MINUTE = 60.0
HOUR = 3600.0


class Clocks:
    """Both clocks of a machine: the wall's can be set, the monotonic one goes on."""

    def __init__(self, guard: ClockGuard | None = None, wrong_by_s: float = 0.0) -> None:
        self.guard = guard or ClockGuard()
        self.passed_s, self.wrong_by_s = 0.0, wrong_by_s

    def look(self, *, after: float = 1.0) -> str:
        """Let *after* seconds pass and look."""
        self.passed_s += after
        wall = NOON + timedelta(seconds=self.passed_s + self.wrong_by_s)
        return self.guard.look(wall, 50_000.0 + self.passed_s)


@pytest.fixture
def clocks() -> Clocks:
    clocks = Clocks()
    assert clocks.look() == ""
    return clocks


def test_time_that_passes_is_no_jump(clocks: Clocks) -> None:
    for after in (1, 30, HOUR, 30 * 24 * HOUR):
        assert clocks.look(after=after) == ""


@pytest.mark.parametrize(
    ("jump_s", "said", "until"),
    [
        (2 * HOUR, "forward by 2:00:00", "until 14:05:02 UTC"),
        (-3 * 24 * HOUR, "back by 3 days, 0:00:00", "until 12:05:02 UTC"),
    ],
)
def test_jump_holds_the_calendar_and_says_until_when(
    clocks: Clocks, jump_s: float, said: str, until: str
) -> None:
    clocks.wrong_by_s = jump_s
    why = clocks.look()
    assert f"the clock went {said}" in why
    assert until in why


@pytest.mark.parametrize("jump_s", [2 * HOUR, -2 * HOUR])
def test_clock_that_stays_there_is_believed_after_five_minutes(clocks: Clocks, jump_s: float) -> None:
    clocks.wrong_by_s = jump_s
    clocks.look()
    assert clocks.look(after=5 * MINUTE - 1)
    assert clocks.look() == ""
    assert clocks.look() == ""


@pytest.mark.parametrize("jump_s", [2 * HOUR, -2 * HOUR])
def test_clock_that_is_put_right_is_believed_at_once(clocks: Clocks, jump_s: float) -> None:
    clocks.wrong_by_s = jump_s
    assert clocks.look()
    clocks.wrong_by_s = 0.5
    assert clocks.look(after=10) == ""


def test_each_further_jump_begins_the_wait_anew(clocks: Clocks) -> None:
    clocks.wrong_by_s = HOUR
    clocks.look()
    clocks.wrong_by_s = 5 * HOUR
    assert clocks.look(after=4 * MINUTE)
    assert clocks.look(after=4 * MINUTE)
    assert clocks.look(after=MINUTE) == ""


@pytest.mark.parametrize("slept_s", [5.0, 119.0, -119.0])
def test_machine_that_slept_for_a_moment_is_believed(clocks: Clocks, slept_s: float) -> None:
    clocks.wrong_by_s = slept_s
    assert clocks.look() == ""


def test_clock_that_is_slewed_far_is_no_jump(clocks: Clocks) -> None:
    for _ in range(100):
        clocks.wrong_by_s += 30
        assert clocks.look(after=HOUR) == ""


def test_clock_that_begins_in_the_past_waits_to_be_set() -> None:
    clocks = Clocks(ClockGuard(known=NOON + timedelta(seconds=1)), wrong_by_s=-20 * 365 * 24 * HOUR)
    assert "the clock went back by 7300 days" in clocks.look()
    clocks.wrong_by_s = 0
    assert clocks.look(after=30) == ""


def test_clock_that_begins_in_the_past_and_stays_there_is_believed_in_the_end() -> None:
    clocks = Clocks(ClockGuard(known=NOON + timedelta(hours=1)))
    assert clocks.look()
    assert clocks.look(after=5 * MINUTE) == ""


def test_clock_a_little_behind_what_is_known_is_believed() -> None:
    assert Clocks(ClockGuard(known=NOON + timedelta(minutes=1))).look() == ""
