"""A boot port on loopback with everything behind it real but the store."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from bootd.boot.attempt import Attempts
from bootd.boot.clients import Clients
from bootd.boot.decide import BootDecision, decide
from bootd.boot.desk import ScriptDesk
from bootd.boot.files import Answer, FileTable, Refused, Served
from bootd.boot.render import Renderer
from bootd.boot.snapshot import Changes, Policy, Snapshot, apply_changes
from bootd.boot.token import Tokens
from bootd.events import Event
from bootd.http.app import make_app, serve
from bootd.http.parts import Parts
from bootd.model import Assignment, Host, ImageFile, MemoryImage, Override, Target, TargetKind
from bootd.telemetry import Problems
from netboot.arch import Architecture
from netboot.request import BootRequest

E = TypeVar("E", bound=Event)
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
MAC = "52:54:00:ab:cd:01"
UUID = "4c4c4544-0042-3510-8051-b4c04f4e4e32"
SECRET = b"s" * 32
RESCUE = MemoryImage(
    "rescue",
    ImageFile("vmlinuz", "memory/rescue/0123456789abcdef/vmlinuz", "0" * 64, 14),
    (ImageFile("initrd.gz", "memory/rescue/0123456789abcdef/initrd.gz", "1" * 64, 15),),
    "console=ttyS0 quiet",
    NOON,
)
LOADERS = {"x86-bios": "undionly.kpxe", "x64-uefi": "snponly.efi"}


def a_host(name: str = "node1", mac: str = MAC, **settings: str) -> Host:
    return Host(name, mac, settings=settings)


def a_snapshot(
    *hosts: Host, target: Target | None = None, image: MemoryImage = RESCUE, override: Override | None = None
) -> Snapshot:
    """Return a snapshot in which every host is given *target*, or the rescue image."""
    given = target or Target(TargetKind.MEMORY, image.name)
    changes = Changes(
        generation=1,
        hosts={host.name: host for host in hosts},
        memory_images={image.name: image},
        assignments={host.name: Assignment(host.name, given, NOON) for host in hosts},
        overrides={override.host: override} if override else {},
    )
    return apply_changes(Snapshot(policy=Policy(loaders=LOADERS)), changes)


@dataclass
class Site:
    """What a test may turn while the server runs, and what it heard."""

    snapshot: Snapshot
    renderer: Renderer = field(default_factory=Renderer)
    events: list[Event] = field(default_factory=list)
    entries: dict[str, Served | Refused] = field(default_factory=dict)
    asked: list[tuple[BootRequest, bool]] = field(default_factory=list)
    now: datetime = NOON
    port: int = 0
    arp: dict[str, str] = field(default_factory=dict)  # address -> MAC address

    def __post_init__(self) -> None:
        self.problems = Problems(self.events.append)
        self.clients = Clients(self.arp.get)
        attempts, tokens = Attempts(SECRET), Tokens(SECRET)
        self.parts = Parts(
            desk=ScriptDesk(
                decide=self._decide,
                renderer=self.renderer,
                lookup=self._lookup,
                attempts=attempts,
                tokens=tokens,
                clients=self.clients,
                loader_for=self._loader,
                local_helper="localboot-x64.efi",
            ),
            lookup=self._lookup,
            attempts=attempts,
            tokens=tokens,
            emit=self.events.append,
            problems=self.problems,
            clock=lambda: self.now,
            clients=self.clients,
            host_name=self._host_name,
            mac_of=self._mac_of,
        )

    def serve_file(self, name: str, path: Path) -> None:
        status = path.stat()
        self.entries[name] = Served(name, str(path), status.st_size, status.st_mtime_ns)

    def of_kind(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def _lookup(self, name: str) -> Answer:
        return FileTable(self.entries).lookup(name)

    def _decide(self, request: BootRequest, /, *, waited: bool) -> BootDecision:
        self.asked.append((request, waited))
        return decide(self.snapshot, request)

    def _host_name(self, mac: str) -> str:
        host = self.snapshot.hosts_by_mac.get(mac)
        return host.name if host else ""

    def _mac_of(self, address: str) -> str:
        hosts = self.snapshot.hosts.values()
        return next((host.mac for host in hosts if host.ip == address), "")

    def _loader(self, arch: Architecture) -> str | None:
        return LOADERS.get(arch.name)


@asynccontextmanager
async def running(site: Site, port: int = 0) -> AsyncIterator[Site]:
    """Serve *site* on a loopback port of its own, or on *port* again."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        site.port = sock.getsockname()[1]
        runner = await serve(make_app(site.parts), [sock], site.events.append)
        try:
            yield site
        finally:
            await runner.cleanup()


async def raw(port: int, octets: bytes) -> bytes:
    """Send *octets* as they are; return all that comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(octets)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
        await writer.wait_closed()


@dataclass(frozen=True)
class Reply:
    """One response, taken apart without an HTTP library."""

    status: int
    head: bytes  # status line and headers as they came
    headers: Mapping[str, str]  # names in lower case
    body: bytes


async def ask(
    port: int,
    target: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    version: str = "1.1",
) -> Reply:
    """Ask for *target* as written, one connection for one question."""
    fields = {"Host": "server", "Connection": "close", **(headers or {})}
    lines = [f"{method} {target} HTTP/{version}", *(f"{name}: {value}" for name, value in fields.items())]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return split_reply(await raw(port, "\r\n".join([*lines, "", ""]).encode("latin-1") + body))


def split_reply(octets: bytes) -> Reply:
    head, _, body = octets.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:])
    return Reply(int(lines[0].split(" ")[1]), head, {k.lower(): v for k, v in fields.items()}, body)
