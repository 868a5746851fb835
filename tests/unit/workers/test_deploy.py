"""What a person deploys by hand, to the end: the nodes run it, and each was switched no more than needed."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bootd.model import JobKind, Slot
from bootd.services import deploy as service
from bootd.services.deploy import Deployed, Order
from tests.helpers.mortal import Death, live_mortally
from tests.helpers.site import NOON
from tests.helpers.world import World

SHARES = 4  # the moments are dealt out to so many tests
NODES = "node[1-3]"


def a_world(folder: Path) -> World:
    world = World(folder, roots=0, meshes=3)
    world.add_image("mesh/router")
    return world


def deploy(world: World, image: str = "mesh/debian", nodes: str = NODES, **order: Any) -> Deployed:
    return service.deploy(world.store, "anna", Order(image, nodes, **order), clock=world.clock)


def switched(world: World, since: int = 0) -> dict[str, str]:
    """Return what was done to the power of each machine, one word an order."""
    orders = [order for order in world.power.orders[since:] if order.verb != "state"]
    return {name: " ".join(each.verb for each in orders if each.node == name) for name in world.machines}


def runs(world: World) -> dict[str, str]:
    return {name: machine.runs for name, machine in world.machines.items()}


def test_deployed_nodes_are_switched_once_and_go_from_the_imager_into_their_slot(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    deploy(world, slot=7)
    world.run(0.25)
    assert runs(world) == dict.fromkeys(world.machines, "slot:7")
    assert switched(world) == dict.fromkeys(world.machines, "on")
    assert (world.reservation(1).state, world.deployments(1)) == ("active", {"mesh": "run"})
    assert sorted((job.kind, job.state) for job in world.store.jobs()) == [
        (JobKind.START, "done"),
        (JobKind.WRITE_SLOT, "done"),
    ]


def test_image_that_is_there_already_takes_one_reset(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    deploy(world, slot=7, ends_at=NOON + timedelta(hours=1))
    world.run(2)
    before = len(world.power.orders)
    deploy(world)
    world.run(0.25)
    assert runs(world) == dict.fromkeys(world.machines, "slot:7")
    assert switched(world, since=before) == dict.fromkeys(world.machines, "reset-soft")


def test_other_nodes_of_the_reservation_run_on_while_some_get_another_image(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    deploy(world, slot=7)
    world.run(0.25)
    deploy(world, "mesh/router", "node[1-2]", slot=9)
    world.run(0.25)
    assert runs(world) == {"node1": "slot:9", "node2": "slot:9", "node3": "slot:7"}
    assert switched(world)["node3"] == "on"
    assert [(each.image.name, each.state) for each in world.store.deployments_of(1)] == [
        ("debian", "run"),
        ("router", "run"),
    ]


def test_node_that_dies_in_the_imager_is_left_out_and_the_others_run(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    world.machines["node2"].habits.dies_while_written = True
    deploy(world, slot=7)
    world.run(1)
    start = next(job for job in world.store.jobs() if job.kind is JobKind.START)
    assert start.state == "partly"
    assert (runs(world)["node1"], runs(world)["node3"]) == ("slot:7", "slot:7")
    assert [(slot.host, slot.state) for slot in world.store.every(Slot)] == [
        ("node1", "ready"),
        ("node2", "damaged"),
        ("node3", "ready"),
    ]


def test_node_that_does_not_leave_the_imager_by_itself_is_power_cycled(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    world.machines["node2"].habits.hangs_when_written = True
    deploy(world, slot=7)
    world.run(0.5)
    assert runs(world) == dict.fromkeys(world.machines, "slot:7")
    assert switched(world) == {"node1": "on", "node2": "on off on", "node3": "on"}


def test_slot_written_ahead_of_its_booking_holds_no_node_in_the_imager(tmp_path: Path) -> None:
    world = a_world(tmp_path)
    world.book(1, 2, NODES)
    world.run(0.99)
    assert [slot.state for slot in world.store.every(Slot)] == ["ready"] * 3
    assert runs(world) == dict.fromkeys(world.machines, "default")


def test_root_nodes_get_their_image_by_their_luns(tmp_path: Path) -> None:
    world = World(tmp_path, roots=2, meshes=0)
    assert deploy(world, nodes="node[1-2]").jobs == ()  # the calendar makes them
    world.run(0.25)
    assert [what.partition(":")[0] for what in runs(world).values()] == ["lun", "lun"]
    assert world.deployments(1) == {"root": "run"}


# -- killed ---------------------------------------------------------------------------------------


def story(folder: Path, death: Death) -> dict[str, object]:
    world = World(folder, roots=0, meshes=2)
    world.add_image("mesh/router")
    deploy(world, nodes="node[1-2]", slot=7)
    world.run(0.25)
    deploy(world, "mesh/router", "node1", slot=9)
    live_mortally(world, death, 0.25)
    return {
        "machines": runs(world),
        "deployments": [(each.image, each.nodes, each.state) for each in world.store.deployments_of(1)],
        "slots": [(slot.host, slot.number, slot.state) for slot in world.store.every(Slot)],
        "jobs": sorted((job.kind, job.state) for job in world.store.jobs()),
        "sessions": world.transport.sessions(),
        "overrides": world.store.overrides(),
    }


@pytest.mark.parametrize("share", range(SHARES))
def test_killed_at_any_moment_the_next_worker_brings_the_deployment_to_the_same_end(
    tmp_path_factory: pytest.TempPathFactory, share: int
) -> None:
    folder: Callable[[str], Path] = tmp_path_factory.mktemp
    unharmed = Death()
    expected = story(folder("unharmed"), unharmed)
    assert expected["machines"] == {"node1": "slot:9", "node2": "slot:7"}
    for number in range(share + 1, unharmed.count + 1, SHARES):
        found = story(folder(f"at{number}"), Death(number))
        assert found == expected, f"killed at {number}: {unharmed.moments[number - 1]}"
