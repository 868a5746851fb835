"""What a machine's system calls to say how it fares: with its one-time token, or known by its address."""

import re
from collections.abc import Mapping

from aiohttp import web

from bootd.boot.token import TokenFacts, TokenRefused
from bootd.events import (
    NodeReported,
    NodeReportRefused,
    ReadPermitted,
    ReadRefused,
    WritePermitted,
    WriteRefused,
)
from bootd.http.errors import failure
from bootd.http.parts import PARTS, peer_of, read_form
from bootd.services.capturing import TO_READ

LAST_STATES = ("running", "leaving")  # these reports use the token up
STAYS = "failed"  # an imager that says so waits for what it is told next
_STATE = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
WITHOUT_TOKEN = ("starting", "running", "failed")  # all that a machine may say by its address alone
_DETAIL_LENGTH = 200  # characters kept


async def report(request: web.Request) -> web.Response:
    """POST /node/v1/report with the form fields token, state and, if there is more to say, detail.

    ``running`` and ``leaving`` (there is nothing more to do) may be said once with a token; other
    states before it as often as an agent likes. Images on disk have no command line of ours to carry
    a token: without one, a machine on our own link is known by its MAC address, and may say as much
    of itself as that is worth.
    """
    parts = request.app[PARTS]
    form = await read_form(request)
    token, state, detail = (form.get(key, "") for key in ("token", "state", "detail"))
    if not _STATE.match(state):
        raise failure(web.HTTPBadRequest, "bad-state", "state: a word such as running or failed")
    detail = "".join(c if c.isprintable() else " " for c in detail)[:_DETAIL_LENGTH]
    if "token" not in form and state in WITHOUT_TOKEN:
        mac = parts.clients.on_link(peer_of(request))
        if host := parts.host_name(mac) if mac else "":
            parts.emit(NodeReported(mac=mac, host=host, state=state, detail=detail))
            return _noted()
    facts = _proved(request, token)
    host = parts.host_name(facts.mac)
    if state == STAYS:
        parts.attendance.asks(host)
    else:
        parts.attendance.leaves(host)
    if state in LAST_STATES:
        parts.tokens.use_up(facts, parts.clock())
    parts.emit(_reported(facts, host, state, detail))
    return _noted()


async def task(request: web.Request) -> web.Response:
    """POST /node/v1/task with the form field token: what the imager is to do, as lines ``key value``.

    With the field idle it has nothing to do, and waits for what we tell it next.
    """
    form, _, host = await asked(request)
    parts = request.app[PARTS]
    if "idle" in form:
        parts.attendance.asks(host)
    return web.Response(text=await parts.tasks.task(host))


async def permit(request: web.Request) -> web.Response:
    """POST /node/v1/permit with token, job and what the disk is: asked last, before anything is written."""
    form, mac, host = await asked(request)
    parts = request.app[PARTS]
    answer = await parts.tasks.permit(host, form)
    text, disk = answer.partition("reason ")[2].strip(), _disk(form)
    is_permitted, is_reading = answer.startswith("permit yes\n"), TO_READ in answer
    if is_permitted:
        permitted = ReadPermitted if is_reading else WritePermitted
        parts.emit(permitted(mac=mac, host=host, disk=disk))
    else:
        refused = ReadRefused if is_reading else WriteRefused
        parts.emit(refused(mac=mac, host=host, text=text))
    return web.Response(text=answer)


def _disk(form: Mapping[str, str]) -> str:
    text = f"{form.get('name', '')} {form.get('serial', '')}".strip()
    return "".join(c if c.isprintable() else " " for c in text)[:_DETAIL_LENGTH]


async def asked(request: web.Request) -> tuple[dict[str, str], str, str]:
    """Return the form, and MAC address and name of the host whose token is in it."""
    form = await read_form(request)
    return form, *sender_of(request, form.get("token", ""))


def sender_of(request: web.Request, token: str) -> tuple[str, str]:
    """Return MAC address and name of the host whose *token* the request shows."""
    parts = request.app[PARTS]
    neighbour = parts.clients.on_link(peer_of(request))  # "" behind a router
    facts = _proved(request, token, neighbour)
    host = parts.host_name(facts.mac)
    if not host:
        raise failure(web.HTTPForbidden, "unknown-machine", "no host has the MAC address of this token")
    return facts.mac, host


def _noted() -> web.Response:
    return web.Response(text="noted\n")


def _proved(request: web.Request, token: str, mac: str = "") -> TokenFacts:
    parts = request.app[PARTS]
    facts = parts.tokens.check(token, parts.clock(), mac=mac or None)
    if isinstance(facts, TokenRefused):
        client = peer_of(request)
        neighbour = parts.clients.on_link(client)  # who it is that asks, whosever the token was
        host = parts.host_name(neighbour) if neighbour else ""
        mac = neighbour if host else ""
        parts.emit(NodeReportRefused(client=client, why=facts.reason, mac=mac, host=host))
        used = facts.reason == "token-used"
        kind = web.HTTPConflict if used else web.HTTPForbidden
        raise failure(kind, facts.reason, "the token is not good for this report")
    return facts


def _reported(facts: TokenFacts, host: str, state: str, detail: str) -> NodeReported:
    return NodeReported(
        mac=facts.mac,
        host=host,
        state=state,
        detail=detail,
        override=facts.override,
        given_at=int(facts.issued_at.timestamp()),
    )
