"""Mesh nodes in a lab: machines with an empty disk, the imager, and two images for their slots."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bootd.imagebuild import disk, partition
from bootd.imagebuild.disk import Words
from bootd.lab import network
from bootd.lab.demo import add_image
from bootd.lab.lab import Lab
from bootd.lab.machines import Kind, NodeSpec
from bootd.resources import share

PROJECT = "demo"
A, B = f"{PROJECT}/a@1", f"{PROJECT}/b@1"
NODES = (NodeSpec("mesh1"), NodeSpec("mesh2"), NodeSpec("mesh3"))
DISK_MIB = 512
# Small partitions for small disks; five slots of some 80 MiB.
SCHEME: Mapping[str, str] = {
    "--disk": "/dev/vda",
    "--last": "9",
    "--boot-mib": "64",
    "--swap-mib": "8",
    "--spare-mib": "8",
}
REPORT = f"http://{network.BOOT_ADDRESS}:8080/node/v1/report"
CONFIG = """
[imaging]
transport = "udpcast"
rate_mbit = 60

[calendar]
window_pause = 1
"""

Say = Callable[[str], None]


def furnish(lab: Lab, nodes: Sequence[NodeSpec] = NODES, *, cache: Path, say: Say) -> None:
    """Have mesh nodes with empty disks, the imager and two images."""
    add_image(lab, "imager", cache=cache, say=say)
    lab.bootd("slots", "scheme", "set", "@all", *(word for pair in SCHEME.items() for word in pair))
    for spec in nodes:
        add_machine(lab, spec.name, spec.kind, say=say)
    add_images(lab, cache=cache, say=say)


def add_machine(lab: Lab, name: str, kind: Kind = Kind.BIOS, *, say: Say = print) -> None:
    """Plug a machine with an empty disk in; it waits for bootd to press its button."""
    path = lab.run.path / f"n-{name}.disk"
    with path.open("wb") as file:
        file.truncate(DISK_MIB << 20)
    full = lab.add_node(NodeSpec(name, kind, disk=str(path)))
    lab.register(name)
    lab.bootd("hosts", "set", name, "--role", "mesh")
    lab.power_on(name, is_held=True)
    say(f"machine {full.name}: {full.kind}, {full.mac}, an empty disk of {DISK_MIB} MiB, off")


def add_images(lab: Lab, refs: Sequence[str] = (A, B), *, cache: Path, say: Say = print) -> None:
    """Build the images and put them into the lab's dark store."""
    lab.bootd("projects", "add", PROJECT, "--owner", "root")
    of = disk.gather(share("images") / "slotroot", cache=cache, progress=say)
    for ref in refs:
        made = partition.write(of, lab.run.path / "slot.raw", Words(ref, REPORT))
        say(lab.bootd("images", "add", ref.partition("@")[0], str(made)).stdout.splitlines()[0])
        made.unlink()
