"""Disk images on their way to single machines: /image/<name>, a path that one session gave one receiver."""

import asyncio
import errno
import fcntl
import struct
import termios
from collections.abc import AsyncIterator, Iterator

from aiohttp import web

from bootd.drivers.transport import Offered
from bootd.events import FileSent
from bootd.http.parts import PARTS, Parts, peer_of
from bootd.http.ranges import Span, Unsatisfiable, range_still_holds, wanted_span

ROUTE = "/image/{name}"
WINDOW = 64 * 1024  # octets between two looks at the session's rate
STALL_S = 60.0  # a client that takes nothing for so long is gone
_ASK_S = 0.02  # between two questions whether the client's machine has acknowledged everything
_NO_TIME = 0  # a session's image has no time of its own: conditions are by its tag alone


async def get_image(request: web.Request) -> web.StreamResponse:
    """GET and HEAD /image/{name}."""
    parts, name = request.app[PARTS], request.match_info["name"]
    offered = parts.offered(name)
    if offered is None or not offered.offer.is_open(offered.node, _now()):
        raise web.HTTPNotFound(text="no image is offered here, or not any more\n")
    size, etag = offered.offer.size, f'"{name[:16]}-{offered.offer.size:x}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "no-store"}
    span: Span | Unsatisfiable | None = None
    if range_still_holds(request.headers.get("If-Range"), etag, _NO_TIME):
        span = wanted_span(request.headers.get("Range"), size)
    if isinstance(span, Unsatisfiable):
        return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    response = web.StreamResponse(status=200 if span is None else 206, headers=headers)
    response.headers["Content-Type"] = "application/octet-stream"
    if span is None:
        span = Span(0, size)
    else:
        response.headers["Content-Range"] = f"bytes {span.start}-{span.start + span.count - 1}/{size}"
    response.content_length = span.count
    if request.method != "HEAD":
        offered.offer.begin(offered.node, _now(), span.start)
    await response.prepare(request)
    if request.method != "HEAD":
        await _send_watched(request, response, parts, offered, span)
    return response


def _now() -> float:
    """Return the time by which sessions go: time.monotonic, which is the loop's own clock too."""
    return asyncio.get_running_loop().time()


async def _send_watched(
    request: web.Request, response: web.StreamResponse, parts: Parts, offered: Offered, span: Span
) -> None:
    """Send *span* and say what became of it, however it ends."""
    began, sent = _now(), 0
    parts.transfers.running += 1
    try:
        async for piece in _pieces(offered, span):
            await _send(request, response, piece)
            offered.offer.sent(offered.node, span.start + sent, len(piece), _now())
            sent += len(piece)
            parts.transfers.octets += len(piece)
        if sent < span.count:
            _abort(request)
        await response.write_eof()
        await _acknowledged(request)
        offered.offer.arrived(offered.node, span.start, span.count, _now())
    finally:
        parts.transfers.running -= 1
        parts.transfers.finished += 1
        parts.emit(_image_sent(request, parts, offered, sent, _now() - began))


async def _pieces(offered: Offered, span: Span) -> AsyncIterator[bytes]:
    """Yield *span* at the session's rate; ends early where the image is unreadable or of another length.

    The last octets only when it is known that there are no more: readers of images compare digests there.
    """
    offer, node, left = offered.offer, offered.node, span.count
    chunks = offer.chunks(span.start)
    to_end = span.start + span.count == offer.size
    while left:
        offer.reading(node, _now(), is_waiting=True)
        try:
            chunk = await asyncio.to_thread(_next, chunks, left, to_end=to_end)
        except OSError as error:
            offer.fail(f"its image cannot be read: {error.strerror or error}", _now(), node)
            return
        finally:  # a client that goes away cancels us here: that is its silence, not the image's
            offer.reading(node, _now(), is_waiting=False)
        for start in range(0, len(chunk), WINDOW):
            piece = chunk[start : start + WINDOW]
            if wait := offer.pause(len(piece), _now()):
                await asyncio.sleep(wait)
            if not offer.is_open(node, _now()):
                return
            yield piece
        left -= len(chunk)


def _next(chunks: Iterator[bytes], left: int, *, to_end: bool) -> bytes:
    """Return the next octets, at most *left*; raises `OSError`, also for an image of another length."""
    chunk = next(chunks, b"")
    if not chunk:
        raise OSError(errno.EIO, f"it ends {left} octets early")
    if to_end and (len(chunk) > left or (len(chunk) == left and next(chunks, b""))):
        raise OSError(errno.EIO, "it is longer than it said")
    return chunk[:left]


async def _send(request: web.Request, response: web.StreamResponse, piece: bytes) -> None:
    try:
        async with asyncio.timeout(STALL_S):
            await response.write(piece)
    except TimeoutError:
        _abort(request)


def _abort(request: web.Request) -> None:
    """End the connection: the length that was promised will not come."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("the image ends here")


async def _acknowledged(request: web.Request) -> None:
    """Return when the client's machine has all that was written (tcp(7), SIOCOUTQ)."""
    transport = request.transport
    handle = transport.get_extra_info("socket") if transport is not None else None
    async with asyncio.timeout(STALL_S):
        while transport is not None and handle is not None:
            if transport.is_closing():
                raise ConnectionResetError("the client is gone")
            unsent = fcntl.ioctl(handle.fileno(), termios.TIOCOUTQ, bytes(4))
            if not struct.unpack("i", unsent)[0] and not _buffered(transport):
                return
            await asyncio.sleep(_ASK_S)


def _buffered(transport: asyncio.BaseTransport) -> int:
    return transport.get_write_buffer_size() if isinstance(transport, asyncio.WriteTransport) else 0


def _image_sent(
    request: web.Request, parts: Parts, offered: Offered, octets: int, seconds: float
) -> FileSent:
    client = peer_of(request)
    return FileSent(
        mac=parts.clients.mac_at(client),
        host=offered.node,
        client=client,
        path=f"session {offered.offer.order.id}",
        octets=octets,
        seconds=seconds,
        complete=octets == offered.offer.size,
        attempt="",
    )
