"""What a machine's system calls to say how it fares: with its one-time token, or known by its address."""

import re
from collections.abc import Mapping
from dataclasses import replace

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
_DETAIL_LENGTH = 200  # characters kept, of a note as well
_JOB = re.compile(r"[0-9]{0,9}\Z", re.ASCII)


async def report(request: web.Request) -> web.Response:
    """POST /node/v1/report with the form fields token, state and, if there is more to say, detail.

    An imager names the job that it works for in the field job: its word is for that job alone. With
    ``verified`` it may send a note: what should be known of a slot that is good.

    ``running`` and ``leaving`` (there is nothing more to do) may be said once with a token; other
    states before it as often as an agent likes. Images on disk have no command line of ours to carry
    a token: without one, a machine is known by its address, and may say as much of itself as that
    is worth.
    """
    parts = request.app[PARTS]
    form = await read_form(request)
    said, client = _said(form), peer_of(request)
    neighbour = parts.clients.on_link(client)
    if "token" not in form and said.state in WITHOUT_TOKEN:
        # Behind a router the host table must do, as it does for the script that the machine was
        # started by, with the secret of its LUN.
        mac = neighbour or parts.mac_of(client)
        if host := parts.host_name(mac) if mac else "":
            parts.emit(NodeReported(mac=mac, host=host, state=said.state, detail=said.detail))
            return _noted()
    facts = _proved(request, form.get("token", ""), neighbour)
    host = parts.host_name(facts.mac)
    if said.state == STAYS:
        parts.attendance.asks(host)
    else:
        parts.attendance.leaves(host)
    if said.state in LAST_STATES:
        parts.tokens.use_up(facts, parts.clock())
    given_at = int(facts.issued_at.timestamp())
    parts.emit(replace(said, mac=facts.mac, host=host, override=facts.override, given_at=given_at))
    return _noted()


def _said(form: Mapping[str, str]) -> NodeReported:
    """Return what *form* says, of nobody yet."""
    state, job = form.get("state", ""), form.get("job", "")
    if not _STATE.match(state):
        raise failure(web.HTTPBadRequest, "bad-state", "state: a word such as running or failed")
    if not _JOB.match(job):
        raise failure(web.HTTPBadRequest, "bad-job", "job: the number of a job")
    detail, note = form.get("detail", ""), form.get("note", "")
    return NodeReported(
        state=state,
        detail=_plain(detail, _DETAIL_LENGTH),
        note=_plain(note, _DETAIL_LENGTH),
        job=int(job) if job else None,
    )


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
    return _plain(f"{form.get('name', '')} {form.get('serial', '')}".strip(), _DETAIL_LENGTH)


def _plain(text: str, length: int) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:length]


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


def _proved(request: web.Request, token: str, neighbour: str) -> TokenFacts:
    """Return what *token* says; *neighbour* is who asks by ARP, "" behind a router."""
    parts = request.app[PARTS]
    facts = parts.tokens.check(token, parts.clock(), mac=neighbour or None)
    if isinstance(facts, TokenRefused):
        client = peer_of(request)
        host = parts.host_name(neighbour) if neighbour else ""  # who asks, whosever the token was
        mac = neighbour if host else ""
        parts.emit(NodeReportRefused(client=client, why=facts.reason, mac=mac, host=host))
        used = facts.reason == "token-used"
        kind = web.HTTPConflict if used else web.HTTPForbidden
        raise failure(kind, facts.reason, "the token is not good for this report")
    return facts
