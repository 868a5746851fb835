"""One reservation after the other on root nodes: who was not switched keeps the clone it runs from."""

from dataclasses import replace
from pathlib import Path

import pytest

from bootd.drivers.faults import Refuse
from bootd.model import JobKind, JobPart, Outcome
from tests.helpers.deeds import HOUR, a_job, a_reservation
from tests.helpers.site import NOON
from tests.helpers.world import World
from tests.unit.workers.test_end import OVER, a_site, follow, left, on_luns

SWITCHES = ("reset-soft", "reset-hard", "off", "cycle", "on")


def test_a_node_that_cannot_be_switched_to_the_next_image_keeps_its_clone_and_is_named(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, roots=1, meshes=0)
    world.book(1, 2, "node1", "mesh")
    world.book(2, 4, "node1", "orbit")
    world.run(1.9)
    (session,) = world.luns.sessions()
    for verb in SWITCHES:
        world.power.faults.plant(Refuse("wrong password"), verb, "node1", times=None)
    world.run(1.0)
    assert world.luns.sessions() == [session]
    (end,) = world.store.jobs(kind=JobKind.END)
    (part,) = world.store.job_parts(end.id)
    assert (end.state, part.outcome) == ("failed", Outcome.FAILED)
    assert f"volume {session.volume}: in use by" in part.note


@pytest.mark.parametrize(
    ("step", "outcome", "goes"),
    [
        pytest.param("left", Outcome.FAILED, False, id="nobody could switch it"),
        pytest.param("reset", Outcome.FAILED, False, id="asked to reset, and not heard of"),
        pytest.param("", Outcome.OK, False, id="booked without image"),
        pytest.param("cycled", Outcome.TIMED_OUT, True, id="its power was cycled"),
        pytest.param("reset", Outcome.OK, True, id="said that it is up"),
    ],
)
def test_a_clone_of_a_node_handed_over_goes_from_under_it_only_where_it_was_switched(
    tmp_path: Path, step: str, outcome: Outcome, goes: bool
) -> None:
    shop = a_site(tmp_path)
    _, second = on_luns(shop)
    follow(shop, state="run", flipped_at=NOON)
    shop.keep(a_reservation(2, starts_at=NOON, ends_at=NOON + HOUR))
    shop.keep(a_reservation(state="ended", **OVER))  # so it was, by an END that was killed
    shop.keep(a_job(2, kind=JobKind.START, reservation=2, deployment=None, state="partly"))
    with shop.store.transaction("calendar") as change:
        up = JobPart(2, "node1", step="reset", outcome=Outcome.OK, since=NOON)
        change.put_job_parts([up, replace(up, node="node2", step=step, outcome=outcome)])
    shop.run_for(10)
    assert shop.switched() == []
    assert left(shop) == ((["roots-a"], []) if goes else (["roots-a", second], [second]))
    assert shop.job().state == ("done" if goes else "partly")
    assert shop.outcomes() == {"node1": Outcome.OK, "node2": Outcome.OK if goes else Outcome.FAILED}
    assert (f"volume {second}: in use by" in shop.part("node2").note) is not goes


def test_a_clone_is_not_taken_for_left_because_of_an_earlier_reservations_start(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    first, second = on_luns(shop)
    shop.keep(a_reservation(state="ended", **OVER), a_reservation(2, images=(), ends_at=NOON + HOUR))
    shop.keep(a_reservation(3, starts_at=NOON - 3 * HOUR, ends_at=NOON - 2 * HOUR, state="ended"))
    shop.keep(a_job(2, kind=JobKind.START, reservation=3, deployment=None, state="done"))
    with shop.store.transaction("calendar") as change:
        up = JobPart(2, "node1", step="cycled", outcome=Outcome.OK, since=NOON - 3 * HOUR)
        change.put_job_parts([up, replace(up, node="node2")])
    shop.run_for(10)
    assert left(shop)[1] == sorted([first, second])
