"""Reservations back to back in a whole testbed: every machine goes from one image to the next at one go."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from bootd.model import Role
from bootd.services import reservations
from tests.helpers.site import NOON
from tests.helpers.world import World


def starts_since(world: World, hours: float) -> Counter[str]:
    at = NOON + timedelta(hours=hours)
    return Counter(start.node for start in world.power.starts if start.at >= at)


@pytest.mark.parametrize("second", ["mesh", "orbit"])
def test_a_node_that_changes_hands_is_started_once_and_runs_the_next_image(
    tmp_path: Path, second: str
) -> None:
    world = World(tmp_path, roots=1, meshes=1)
    world.book(3, 4, "node[1-2]", "mesh")
    world.book(4, 5, "node[1-2]", second)
    world.run(4.5)
    assert [world.reservation(number).state for number in (1, 2)] == ["ended", "active"]
    assert world.deployments(2) == {Role.ROOT: "run", Role.MESH: "run"}
    assert starts_since(world, 4) == {"node1": 1, "node2": 1}


def test_when_nobody_follows_each_node_is_started_once_and_boots_its_default(tmp_path: Path) -> None:
    world = World(tmp_path, roots=1, meshes=1)
    world.book(1, 2, "node[1-2]", "mesh")
    world.run(2.5)
    assert world.reservation(1).state == "ended"
    assert {machine.runs for machine in world.machines.values()} == {"default"}
    assert starts_since(world, 2) == {"node1": 1, "node2": 1}


def test_a_reservation_cancelled_while_it_runs_gives_its_nodes_back_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, roots=1, meshes=1)
    world.book(1, 4, "node[1-2]", "mesh")
    world.run(2)
    reservations.cancel(world.store, "anna", [1])
    world.run(0.25)
    assert {machine.runs for machine in world.machines.values()} == {"default"}
    assert set(world.deployments(1).values()) == {"dark"}
