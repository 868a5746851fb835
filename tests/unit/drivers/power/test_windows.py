"""Machines in windows: each once, in order, never too many at a time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootd.drivers.power import Window, due, in_windows

NODES = st.lists(st.integers(0, 50))


def test_the_last_window_may_be_smaller() -> None:
    assert in_windows("abcde", 2, 10) == [
        Window(0, ("a", "b")),
        Window(10, ("c", "d")),
        Window(20, ("e",)),
    ]


@settings(deadline=None)
@given(NODES, st.integers(1, 9), st.floats(0, 600))
def test_every_node_is_in_one_window_in_its_order(nodes: list[int], size: int, pause_s: float) -> None:
    windows = in_windows(nodes, size, pause_s)
    assert [node for window in windows for node in window.nodes] == list(dict.fromkeys(nodes))
    assert all(1 <= len(window.nodes) <= size for window in windows)
    assert [window.start_s for window in windows] == [i * pause_s for i in range(len(windows))]


@settings(deadline=None)
@given(NODES, st.integers(1, 9), st.floats(0, 600), st.floats(0, 9000))
def test_what_was_due_stays_due(nodes: list[int], size: int, pause_s: float, elapsed_s: float) -> None:
    windows = in_windows(nodes, size, pause_s)
    now = due(windows, elapsed_s)
    assert due(windows, elapsed_s + pause_s)[: len(now)] == now
    assert now[:size] == list(dict.fromkeys(nodes))[:size]


def test_a_window_begins_at_its_time() -> None:
    windows = in_windows("abc", 1, 10)
    assert due(windows, 9.9) == ["a"]
    assert due(windows, 10) == ["a", "b"]


@pytest.mark.parametrize(("size", "pause_s"), [(0, 1), (-1, 1), (1, -0.1)])
def test_windows_without_sense_are_refused(size: int, pause_s: float) -> None:
    with pytest.raises(ValueError, match="windows of"):
        in_windows("ab", size, pause_s)
