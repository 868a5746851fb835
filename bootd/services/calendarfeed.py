"""Calendars that programs subscribe to: making and removing subscriptions, and what they are given."""

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from bootd.clock import Clock, utc_now
from bootd.errors import NotFound
from bootd.model import CalendarFeed, Project, PublishedCalendar
from bootd.services import calendar
from bootd.store import Reads, Store

T = TypeVar("T")
SHOWN = ("booked", "active", "ended")  # states; the others vanish, as programs take the whole calendar anew
PAST = timedelta(days=60)  # so long an ended reservation is shown
_FAR = timedelta(days=36_500)
LOOK_AGAIN_MIN = 15  # minutes; what programs are asked to wait
LOOK_EVERY_S = 2.0
SHARE = 20  # making calendars may take one part in so many of the time
_TOKEN_SIZE = 32  # octets


def add(store: Store, actor: str, project: str = "", *, clock: Clock = utc_now) -> tuple[CalendarFeed, str]:
    """Make a subscription to all reservations, or a project's; return it with its token.

    The token is not kept: nobody can be told it again. Raises `NotFound`.
    """
    token = base64.urlsafe_b64encode(secrets.token_bytes(_TOKEN_SIZE)).decode().rstrip("=")
    with store.transaction(actor, "reservations feed add") as change:
        if project and change.find(Project, project) is None:
            raise NotFound("project", project)
        feed = CalendarFeed(change.next_id(CalendarFeed), project, _digest(token), clock(), actor)
        change.keep(feed)
    return feed, token


def remove(store: Store, actor: str, number: int) -> CalendarFeed:
    """End a subscription; raises `NotFound`."""
    with store.transaction(actor, "reservations feed remove") as change:
        feed = change.find(CalendarFeed, number)
        if feed is None:
            raise NotFound("calendar feed", str(number))
        change.discard(CalendarFeed, number)
    return feed


def text_of(reads: Reads, feed: CalendarFeed, now: datetime) -> bytes:
    """Return what a subscription shows at *now*."""
    found = reads.reservations_between(now - PAST, now + _FAR)
    shown = [each for each in found if each.state in SHOWN and feed.project in ("", each.project)]
    name = f"bootd: {feed.project}" if feed.project else "bootd"
    return calendar.export(reads, shown, name, look_again_min=LOOK_AGAIN_MIN).encode()


class CalendarFeeds:
    """Gives out calendars; made on a thread of its own, and rarely, however often anybody asks.

    Used by one event loop. The store is opened for each look and closed again.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        *,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_store, self._clock, self._monotonic = open_store, clock, monotonic
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="calendar")
        self._turn = asyncio.Lock()
        self._look_at = self._make_at = float("-inf")  # monotonic: not before
        self._version = 0  # of the reservations: the id of their newest journal entry
        self._feeds: dict[str, CalendarFeed] = {}  # by digest of the token
        self._made: dict[int, tuple[int, PublishedCalendar]] = {}  # by feed: the version it was made of

    async def get(self, token: str) -> PublishedCalendar | None:
        """Return the calendar of *token*, None where it is nobody's; raises `BootdError` with the store."""
        # shielded: whoever asks and goes away must not have the next one begin it all again
        return await asyncio.shield(asyncio.ensure_future(self._get(_digest(token))))

    async def _get(self, digest: str) -> PublishedCalendar | None:
        async with self._turn:
            if self._monotonic() >= self._look_at:
                await self._on_thread(self._look)
                self._look_at = self._monotonic() + LOOK_EVERY_S
            feed = self._feeds.get(digest)
            if feed is None:
                return None
            version, made = self._made.get(feed.id, (-1, None))
            if made is None or (version != self._version and self._monotonic() >= self._make_at):
                made = await self._remade(feed, made)
            return made

    async def aclose(self) -> None:
        """End the thread when it has done what it does."""
        async with self._turn:
            self._thread.shutdown()

    async def _remade(self, feed: CalendarFeed, before: PublishedCalendar | None) -> PublishedCalendar:
        version, begun = self._version, self._monotonic()
        text = await self._on_thread(partial(self._text, feed))
        ended = self._monotonic()
        self._make_at = ended + SHARE * (ended - begun)
        etag = hashlib.sha256(text).hexdigest()[:32]
        if before is None or before.etag != etag:
            before = PublishedCalendar(feed.id, text, etag, self._clock().replace(microsecond=0))
        self._made[feed.id] = (version, before)
        return before

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # -- on the thread ---------------------------------------------------------------------------

    def _look(self) -> None:
        with self._open_store() as store:
            newest = store.journal(limit=1, kinds=("reservation",))
            self._version = newest[0].id if newest else 0
            self._feeds = {feed.digest: feed for feed in store.every(CalendarFeed)}
        ids = {feed.id for feed in self._feeds.values()}
        self._made = {number: made for number, made in self._made.items() if number in ids}

    def _text(self, feed: CalendarFeed) -> bytes:
        with self._open_store() as store:
            return text_of(store, feed, self._clock())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
