"""Calendars to subscribe to: who may read which, what they show, and how seldom they are made."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from icalendar import Calendar

from bootd.errors import NotFound, StoreBusy
from bootd.model import CalendarFeed, PublishedCalendar
from bootd.services import calendarfeed, reservations
from bootd.services.calendarfeed import CalendarFeeds
from bootd.store import Store
from tests.helpers.bookings import at, book, furnish
from tests.helpers.site import NOON, HandClock, file_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with file_store(tmp_path) as opened:
        furnish(opened)
        yield opened


class Counting:
    """Opens the store of a folder, and counts how often."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.opened, self.broken = folder, 0, False

    def __call__(self) -> Store:
        self.opened += 1
        if self.broken:
            raise StoreBusy("bootd.db is held by another process")
        return file_store(self.folder)


class Ticks:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def serving(open_store: Callable[[], Store], ticks: Ticks) -> AsyncIterator[CalendarFeeds]:
    feeds = CalendarFeeds(open_store, clock=HandClock(), monotonic=ticks)
    try:
        yield feeds
    finally:
        await feeds.aclose()


def uids(text: bytes) -> list[str]:
    return [str(event["UID"]) for event in Calendar.from_ical(text.decode()).walk("VEVENT")]


def shown(store: Store, project: str = "", now: datetime = NOON) -> list[int]:
    """Return the numbers of the reservations in a feed."""
    feed = CalendarFeed(1, project, "", NOON, "anna")
    return [int(uid.split("-")[1]) for uid in uids(calendarfeed.text_of(store, feed, now))]


def test_a_token_is_32_random_octets_and_kept_nowhere(store: Store, tmp_path: Path) -> None:
    made, token = calendarfeed.add(store, "anna", "mesh", clock=HandClock())
    _, other = calendarfeed.add(store, "anna", clock=HandClock())
    assert len(base64.urlsafe_b64decode(f"{token}=")) == 32
    assert token != other
    assert made == store.find(CalendarFeed, 1)
    assert (made.project, made.created_by, made.created_at) == ("mesh", "anna", NOON)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert token.encode() not in kept
    assert made.digest.encode() in kept


def test_a_feed_of_a_project_that_is_not_there_is_refused(store: Store) -> None:
    with pytest.raises(NotFound, match="'mash'"):
        calendarfeed.add(store, "anna", "mash")
    with pytest.raises(NotFound, match="calendar feed '7'"):
        calendarfeed.remove(store, "anna", 7)
    assert store.every(CalendarFeed) == []


def test_a_feed_shows_what_holds_machines_and_what_did_lately(store: Store) -> None:
    book(store, 1, 2, "node2")
    gone = book(store, 3, 4, "node2")
    book(store, 1, 2, "node3", project="orbit")
    reservations.cancel(store, "anna", [gone.id])
    assert shown(store) == [1, 3]
    assert shown(store, "mesh") == [1]
    assert shown(store, now=at(2) + timedelta(days=59)) == [1, 3]
    assert shown(store, now=at(2) + timedelta(days=60)) == []


def test_a_feed_is_a_calendar_as_programs_take_it(store: Store) -> None:
    book(store, 1, 2, "node2", note="a, b; c\\d é")
    text = calendarfeed.text_of(store, CalendarFeed(1, "mesh", "", NOON, "anna"), NOON)
    lines = text.decode().split("\r\n")
    assert lines[-1] == ""
    assert not any("\n" in line for line in lines)
    assert "REFRESH-INTERVAL;VALUE=DURATION:PT15M" in lines
    assert "X-WR-CALNAME:bootd: mesh" in lines
    [event] = Calendar.from_ical(text.decode()).walk("VEVENT")
    assert (event["DTSTART"].dt, event["STATUS"]) == (at(1).replace(tzinfo=UTC), "CONFIRMED")
    assert "a, b; c\\d é" in event["DESCRIPTION"]


def test_an_event_keeps_its_uid_and_counts_its_changes(store: Store) -> None:
    booked = book(store, 1, 2, "node2")
    before = Calendar.from_ical(
        calendarfeed.text_of(store, CalendarFeed(1, "", "", NOON, "a"), NOON).decode()
    )
    reservations.extend(store, "anna", booked.id, at(3), clock=HandClock())
    after = Calendar.from_ical(calendarfeed.text_of(store, CalendarFeed(1, "", "", NOON, "a"), NOON).decode())
    [one], [two] = before.walk("VEVENT"), after.walk("VEVENT")
    assert one["UID"] == two["UID"]
    assert (one["SEQUENCE"], two["SEQUENCE"]) == (0, 1)
    assert two["DTEND"].dt == at(3)


