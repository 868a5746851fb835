"""Which imagers wait for something to do."""

from bootd.services.attendance import PRESENT_S, Attendance


def test_who_waits_is_there_for_as_long_as_it_asks() -> None:
    now = [100.0]
    attendance = Attendance(lambda: now[0])
    assert not attendance.is_there("node1")
    attendance.asks("node1")
    now[0] += PRESENT_S - 1
    assert attendance.is_there("node1")
    assert not attendance.is_there("node2")
    attendance.asks("node1")
    now[0] += PRESENT_S
    assert not attendance.is_there("node1")


def test_who_leaves_is_not_there_any_more() -> None:
    attendance = Attendance(lambda: 100.0)
    attendance.asks("node1")
    attendance.leaves("node1")
    attendance.leaves("node2")
    assert not attendance.is_there("node1")
