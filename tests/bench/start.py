"""How long the daemon takes from its exec to READY=1, and the command line to its help."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.servers import BINARIES, Site, cable

HOSTS = (0, 1_000, 10_000)


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figures; rounds go through all sizes in turn."""
    with cable() as (server, _):
        sites = {hosts: Site(server, folder / f"start-{hosts}", hosts=hosts) for hosts in HOSTS}
        for site in sites.values():
            _start(site)  # the first makes what later ones find
        taken: dict[int, list[float]] = {hosts: [] for hosts in HOSTS}
        for _ in range(rounds):
            for hosts, site in sites.items():
                taken[hosts].append(_start(site))
    for hosts, seconds in taken.items():
        yield Figure(f"bootd serve to READY=1, {hosts:,} hosts", tuple(seconds), "s", "< 1 s")
    help_ms = [_help() for _ in range(rounds * 3)]
    yield Figure("bootd --help", tuple(help_ms), "ms", "< 150 ms")


def _start(site: Site) -> float:
    server, seconds = site.start()
    server.stop()
    return seconds


def _help() -> float:
    begun = time.perf_counter()
    subprocess.run([BINARIES / "bootd", "--help"], stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begun) * 1e3