async def test_a_token_opens_its_own_calendar_and_no_other_opens_any(store: Store, tmp_path: Path) -> None:
    book(store, 1, 2, "node2")
    book(store, 1, 2, "node3", project="orbit")
    everything, orbit = (calendarfeed.add(store, "anna", project)[1] for project in ("", "orbit"))
    async with serving(Counting(tmp_path), Ticks()) as feeds:
        whole, part = await feeds.get(everything), await feeds.get(orbit)
        assert whole is not None
        assert part is not None
        assert (whole.feed, len(uids(whole.text))) == (1, 2)
        assert (part.feed, len(uids(part.text))) == (2, 1)
        for wrong in (
            "",
            "x" * 43,
            everything[:-1],
            everything + "=",
            "\udcff",
            store.every(CalendarFeed)[0].digest,
        ):
            assert await feeds.get(wrong) is None


async def test_a_calendar_is_made_once_until_reservations_change(store: Store, tmp_path: Path) -> None:
    book(store, 1, 2, "node2")
    _, token = calendarfeed.add(store, "anna")
    opener, ticks = Counting(tmp_path), Ticks()
    async with serving(opener, ticks) as feeds:
        first = await feeds.get(token)
        for _ in range(100):
            assert await feeds.get(token) is first
            assert await feeds.get("guessed") is None
        assert opener.opened == 2  # a look, and the making
        ticks.now += 10
        with store.transaction("anna") as change:
            change.put_document("note", "not about reservations")
        assert await feeds.get(token) is first
        assert opener.opened == 3
        book(store, 3, 4, "node2")
        assert await feeds.get(token) is first  # looked a moment ago
        ticks.now += 10
        second = await feeds.get(token)
    assert first is not None
    assert second is not None
    assert (len(uids(first.text)), len(uids(second.text))) == (1, 2)
    assert first.etag != second.etag


async def test_a_calendar_that_comes_out_the_same_keeps_its_date(store: Store, tmp_path: Path) -> None:
    _, token = calendarfeed.add(store, "anna", "mesh")
    ticks = Ticks()
    async with serving(Counting(tmp_path), ticks) as feeds:
        first = await feeds.get(token)
        book(store, 1, 2, "node3", project="orbit")
        ticks.now += 10
        assert await feeds.get(token) is first


async def test_making_a_costly_calendar_is_not_begun_again_soon(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = calendarfeed.add(store, "anna")
    ticks = Ticks()
    text_of, made = calendarfeed.text_of, []

    def costly(*arguments: object) -> bytes:
        ticks.now += 3.0
        made.append(ticks.now)
        return text_of(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(calendarfeed, "text_of", costly)
    async with serving(Counting(tmp_path), ticks) as feeds:
        for hour in range(1, 40):
            book(store, hour, hour + 1, "node2")
            await feeds.get(token)
            ticks.now += 4
    assert len(made) == 3  # in 165 seconds, 63 seconds apart


async def test_a_removed_feed_is_nobody_s(store: Store, tmp_path: Path) -> None:
    made, token = calendarfeed.add(store, "anna")
    ticks = Ticks()
    async with serving(Counting(tmp_path), ticks) as feeds:
        assert await feeds.get(token) is not None
        calendarfeed.remove(store, "anna", made.id)
        ticks.now += 10
        assert await feeds.get(token) is None


async def test_who_goes_away_does_not_stop_what_others_wait_for(store: Store, tmp_path: Path) -> None:
    _, token = calendarfeed.add(store, "anna")
    opener = Counting(tmp_path)
    async with serving(opener, Ticks()) as feeds:
        asking = [asyncio.ensure_future(feeds.get(token)) for _ in range(20)]
        await asyncio.sleep(0)
        for each in asking[:19]:
            each.cancel()
        done = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(done[19], PublishedCalendar)
    assert all(isinstance(each, asyncio.CancelledError) for each in done[:19])
    assert opener.opened == 2


async def test_trouble_with_the_store_is_told_and_passes(store: Store, tmp_path: Path) -> None:
    _, token = calendarfeed.add(store, "anna")
    opener = Counting(tmp_path)
    opener.broken = True
    async with serving(opener, Ticks()) as feeds:
        with pytest.raises(StoreBusy):
            await feeds.get(token)
        opener.broken = False
        assert await feeds.get(token) is not None
