"""Two orders of one image: sent once, to a BIOS and a UEFI machine, which start it with and without bootd."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from bootd.drivers.power import qmp
from bootd.lab import Lab
from bootd.model import Job
from bootd.services.jobs import OPEN
from bootd.services.tasks import WAYS
from tests.helpers.lab import PATIENCE_S, lab_name
from tests.helpers.meshlab import SLOT, MeshLab

pytestmark = pytest.mark.vm

BIOS, UEFI = "mesh1", "mesh2"
NODES = {BIOS: "msdos", UEFI: "gpt"}  # node -> how its GRUB calls partitions
FIRST, SECOND = "FIRST-IMAGE-STARTED", "SECOND-IMAGE-STARTED"
OTHER = SLOT + 1
_LONG_S = 2 * PATIENCE_S  # a boot, an image, a restart


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[MeshLab]:
    lab = Lab(lab_name("iu"))
    try:
        yield MeshLab(lab, tmp_path, list(NODES)).up(transport="udpcast", uefi=[UEFI], foreign=[BIOS])
    finally:
        lab.down()


def deploy(mesh: MeshLab, image: str, node: str, slot: int, *how: str) -> Job:
    """Order the image for one node; return the job that writes it."""
    order = ("--nodes", node, "--slot", str(slot), "--no-follow", "--json", *how)
    made = json.loads(mesh.lab.bootd("deploy", image, *order).stdout.splitlines()[0])
    found = mesh.ask(lambda reads: reads.find(Job, made["jobs"][0]))
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


def started(mesh: MeshLab, name: str, marker: str, slot: int) -> None:
    """Wait until the machine has started the image in that slot."""
    mesh.lab.wait_for(name, f"{marker} in hd0,{NODES[name]}{slot}", _LONG_S)


def have_started(mesh: MeshLab, marker: str, slot: int) -> None:
    for name in NODES:
        started(mesh, name, marker, slot)
    assert mesh.slots(slot) == dict.fromkeys(NODES, "ready")


def let_be(mesh: MeshLab) -> None:
    """End the jobs that wait for the images to say that they run: all that these can is to start."""
    for job in mesh.ask(lambda reads: reads.jobs(states=OPEN)):
        mesh.lab.bootd("jobs", "cancel", str(job.id))


def start_without_bootd(mesh: MeshLab, names: Iterable[str], marker: str, slot: int) -> None:
    """Have machines start where the site gives addresses, and nobody says what to boot."""
    mesh.lab.stop_bootd()
    for name in names:
        mesh.lab.reset(name)
    for name in names:
        started(mesh, name, marker, slot)


def test_two_orders_of_one_image_are_sent_once_and_a_disk_starts_the_last_one_by_itself(
    mesh: MeshLab,
) -> None:
    image = mesh.add_image("first", FIRST)
    ordered = [
        deploy(mesh, image, BIOS, SLOT, "--repartition", "--yes"),  # its disk holds something
        deploy(mesh, image, UEFI, SLOT),
    ]
    assert ordered[0].id != ordered[1].id
    ways = [wait_for_way(mesh, job, name) for job, name in zip(ordered, NODES, strict=True)]
    assert ways[0] == ways[1], "each had a session of its own"
    assert ways[0]["transport"] == "udpcast"
    have_started(mesh, FIRST, SLOT)

    let_be(mesh)
    start_without_bootd(mesh, [BIOS], FIRST, SLOT)
    mesh.lab.start_bootd()
    image = mesh.add_image("second", SECOND)
    for name in NODES:
        deploy(mesh, image, name, OTHER)
    have_started(mesh, SECOND, OTHER)

    # its firmware asks for two minutes whether anybody serves it; without a cable it does not
    qmp.execute(mesh.lab.places(UEFI).qmp, "set_link", name="net0", up=False)
    start_without_bootd(mesh, NODES, SECOND, OTHER)
