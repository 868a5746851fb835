"""What `make demo-imaging` runs: two images to two sets of machines at once, and each boots its own slot."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bootd.lab import Lab, servers
from bootd.lab.imagingdemo import PARTS, SLOT
from bootd.lab.meshes import A, B
from tests.helpers.lab import lab_name

pytestmark = pytest.mark.vm

ROW = re.compile(
    r"│ (?P<node>mesh\d) +│ (?P<image>\S+) +│ (?P<address>\S+) port (?P<port>\d+) +│ (?P<device>\S+) "
)
READY = re.compile(
    r"  (?P<node>mesh\d) .*BOOTD-READY image=(?P<image>\S+)"
    r" root=(?P<root>\S+) fstab=(?P<fstab>\S+) size=(?P<mib>\d+)M"
)
OWN_IMAGE = {node: image for image, nodes in PARTS.items() for node in nodes}


def spoken(said: str, who: str, words: str) -> list[int]:
    """Return in which lines *who* says *words*."""
    return [n for n, line in enumerate(said.splitlines()) if f" s  {who} " in line and words in line]


def test_two_images_go_to_two_sets_of_machines_at_the_same_time_and_each_boots_its_slot() -> None:
    lab = Lab(lab_name("two"))
    done = subprocess.run(
        [sys.executable, "-m", "bootd", "lab", "demo-imaging", "--name", lab.name],
        env=servers.bootd_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    # each machine has the image of its set, by the session of its set
    rows = {found["node"]: found for found in map(ROW.search, said.splitlines()) if found}
    assert {node: row["image"] for node, row in rows.items()} == OWN_IMAGE
    sessions = {
        image: {(rows[node]["address"], rows[node]["port"]) for node in nodes}
        for image, nodes in PARTS.items()
    }
    assert [len(found) for found in sessions.values()] == [1, 1]
    (one,), (other,) = sessions[A], sessions[B]
    assert one[0] != other[0]
    assert one[1] != other[1]
    assert [address.partition(".")[0] for address in (one[0], other[0])] == ["239", "239"]
    # neither waited for the other
    first, second = (spoken(said, who, "sending") for who in ("deploy a", "deploy b"))
    assert min(first) < max(second)
    assert min(second) < max(first)
    # one start into the imager, one into the slot; a file system of its own, as large as the slot
    for node, image in OWN_IMAGE.items():
        assert len(spoken(said, node, "fetched its ipxe script: memory:imager (once)")) == 1
        assert len(spoken(said, node, f"fetched its ipxe script: slot:{SLOT} {image}")) == 1
    ready = {found["node"]: found for found in map(READY.search, said.splitlines()) if found}
    assert {node: (found["image"], found["root"]) for node, found in ready.items()} == {
        node: (image, f"/dev/vda{SLOT}") for node, image in OWN_IMAGE.items()
    }
    assert len({found["fstab"] for found in ready.values()}) == len(OWN_IMAGE)
    assert all(int(found["mib"]) > 60 for found in ready.values())
    assert "To try next:" in said
    assert not lab.run.path.exists()
    assert not any((Path("/run/netns") / name).exists() for name in lab.network.namespaces)
