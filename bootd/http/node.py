"""What a memory image's agent calls, with the one-time token that its command line carried."""

import re

from aiohttp import web

from bootd.boot.token import TokenFacts, TokenRefused
from bootd.events import NodeReported, NodeReportRefused
from bootd.http.errors import failure
from bootd.http.parts import PARTS, peer_of, read_form

LAST_STATE = "running"  # this report uses the token up
_STATE = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_DETAIL_LENGTH = 200  # characters kept


async def report(request: web.Request) -> web.Response:
    """POST /node/v1/report with the form fields token, state and, if there is more to say, detail.

    ``running`` may be said once; other states before it as often as an agent likes.
    """
    parts = request.app[PARTS]
    form = await read_form(request)
    token, state, detail = (form.get(key, "") for key in ("token", "state", "detail"))
    if not _STATE.match(state):
        raise failure(web.HTTPBadRequest, "bad-state", "state: a word such as running or failed")
    now = parts.clock()
    facts = parts.tokens.check(token, now)
    if isinstance(facts, TokenRefused):
        parts.emit(NodeReportRefused(client=peer_of(request), why=facts.reason))
        used = facts.reason == "token-used"
        kind = web.HTTPConflict if used else web.HTTPForbidden
        raise failure(kind, facts.reason, "the token is not good for this report")
    if state == LAST_STATE:
        parts.tokens.use_up(facts, now)
    parts.emit(_reported(facts, parts.host_name(facts.mac), state, detail))
    return web.Response(text="noted\n")


def _reported(facts: TokenFacts, host: str, state: str, detail: str) -> NodeReported:
    plain = "".join(c if c.isprintable() else " " for c in detail)[:_DETAIL_LENGTH]
    return NodeReported(mac=facts.mac, host=host, state=state, detail=plain, override=facts.override)
