"""Kernels, initramfs and images: /files/<name>, where the name is looked up and never joined to a path."""

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aiohttp import web

from bootd.boot.files import Missing, Refused, Served
from bootd.events import FileSent
from bootd.http.parts import PARTS, Parts, peer_of
from bootd.http.ranges import (
    Conditions,
    Span,
    Unsatisfiable,
    conditional_status,
    entity_tag,
    http_date,
    range_still_holds,
    wanted_span,
)

# The loop sends this much before it looks at other sockets: with whole files in one sendfile
# the DHCP answers waited up to 120 ms, with this a few.
WINDOW = 256 * 1024  # octets
AHEAD = 4 * 1024 * 1024  # octets that a thread asks the disk for before the loop needs them
STALL_S = 60.0  # a client that takes nothing for so long is gone

_BUSY_RETRY_S = "5"
_IMMUTABLE = re.compile(r"(?:\A|/)[0-9a-f]{16,64}/")
_TYPES = {  # EDK2 HttpBootSupport tells disk images and programs apart by these
    ".efi": "application/efi",
    ".iso": "application/vnd.efi-iso",
    ".img": "application/vnd.efi-img",
    ".ipxe": "text/plain",
    ".cfg": "text/plain",
}


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that is open, as it was then."""

    file: BinaryIO
    size: int  # octets
    mtime_ns: int


async def get_file(request: web.Request) -> web.StreamResponse:
    """GET and HEAD /files/{name}."""
    parts = request.app[PARTS]
    name = request.match_info["name"]
    entry = parts.lookup(name)
    if isinstance(entry, Missing):
        raise web.HTTPNotFound(text="no such file\n")
    if isinstance(entry, Refused):
        raise web.HTTPNotFound(text=f"not served: {entry.reason}\n")
    if parts.transfers.full:
        raise web.HTTPServiceUnavailable(
            text="too many files on their way\n", headers={"Retry-After": _BUSY_RETRY_S}
        )
    opened = await _open(parts, name, entry)
    try:
        return await _answer(request, parts, name, opened)
    finally:
        opened.file.close()


async def _open(parts: Parts, name: str, entry: Served) -> Opened:
    """Open what stands behind *name*; a file that was there and is not any more is a problem to show."""
    topic = f"file:{name}"
    opening = asyncio.create_task(asyncio.to_thread(_open_now, entry.path))
    try:
        opened = await asyncio.shield(opening)
    except asyncio.CancelledError:  # the client is gone, and the thread opens the file all the same
        opening.add_done_callback(_close_again)
        raise
    except OSError as error:
        parts.problems.found(topic, f"/files/{name}: {error.strerror} ({entry.path})")
        raise web.HTTPNotFound(text="the file is gone from the server\n") from None
    parts.problems.cleared(topic)
    return opened


def _close_again(opening: asyncio.Task[Opened]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().file.close()


def _open_now(path: str) -> Opened:
    file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - closed by the handler
    status = os.fstat(file.fileno())
    return Opened(file, status.st_size, status.st_mtime_ns)


async def _answer(request: web.Request, parts: Parts, name: str, opened: Opened) -> web.StreamResponse:
    etag = entity_tag(opened.size, opened.mtime_ns)
    headers = {
        "ETag": etag,
        "Last-Modified": http_date(opened.mtime_ns),
        "Accept-Ranges": "bytes",
        "Cache-Control": "public, max-age=31536000, immutable" if _IMMUTABLE.search(name) else "no-cache",
    }
    status = conditional_status(_conditions(request), etag, opened.mtime_ns)
    if status is not None:
        return web.Response(status=status, headers=headers)
    span = None
    if range_still_holds(request.headers.get("If-Range"), etag, opened.mtime_ns):
        span = wanted_span(request.headers.get("Range"), opened.size)
    if isinstance(span, Unsatisfiable):
        return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{opened.size}"})
    headers["Content-Type"] = _TYPES.get(Path(name).suffix.lower(), "application/octet-stream")
    response = web.StreamResponse(status=200 if span is None else 206, headers=headers)
    if span is None:
        span = Span(0, opened.size)
    else:
        last = span.start + span.count - 1
        response.headers["Content-Range"] = f"bytes {span.start}-{last}/{opened.size}"
    response.content_length = span.count
    await response.prepare(request)
    if request.method != "HEAD":
        await _send_watched(request, parts, name, opened, span)
    return response


def _conditions(request: web.Request) -> Conditions:
    get = request.headers.get
    return Conditions(
        get("If-Match"), get("If-None-Match"), get("If-Modified-Since"), get("If-Unmodified-Since")
    )


async def _send_watched(request: web.Request, parts: Parts, name: str, opened: Opened, span: Span) -> None:
    """Send *span* and say what became of it, however it ends."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    parts.transfers.running += 1
    sent = 0
    try:
        while sent < span.count:
            offset = span.start + sent
            if sent % AHEAD == 0:
                await asyncio.to_thread(_read_ahead, opened.file.fileno(), offset)
            count = await _send_window(request, opened.file, offset, min(WINDOW, span.count - sent))
            sent += count
            parts.transfers.octets += count
    finally:
        parts.transfers.running -= 1
        parts.transfers.finished += 1
        parts.emit(_file_sent(request, parts, name, sent, loop.time() - began, complete=sent == opened.size))


async def _send_window(request: web.Request, file: BinaryIO, offset: int, count: int) -> int:
    """Send *count* octets from *offset*; ends the connection where that cannot be done whole."""
    transport = request.transport
    if transport is None or transport.is_closing():  # else sendfile raises a RuntimeError
        raise ConnectionResetError("the client is gone")
    try:
        async with asyncio.timeout(STALL_S):
            sent = await asyncio.get_running_loop().sendfile(transport, file, offset, count)
    except TimeoutError:
        transport.abort()
        raise ConnectionResetError("the client takes nothing any more") from None
    if sent < count:  # the file was cut short: the length we promised is wrong
        transport.abort()
        raise ConnectionResetError("the file became shorter")
    await asyncio.sleep(0)  # sendfile to a fast client never lets the loop go by itself
    return sent


def _read_ahead(descriptor: int, offset: int) -> None:
    os.posix_fadvise(descriptor, offset, 2 * AHEAD, os.POSIX_FADV_WILLNEED)


def _file_sent(
    request: web.Request, parts: Parts, name: str, octets: int, seconds: float, *, complete: bool
) -> FileSent:
    client = peer_of(request)
    text = request.query.get("a", "")
    attempt = parts.attempts.check(text)
    mac = attempt.mac if attempt is not None else parts.clients.mac_at(client)
    return FileSent(
        mac=mac,
        host=parts.host_name(mac),
        client=client,
        path=name,
        octets=octets,
        seconds=seconds,
        complete=complete,
        attempt=text if attempt is not None else "",
    )
