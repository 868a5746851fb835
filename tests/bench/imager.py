"""The imager by itself: its size, and how long one machine takes from power-on to its first question."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bootd.cli.context import cache_dir
from bootd.lab import Kind, Lab, NodeSpec
from bootd.lab.demo import add_image
from tests.bench.boot import power_on_until
from tests.bench.figures import Figure
from tests.helpers.imager import READY, built

_NODE = "mesh1"


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figures; the imager says that it is there before it looks for a disk."""
    initramfs = sum(path.stat().st_size for path in built().initrds) / 1e6
    yield Figure("initramfs of the imager", (initramfs,), "MB", "≤ 8 MB")
    taken = []
    with Lab(f"bench-r-{time.time_ns() % 100_000_007}") as lab:
        lab.add_node(NodeSpec(_NODE, Kind.BIOS))
        add_image(lab, "imager", cache=cache_dir(), say=lambda text: print(f"  {text}", file=sys.stderr))
        lab.register(_NODE)
        for _ in range(rounds):
            lab.bootd("boot", _NODE, "memory:imager")
            taken.append(power_on_until(lab, _NODE, READY))
    yield Figure("power-on → the imager is ready", tuple(taken), "s", "≤ 10 s")
