"""Packets are lost, bootd is killed, one node dies, one has too small a disk: the rest start their image."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootd.lab import Lab
from bootd.lab.process import Process
from bootd.model import Job, Outcome
from bootd.store import Reads
from tests.helpers import qemuswitch
from tests.helpers.lab import PATIENCE_S, lab_name
from tests.helpers.meshlab import SLOT, MeshLab, job_of

pytestmark = pytest.mark.vm

LIVING, DEAD, SMALL = ("mesh1", "mesh2"), "mesh3", "mesh4"
NODES = (*LIVING, DEAD, SMALL)
MARKER = "THE-REST-STARTED"
LOSS = 5.0  # percent of the frames on every link
MIB, RATE_MBIT = 6, 5  # ten seconds and more to send: time to die in


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[MeshLab]:
    lab = Lab(lab_name("if"), loss=LOSS)
    try:
        yield MeshLab(lab, tmp_path, NODES).up(rate_mbit=RATE_MBIT, disks_mib={SMALL: 64})
    finally:
        lab.down()


def wait(mesh: MeshLab, reservation: int, is_so: Callable[[Job, Reads], bool]) -> Job:
    """Return the job that writes the slots, once *is_so*."""
    found: list[Job] = []

    def has_come(reads: Reads) -> bool:
        job = job_of(reads, reservation)
        found[:] = [job] if job is not None and is_so(job, reads) else []
        return bool(found)

    arrived = mesh.watch().until(has_come, PATIENCE_S)
    assert arrived, (mesh.job(reservation), [mesh.lab.console(node).tail() for node in NODES])
    return found[0]


def in_the_middle(job: Job, reads: Reads) -> bool:
    """Tell whether a quarter of the image is with everybody, by this session."""
    parts = [part for part in reads.job_parts(job.id) if part.node in (*LIVING, DEAD)]
    return all(part.step == "receiving" and 4 * part.octets > part.size for part in parts)


def senders(mesh: MeshLab) -> list[str]:
    """Return the programs that send images."""
    names = (Path(f"/proc/{pid}/comm") for pid in mesh.lab.network.inhabitants())
    return [name.read_text().strip() for name in names if name.exists() and "udp-sender" in name.read_text()]


def kill_bootd(lab: Lab) -> None:
    with lab.run.change() as state:
        daemon: Process = state.servers.pop("bootd")
    os.kill(daemon.pid, signal.SIGKILL)
    assert daemon.wait(5)


def test_the_rest_of_the_nodes_have_the_image_and_start_it(mesh: MeshLab) -> None:
    lab = mesh.lab
    sets = qemuswitch.settings(lab.places(DEAD).qmp).items()
    lab.bootd("hosts", "set", DEAD, *(word for key, value in sets for word in ("--set", f"{key}={value}")))
    number = mesh.book(mesh.add_image("debian", MARKER, ballast=MIB))
    wait(mesh, number, in_the_middle)

    kill_bootd(lab)
    assert not senders(mesh)
    lab.start_bootd()
    again = wait(mesh, number, lambda job, reads: bool(job.facts.get("started_again")))
    wait(mesh, number, in_the_middle)
    assert senders(mesh) == ["udp-sender"]

    lab.power_off(DEAD)
    for node in LIVING:
        lab.wait_for(node, f"{MARKER} in hd0,msdos{SLOT}", PATIENCE_S)
    ended = wait(mesh, number, lambda job, reads: job.ended_at is not None)
    assert ended.id == again.id
    assert (ended.state, ended.note) == ("partly", "2 of 4 nodes have the image, without mesh[3-4]")
    parts = mesh.parts(ended)
    assert {node: part.outcome for node, part in parts.items()} == {
        **dict.fromkeys(LIVING, Outcome.OK),
        **dict.fromkeys((DEAD, SMALL), Outcome.FAILED),
    }
    assert "power-state: exit status 68" in parts[DEAD].note
    assert "; the first time: silent for 30 s after " in parts[DEAD].note
    assert "slots need" in parts[SMALL].note
    assert mesh.slots() == dict.fromkeys(LIVING, "ready") | dict.fromkeys((DEAD, SMALL), "damaged")
    assert not senders(mesh)

    lab.power_on(DEAD)  # by hand, a while later
    lab.wait_for(DEAD, "rule reserved-failed", PATIENCE_S)
