"""Calendar programs at the door: over real sockets, and against the service as a whole."""

import re
from datetime import timedelta
from email.utils import format_datetime

import pytest
from icalendar import Calendar

from bootd.errors import StoreBusy
from bootd.events import CalendarRefused, CalendarSent, InternalError
from bootd.model import PublishedCalendar
from tests.helpers.bookings import furnish
from tests.helpers.namespace import namespace
from tests.helpers.service import Service
from tests.helpers.site import file_store
from tests.helpers.web import NOON, Site, a_host, a_snapshot, ask, raw, running

TOKEN = "t" * 43
PATH = f"/calendar/{TOKEN}.ics"
FOUND = PublishedCalendar(7, b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "abc", NOON)


def a_site(found=FOUND, error=None):
    site = Site(a_snapshot(a_host()))

    async def calendar(token):
        if error is not None:
            raise error
        return found if token == TOKEN else None

    object.__setattr__(site.parts, "calendar", calendar)
    return site


async def test_a_calendar_goes_out_as_programs_take_it():
    async with running(a_site()) as site:
        reply = await ask(site.port, PATH)
    assert (reply.status, reply.body) == (200, FOUND.text)
    assert reply.headers["content-type"] == "text/calendar; charset=utf-8"
    assert reply.headers["etag"] == '"abc"'
    assert reply.headers["last-modified"] == "Mon, 05 Jan 2026 12:00:00 GMT"
    assert reply.headers["cache-control"] == "private, no-cache"
    assert site.events == [CalendarSent(client="127.0.0.1", feed=7, octets=len(FOUND.text))]


async def test_head_has_the_headers_alone():
    async with running(a_site()) as site:
        reply = await ask(site.port, PATH, method="HEAD")
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", str(len(FOUND.text)))
    assert site.events == [CalendarSent(client="127.0.0.1", feed=7, octets=0)]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": '"abc"'}, 304),
        ({"If-None-Match": 'W/"abc", "old"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"old"'}, 200),
        ({"If-None-Match": "nonsense"}, 200),
        ({"If-Modified-Since": format_datetime(NOON, usegmt=True)}, 304),
        ({"If-Modified-Since": format_datetime(NOON + timedelta(days=1), usegmt=True)}, 304),
        ({"If-Modified-Since": format_datetime(NOON - timedelta(seconds=1), usegmt=True)}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-None-Match": '"old"', "If-Modified-Since": format_datetime(NOON, usegmt=True)}, 200),
    ],
)
async def test_what_a_program_has_is_not_sent_again(headers, status):
    async with running(a_site()) as site:
        reply = await ask(site.port, PATH, headers=headers)
    assert (reply.status, reply.headers["etag"]) == (status, '"abc"')
    assert reply.body == (b"" if status == 304 else FOUND.text)


async def test_every_token_but_ours_hears_the_same():
    wrong = ["", "x", "x" * 43, TOKEN[:-1], f"{TOKEN}=", "%2e%2e", "%ff", "a" * 3000]
    async with running(a_site()) as site:
        replies = [await ask(site.port, f"/calendar/{token}.ics") for token in wrong]
    told = {(reply.status, reply.body) for reply in replies[1:]}
    assert len(told) == 1
    assert {status for status, _ in told} == {404}
    assert replies[0].status == 404
    assert set(site.events) == {CalendarRefused(client="127.0.0.1")}


async def test_a_token_is_in_no_event_whatever_happens():
    async with running(a_site(error=ZeroDivisionError("bug"))) as site:
        broken = await ask(site.port, PATH)
        await raw(site.port, f"GET {PATH} HTTP/9.9\r\n\r\n".encode())
        await raw(site.port, f"GET {PATH} HTTP/1.1\r\nA b: c\r\n\r\n".encode())
        other = await ask(site.port, PATH, method="POST")
    assert (broken.status, other.status) == (500, 405)
    assert [event.where for event in site.of_kind(InternalError)] == ["http GET /calendar/…"]
    assert TOKEN not in repr(site.events)


async def test_a_store_that_cannot_be_read_is_another_time():
    async with running(a_site(error=StoreBusy("bootd.db is held"))) as site:
        reply = await ask(site.port, PATH)
    assert reply.status == 503
    assert site.events == []


async def test_a_site_without_feeds_has_no_calendar():
    async with running(Site(a_snapshot(a_host()))) as site:
        reply = await ask(site.port, PATH)
    assert reply.status == 404


@pytest.mark.root
def test_a_subscription_from_its_making_to_its_end(tmp_path):
    with namespace() as space:
        service = Service(space, tmp_path)
        with file_store(service.data_dir) as store:
            furnish(store)
        service.bootd("reservations", "add", "mesh", "--nodes", "node2", "--start", "+1h", "--end", "+1h")
        url, told = service.bootd("reservations", "feed", "add", "--project", "mesh").splitlines()
        path = re.fullmatch(r"http://10\.99\.7\.1:8080(/calendar/[\w-]{43}\.ics)", url).group(1)
        with service.serve():
            status, text = service.get(path)
            other, _ = service.get(path.replace("/calendar/", "/calendar/x"))
        log = service.log
    assert "shown this once" in told
    assert (status, other) == (200, 404)
    assert "http.calendar_sent" in log
    assert path.removeprefix("/calendar/").removesuffix(".ics") not in log
    [event] = Calendar.from_ical(text.decode()).walk("VEVENT")
    assert (event["UID"].split("-")[:2], event["STATUS"]) == (["reservation", "1"], "CONFIRMED")
