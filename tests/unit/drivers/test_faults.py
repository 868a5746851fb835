"""Faults are met where, when and as often as they were planted."""

import pytest

from bootd.drivers.faults import Crash, Faults, PowerLost, Refuse, Slow, Unreachable
from bootd.drivers.power import PowerRefused, PowerUnreachable


class Deeds:
    """Something to be hindered."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.waited: list[float] = []
        self.faults = Faults(self.waited.append, PowerRefused, PowerUnreachable)

    def do(self, verb: str, subject: str) -> int:
        return self.faults.perform(verb, subject, lambda: self.done.append(f"{verb} {subject}") or 7)


def test_what_no_fault_is_planted_for_is_done() -> None:
    deeds = Deeds()
    deeds.faults.plant(Refuse(), "off", "a")
    assert deeds.do("on", "a") == 7
    assert deeds.do("off", "b") == 7
    assert deeds.done == ["on a", "off b"]


def test_a_fault_is_met_after_n_calls_and_only_as_often_as_planted() -> None:
    deeds = Deeds()
    deeds.faults.plant(Refuse("no"), "on", after=1, times=2)
    deeds.do("on", "a")
    for node in "bc":
        with pytest.raises(PowerRefused, match=f"{node}: no"):
            deeds.do("on", node)
    deeds.do("on", "d")
    assert deeds.done == ["on a", "on d"]


def test_a_fault_without_an_end_lasts_until_it_is_taken_back() -> None:
    deeds = Deeds()
    deeds.faults.plant(Unreachable(), "on", times=None)
    for _ in range(3):
        with pytest.raises(PowerUnreachable):
            deeds.do("on", "a")
    deeds.faults.clear()
    assert deeds.do("on", "a") == 7


@pytest.mark.parametrize("done", [False, True])
def test_an_answer_can_be_lost_with_and_without_the_deed(done: bool) -> None:
    deeds = Deeds()
    deeds.faults.plant(Unreachable(done=done), "on")
    deeds.faults.plant(Crash(done=done), "on")
    with pytest.raises(PowerUnreachable):
        deeds.do("on", "a")
    with pytest.raises(PowerLost):
        deeds.do("on", "a")
    assert deeds.done == ["on a"] * (2 * done)


def test_losing_power_is_caught_by_no_handler_of_errors() -> None:
    assert not issubclass(PowerLost, Exception)


def test_a_slow_deed_is_done_in_the_end() -> None:
    deeds = Deeds()
    deeds.faults.plant(Slow(12.5), "on")
    assert deeds.do("on", "a") == 7
    assert (deeds.waited, deeds.done) == ([12.5], ["on a"])
