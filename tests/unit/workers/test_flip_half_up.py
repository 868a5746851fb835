"""A flip while nodes are half up: each boots one image whole, and all end on the new one."""

from datetime import timedelta
from pathlib import Path

import pytest

from bootd.drivers.power import ResetKind
from bootd.model import LunPair
from bootd.services import lunflip
from tests.helpers.site import NOON
from tests.helpers.world import FIRMWARE_S, SYSTEM_S, World


@pytest.mark.parametrize(
    "seconds", [0.0, FIRMWARE_S - 1, FIRMWARE_S + 1, FIRMWARE_S + SYSTEM_S - 1, FIRMWARE_S + SYSTEM_S + 1]
)
def test_nodes_that_are_anywhere_on_their_way_end_on_the_new_image(tmp_path: Path, seconds: float) -> None:
    world = World(tmp_path, roots=3, meshes=0)
    world.book(1, 3, "node[1-3]")
    world.book(3, 5, "node[1-3]", project="orbit")
    world.run_until(NOON + timedelta(hours=2, minutes=55))
    staged = [side.state for side in world.store.every(LunPair)[0].sides]
    assert sorted(staged) == ["active", "staged"]
    for machine in world.machines.values():
        world.power.reset(machine.host, ResetKind.HARD)
    world.run(seconds / 3600)
    lunflip.flip(world.store, "anna", "rack", clock=world.clock)
    world.run(4 / 60)  # a machine that got anything else than what it was given would have said so
    [pair] = world.store.every(LunPair)
    assert str(pair.sides[pair.active].image) == "orbit/debian@1"
    for name, machine in world.machines.items():
        place = world.store.places()[name]
        assert place.clone is not None
        assert machine.runs == f"lun:{place.clone.volume}", name
        assert (str(place.image), place.state) == ("orbit/debian@1", "running"), name
