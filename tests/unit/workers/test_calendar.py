"""The daemon's worker: jobs are done as they become due, whoever wrote them, and it ends when told to."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bootd.errors import StoreFailed
from bootd.events import Event, InternalError
from bootd.model import JobKind
from bootd.services import jobs
from bootd.store import Store
from bootd.workers.calendar import LOOK_EVERY_S, RETRY_S, Calendar
from bootd.workers.settings import Settings
from bootd.workers.work import Context, Work, lease_name
from tests.helpers.deeds import a_deployment, a_project, a_reservation, keep
from tests.helpers.jobs import Doing, Step, a_context, done
from tests.helpers.site import NOON, HandClock, file_store

PATIENCE_S = 60.0
START, WRITE = JobKind.START, JobKind.WRITE_SLOT


class Site:
    """A database in *folder*, and daemons on it that share both clocks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, HandClock()
        self.monotonic_s = 1000.0
        self.store = self.open_store()
        self.troubles: dict[str, str] = {}
        self.told: set[str] = set()  # every trouble there ever was
        self.events: list[Event] = []
        self.settings = Settings()
        self.started: list[Calendar] = []

    def open_store(self) -> Store:
        return file_store(self.folder, clock=self.clock)

    def outfit(self, store: Store, holder: str) -> Context:
        return a_context(store, self.clock, holder, settings=self.settings, emit=self.events.append)

    def trouble(self, topic: str, text: str) -> None:
        self.told.update({text} - {""})
        if text:
            self.troubles[topic] = text
        else:
            self.troubles.pop(topic, None)

    def calendar(
        self,
        step: Step = done,
        *,
        hands: int = 3,
        open_store: Callable[[], Store] | None = None,
        handlers: Any = None,
    ) -> Calendar:
        return Calendar(
            open_store or self.open_store,
            self.outfit,
            handlers or dict.fromkeys(JobKind, Doing({"": step})),
            trouble=self.trouble,
            monotonic=lambda: self.monotonic_s,
            hands=hands,
        )

    def start(self, calendar: Calendar) -> None:
        """Start its threads; the test's end stops them."""
        self.started.append(calendar)
        calendar.start()

    def add(self, kind: JobKind = WRITE, **fields: Any) -> int:
        with self.store.transaction("anna") as change:
            job = jobs.add(change, kind, by="anna", now=self.clock())
            change.keep(replace(job, **fields))
        return job.id

    def state(self, number: int) -> str:
        return jobs.find(self.store, number).state

    def pass_time(self, seconds: float, *, wrong_by_s: float = 0.0) -> None:
        self.monotonic_s += seconds
        self.clock.move(seconds=seconds + wrong_by_s)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for calendar in site.started:
        calendar.stop()
    site.store.close()


