"""How much memory the daemon holds once it has worked for a while."""

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

from tests.bench.figures import Figure
from tests.bench.load import ask, questions
from tests.bench.servers import INTERFACE, SERVER, Server, Site, cable

HOSTS = 1_000
DISCOVERS = 2_000
DOWNLOAD = 100_000_000  # octets
_CHUNK = 1 << 20


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figures, each of a daemon of its own."""
    idle, busy, most = [], [], []
    for number in range(rounds):
        with cable() as (space, client):
            site = Site(space, folder / f"memory-{number}", hosts=HOSTS)
            files = site.data_dir / "files"
            files.mkdir()
            with (files / "big").open("wb") as big:
                big.truncate(DOWNLOAD)
            with site.serve() as server:
                idle.append(server.memory_mb())
                client.run(_work)
                busy.append(_after_work(server))
                most.append(server.memory_mb("VmHWM"))
    goal = "< 80 MB"
    yield Figure(f"RSS, {HOSTS:,} hosts, just started", tuple(idle), "MB", goal)
    what = f"RSS after {DISCOVERS:,} offers and 100 MB by HTTP"
    yield Figure(f"{what}, {HOSTS:,} hosts", tuple(busy), "MB", goal)
    yield Figure("  the most it ever was", tuple(most), "MB", goal)


def _work() -> None:
    told = ask(questions(HOSTS, DISCOVERS), INTERFACE)
    if told.lost:
        raise RuntimeError(f"{told.lost} of {DISCOVERS} questions were not answered")
    with urlopen(f"http://{SERVER}:8080/files/big", timeout=60) as answer:
        octets = 0
        while chunk := answer.read(_CHUNK):
            octets += len(chunk)
    if octets != DOWNLOAD:
        raise RuntimeError(f"{octets} octets came of {DOWNLOAD}")


def _after_work(server: Server) -> float:
    server.settled_cpu_s()
    time.sleep(1.0)
    return server.memory_mb()
