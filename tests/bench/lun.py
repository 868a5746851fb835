"""How long a clone of a LUN takes, where blocks are copied and where they are shared; exports by tgtd."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bootd.drivers.lun import Chap, sparse
from bootd.drivers.lun.tgt import TgtLuns
from bootd.drivers.tools import Tools
from tests.bench.figures import Figure, Peer
from tests.helpers.reflink import CannotMount, sharing_folder
from tests.helpers.tgtd import private_tgtd

GIB = 1 << 30
SIZE, DATA = 4 * GIB, GIB  # octets of the volume, and of what was written to it
PIECE = 4 << 20  # octets in a row
VOLUMES = 200
GOAL_COPY, GOAL_SHARE = "≤ 1.25 × peer", "≤ 0.5 s"


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figures; in each round a clone and a cp of the same volume follow each other."""
    yield from _copies(rounds, folder / "luns")
    try:
        with sharing_folder(folder, 2 * SIZE) as mounted:
            luns = _volume(mounted / "luns")
            shared = tuple(_clone(luns) for _ in range(rounds * 3))
        yield Figure("clone of 4 GB, 1 GB written, XFS", shared, "s", GOAL_SHARE)
    except CannotMount as error:
        print(f"NOT MEASURED: clones that share blocks. {error}", file=sys.stderr)
    if shutil.which("tgtd") is None:
        print("NOT MEASURED: exports by tgtd (package tgt): make test-packages", file=sys.stderr)
    else:
        yield from _exports(folder / "exports")


def _copies(rounds: int, folder: Path) -> Iterator[Figure]:
    """A clone is safe on the disk when it is exported, cp's copy when it is synced."""
    luns = _volume(folder)
    clones, safe, copies, synced = [], [], [], []
    for _ in range(rounds):
        clones.append(_clone(luns))
        copies.append(_cp(luns, ""))
        safe.append(_clone(luns, is_synced=True))
        synced.append(_cp(luns, "&& sync"))
    what = "clone of 4 GB, 1 GB written, blocks copied"
    yield Figure(what, tuple(clones), "s", GOAL_COPY, Peer("cp --sparse=always", tuple(copies)))
    peer = Peer("cp --sparse=always; sync", tuple(synced))
    yield Figure("  and brought to the disk", tuple(safe), "s", "", peer)


def _exports(folder: Path) -> Iterator[Figure]:
    with private_tgtd() as tgtd:
        luns = TgtLuns(Tools(folder), socket=tgtd.socket)
        taken = []
        for number in range(VOLUMES):
            luns.create(f"v{number}", 1 << 20)
            begun = time.perf_counter()
            luns.export(
                f"v{number}", f"iqn.2026-01.org.example:n{number}", Chap(f"n{number}", "secret-secret")
            )
            taken.append((time.perf_counter() - begun) * 1e3)
        yield Figure(f"export by tgtd, each of {VOLUMES}", tuple(taken), "ms")
        tgtd.restart()
        begun = time.perf_counter()
        assert len(luns.restore()) == VOLUMES
        yield Figure(f"tgtd restarted → {VOLUMES} exports back", (time.perf_counter() - begun,), "s")


def _volume(folder: Path) -> TgtLuns:
    """Return the backend in *folder* with a volume "source", on the disk and in memory."""
    luns = TgtLuns(Tools(folder))
    luns.create("source", SIZE)
    noise = os.urandom(PIECE)
    with luns.path("source").open("r+b") as file:
        for start in range(0, SIZE, SIZE // (DATA // PIECE)):
            file.seek(start)
            file.write(noise)
        file.flush()
        os.fsync(file.fileno())
    return luns


def _clone(luns: TgtLuns, *, is_synced: bool = False) -> float:
    begun = time.perf_counter()
    luns.clone("source", "clone")
    if is_synced:
        sparse.settle(luns.path("clone"))  # as the export does first
    taken = time.perf_counter() - begun
    luns.path("clone").unlink()  # what tgtd does not know of needs no tgtd to go
    (luns.path("source").parent / "clone.json").unlink()
    return taken


def _cp(luns: TgtLuns, then: str) -> float:
    source = luns.path("source")
    copy = source.with_name("copy.img")
    command = f'cp --sparse=always "$0" "$1" {then and then + " $1"}'
    begun = time.perf_counter()
    subprocess.run(["sh", "-c", command, source, copy], check=True)
    taken = time.perf_counter() - begun
    copy.unlink()
    return taken
