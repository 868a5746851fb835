"""What a node sends of its slot: POST /node/v1/capture for each piece, POST /node/v1/capture/end at last.

A piece is octets and nothing else; what it is stands in the query (job, round, piece, sha256, read, used),
whose it is in ``Authorization: Bearer TOKEN``. The answer is ``next N``: the number of the piece that is
wanted next, so that whoever heard no answer may send again. 410: the job is over, there is nothing to do.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from bootd.darkstore.captured import BadPiece, Piece
from bootd.darkstore.errors import DarkStoreAway
from bootd.events import PieceRefused, SlotCaptured
from bootd.http.errors import failure
from bootd.http.node import asked, sender_of
from bootd.http.parts import PARTS, peer_of
from bootd.services.capturing import Sender

ROUTE, END = "/node/v1/capture", "/node/v1/capture/end"
CHUNK = 256 << 10  # octets written at a time
STALL_S = 60.0  # a node that sends nothing for so long is gone
_NUMBER = re.compile(r"[0-9]{1,15}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_STATUS: Mapping[str, type[web.HTTPException]] = {
    "not-wanted": web.HTTPGone,
    "out-of-order": web.HTTPConflict,
    "other-content": web.HTTPConflict,
    "bad-digest": web.HTTPUnprocessableEntity,
    "bad-description": web.HTTPUnprocessableEntity,
    "no-room": web.HTTPInsufficientStorage,
}


async def piece(request: web.Request) -> web.Response:
    """POST /node/v1/capture."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    _, host = sender_of(request, token)
    numbers = {key: _number(request.query.get(key, "0")) for key in ("job", "round", "piece", "read", "used")}
    sha256 = request.query.get("sha256", "")
    if not _DIGEST.match(sha256):
        raise failure(web.HTTPBadRequest, "bad-piece", "sha256: 64 hexadecimal digits")
    if request.content_length is None:
        raise failure(web.HTTPLengthRequired, "no-length", "a piece says its length before it comes")
    sender = Sender(host, numbers["job"], numbers["round"])
    wanted = Piece(numbers["piece"], sha256, numbers["read"], numbers["used"])
    captures = request.app[PARTS].captures
    try:
        state = await captures.piece(sender, wanted, request.content_length, _chunks(request))
    except (BadPiece, DarkStoreAway) as error:
        raise _refusal(request, host, error) from None
    return web.Response(text=f"next {state.pieces}\n")


async def end(request: web.Request) -> web.Response:
    """POST /node/v1/capture/end with the form fields token, job, round and what the slot is."""
    form, mac, host = await asked(request)
    sender = Sender(host, _number(form.get("job", "")), _number(form.get("round", "")))
    parts = request.app[PARTS]
    try:
        state = await parts.captures.end(sender, form)
    except (BadPiece, DarkStoreAway) as error:
        raise _refusal(request, host, error) from None
    parts.emit(SlotCaptured(mac=mac, host=host, job=sender.job, received=state.octets))
    return web.Response(text="kept\n")


def _number(text: str) -> int:
    if not _NUMBER.match(text):
        raise failure(web.HTTPBadRequest, "bad-piece", "job, round, piece, read and used are numbers")
    return int(text)


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    """Yield the body as it comes; one that stalls, or is cut off, ends with an error of the connection."""
    while True:
        try:
            async with asyncio.timeout(STALL_S):
                chunk = await request.content.read(CHUNK)
        except TimeoutError:
            late = failure(web.HTTPRequestTimeout, "too-slow", "the piece did not arrive in time")
            late.force_close()
            raise late from None
        if not chunk:
            return
        yield chunk


def _refusal(request: web.Request, host: str, error: BadPiece | DarkStoreAway) -> web.HTTPException:
    """Say why, and end the connection: what else of the piece is on its way is not wanted."""
    parts = request.app[PARTS]
    if isinstance(error, BadPiece):
        reason, kind = error.reason, _STATUS.get(error.reason, web.HTTPBadRequest)
    else:
        reason, kind = error.code, web.HTTPServiceUnavailable
    refusal = failure(kind, reason, str(error))
    refusal.force_close()
    parts.emit(PieceRefused(host=host, client=peer_of(request), why=reason, text=str(error)))
    return refusal
