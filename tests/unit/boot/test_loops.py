"""Counting answers that lead nowhere."""

from bootd.boot.loops import LoopGuard

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"


def test_the_same_answer_is_counted_for_each_machine_apart():
    guard = LoopGuard()
    assert [guard.note(MAC, "memory:a", now) for now in (0, 5, 9)] == [1, 2, 3]
    assert guard.repeats(MAC, 10) == 3
    assert guard.repeats(OTHER, 10) == 0


def test_answers_that_take_turns_are_still_a_loop():
    guard = LoopGuard()
    for now in range(6):
        guard.note(MAC, ("loader", "script")[now % 2], now)
    assert guard.repeats(MAC, 6) == 3


def test_progress_wipes_the_slate():
    guard = LoopGuard()
    guard.note(MAC, "memory:a", 0)
    guard.progress(MAC)
    assert guard.repeats(MAC, 1) == 0


def test_a_minute_later_it_is_forgotten():
    guard = LoopGuard(window_s=60)
    guard.note(MAC, "local", 0)
    assert guard.repeats(MAC, 59.9) == 1
    assert guard.repeats(MAC, 60) == 0


def test_memory_is_bounded_by_forgetting_the_quietest_machine():
    guard = LoopGuard(machines=2)
    guard.note("a", "x", 0)
    guard.note("b", "x", 1)
    guard.note("a", "x", 2)
    guard.note("c", "x", 3)
    assert [guard.repeats(mac, 4) for mac in "abc"] == [2, 0, 1]
