"""The daemon killed at every moment of a booking's life: another one goes on, and all ends as it should."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bootd.model import LunPair, Slot
from tests.helpers.mortal import Death, live_mortally
from tests.helpers.world import World

SHARES = 6  # the moments are dealt out to so many tests


def a_booking(folder: Path) -> World:
    world = World(folder, roots=1, meshes=1)
    world.book(1, 2, "node[1-2]")
    return world


def outcome(world: World) -> dict[str, object]:
    [pair] = world.store.every(LunPair)
    return {
        "reservation": world.reservation(1).state,
        "deployments": world.deployments(1),
        "slots": [(s.host, s.number, s.state, s.image) for s in world.store.every(Slot)],
        "sides": sorted((side.state, str(side.image)) for side in pair.sides),
        "volumes": [volume.name for volume in world.luns.volumes()],
        "jobs": sorted((job.kind, job.state) for job in world.store.jobs()),
        "machines": {name: machine.runs for name, machine in world.machines.items()},
        "sessions": world.transport.sessions(),
        "overrides": world.store.overrides(),
    }


def at_half_time(world: World) -> dict[str, str]:
    return world.deployments(1) | {name: machine.runs for name, machine in world.machines.items()}


def story(folder: Path, death: Death) -> tuple[dict[str, str], dict[str, object]]:
    world = a_booking(folder)
    live_mortally(world, death, 1.75)
    halfway = at_half_time(world)
    live_mortally(world, Death(), 1.0)
    return halfway, outcome(world)


@pytest.mark.parametrize("share", range(SHARES))
def test_killed_at_any_moment_the_next_worker_brings_the_booking_to_the_same_end(
    tmp_path_factory: pytest.TempPathFactory, share: int
) -> None:
    folder: Callable[[str], Path] = tmp_path_factory.mktemp
    unharmed = Death()
    expected = story(folder("unharmed"), unharmed)
    assert expected[0]["root"] == expected[0]["mesh"] == "run"
    assert expected[1]["reservation"] == "ended"
    for number in range(share + 1, unharmed.count + 1, SHARES):
        found = story(folder(f"at{number}"), Death(number))
        assert found == expected, f"killed at {number}: {unharmed.moments[number - 1]}"
