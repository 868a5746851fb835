"""Root nodes in a lab: machines without a disk, their pair of LUNs, and two images to boot from it."""

import subprocess
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootd.drivers.lun import LunBackend
from bootd.drivers.lun.tgt import TgtLuns
from bootd.drivers.tools import Tools
from bootd.imagebuild import disk
from bootd.imagebuild.disk import Table, Words
from bootd.lab import needs, network, target
from bootd.lab.demo import store_opener
from bootd.lab.lab import Lab
from bootd.lab.machines import Kind, NodeSpec
from bootd.model import LunClone
from bootd.resources import share
from bootd.services.luns import SIDES

PROJECT, GROUP = "demo", "roots"
NAME = f"{PROJECT}/root"
A, B = f"{NAME}@1", f"{NAME}@2"
# Both firmwares boot either: so each is seen with each kind of partition table.
TABLES = {A: Table.MBR, B: Table.GPT}
PACKED = frozenset({B})  # comes as qcow2, and is unpacked when it is staged
NODES = (NodeSpec("bios1", Kind.BIOS), NodeSpec("uefi1", Kind.UEFI))
CHAINED = frozenset({"bios1"})  # gets bootd's iPXE by TFTP first, as a card does that has none of its own
SIZE = "64M"
REPORT = f"http://{network.BOOT_ADDRESS}:8080/node/v1/report"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Clone:
    """What the target itself says of a node's clone."""

    node: str
    side: str
    volume: str
    sessions: tuple[str, ...]  # who is logged in: initiator and address
    written: int | None  # octets since it was made


def furnish(
    lab: Lab, nodes: Sequence[NodeSpec], *, cache: Path, say: Say, chained: Container[str] = ()
) -> None:
    """Have root nodes, their pair and two images."""
    add_machines(lab, nodes, chained=chained, say=say)
    add_pair(lab, say=say)
    add_images(lab, cache=cache, say=say)


def add_machines(
    lab: Lab,
    nodes: Sequence[NodeSpec] = NODES,
    *,
    group: str = GROUP,
    chained: Container[str] = (),
    say: Say = print,
) -> None:
    """Plug *nodes* in and enter them as root nodes of *group*; they wait for bootd to press their buttons."""
    for spec in nodes:
        full = lab.add_node(spec)
        lab.register(spec.name, **({"ipxe": "chain"} if spec.name in chained else {}))
        lab.bootd("hosts", "set", spec.name, "--role", "root", "--group", group)
        lab.power_on(spec.name, is_held=True)
        say(f"machine {full.name}: {full.kind}, {full.mac}, no disk, off")


def add_pair(lab: Lab, group: str = GROUP, *, size: str = SIZE, say: Say = print) -> None:
    say(lab.bootd("luns", "add", group, "--size", size).stdout.strip())


def add_images(lab: Lab, *, cache: Path, say: Say = print) -> None:
    """Build both images and put them into the lab's dark store."""
    lab.bootd("projects", "add", PROJECT, "--owner", "root")
    of = disk.gather(share("images") / "rootdisk", cache=cache, progress=say)
    for ref, table in TABLES.items():
        made = disk.write(of, lab.run.path / "root.raw", Words(ref, REPORT), table)
        if ref in PACKED:
            made = _packed(made)
        say(lab.bootd("images", "add", NAME, str(made)).stdout.splitlines()[0])
        made.unlink()


def _packed(raw: Path) -> Path:
    """Have a qcow2 file in its place."""
    made = raw.with_suffix(".qcow2")
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(made)]
    subprocess.run(command, check=True, env=needs.environment())
    raw.unlink()
    return made


def clones(lab: Lab) -> list[Clone]:
    """Return every clone that bootd keeps, and who is logged in to it, by the target's own word."""
    luns = backend(lab)
    with store_opener(lab)() as store:
        kept = store.every(LunClone)
    sessions = luns.sessions()
    return [
        Clone(
            clone.node,
            SIDES[clone.side],
            clone.volume,
            tuple(f"{each.initiator} {each.address}" for each in sessions if each.volume == clone.volume),
            luns.written(clone.volume),
        )
        for clone in kept
    ]


def backend(lab: Lab) -> LunBackend:
    """Return the lab's LUNs, to ask the target itself."""
    folder = lab.data_dir / "drivers" / "luns"
    return TgtLuns(Tools(folder), socket=target.socket_of(lab.run.path))
