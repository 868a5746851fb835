"""Two mesh nodes: power-cycled, imaged by the real daemon, and started from their slots."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bootd.lab import Lab
from bootd.model import Job
from bootd.services.tasks import WAYS
from tests.helpers.lab import PATIENCE_S, lab_name, steps
from tests.helpers.meshlab import SLOT, MeshLab

pytestmark = pytest.mark.vm

NODES = ("mesh1", "mesh2")
MARKER = "BOOKED-IMAGE-STARTED"
_LONG_S = 2 * PATIENCE_S  # a boot, an image, a restart


@pytest.fixture
def mesh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MeshLab]:
    transport: str = request.param
    lab = Lab(lab_name(f"i{transport[0]}"))
    try:
        yield MeshLab(lab, tmp_path, NODES).up(transport=transport)
    finally:
        lab.down()


def deploy(mesh: MeshLab, image: str, node: str) -> Job:
    """Order the image for one node; return the job that writes it."""
    order = ("--nodes", node, "--slot", str(SLOT), "--no-follow", "--json")
    made = json.loads(mesh.lab.bootd("deploy", image, *order).stdout.splitlines()[0])
    found = mesh.job(made["id"])
    assert found is not None
    return found


def wait_for_way(mesh: MeshLab, job: Job, node: str) -> Mapping[str, str]:
    """Wait until a node is told how to join its first session; return that."""
    until = time.monotonic() + _LONG_S
    while True:
        now = mesh.ask(lambda reads: reads.find(Job, job.id))
        assert now is not None
        if node in now.facts.get(WAYS, {}):
            return dict(now.facts[WAYS][node])
        assert time.monotonic() < until, now
        time.sleep(0.5)


def started(mesh: MeshLab) -> None:
    """Wait until the nodes have started the image, and see that they said what they wrote."""
    for name in NODES:
        mesh.lab.wait_for(name, f"{MARKER} in hd0,msdos{SLOT}", _LONG_S)
        told = steps(mesh.lab, name)
        said = [row["text"] for row in told.of("node.reported")]
        assert any(text.startswith("reported verified: sha256:") for text in said)
        assert all("vda" in row["text"] for row in told.of("node.write_permitted"))
    assert mesh.slots() == dict.fromkeys(NODES, "ready")


@pytest.mark.parametrize("mesh", ["http"], indirect=True)
def test_booked_image_comes_to_the_slots_of_its_nodes_and_they_start_it(mesh: MeshLab) -> None:
    reservation = mesh.book(mesh.add_image("debian", MARKER))
    started(mesh)
    job = mesh.job(reservation)
    assert job is not None
    assert job.state == "done"


@pytest.mark.parametrize("mesh", ["udpcast"], indirect=True)
def test_two_orders_of_one_image_for_one_slot_are_sent_once_by_multicast(mesh: MeshLab) -> None:
    image = mesh.add_image("debian", MARKER)
    ordered = [deploy(mesh, image, name) for name in NODES]
    assert ordered[0].id != ordered[1].id
    ways = [wait_for_way(mesh, job, name) for job, name in zip(ordered, NODES, strict=True)]
    assert ways[0] == ways[1], "each had a session of its own"
    assert ways[0]["transport"] == "udpcast"
    started(mesh)
