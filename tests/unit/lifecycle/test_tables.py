"""The tables of moves: that they hold together, and that the documentation shows just them."""

import pytest

from bootd.lifecycle import ALL, DEPLOYMENT, DISK_IMAGE, RESERVATION, IllegalMove, Lifecycle, Move
from tests.docs import LIFECYCLES, lifecycles

each = pytest.mark.parametrize("table", ALL, ids=lambda table: table.name.replace(" ", "-"))


@each
def test_every_state_can_be_reached_and_is_explained(table: Lifecycle) -> None:
    reached, seen = {table.first}, set[str]()
    while reached - seen:
        state = (reached - seen).pop()
        seen.add(state)
        reached |= {table.after(state, event) for event in table.events(state)}
    assert seen == set(table.states)
    assert all(table.states.values())


@each
def test_an_end_can_be_reached_from_everywhere_or_there_is_none(table: Lifecycle) -> None:
    ends = {state for state in table.states if table.is_final(state)}
    for start in table.states:
        reached = {start}
        for _ in table.states:
            reached |= {table.after(state, event) for state in reached for event in table.events(state)}
        assert reached & ends or not ends, start


def test_readme_is_drawn_from_the_tables() -> None:
    assert LIFECYCLES.read_text() == lifecycles(), "make docs rewrites it"


def test_image_goes_from_its_booking_to_running_and_back_to_the_dark_store_by_both_ways() -> None:
    for events in (("deploy-lun", "staged"), ("deploy-hd", "written")):
        state = DEPLOYMENT.first
        for event in (*events, "run", "remove"):
            state = DEPLOYMENT.after(state, event)
        assert state == "dark"


def test_illegal_move_says_what_is_possible_instead() -> None:
    with pytest.raises(
        IllegalMove, match="a reservation that is booked cannot end; now only: start, cancel, fail"
    ):
        RESERVATION.after("booked", "end")
    with pytest.raises(IllegalMove, match="nothing moves it any more"):
        DISK_IMAGE.after("retired", "verify")


@pytest.mark.parametrize(
    "moves",
    [
        pytest.param((Move("go", ("a",), "nowhere"),), id="unknown-target"),
        pytest.param((Move("go", ("z",), "a"),), id="unknown-source"),
        pytest.param((Move("go", ("a",), "b"), Move("go", ("a",), "a")), id="two-ways"),
    ],
)
def test_table_that_contradicts_itself_is_refused_at_once(moves: tuple[Move, ...]) -> None:
    with pytest.raises(ValueError, match="thing"):
        Lifecycle("thing", {"a": "x", "b": "y"}, moves)
