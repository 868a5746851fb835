"""bootd and its peers as processes whose time and memory can be read, and a cable to ask them by."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bootd.clock import utc_now
from bootd.store import Store, open_store
from tests.helpers.namespace import Namespace
from tests.helpers.site import a_host

SERVER, CLIENT = "10.99.7.1", "10.99.7.2"
INTERFACE = "bench0"  # on both ends
PATIENCE_S = 60.0
BINARIES = Path(sys.executable).parent


class NotReady(Exception):
    """A server did not come up."""


@contextmanager
def cable() -> Iterator[tuple[Namespace, Namespace]]:
    """Give two namespaces joined by a cable: where the server lives, and where its clients do."""
    name = f"bootd-bench-{os.getpid()}-{os.urandom(2).hex()}"
    server, client = Namespace(f"{name}-s", SERVER), Namespace(f"{name}-c", CLIENT)
    try:
        for space in (server, client):
            _ip("netns", "add", space.name)
            _ip("-n", space.name, "link", "set", "lo", "up")
        ends = (INTERFACE, "netns", server.name), (INTERFACE, "netns", client.name)
        _ip("link", "add", *ends[0], "type", "veth", "peer", "name", *ends[1])
        for space in (server, client):
            _ip("-n", space.name, "addr", "add", f"{space.address}/24", "broadcast", "+", "dev", INTERFACE)
            _ip("-n", space.name, "link", "set", INTERFACE, "up")
        yield server, client
    finally:
        for space in (server, client):
            if Path("/run/netns", space.name).exists():
                _ip("netns", "delete", space.name)


class Server:
    """A running server."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process

    @property
    def cpu_s(self) -> float:
        """Seconds its threads have run, to the nanosecond: /proc/PID/stat only knows ticks."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def settled_cpu_s(self) -> float:
        """Return `cpu_s` once it stands still: what is written down behind the answers counts too."""
        before, until = self.cpu_s, time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            time.sleep(0.25)
            now = self.cpu_s
            if now - before < 0.002:
                return now
            before = now
        return before

    def memory_mb(self, field: str = "VmRSS") -> float:
        """Return *field* of /proc/PID/status in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
        return int(line.split()[1]) * 1024 / 1e6

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Site:
    """bootd's side: a configuration, a data folder, a host table."""

    def __init__(self, space: Namespace, folder: Path, *, hosts: int = 0, extra: str = "") -> None:
        self.space, self.folder, self.data_dir = space, folder, folder / "data"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.config = folder / "bootd.toml"
        self.config.write_text(
            f'[server]\ninterfaces = ["{INTERFACE}"]\ndata_dir = "{self.data_dir}"\nuser = ""\n{extra}'
        )
        with self.open_store() as store, store.transaction("bench", "hosts import") as change:
            change.put_hosts(a_host(n, local_boot="/dev/sda") for n in range(1, hosts + 1))

    def open_store(self) -> Store:
        return open_store(f"sqlite:///{self.data_dir}/bootd.db", clock=utc_now)

    def command(self, *words: str) -> list[str]:
        return [str(BINARIES / "bootd"), "--config", str(self.config), *words]

    def start(self) -> tuple[Server, float]:
        """Start the daemon; return it and the seconds from its exec to READY=1."""
        address = self.folder / "notify.sock"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
            supervisor.bind(str(address))
            supervisor.settimeout(0.5)
            environment = os.environ | {"NOTIFY_SOCKET": str(address)}
            begun = time.perf_counter()
            server = Server(spawn(self.space, self.command("serve"), self.folder / "log", environment))
            while not _heard(supervisor, b"READY=1"):
                if server.process.poll() is not None or time.perf_counter() - begun > PATIENCE_S:
                    server.stop()
                    raise NotReady((self.folder / "log").read_text()[-2000:])
            return server, time.perf_counter() - begun

    @contextmanager
    def serve(self) -> Iterator[Server]:
        """Run the daemon until the end of the block."""
        server, _ = self.start()
        try:
            server.settled_cpu_s()  # the first look at files and templates is over
            yield server
        finally:
            server.stop()


def _heard(supervisor: socket.socket, word: bytes) -> bool:
    try:
        return supervisor.recv(256) == word
    except TimeoutError:
        return False


def spawn(
    space: Namespace, argv: Sequence[str], log: Path, environment: dict[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start *argv* inside *space* without a helper process, so that its time counts from its own exec."""

    def start() -> "subprocess.Popen[bytes]":
        with log.open("ab") as out:
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment or dict(os.environ)
            )

    return space.run(start)


@contextmanager
def dnsmasq(space: Namespace, folder: Path, config: str, *, ports: Sequence[int]) -> Iterator[Server]:
    """Run dnsmasq with *config* until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "dnsmasq.conf"
    file.write_text(config)
    argv = ["dnsmasq", "--keep-in-foreground", f"--conf-file={file}", f"--pid-file={folder / 'pid'}"]
    server = Server(spawn(space, argv, folder / "log"))
    try:
        wait_until_bound(server, ports, folder / "log")
        yield server
    finally:
        server.stop()


def wait_until_bound(server: Server, ports: Sequence[int], log: Path) -> None:
    """Return when the namespace of *server* has all the UDP *ports*."""
    wanted = {f":{port:04X}" for port in ports}
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and server.process.poll() is None:
        rows = Path(f"/proc/{server.process.pid}/net/udp").read_text().splitlines()[1:]
        if wanted <= {row.split()[1][8:] for row in rows}:
            return
        time.sleep(0.02)
    raise NotReady(log.read_text()[-2000:])


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
