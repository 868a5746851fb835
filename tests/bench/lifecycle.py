"""A testbed of full size: what each command takes, and how soon a flip of 1,000 nodes is answered by."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bootd.boot.snapshot import Policy, apply_changes
from bootd.clock import utc_now
from bootd.model import Booked, Deployment, Reservation, Role, parse_image_ref
from bootd.services import deployments
from bootd.store import Store, open_store
from tests.bench.figures import Figure
from tests.bench.servers import BINARIES
from tests.helpers.bigsite import ROOTS, seed

SIZE = "10,000 nodes × 21 slots, 1,000 images, 10,000 bookings"
COMMAND_GOAL, FLIP_GOAL, PLACE_GOAL = "≤ 500 ms", "≤ 100 ms", "≤ 50 ms"
_LATER = ("--start", "2030-03-01 09:00", "--end", "2030-03-01 12:00")

COMMANDS = (
    ("projects", "list"),
    ("projects", "show", "p5"),
    ("images", "list"),
    ("images", "show", "p5/image5"),
    ("images", "history", "p5/image5"),
    ("reservations", "list"),
    ("reservations", "list", "--project", "p7"),
    ("reservations", "show", "500"),
    ("reservations", "next-free", "node[1001-1100]", "--hours", "4"),
    ("reservations", "add", "p5", "--nodes", "node[2001-2020]", *_LATER, "--image", "image5", "--dry-run"),
    ("reservations", "add", "p5", "--nodes", "node[2001-3000]", *_LATER, "--image", "image5", "--dry-run"),
    ("slots", "list"),
    ("slots", "show", "node2000"),
    ("luns", "list"),
    ("luns", "show", "rack"),
    ("jobs", "list"),
    ("hosts", "list"),
    ("explain", "node2000"),
    ("explain", "node1500", "--at", "2030-01-01 12:00"),
    ("status",),
)


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figures."""
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    with seed(folder / "bootd.db", begin) as store:
        yield from _commands(rounds, folder)
        yield _flip(store, folder / "bootd.db", rounds)
        for nodes in (20, ROOTS):
            yield _placement(store, nodes, rounds, begin)


def _commands(rounds: int, folder: Path) -> Iterator[Figure]:
    config = folder / "bootd.toml"
    config.write_text(f'[server]\ndata_dir = "{folder}"\n')
    bootd = shutil.which("bootd", path=str(BINARIES)) or "bootd"
    for words in COMMANDS:
        times = []
        for _ in range(rounds):
            begun = time.perf_counter()
            done = subprocess.run(
                [bootd, "--config", str(config), *words], capture_output=True, text=True, check=False
            )
            times.append((time.perf_counter() - begun) * 1e3)
            if done.returncode != 0:
                raise RuntimeError(f"bootd {' '.join(words)}: {done.stderr or done.stdout}")
        yield Figure(f"bootd {' '.join(words)[:60]}", tuple(times), "ms", COMMAND_GOAL)


def _flip(store: Store, path: Path, rounds: int) -> Figure:
    """Measure from the commit of a flip to the next snapshot, as the daemon makes it."""
    times = []
    for _ in range(rounds):
        snapshot = store.load_snapshot(Policy())
        with open_store(f"sqlite:///{path}", clock=utc_now) as other:
            _begin(other, active=True)
            begun = time.perf_counter()
            following = apply_changes(snapshot, store.changes_since(snapshot.generation))
            times.append((time.perf_counter() - begun) * 1e3)
            if len(following.places) != ROOTS:
                raise RuntimeError(f"{len(following.places)} nodes have a place after the flip")
            _begin(other, active=False)
    return Figure("flip of 1,000 nodes committed → next snapshot", tuple(times), "ms", FLIP_GOAL)


def _begin(store: Store, *, active: bool) -> None:
    with store.transaction("bench", "flip") as change:
        reservation, deployment = change.find(Reservation, 1), change.find(Deployment, 1)
        assert reservation is not None
        assert deployment is not None
        change.keep(replace(reservation, state="active" if active else "booked"))
        change.keep(replace(deployment, flipped_at=utc_now() if active else None))


def _placement(store: Store, nodes: int, rounds: int, begin: datetime) -> Figure:
    """Measure the plan of a new booking, all of its nodes having every slot taken."""
    names = tuple(sorted(f"node{n}" for n in range(ROOTS + 1001, ROOTS + 1001 + nodes)))
    starts_at = begin + timedelta(days=3000)
    image = parse_image_ref("p5/image5@1")
    wanted = Reservation(
        id=0,
        project="p5",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=4),
        nodes=names,
        images=(Booked(Role.NONE, image),),
        created_at=begin,
        created_by="bench",
    )
    times = []
    for _ in range(max(rounds, 5)):
        begun = time.perf_counter()
        planned = deployments.plan(store, wanted, now=begin)
        times.append((time.perf_counter() - begun) * 1e3)
        if planned.reasons or planned.deployments[0].slot is None:
            raise RuntimeError(f"no place: {planned.reasons}")
    return Figure(f"place a new booking of {nodes:,} nodes", tuple(times), "ms", PLACE_GOAL)
