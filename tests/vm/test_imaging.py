"""Two mesh nodes: power-cycled, imaged by the real daemon, and started from their slots."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.lab import Lab
from bootd.store import Reads
from tests.helpers.lab import PATIENCE_S, lab_name, steps
from tests.helpers.meshlab import SLOT, MeshLab, job_of

pytestmark = pytest.mark.vm

NODES = ("mesh1", "mesh2")
MARKER = "BOOKED-IMAGE-STARTED"
_LONG_S = 2 * PATIENCE_S  # a boot, an image, a restart


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[MeshLab]:
    lab = Lab(lab_name("ih"))
    try:
        yield MeshLab(lab, tmp_path, NODES).up(transport="http", window=1, pause_s=3)
    finally:
        lab.down()


def cut_off(lab: Lab, image: str) -> None:
    """Have the last octet of the image's largest file be gone from the dark store."""
    files = [path for path in lab.data_dir.rglob(f"{image}/**/*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    with largest.open("r+b") as file:
        file.truncate(largest.stat().st_size - 1)


def is_refused_untouched(mesh: MeshLab) -> None:
    """See that an image with a part cut off ends its job, by name, before any machine is called."""
    image = mesh.add_image("cut", "NEVER-STARTED")
    cut_off(mesh.lab, "cut")
    order = ("--nodes", ",".join(NODES), "--slot", str(SLOT))
    done = mesh.lab.bootd("deploy", image, *order, check=False)
    assert done.returncode == 1
    assert f"image {image} is damaged: " in done.stdout, done.stdout + done.stderr
    [number] = {job.reservation for job in mesh.ask(lambda reads: reads.jobs())}
    assert number is not None
    job = mesh.job(number)
    assert job is not None
    assert (job.state, job.note.partition(":")[0]) == ("failed", f"image {image} is damaged")
    assert mesh.slots() == {}
    mesh.lab.bootd("reservations", "cancel", str(number))
    assert [mesh.lab.power(name) for name in NODES] == ["prelaunch", "prelaunch"]
    assert " nothing-assigned: " in mesh.lab.bootd("explain", NODES[0]).stdout


def is_between_windows(number: int, reads: Reads) -> bool:
    job = job_of(reads, number)
    return job is not None and job.note == "2 nodes: 1 starting, 1 to be switched"


def test_booked_image_comes_to_the_slots_of_its_nodes_and_they_start_it(mesh: MeshLab) -> None:
    is_refused_untouched(mesh)
    number = mesh.book(mesh.add_image("debian", MARKER))
    assert mesh.watch().until(lambda reads: is_between_windows(number, reads), PATIENCE_S)
    for name in NODES:
        mesh.lab.wait_for(name, f"{MARKER} in hd0,msdos{SLOT}", _LONG_S)
        told = steps(mesh.lab, name)
        said = [row["text"] for row in told.of("node.reported")]
        assert any(text.startswith("reported verified: sha256:") for text in said)
        assert all("vda" in row["text"] for row in told.of("node.write_permitted"))
    assert mesh.slots() == dict.fromkeys(NODES, "ready")
    job = mesh.job(number)
    assert job is not None
    assert job.state == "done"
