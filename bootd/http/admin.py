"""What an admin asks of a running bootd: on its Unix socket, or on a listener that wants a token."""

import hmac
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from bootd import __version__
from bootd.http.errors import error_text, errors_to_sentences, failure
from bootd.http.parts import Transfers
from bootd.telemetry import Emit, Problems

Refresh = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class AdminParts:
    """Where the figures come from."""

    emit: Emit
    problems: Problems
    started_at: datetime
    interfaces: Callable[[], list[Mapping[str, object]]]
    counts: Callable[[], Mapping[str, Mapping[str, int]]]  # event -> reason or "" -> how often
    generation: Callable[[], int]  # of the snapshot that answers now
    transfers: Transfers
    refresh: Refresh  # read templates, boot files and the store again


ADMIN: web.AppKey[AdminParts] = web.AppKey("admin", AdminParts)


def admin_routes(app: web.Application) -> None:
    """Name everything that admins can ask."""
    app.router.add_get("/api/v1/status", status)
    app.router.add_post("/api/v1/refresh", refresh)


def make_admin_app(parts: AdminParts, *, token: str | None = None) -> web.Application:
    """Return the application for admins; *token* for listeners that strangers can reach.

    Without one the socket's own permissions guard it.
    """
    guard = [] if token is None else [_token_wanted(token)]
    app = web.Application(middlewares=[errors_to_sentences(parts.emit), _errors_as_json, *guard])
    app[ADMIN] = parts
    admin_routes(app)
    return app


async def status(request: web.Request) -> web.Response:
    """GET /api/v1/status."""
    parts = request.app[ADMIN]
    body = {
        "version": __version__,
        "pid": os.getpid(),
        "started_at": parts.started_at.isoformat(),
        "interfaces": parts.interfaces(),
        "snapshot": {"generation": parts.generation()},
        "counts": parts.counts(),
        "problems": parts.problems.all(),
        "transfers": {
            "running": parts.transfers.running,
            "finished": parts.transfers.finished,
            "octets": parts.transfers.octets,
        },
    }
    return web.json_response(body, headers={"Cache-Control": "no-store"})


async def refresh(request: web.Request) -> web.Response:
    """POST /api/v1/refresh: answer by what is on the disk now."""
    parts = request.app[ADMIN]
    await parts.refresh()
    return web.json_response({"generation": parts.generation(), "problems": parts.problems.all()})


def _token_wanted(token: str) -> Middleware:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, expected):
            error = failure(web.HTTPUnauthorized, "not-authorized", "a bearer token is wanted here")
            error.headers["WWW-Authenticate"] = "Bearer"
            raise error
        return await handler(request)

    return middleware


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give aiohttp's own 404 and 405 the one shape of errors too."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.content_type != "application/json":
            code = {404: "no-such-route", 405: "wrong-method"}.get(error.status, "refused")
            error.text = error_text(code, error.reason or "")
            error.content_type = "application/json"
        raise
