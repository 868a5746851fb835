"""Run every fuzz target for a while: `python tests/fuzz/run.py --seconds 60 [--seed N] [NAME…]`."""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the Makefile starts this file, not a module

from tests.fuzz.targets import Broken, Target, all_targets

ROUND = 500  # mutants of one seed


def run_for(target: Target, seconds: float, seed: int) -> int:
    """Return how many mutants were tried in *seconds*; raises `Broken`."""
    for data in target.seeds:
        target.try_one(data)
    deadline, tried = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        target.try_mutants(ROUND, seed)
        seed, tried = seed + 1, tried + ROUND
    return tried


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the fuzz targets.")
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000_007)
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets; all when none is named")
    options = parser.parse_args()
    targets = [target for target in all_targets() if not options.names or target.name in options.names]
    if not targets:
        parser.error("no such target")
    broken = 0
    for target in targets:
        try:
            tried = run_for(target, options.seconds, options.seed)
        except Broken as failure:
            broken += 1
            print(f"{failure}\n  caused by {failure.__cause__!r}", file=sys.stderr)
        else:
            print(f"{target.name}: {tried} mutants, seed {options.seed}, none got through")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
