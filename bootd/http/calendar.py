"""The reservations for calendar programs that subscribe; the token in the path is all that is asked."""

from aiohttp import web
from aiohttp.helpers import ETag

from bootd.errors import BootdError
from bootd.events import CalendarRefused, CalendarSent
from bootd.http.errors import SECRET_PATHS, failure
from bootd.http.parts import PARTS, peer_of
from bootd.model import PublishedCalendar

ROUTE = f"{SECRET_PATHS}{{token}}.ics"
_PRIVATE = "private, no-cache"  # kept by the program that asked, and asked for again each time


async def get_calendar(request: web.Request) -> web.Response:
    """GET and HEAD /calendar/{token}.ics: 200, 304 where nothing changed, 404 for every token but ours."""
    parts, client = request.app[PARTS], peer_of(request)
    try:
        found = await parts.calendar(request.match_info["token"])
    except BootdError:  # the daemon says by itself what is wrong with the store
        raise failure(web.HTTPServiceUnavailable, "not-now", "the calendar cannot be read now") from None
    if found is None:
        parts.emit(CalendarRefused(client=client))
        raise failure(web.HTTPNotFound, "no-such-calendar", "there is no such calendar")
    fresh = not _has_it(request, found)
    sends = fresh and request.method != "HEAD"
    parts.emit(CalendarSent(client=client, feed=found.feed, octets=len(found.text) if sends else 0))
    response = web.Response(
        status=200 if fresh else 304,
        body=found.text if fresh else None,
        headers={"Cache-Control": _PRIVATE},
    )
    if fresh:
        response.content_type, response.charset = "text/calendar", "utf-8"
        response.headers["Content-Disposition"] = 'inline; filename="bootd.ics"'
    response.etag, response.last_modified = found.etag, found.modified_at
    return response


def _has_it(request: web.Request, found: PublishedCalendar) -> bool:
    """Tell whether the program has this calendar already (RFC 9110 section 13.1: an ETag comes first)."""
    held = request.if_none_match
    if held is not None:
        return any(each == ETag("*") or each.value == found.etag for each in held)
    since = request.if_modified_since
    return since is not None and found.modified_at <= since
