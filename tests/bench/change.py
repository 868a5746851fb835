"""From a committed change of a host's row to the first answer that follows it."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bootd.services import hosts, notify
from bootd.services.hosts import HostEdit
from netboot.dhcp.packet import decode_packet
from tests.bench.figures import Figure
from tests.bench.load import boot_server_question
from tests.bench.servers import INTERFACE, PATIENCE_S, SERVER, Server, Site, cable
from tests.helpers.namespace import Namespace
from tests.helpers.site import a_host

CHANGES = 50
COMMANDS = 10
ASK_EVERY_S = 0.0005  # a daemon that is asked without a pause has no time to look at the store
GOAL = "≤ 50 ms"


@dataclass
class Waited:
    """Milliseconds, one entry a change."""

    commit: list[float] = field(default_factory=list)
    answer: list[float] = field(default_factory=list)  # after the commit returned
    command: list[float] = field(default_factory=list)  # from the start of a process that changes the row
    after_command: list[float] = field(default_factory=list)  # after its end


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figures; *rounds* is not used, each change is a sample."""
    for count in (100, 10_000):
        with cable() as (space, client_space):
            site = Site(space, folder / f"change-{count}", hosts=count)
            with site.serve() as server, client(client_space, count // 2) as asker:
                waited = _wait(site, server, asker, a_host(count // 2).name)
        about = f"{count:,} hosts"
        yield Figure(f"row changed → answer changed, {about}", tuple(waited.answer), "ms", GOAL)
        yield Figure(f"  worst of {CHANGES}, {about}", (max(waited.answer),), "ms", GOAL)
        yield Figure(f"  the commit itself, {about}", tuple(waited.commit), "ms")
        yield Figure(f"  end of `bootd hosts set` → answer, {about}", tuple(waited.after_command), "ms", GOAL)
        yield Figure(f"  start of `bootd hosts set` → answer, {about}", tuple(waited.command), "ms")


class Asker:
    """A machine that asks port 4011 again and again."""

    def __init__(self, sock: socket.socket, question: bytes) -> None:
        self._sock, self._question = sock, question

    def boot_file(self) -> str:
        """Ask once."""
        self._sock.sendto(self._question, (SERVER, 4011))
        return decode_packet(self._sock.recv(2048)).file.decode()

    def wait_for(self, name: str) -> None:
        """Return at the first answer that is *name*."""
        until = time.perf_counter() + PATIENCE_S
        while self.boot_file() != name:
            if time.perf_counter() > until:
                raise TimeoutError(f"never offered {name}")
            time.sleep(ASK_EVERY_S)


@contextmanager
def client(space: Namespace, number: int) -> Iterator[Asker]:
    """Give the machine of host *number*."""

    def open_socket() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INTERFACE.encode())
        sock.bind((space.address, 0))
        sock.settimeout(PATIENCE_S)
        return sock

    with space.run(open_socket) as sock:  # a socket stays in the namespace it was made in
        yield Asker(sock, boot_server_question(a_host(number).mac))


def _wait(site: Site, server: Server, asker: Asker, name: str) -> Waited:
    waited = Waited()
    with site.open_store() as store:
        for number in range(CHANGES):
            edit = HostEdit(settings={"loader": f"change{number}.efi"})
            begun = time.perf_counter()
            hosts.set_fields(store, "bench", name, edit)
            committed = time.perf_counter()
            notify.poke(site.data_dir)
            asker.wait_for(f"change{number}.efi")
            waited.answer.append((time.perf_counter() - committed) * 1e3)
            waited.commit.append((committed - begun) * 1e3)
            time.sleep(0.02)
    for number in range(COMMANDS):
        words = ("hosts", "set", name, "--set", f"loader=command{number}.efi")
        begun = time.perf_counter()
        subprocess.run(site.command(*words), stdout=subprocess.DEVNULL, check=True)
        ended = time.perf_counter()
        asker.wait_for(f"command{number}.efi")
        waited.command.append((time.perf_counter() - begun) * 1e3)
        waited.after_command.append((time.perf_counter() - ended) * 1e3)
    return waited