class Signal:
    """A step that says when it was reached, and may be held there."""

    def __init__(self, *, held: bool = False) -> None:
        self.reached, self.free = threading.Semaphore(0), threading.Event()
        self.done: list[tuple[str, int]] = []
        if not held:
            self.free.set()

    def __call__(self, work: Work) -> None:
        self.reached.release()
        assert self.free.wait(PATIENCE_S)
        self.done.append((work.context.holder, work.job.id))
        done(work)

    def wait(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.reached.acquire(timeout=PATIENCE_S), "no worker came so far"


# -- one look --------------------------------------------------------------------------------------


def test_quiet_site_is_looked_at_now_and_then(site: Site) -> None:
    assert site.calendar().look(site.store) == LOOK_EVERY_S


def test_next_look_is_when_the_next_job_or_booking_is_due(site: Site) -> None:
    site.add(state="running", due_at=NOON + timedelta(seconds=20))
    assert site.calendar().look(site.store) == 20
    keep(site.store, a_project())
    start = NOON + timedelta(seconds=5)
    keep(site.store, a_reservation(state="booked", images=(), starts_at=start, ends_at=start + timedelta(1)))
    assert site.calendar().look(site.store) == 5


def test_due_jobs_are_handed_out_once(site: Site) -> None:
    step = Signal()
    calendar = site.calendar(step)
    numbers = [site.add(START), site.add(START)]
    assert [calendar.look(site.store) for _ in range(3)] == [LOOK_EVERY_S] * 3
    assert calendar.handed_out == set(numbers)
    site.start(calendar)
    until_over(site, *numbers)
    assert sorted(number for _, number in step.done) == numbers


def test_images_on_their_way_leave_hands_free_for_what_begins_and_ends(site: Site) -> None:
    calendar = site.calendar(hands=4)
    writing = [site.add() for _ in range(5)]
    starting = [site.add(START) for _ in range(3)]
    calendar.look(site.store)
    assert calendar.handed_out == {*starting, writing[0]}
    assert len(calendar.handed_out) == 4


def test_job_that_another_daemon_is_at_is_looked_at_when_its_lease_is_over(site: Site) -> None:
    number = site.add()
    with site.store.transaction("calendar") as change:
        until = NOON + timedelta(seconds=12)
        change.take_lease(lease_name(number), "elsewhere", now=NOON, until=until)
    calendar = site.calendar()
    assert calendar.look(site.store) == 12
    assert calendar.handed_out == set()
    site.pass_time(12)
    calendar.look(site.store)
    assert calendar.handed_out == {number}


def test_clock_that_jumps_holds_everything_until_it_is_put_right(site: Site) -> None:
    calendar = site.calendar()
    calendar.look(site.store)
    site.pass_time(1, wrong_by_s=7200)
    site.add()
    assert calendar.look(site.store) == RETRY_S
    assert "the clock went forward by 2:00:00" in site.troubles["clock"]
    assert calendar.handed_out == set()
    site.pass_time(30, wrong_by_s=-7200)
    calendar.look(site.store)
    assert (site.troubles, len(calendar.handed_out)) == ({}, 1)


def test_clock_that_is_behind_what_was_written_last_is_not_believed_at_once(site: Site) -> None:
    site.add()
    site.clock.move(days=-3)
    calendar = site.calendar()
    calendar.look(site.store)
    assert "the clock went back by 3 days" in site.troubles["clock"]
    assert calendar.handed_out == set()
    site.pass_time(300)
    calendar.look(site.store)
    assert calendar.handed_out == {1}


def test_bug_in_planning_is_told_and_jobs_that_there_are_go_on(site: Site) -> None:
    site.settings = Settings(rate=0)
    keep(site.store, a_project(), a_reservation(state="booked", starts_at=NOON + timedelta(hours=1)))
    keep(site.store, a_deployment(state="sched", flipped_at=None))
    number = site.add(START)
    calendar = site.calendar()
    calendar.look(site.store)
    assert "ZeroDivisionError" in site.troubles["calendar"]
    assert isinstance(site.events[0], InternalError)
    assert calendar.handed_out == {number}
    site.settings = Settings()
    site.pass_time(LOOK_EVERY_S)
    calendar.look(site.store)
    assert site.troubles == {}


def test_booking_made_meanwhile_is_planned_at_the_next_look(site: Site) -> None:
    calendar = site.calendar()
    calendar.look(site.store)
    keep(site.store, a_project(), a_reservation(state="booked", images=()))
    calendar.look(site.store)
    assert calendar.handed_out == {1}


def test_booking_whose_time_comes_is_planned_without_any_commit(site: Site) -> None:
    start = NOON + timedelta(seconds=5)
    keep(site.store, a_project(), a_reservation(state="booked", images=(), starts_at=start))
    calendar = site.calendar()
    assert calendar.look(site.store) == 5
    site.pass_time(5)
    calendar.look(site.store)
    assert calendar.handed_out == {1}


# -- threads ---------------------------------------------------------------------------------------


def until_over(site: Site, *numbers: int) -> None:
    """Wait until the jobs have ended."""
    patience = threading.Event()
    for _ in range(int(PATIENCE_S / 0.01)):
        if all(site.state(number) in jobs.OVER for number in numbers):
            return
        patience.wait(0.01)
    raise AssertionError([jobs.find(site.store, number) for number in numbers])


def test_job_that_a_command_writes_is_done_when_the_commit_is_told(site: Site) -> None:
    step = Signal()
    calendar = site.calendar(step)
    site.start(calendar)
    number = site.add()
    calendar.wake()
    step.wait()
    until_over(site, number)


def test_hands_work_at_the_same_time(site: Site) -> None:
    step = Signal(held=True)
    calendar = site.calendar(step, hands=4)
    numbers = [site.add(START) for _ in range(4)]
    site.start(calendar)
    step.wait(4)
    step.free.set()
    until_over(site, *numbers)
    assert len({holder for holder, _ in step.done}) == 4


def test_two_daemons_on_one_database_do_each_job_once(site: Site) -> None:
    step = Signal()
    numbers = [site.add(START) for _ in range(20)]
    for _ in range(2):
        site.start(site.calendar(step))
    until_over(site, *numbers)
    assert sorted(number for _, number in step.done) == numbers


def test_bug_in_a_job_is_told_and_the_others_go_on(site: Site) -> None:
    def broken(work: Work) -> None:
        raise ZeroDivisionError("oops")

    site.add(WRITE)
    number = site.add(START)
    site.start(site.calendar(handlers={WRITE: Doing({"": broken}), START: Doing()}))
    until_over(site, number)
    assert site.state(1) in jobs.OPEN


def test_database_that_is_away_for_a_while_is_a_problem_and_no_end(site: Site) -> None:
    away = [True]
    tried, step = threading.Event(), Signal()

    def open_store() -> Store:
        if away[0]:
            tried.set()
            raise StoreFailed("unable to open database file")
        return site.open_store()

    number = site.add()
    site.start(site.calendar(step, open_store=open_store))
    assert tried.wait(PATIENCE_S)
    away[0] = False
    until_over(site, number)
    assert "nothing begins or ends: unable to open database file" in site.told
    assert site.troubles == {}


def test_end_of_the_daemon_leaves_a_long_deed_to_the_next_one_at_once(site: Site) -> None:
    begun, stopping = threading.Event(), threading.Event()

    def copies(work: Work) -> None:
        begun.set()
        assert stopping.wait(PATIENCE_S)
        while True:
            work.show()

    calendar = site.calendar(copies)
    number = site.add()
    site.start(calendar)
    assert begun.wait(PATIENCE_S)
    threading.Timer(0.05, stopping.set).start()
    calendar.stop()
    assert site.state(number) == "running"
    assert site.store.lease(lease_name(number)) is None


def test_end_of_the_daemon_ends_its_threads(site: Site) -> None:
    before = set(threading.enumerate())
    calendar = site.calendar()
    site.start(calendar)
    assert set(threading.enumerate()) > before
    calendar.stop()
    assert {thread for thread in threading.enumerate() if thread.name.startswith("calendar")} == set()
