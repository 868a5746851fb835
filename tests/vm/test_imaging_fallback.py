"""Multicast fails one machine in the middle of a session: it gets the image by HTTP, without a restart.

And who looks at the job on a terminal sees how far each machine is.
"""

import re
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
from tests.helpers.terminal import Terminal

pytestmark = pytest.mark.vm

FINE, DEAF = "mesh1", "mesh2"
MARKER = "BOTH-STARTED"
MIB, RATE_MBIT = 8, 8  # eight seconds and more to send
_COLUMNS = re.compile(
    r"^(?P<node>mesh\d) +(?P<step>\S+) .*[━╸╺]+ +(?P<done>\d+) % +(?P<rate>\d[\d.]* [kM]?B/s)"
    r" +(?P<left>\d+:\d\d)\b"
)


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


def is_followed(terminal: Terminal, number: int, status: int) -> None:
    """See that each machine was shown with its step, how much is done, the rate, and what time is left."""
    rows = [found for line in terminal.lines if (found := _COLUMNS.match(line))]
    receiving = [row for row in rows if row["step"] == "receiving"]
    assert {row["node"] for row in receiving} == {FINE, DEAF}, terminal.lines
    assert any(0 < int(row["done"]) < 100 for row in receiving), receiving
    assert (status, terminal.lines[-1].split("  ")[0]) == (
        0,
        f"job {number} done (2 of 2 nodes have the image)",
    )
    assert "\x1b[1A" in terminal.raw, "nothing was drawn anew in its place"


def test_machine_that_multicast_fails_gets_the_image_by_http_and_is_not_started_anew_for_it(
    mesh: MeshLab,
) -> None:
    lab = mesh.lab
    number = mesh.book(mesh.add_image("debian", MARKER, ballast=MIB))
    assert mesh.watch().until(lambda reads: job_of(reads, number) is not None, PATIENCE_S)
    job = mesh.job(number)
    assert job is not None
    with Terminal(lab, ("jobs", "follow", str(job.id))) as terminal:
        assert mesh.watch().until(lambda reads: is_half_through(job_of(reads, number), reads), PATIENCE_S)
        deafen(lab, DEAF)
        for node in (FINE, DEAF):
            lab.wait_for(node, f"{MARKER} in hd0,msdos{SLOT}", 2 * PATIENCE_S)
        status = terminal.end(PATIENCE_S)
    is_followed(terminal, job.id, status)
    job = mesh.job(number)
    assert job is not None
    assert {part.outcome for part in mesh.parts(job).values()} == {Outcome.OK}, mesh.parts(job)
    assert job.facts["round"] == 2
    assert read_log(lab.places(DEAF).console_log).count("BOOTD-IMAGER-READY") == 1
    assert any(row["text"].startswith(f"fetched session job{job.id}-") for row in steps(lab, DEAF).rows)
