"""1,000 root nodes are to boot another LUN, by a start or by hand: from the order to a script with it."""

import json
import operator
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from bootd.clock import utc_now
from bootd.model import Deployment, DiskImage, LunClone, LunSide, Reservation
from bootd.services import deployments, jobs, lunflip, luns, notify
from bootd.store import Reads, Store, Transaction
from tests.bench.figures import Figure
from tests.bench.servers import INTERFACE, PATIENCE_S, SERVER, Site, cable
from tests.helpers.bigsite import ROOTS, seed
from tests.helpers.namespace import Namespace

GOAL = "≤ 100 ms"
ROUNDS = 5  # at least
NODE = f"node{ROOTS // 2}"
_QUIET = "[calendar]\nenabled = false\n[http]\nport = 8080\n"


@dataclass(slots=True)
class Timed:
    """Milliseconds, round by round: of the transaction, and from its commit to the first right script."""

    what: str
    commits: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)

    def figures(self) -> Iterator[Figure]:
        whole = tuple(map(operator.add, self.commits, self.answers))
        yield Figure(f"{self.what} of {ROOTS:,} nodes ordered → first right script", whole, "ms")
        yield Figure("  committed → first right script", tuple(self.answers), "ms", GOAL)
        yield Figure("  the transaction itself", tuple(self.commits), "ms")


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figures."""
    begun, by_hand = Timed("flip by a start"), Timed("flip by hand")
    with cable() as (space, client_space):
        site = Site(space, folder, extra=_QUIET)
        (site.data_dir / "bootd.db").unlink()
        with seed(site.data_dir / "bootd.db", utc_now(), nodes=ROOTS, images=2, bookings=1) as store:
            mac = _furnish(store, client_space)

            def time_it(timed: Timed, order: Callable[[], None], word: str) -> None:
                ordered = time.perf_counter()
                order()
                committed = time.perf_counter()
                notify.poke(site.data_dir)
                _wait_for(client_space, word, mac)
                timed.answers.append((time.perf_counter() - committed) * 1e3)
                timed.commits.append((committed - ordered) * 1e3)

            with site.serve():
                for _ in range(max(rounds, ROUNDS)):
                    time_it(begun, lambda: _begin(store, utc_now()), f"rack.b.{NODE}.1")
                    time_it(by_hand, lambda: _flip(store), f"rack.a.{NODE}.1")
                    _quiet(store)
                    _flip(store)
                    _back(store)
                    notify.poke(site.data_dir)
                    _wait_for(client_space, "404", mac)
    yield from begun.figures()
    yield from by_hand.figures()


def _furnish(store: Store, client: Namespace) -> str:
    """Let the client be the machine that asks, and both sides be exported to all; return its MAC address."""
    shown = subprocess.run(
        ["ip", "-n", client.name, "-j", "link", "show", INTERFACE], capture_output=True, check=True
    )
    mac: str = json.loads(shown.stdout)[0]["address"]
    with store.transaction("bench", "furnish") as change:
        host = change.host(NODE)
        assert host is not None
        change.put_host(replace(host, mac=mac))
        other = next(image for image in change.every(DiskImage) if image.ref != _deployment(change).image)
        pair = luns.named(change, "rack")
        first = LunSide("rack.a", "active", other.ref, other.identity, utc_now())
        change.keep(replace(pair, sides=(first, pair.sides[1])))
        for clone in change.every(LunClone):
            _export(change, clone)
            volume = clone.volume.replace("rack.b.", "rack.a.")
            _export(change, replace(clone, volume=volume, side=0, digest=other.identity, chap_user=volume))
    return mac


def _export(change: Transaction, clone: LunClone) -> None:
    target = f"iqn.2026-01.net.bootd:{clone.volume}"
    change.keep(replace(clone, target=target, lun=1, portals=(f"{SERVER}:3260",)))


def _deployment(reads: Reads) -> Deployment:
    found = reads.find(Deployment, 1)
    assert found is not None
    return found


def _begin(store: Store, now: datetime) -> None:
    """Do what the start of a reservation does, in one transaction."""
    with store.transaction("bench", "start") as change:
        reservation, deployment = change.find(Reservation, 1), _deployment(change)
        assert reservation is not None
        change.keep(replace(reservation, state="active"))
        luns.activate(change, deployment, now=now)
        deployments.flipped(change, deployment, now=now)


def _flip(store: Store) -> None:
    """Do what ``bootd luns flip`` does."""
    done = lunflip.flip(store, "bench", "rack", clock=utc_now)
    assert sum(each.has_clone for each in done.followers) == ROOTS


def _quiet(store: Store) -> None:
    """Have the job gone that would start the machines anew."""
    with store.transaction("bench", "quiet") as change:
        for job in change.jobs(states=jobs.OPEN):
            change.keep(replace(job, state="cancelled"))


def _back(store: Store) -> None:
    _quiet(store)
    with store.transaction("bench", "back") as change:
        reservation = change.find(Reservation, 1)
        assert reservation is not None
        change.keep(replace(reservation, state="booked"))
        change.keep(replace(_deployment(change), flipped_at=None))


def _wait_for(client: Namespace, word: str, mac: str) -> None:
    """Ask for the machine's script until *word* is in it, as one that has waited: others go in circles."""
    question = f"GET /boot/{mac}.ipxe?retry=1 HTTP/1.0\r\n\r\n".encode()

    def ask() -> None:
        until = time.perf_counter() + PATIENCE_S
        while word not in (found := _get(question)):
            if time.perf_counter() > until:
                raise TimeoutError(f"never answered {word}: {found}")
            time.sleep(0.001)

    client.run(ask)


def _get(question: bytes) -> str:
    with socket.create_connection((SERVER, 8080), timeout=PATIENCE_S) as sock:
        sock.sendall(question)
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    return answer.decode()
