"""The HTTP server that machines talk to: every route in one function."""

import asyncio
import resource
import socket
from collections.abc import Iterable

from aiohttp import web

from bootd.events import PacketDropped
from bootd.http import boot, calendar, capture, files, health, images, node
from bootd.http.errors import body_in_time, errors_to_sentences, server_logger
from bootd.http.parts import PARTS, Parts
from bootd.telemetry import Emit

KEEP_ALIVE_S = 60.0  # also how long the head of a request may take to arrive
BODY_S = 10.0  # how long its body may take
_BACKLOG, _MOST_CONNECTIONS = 512, 8192
_FORM_SIZE = 64 * 1024  # octets of a POST
_SHUTDOWN_S = 1.5  # aiohttp waits it out twice for transfers that run when bootd is told to stop


class _Refused(asyncio.Protocol):
    """A connection beyond the bound: ended before anything is read."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername") or ("",)
        self._emit(PacketDropped(protocol="http", why="too-many-connections", source=str(peer[0])))
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class _BoundedSite(web.SockSite):
    """Takes so many connections at a time: idle ones must not use up what TFTP and the store need."""

    def __init__(self, runner: web.AppRunner, sock: socket.socket, emit: Emit) -> None:
        super().__init__(runner, sock, backlog=_BACKLOG)
        self._emit, self._most = emit, connections_that_fit()

    def _protocol(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None or len(server.connections) >= self._most:
            return _Refused(self._emit)
        return server()

    async def start(self) -> None:
        await web.BaseSite.start(self)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=self._sock, backlog=_BACKLOG)


def connections_that_fit() -> int:
    """Return how many connections the process's limit of open files allows: half of it."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(soft // 2, _MOST_CONNECTIONS)


def routes(app: web.Application) -> None:
    """Name everything that machines can ask."""
    dialects = "ipxe|gpxe|grub|pxelinux"
    app.router.add_get("/boot/ipxe", boot.script_by_facts)
    app.router.add_post("/boot/ipxe", boot.script_by_facts)
    app.router.add_get(rf"/boot/{{mac}}.{{dialect:{dialects}}}", boot.script_of_mac)
    app.router.add_post(rf"/boot/{{mac}}.{{dialect:{dialects}}}", boot.script_of_mac)
    app.router.add_get("/boot/went/{attempt}", boot.went)
    app.router.add_get("/files/{name:.+}", files.get_file)
    app.router.add_get(images.ROUTE, images.get_image)
    app.router.add_post("/node/v1/report", node.report)
    app.router.add_post("/node/v1/task", node.task)
    app.router.add_post("/node/v1/permit", node.permit)
    app.router.add_post(capture.ROUTE, capture.piece)
    app.router.add_post(capture.END, capture.end)
    app.router.add_get(calendar.ROUTE, calendar.get_calendar)
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)


def make_app(parts: Parts) -> web.Application:
    """Return the application for the boot port."""
    app = web.Application(
        middlewares=[errors_to_sentences(parts.emit), body_in_time(BODY_S, but=(capture.ROUTE,))],
        client_max_size=_FORM_SIZE,
    )
    app[PARTS] = parts
    routes(app)
    app.on_response_prepare.append(_say_less)
    parts.desk.renderer.report(parts.problems)
    return app


async def _say_less(request: web.Request, response: web.StreamResponse) -> None:
    """Say nothing of our versions; some firmware counts the octets of headers."""
    response.headers.pop("Server", None)


async def serve(app: web.Application, sockets: Iterable[socket.socket], emit: Emit) -> web.AppRunner:
    """Answer on bound TCP *sockets*; ``await runner.cleanup()`` ends it and closes them."""
    runner = await _start(app, emit)
    for sock in sockets:
        await _BoundedSite(runner, sock, emit).start()
    return runner


async def serve_unix(app: web.Application, path: str, emit: Emit) -> web.AppRunner:
    """Answer on a Unix socket at *path*, which must not exist."""
    runner = await _start(app, emit)
    await web.UnixSite(runner, path).start()
    return runner


async def _start(app: web.Application, emit: Emit) -> web.AppRunner:
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=server_logger(emit),
        keepalive_timeout=KEEP_ALIVE_S,
        lingering_time=2.0,
        shutdown_timeout=_SHUTDOWN_S,
        handler_cancellation=True,
        max_line_size=4096,
        max_field_size=4096,
        max_headers=64,
    )
    await runner.setup()
    return runner
