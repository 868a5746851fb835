"""What a machine's system calls to say how it fares: with its one-time token, or known by its address."""

import re

from aiohttp import web

from bootd.boot.token import TokenFacts, TokenRefused
from bootd.events import NodeReported, NodeReportRefused
from bootd.http.errors import failure
from bootd.http.parts import PARTS, peer_of, read_form

LAST_STATE = "running"  # this report uses the token up
_STATE = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
WITHOUT_TOKEN = ("starting", LAST_STATE, "failed")  # all that a machine may say by its address alone
_DETAIL_LENGTH = 200  # characters kept


async def report(request: web.Request) -> web.Response:
    """POST /node/v1/report with the form fields token, state and, if there is more to say, detail.

    ``running`` may be said once with a token; other states before it as often as an agent likes.
    Images on disk have no command line of ours to carry a token: without one, a machine on our own
    link is known by its MAC address, and may say as much of itself as that is worth.
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
    if state == LAST_STATE:
        parts.tokens.use_up(facts, parts.clock())
    parts.emit(_reported(facts, parts.host_name(facts.mac), state, detail))
    return _noted()


def _noted() -> web.Response:
    return web.Response(text="noted\n")


def _proved(request: web.Request, token: str) -> TokenFacts:
    parts = request.app[PARTS]
    facts = parts.tokens.check(token, parts.clock())
    if isinstance(facts, TokenRefused):
        parts.emit(NodeReportRefused(client=peer_of(request), why=facts.reason))
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
