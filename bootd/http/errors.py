"""Errors as clients see them: one sentence, never a traceback."""

import asyncio
import json
import logging
from collections.abc import Collection

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from bootd.events import InternalError, PacketDropped
from bootd.telemetry import Emit

SECRET_PATHS = "/calendar/"  # below it a path is known to whom it was given


def error_text(code: str, message: str) -> str:
    """Return the one shape of errors of the API: ``{"error": {"code": …, "message": …}}``."""
    return json.dumps({"error": {"code": code, "message": message}}) + "\n"


def failure(kind: type[web.HTTPException], code: str, message: str) -> web.HTTPException:
    """Return an error of *kind* to raise, in the one shape."""
    return kind(text=error_text(code, message), content_type="application/json")


def errors_to_sentences(emit: Emit) -> Middleware:
    """Return the outermost middleware: what nobody foresaw is an event for us and a 500 for them."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - the last resort of every request
            emit(InternalError(where=f"http {request.method} {_told(request)}", text=repr(error)))
            raise failure(web.HTTPInternalServerError, "internal", "bootd met an error of its own") from None

    return middleware


def _told(request: web.Request) -> str:
    """Return what was asked for, as it may be written down: some paths are a secret."""
    if request.path.startswith(SECRET_PATHS):
        return f"{SECRET_PATHS}…"
    return request.path


def body_in_time(limit_s: float, *, but: Collection[str] = ()) -> Middleware:
    """Return a middleware that reads the body before the handler runs, for *limit_s* at most.

    The paths in *but* have handlers that read theirs themselves, piece by piece.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.body_exists and request.path not in but:
            try:
                async with asyncio.timeout(limit_s):
                    await request.read()
            except TimeoutError:
                late = failure(web.HTTPRequestTimeout, "too-slow", "the body did not arrive in time")
                late.force_close()
                raise late from None
        return await handler(request)

    return middleware


class ErrorsToEvents(logging.Handler):
    """What aiohttp would log with a traceback becomes an event: bad requests are the network's, not ours."""

    def __init__(self, emit: Emit) -> None:
        super().__init__(logging.DEBUG)
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            source = str(record.args[0]) if isinstance(record.args, tuple) and record.args else ""
            self._emit(PacketDropped(protocol="http", why="bad-request", source=source))
        elif isinstance(error, ConnectionError):
            return  # a client that went away before its answer
        elif record.levelno >= logging.WARNING:  # below: more of them
            self._emit(InternalError(where="http", text=f"{record.getMessage()}: {error!r}"))


def server_logger(emit: Emit) -> logging.Logger:
    """Return the logger to give to aiohttp's server; it is known to nobody else and writes nothing."""
    logger = logging.Logger("bootd.http", logging.DEBUG)
    logger.propagate = False
    logger.addHandler(ErrorsToEvents(emit))
    return logger
