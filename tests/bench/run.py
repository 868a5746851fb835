"""Print the figures: ``python -m tests.bench.run [--only NAME]… [--rounds N] [--json]``, as root."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bootd.lab import needs
from bootd.lab.errors import LabError
from tests.bench import (
    answers,
    boot,
    change,
    flip,
    imager,
    imaging,
    lifecycle,
    lun,
    memory,
    sanboot,
    start,
    transport,
    unpack,
)
from tests.bench.figures import Figure, as_json, table

Part = Callable[[int, Path], Iterator[Figure]]
PARTS: dict[str, Part] = {
    "start": start.measure,
    "lifecycle": lifecycle.measure,
    "flip": flip.measure,
    "change": change.measure,
    "memory": memory.measure,
    "lun": lun.measure,
    "unpack": unpack.measure,
    "transport": transport.measure,
    "answers": answers.measure,
    "boot": boot.measure,
    "sanboot": sanboot.measure,
    "imager": imager.measure,
    "imaging": imaging.measure,
}
ROUNDS = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description="Print bootd's figures.")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part, again for another")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each measurement ({ROUNDS})")
    parser.add_argument("--json", action="store_true", help="one JSON document with every sample")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("at least one round")
    try:
        check_needs()
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    print_figures(options.only or list(PARTS), options.rounds, with_json=options.json)
    return 0


def check_needs() -> None:
    """Raise `LabError` with what is missing to measure bootd and its peers."""
    needs.check(luns=True, disks=True)
    packages = needs.missing([("nginx", "nginx-light")])
    if packages:
        raise LabError(
            f"the peer of the boots is not installed: apt-get install --no-install-recommends {packages[0]}"
        )


def print_figures(names: list[str], rounds: int, *, with_json: bool) -> None:
    """Measure the parts *names* and print them, a table as soon as its part is done."""
    machine: dict[str, object] = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    figures: list[Figure] = []
    for name in names:
        begun = time.monotonic()
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="bootd-bench-") as folder:
            found = list(PARTS[name](rounds, Path(folder)))
        figures += found
        if not with_json:
            print(f"\n{name}, {rounds} rounds, {time.monotonic() - begun:.0f} s")
            print(table(found), flush=True)
    machine["load_after"] = os.getloadavg()[0]
    if with_json:
        print(as_json(figures, **machine))
    else:
        load = f"{machine['load_before']:.1f} before, {machine['load_after']:.1f} after"
        print(f"\n{machine['cores']} cores, load {load}; ratio: ours / peer, median of the rounds' ratios")


if __name__ == "__main__":
    sys.exit(main())
