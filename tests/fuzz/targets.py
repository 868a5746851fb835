"""The fuzz targets: each `fuzz_<name>.py` beside this file has `target(data)` and `SEEDS`."""

import importlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutate import mutant


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder and what is done with its result; any exception out of *run* is a bug."""

    name: str
    run: Callable[[bytes], None]
    seeds: list[bytes]

    def try_mutants(self, count: int, seed: int) -> None:
        """Run *count* mutants of *seed*; raises `Broken` at the first that gets through."""
        rng = random.Random(seed)
        for _ in range(count):
            self.try_one(mutant(self.seeds, rng))

    def try_one(self, data: bytes) -> None:
        try:
            self.run(data)
        except Exception as error:
            raise Broken(self.name, data) from error


class Broken(AssertionError):
    """Carries the datagram; put it into the target's SEEDS together with the mend."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(f"{name}: bytes.fromhex({data.hex()!r})")


def all_targets() -> list[Target]:
    """Return every target, sorted by name."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("fuzz_*.py"))
    modules = [importlib.import_module(f"tests.fuzz.{name}") for name in names]
    return [
        Target(name.removeprefix("fuzz_"), module.target, module.SEEDS)
        for name, module in zip(names, modules, strict=True)
    ]
