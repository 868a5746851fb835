"""From the commit that begins a reservation of 1,000 root nodes to the first that is given its LUN."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bootd.clock import utc_now
from bootd.model import Deployment, LunClone, Reservation
from bootd.services import deployments, luns, notify
from bootd.store import Store
from tests.bench.figures import Figure
from tests.bench.servers import INTERFACE, PATIENCE_S, SERVER, Site, cable
from tests.helpers.bigsite import ROOTS, seed
from tests.helpers.namespace import Namespace

GOAL = "≤ 100 ms"
ROUNDS = 5  # at least
NODE = f"node{ROOTS // 2}"
_QUIET = "[calendar]\nenabled = false\n[http]\nport = 8080\n"


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figures."""
    commits, answers = [], []
    with cable() as (space, client_space):
        site = Site(space, folder, extra=_QUIET)
        (site.data_dir / "bootd.db").unlink()
        with seed(site.data_dir / "bootd.db", utc_now(), nodes=ROOTS, images=2, bookings=1) as store:
            mac = _furnish(store, client_space)
            with site.serve():
                for _ in range(max(rounds, ROUNDS)):
                    begun = time.perf_counter()
                    _flip(store, utc_now())
                    committed = time.perf_counter()
                    notify.poke(site.data_dir)
                    _wait_for(client_space, mac, "lun:rack")
                    answers.append((time.perf_counter() - committed) * 1e3)
                    commits.append((committed - begun) * 1e3)
                    _back(store)
                    notify.poke(site.data_dir)
                    _wait_for(client_space, mac, "404")
    yield Figure(f"flip of {ROOTS:,} nodes committed → first right script", tuple(answers), "ms", GOAL)
    yield Figure("  the transaction itself", tuple(commits), "ms")


def _furnish(store: Store, client: Namespace) -> str:
    """Let the client be the machine that asks, and export every clone; return its MAC address."""
    shown = subprocess.run(
        ["ip", "-n", client.name, "-j", "link", "show", INTERFACE], capture_output=True, check=True
    )
    mac: str = json.loads(shown.stdout)[0]["address"]
    with store.transaction("bench", "furnish") as change:
        host = change.host(NODE)
        assert host is not None
        change.put_host(replace(host, mac=mac))
        for clone in change.every(LunClone):
            target = f"iqn.2026-01.net.bootd:{clone.volume}"
            change.keep(replace(clone, target=target, lun=1, portals=(f"{SERVER}:3260",)))
    return mac


def _flip(store: Store, now: datetime) -> None:
    """Do what the start of a reservation does, in one transaction."""
    with store.transaction("bench", "start") as change:
        reservation, deployment = change.find(Reservation, 1), change.find(Deployment, 1)
        assert reservation is not None
        assert deployment is not None
        change.keep(replace(reservation, state="active"))
        luns.activate(change, deployment, now=now)
        deployments.flipped(change, deployment, now=now)


def _back(store: Store) -> None:
    with store.transaction("bench", "back") as change:
        reservation, deployment = change.find(Reservation, 1), change.find(Deployment, 1)
        assert reservation is not None
        assert deployment is not None
        change.keep(replace(reservation, state="booked"))
        change.keep(replace(deployment, flipped_at=None))


def _wait_for(client: Namespace, mac: str, word: str) -> None:
    """Ask for the machine's script until *word* is in the answer."""
    question = f"GET /boot/{mac}.ipxe HTTP/1.0\r\n\r\n".encode()

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
