"""Multicast fails one machine in the middle of a session: it gets the image by HTTP, without a restart."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.lab import Lab
from bootd.lab.console import read_log
from bootd.model import Job, Outcome
from bootd.store import Reads
from tests.helpers.lab import PATIENCE_S, lab_name, steps
from tests.helpers.meshlab import SLOT, MeshLab, job_of

pytestmark = pytest.mark.vm

FINE, DEAF = "mesh1", "mesh2"
MARKER = "BOTH-STARTED"
MIB, RATE_MBIT = 8, 8  # eight seconds and more to send


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[MeshLab]:
    lab = Lab(lab_name("ib"))
    try:
        yield MeshLab(lab, tmp_path, (FINE, DEAF)).up(transport="mixed", rate_mbit=RATE_MBIT)
    finally:
        lab.down()


def is_half_through(job: Job | None, reads: Reads) -> bool:
    parts = [part for part in reads.job_parts(job.id) if part.node] if job else []
    return bool(parts) and all(part.step == "receiving" and 8 * part.octets > part.size for part in parts)


def deafen(lab: Lab, node: str) -> None:
    """Have no image reach *node* by multicast any more; everything else does."""
    rules = f"""\
table bridge deaf {{
  chain forward {{
    type filter hook forward priority 0
    oifname "{lab.node(node).tap}" ip daddr 239.0.0.0/8 drop
  }}
}}
"""
    argv = ["ip", "netns", "exec", lab.network.lan, "nft", "-f", "-"]
    subprocess.run(argv, input=rules, text=True, check=True)


def test_machine_that_multicast_fails_gets_the_image_by_http_and_is_not_started_anew_for_it(
    mesh: MeshLab,
) -> None:
    lab = mesh.lab
    number = mesh.book(mesh.add_image("debian", MARKER, ballast=MIB))
    assert mesh.watch().until(lambda reads: is_half_through(job_of(reads, number), reads), PATIENCE_S)
    deafen(lab, DEAF)

    for node in (FINE, DEAF):
        lab.wait_for(node, f"{MARKER} in hd0,msdos{SLOT}", 2 * PATIENCE_S)
    job = mesh.job(number)
    assert job is not None
    assert {part.outcome for part in mesh.parts(job).values()} == {Outcome.OK}, mesh.parts(job)
    assert job.facts["round"] == 2
    assert read_log(lab.places(DEAF).console_log).count("BOOTD-IMAGER-READY") == 1
    assert any(row["text"].startswith(f"fetched session job{job.id}-") for row in steps(lab, DEAF).rows)
