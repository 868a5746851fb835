"""Sessions share one network, outlive the worker that began them, and end with their job."""

from pathlib import Path

import pytest

from bootd.drivers.faults import Crash, Refuse, Unreachable
from bootd.drivers.source import BytesSource
from bootd.drivers.transport import Order as Ordered
from bootd.drivers.transport import SessionMissing, allocate
from bootd.drivers.transport.course import Fate
from bootd.drivers.transport.fake import FakeTransport
from bootd.services import jobs
from bootd.services.tasks import task_text
from bootd.workers.sessions import session_of
from tests.helpers.deeds import a_reservation
from tests.helpers.imaging import NODES, PACE, Shop, a_shop, ready


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return a_shop(tmp_path)


# -- one network ------------------------------------------------------------------------------


def test_two_jobs_that_begin_together_get_a_channel_each_and_half_the_rate(shop: Shop) -> None:
    shop.book(("node1", "node2"))
    shop.book(("node3", "node4"), slot=8)
    shop.live(until="watch")
    one, two = shop.session(1), shop.session(2)
    assert (one.rate, two.rate) == (PACE.rate // 2, PACE.rate // 2)
    assert not one.channel.collides(two.channel)
    shop.live()
    assert (shop.job(1).state, shop.job(2).state) == ("done", "done")


def test_a_job_that_comes_later_waits_until_the_network_is_free(shop: Shop) -> None:
    shop.book(("node1", "node2"))
    shop.live(until="watch")
    assert shop.session().rate == PACE.rate
    shop.book(("node3", "node4"))
    shop.run()
    assert (shop.job(2).note, len(shop.power.starts)) == ("waits for a part of the network", 2)
    shop.live(200)
    assert shop.job(2).state == "done"


def test_never_more_is_given_out_than_there_is(shop: Shop) -> None:
    for n in range(1, 6):
        shop.book((f"node{n}",), slot=6 + n)
    most = 0
    for _ in range(200):
        shop.live(1)
        sessions = [found for job in shop.store.jobs() if (found := session_of(job)) is not None]
        open_rates = [session_of(job) for job in shop.store.jobs(states=("running",))]
        most = max(most, sum(session.rate for session in open_rates if session is not None))
        assert len({session.channel for session in sessions}) == len(sessions)
    assert 0 < most <= PACE.rate
    assert {job.state for job in shop.store.jobs()} == {"done"}


def test_a_job_s_second_session_is_not_where_the_first_may_still_be_sending(shop: Shop) -> None:
    shop.says["node2"] = ("failed", "no disk")
    shop.book()
    shop.live(300)
    first, second = shop.transport.order("job1-1"), shop.transport.order("job1-2")
    assert not first.channel.collides(second.channel)


# -- killed, lost, taken back -----------------------------------------------------------------


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("verb", ["start", "status"])
def test_killed_in_a_call_of_the_transport_the_next_worker_goes_on(shop: Shop, verb: str, done: bool) -> None:
    questions = 2 if verb == "status" else 0  # whether a session of that name is there, before it is started
    shop.transport.faults.plant(Crash(done=done), verb, after=questions)
    shop.book()
    shop.live(300)
    assert (shop.job().state, shop.slots()) == ("done", ready(*NODES))
    assert shop.holder == "first'"
    with pytest.raises(SessionMissing):
        shop.transport.order("job1-2")


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("verb", ["off", "on"])
def test_killed_while_switching_the_next_worker_goes_on(shop: Shop, verb: str, done: bool) -> None:
    shop.power.faults.plant(Crash(done=done), verb, "node2")
    shop.book()
    shop.live(300)
    assert (shop.job().state, shop.slots()) == ("done", ready(*NODES))


def test_a_session_that_went_with_our_process_is_started_anew_under_its_id(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    before = shop.session()
    shop.transport = FakeTransport(shop.transport._tools)
    shop.run()
    shop.clock.move(seconds=6)
    shop.run()
    assert shop.transport.sessions() == [before.id]
    assert shop.transport.order(before.id).channel == before.channel
    assert f"\nsession {before.id}-again\n" in task_text(shop.store, "node1")
    shop.live()
    assert shop.job().state == "done"


@pytest.mark.parametrize("word", ["checking", "verified"])
def test_a_session_that_is_started_anew_does_not_wait_for_who_has_the_image(shop: Shop, word: str) -> None:
    shop.book()
    shop.live(until="watch")
    shop.clock.move(seconds=6)
    shop.say("node1", word, shop.digest(shop.job()))
    shop.transport = FakeTransport(shop.transport._tools)
    shop.run()
    assert shop.transport.order("job1-1").receivers == ("node2", "node3")


def test_a_session_that_nobody_needs_any_more_is_ended(shop: Shop) -> None:
    shop.transport.fates["node3"] = Fate(joins_after_s=None)
    shop.book()
    shop.live(until="watch")
    shop.clock.move(seconds=1)
    for node in NODES:
        shop.say(node, "verified", shop.digest(shop.job()))
    shop.live(15)
    assert (shop.job().state, shop.transport.sessions()) == ("done", [])


def test_a_session_that_is_lost_twice_is_not_started_a_third_time(shop: Shop) -> None:
    shop.book()
    for _ in range(2):
        shop.live(until="watch")
        shop.transport = FakeTransport(shop.transport._tools)
        shop.clock.move(seconds=6)
        shop.run()
    shop.live(300)
    assert shop.job().state == "done"
    assert shop.transport.order("job1-2").receivers == NODES


def test_sessions_that_no_job_has_any_more_are_ended_and_those_of_others_left(shop: Shop) -> None:
    for name in ("job77-1", "backup"):
        channel = allocate([shop.transport.order(other).channel for other in shop.transport.sessions()])
        shop.transport.start(Ordered(name, BytesSource(b"x" * 10**8), ("node6",), channel, 1000))
    shop.book()
    shop.live(until="watch")
    assert shop.transport.sessions() == ["backup", "job1-1"]


def test_taken_back_by_a_person_nothing_half_written_counts(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    jobs.cancel(shop.store, "bob", 1, clock=shop.clock)
    shop.run()
    assert (shop.job().state, shop.job().note) == ("cancelled", "taken back by bob")
    assert set(shop.slots().values()) == {"damaged"}
    assert shop.deployment().state == "failed"  # its reservation wants it: it can be tried again
    assert (shop.transport.sessions(), shop.store.overrides()) == ([], [])


def test_taken_back_with_its_reservation_the_image_is_dark_again(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    shop.keep(a_reservation(1, state="cancelled", nodes=NODES))
    jobs.cancel(shop.store, "calendar: reservation 1 is cancelled", 1, clock=shop.clock)
    shop.run()
    assert shop.deployment().state == "dark"


def test_what_was_verified_before_it_was_taken_back_stays_ready(shop: Shop) -> None:
    shop.silent.add("node3")
    shop.book()
    shop.live(60)
    jobs.cancel(shop.store, "bob", 1, clock=shop.clock)
    shop.run()
    assert shop.slots() == {**ready("node1", "node2"), "node3": "damaged"}
    assert (shop.job().state, shop.deployment().state) == ("cancelled", "hd-ready")


def test_a_transport_that_does_not_answer_does_not_keep_a_job_from_ending(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    shop.transport.faults.plant(Unreachable("sender's host is down"), "stop", times=None)
    jobs.cancel(shop.store, "bob", 1, clock=shop.clock)
    shop.live(60)
    assert shop.job().state == "cancelled"
    assert set(shop.slots().values()) == {"damaged"}


def test_a_transport_that_refuses_fails_the_job_and_says_why(shop: Shop) -> None:
    shop.transport.faults.plant(Refuse("no interface has that address"), "start")
    shop.book()
    shop.live(60)
    assert (shop.job().state, shop.deployment().state) == ("failed", "failed")
    assert "no interface has that address" in shop.job().note
    assert set(shop.slots().values()) == {"damaged"}
