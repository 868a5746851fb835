"""Jobs are advanced step by step: by one worker at a time, each step one commit, until they end."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from bootd.drivers.power import PowerRefused, PowerUnreachable
from bootd.errors import Refused
from bootd.events import InternalError, JobEnded
from bootd.model import JobKind, JobPart, Outcome, Project
from bootd.model.jobs import LONGEST_WAIT
from bootd.services import jobs
from bootd.workers.engine import MOST_TRIES
from bootd.workers.work import LEASE_S, GivenUp, LeaseLost, Work, lease_name
from tests.helpers.deeds import keep
from tests.helpers.jobs import Doing, Shop, Step, done
from tests.helpers.site import NOON


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.store.close()


def to(step: str, *, wait_s: float = 0.0) -> Step:
    """Return a step that goes on with *step*."""

    def go(work: Work) -> None:
        with work.commit(step, wait_s=wait_s):
            pass

    return go


def raises(error: BaseException) -> Step:
    def go(work: Work) -> None:
        raise error

    return go


# -- steps ---------------------------------------------------------------------------------------


def test_steps_follow_each_other_until_the_job_ends(shop: Shop) -> None:
    shop.add()
    engine = shop.engine(Doing({"": to("send"), "send": to("look"), "look": done}))
    assert engine.run_due() == 3
    job = shop.job()
    assert (job.state, job.step, job.began_at, job.ended_at) == ("done", "look", NOON, NOON)
    assert engine.run_due() == 0


def test_job_goes_on_when_its_wait_is_over_and_not_before(shop: Shop) -> None:
    shop.add()
    engine = shop.engine(Doing({"": to("send", wait_s=30), "send": done}))
    assert engine.run_due() == 1
    shop.clock.move(seconds=29)
    assert engine.run_due() == 0
    assert engine.run(1) == 0
    shop.clock.move(seconds=1)
    assert engine.run_due() == 1


def test_worker_that_comes_late_does_not_cut_the_wait_of_a_job_short(shop: Shop) -> None:
    shop.add()
    steps = {"": to("send", wait_s=30), "send": done}
    first, second = shop.engine(Doing(steps), "first"), shop.engine(Doing(steps), "second")
    seen = shop.store.jobs_due(shop.clock())
    first.run_due()
    assert [second.run(job.id) for job in seen] == [0]
    assert shop.job().due_at == NOON + timedelta(seconds=30)


def test_end_of_a_job_is_said_once(shop: Shop) -> None:
    shop.add()
    shop.engine(Doing({"": to("send"), "send": done})).run_due()
    assert shop.events == [JobEnded(job=1, kind="write-slot", reservation=None, state="done", note="")]


def test_what_a_step_writes_and_where_the_job_goes_on_are_one_commit(shop: Shop) -> None:
    def writes_and_breaks(work: Work) -> None:
        work.note_parts(replace(work.part("node1"), octets=9))
        with work.commit("send") as change:
            change.keep(Project("mesh", "anna", NOON))
            raise Refused("on second thoughts")

    shop.add("node1")
    shop.engine(Doing({"": writes_and_breaks})).run_due()
    assert shop.store.find(Project, "mesh") is None
    assert shop.store.job_parts(1) == [JobPart(1, "node1")]
    assert shop.job().step == ""


def test_words_of_nodes_are_not_overwritten_by_the_worker(shop: Shop) -> None:
    def hears(work: Work) -> None:
        said = JobPart(1, "node1", word="verified", word_detail="sha256:1", word_at=NOON)
        with shop.store.transaction("bootd") as change:
            change.put_job_parts([said])
        work.note_parts(replace(work.part("node1"), outcome=Outcome.OK))
        done(work)

    shop.add("node1")
    shop.engine(Doing({"": hears})).run_due()
    [part] = shop.store.job_parts(1)
    assert (part.word, part.word_detail, part.outcome) == ("verified", "sha256:1", Outcome.OK)


def test_commit_writes_those_parts_only_that_the_step_changed(shop: Shop) -> None:
    left_alone = JobPart(1, "node2", note="nobody else writes this, so it shows who wrote")

    def changes_one(work: Work) -> None:
        with shop.store.transaction("bootd") as change:
            change.put_job_parts([left_alone])
        work.note_parts(replace(work.part("node1"), outcome=Outcome.OK), work.part("node2"))
        done(work)

    shop.add("node1", "node2")
    shop.engine(Doing({"": changes_one})).run_due()
    assert shop.store.job_parts(1) == [JobPart(1, "node1", outcome=Outcome.OK), left_alone]


def test_what_a_failed_step_only_had_in_mind_is_not_written_with_its_next_try(shop: Shop) -> None:
    def fails(work: Work) -> None:
        work.show(replace(work.part("node1"), step="resetting"))
        work.note_parts(replace(work.part("node1"), outcome=Outcome.OK))
        raise Refused("no answer")

    shop.add("node1")
    shop.engine(Doing({"": fails})).run_due()
    assert shop.store.job_parts(1) == [JobPart(1, "node1", step="resetting")]


# -- two workers ---------------------------------------------------------------------------------


def test_second_worker_leaves_a_job_alone_that_the_first_is_at(shop: Shop) -> None:
    tried = []

    def meanwhile(work: Work) -> None:
        tried.append(shop.engine(Doing(), "second").run_due())
        done(work)

    shop.add()
    assert shop.engine(Doing({"": meanwhile}), "first").run_due() == 1
    assert tried == [0]


def test_two_workers_share_the_jobs_and_do_each_step_once(shop: Shop) -> None:
    deeds: list[tuple[str, int, str]] = []

    def both(work: Work) -> None:
        """Do the step; before the first worker commits its own, the second has a go at everything."""
        deeds.append((work.context.holder, work.job.id, work.job.step))
        if work.context.holder == "first":
            second.run_due()
        (done if work.job.step == "look" else to("look"))(work)

    doing = Doing({"": both, "look": both})
    first, second = shop.engine(doing, "first"), shop.engine(doing, "second")
    numbers = [shop.add() for _ in range(5)]
    first.run_due()
    steps = [(number, step) for _, number, step in deeds]
    assert sorted(steps) == sorted((number, step) for number in numbers for step in ("", "look"))
    assert {holder for holder, _, _ in deeds} == {"first", "second"}


def test_step_whose_lease_was_lost_leaves_nothing(shop: Shop) -> None:
    """A worker that slept through its lease: another did the step meanwhile."""

    def sleeps(work: Work) -> None:
        shop.clock.move(seconds=LEASE_S + 1)
        assert shop.engine(Doing({"": to("send", wait_s=9), "send": done}), "second").run_due() == 1
        work.note_parts(replace(work.part("node1"), octets=9))
        with work.commit("wrong") as change:
            change.keep(Project("mesh", "anna", NOON))

    shop.add("node1")
    assert shop.engine(Doing({"": sleeps}), "first").run_due() == 0
    assert shop.job().step == "send"
    assert shop.store.find(Project, "mesh") is None
    assert shop.store.job_parts(1) == [JobPart(1, "node1")]


def test_lease_of_another_is_not_given_back_by_who_lost_it(shop: Shop) -> None:
    held = []

    def stays(work: Work) -> None:
        with pytest.raises(LeaseLost):
            first_work[0].show()
        held.append(shop.store.lease(lease_name(1)))
        done(work)

    first_work: list[Work] = []

    def sleeps(work: Work) -> None:
        first_work.append(work)
        shop.clock.move(seconds=LEASE_S + 1)
        shop.engine(Doing({"": stays}), "second").run_due()
        work.show()

    shop.add()
    shop.engine(Doing({"": sleeps}), "first").run_due()
    assert [lease.holder for lease in held if lease] == ["second"]
    assert shop.job().state == "done"


def test_job_of_a_worker_that_was_killed_goes_on_when_its_lease_is_over(shop: Shop) -> None:
    class Killed(BaseException):
        """Nothing of the engine catches it: as a kill, it leaves the lease behind."""

    shop.add()
    with pytest.raises(Killed):
        shop.engine(Doing({"": raises(Killed())}), "first").run_due()
    second = shop.engine(Doing(), "second")
    assert second.run_due() == 0
    shop.clock.move(seconds=LEASE_S)
    assert second.run_due() == 1


def test_long_deed_keeps_its_lease_by_showing_how_far_it_is(shop: Shop) -> None:
    def copies(work: Work) -> None:
        for octets in range(1, 11):
            shop.clock.move(seconds=LEASE_S / 2)
            work.show(replace(work.part("node1"), octets=octets))
            assert shop.engine(Doing(), "second").run_due() == 0
            assert shop.store.job_parts(1)[0].octets == octets
        done(work)

    shop.add("node1")
    assert shop.engine(Doing({"": copies}), "first").run_due() == 1


def test_showing_often_writes_once_a_second(shop: Shop) -> None:
    def copies(work: Work) -> None:
        work.show(replace(work.part("node1"), octets=1))
        shop.clock.move(seconds=0.5)
        work.show(replace(work.part("node1"), octets=2))
        assert shop.store.job_parts(1)[0].octets == 1
        shop.clock.move(seconds=0.5)
        work.show()
        assert shop.store.job_parts(1)[0].octets == 2
        done(work)

    shop.add("node1")
    assert shop.engine(Doing({"": copies})).run_due() == 1


# -- wrong clocks --------------------------------------------------------------------------------


def test_lease_that_a_wrong_clock_wrote_binds_nobody(shop: Shop) -> None:
    shop.add()
    with shop.store.transaction("calendar") as change:
        ahead = NOON + timedelta(days=365)
        change.take_lease(lease_name(1), "wrong", now=ahead, until=ahead + timedelta(seconds=LEASE_S))
    assert shop.engine(Doing(), "right").run_due() == 1


def test_job_that_a_wrong_clock_put_off_is_due(shop: Shop) -> None:
    shop.add()
    keep(shop.store, replace(shop.job(), due_at=NOON + timedelta(days=365), state="running", began_at=NOON))
    assert shop.engine(Doing()).run_due() == 1
    assert shop.job().ended_at == NOON


def test_longest_wait_is_not_taken_for_a_wrong_clock(shop: Shop) -> None:
    shop.add()
    keep(shop.store, replace(shop.job(), due_at=NOON + LONGEST_WAIT))
    assert shop.engine(Doing()).run_due() == 0


# -- failures ------------------------------------------------------------------------------------


def run_out(shop: Shop, doing: Doing) -> int:
    """Let all waits pass until the job ends; return how many seconds that took."""
    shop.add()
    engine = shop.engine(doing)
    for _ in range(100):
        engine.run_due()
        if shop.job().ended_at is not None:
            return int((shop.clock() - NOON).total_seconds())
        shop.clock.at = max(shop.clock(), shop.job().due_at)
    raise AssertionError("the job never ends")


def test_step_that_fails_is_tried_again_after_longer_and_longer_waits_and_given_up(shop: Shop) -> None:
    times: list[float] = []

    def fails(work: Work) -> None:
        times.append((work.now - NOON).total_seconds())
        raise PowerUnreachable("node1", "no answer")

    run_out(shop, Doing({"": fails}))
    assert len(times) == MOST_TRIES
    waits = [after - before for before, after in pairwise(times)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (2, 120)
    assert shop.job().state == "failed"
    assert "no answer" in shop.job().note


def test_waiting_for_the_next_try_is_said_in_the_job(shop: Shop) -> None:
    shop.add()
    engine = shop.engine(Doing({"": raises(Refused("no answer"))}))
    engine.run_due()
    assert shop.job().note == "no answer; tried once"
    shop.clock.at = shop.job().due_at
    engine.run_due()
    assert shop.job().note == "no answer; tried 2 times"


def test_tries_are_counted_for_one_step_and_not_for_the_job(shop: Shop) -> None:
    failed: dict[str, int] = {}

    def fails_often(work: Work) -> None:
        step = work.job.step
        failed[step] = failed.get(step, 0) + 1
        if failed[step] < MOST_TRIES:
            raise Refused("no answer")
        (done if step == "send" else to("send"))(work)

    run_out(shop, Doing({"": fails_often, "send": fails_often}))
    assert shop.job().state == "done"


@pytest.mark.parametrize("error", [GivenUp("there is no slot 9"), PowerRefused("node1", "no such outlet")])
def test_what_cannot_be_done_at_all_is_not_tried_again(shop: Shop, error: Exception) -> None:
    assert run_out(shop, Doing({"": raises(error)})) == 0
    assert (shop.job().state, shop.job().note) == ("failed", str(error))


def test_given_up_job_is_tidied_up_after_and_that_is_tried_again_too(shop: Shop) -> None:
    reasons: list[str] = []

    def tidies(work: Work, why: str) -> None:
        reasons.append(why)
        if len(reasons) < 3:
            raise Refused("the backend is away")
        with work.finish("fail", why):
            pass

    run_out(shop, Doing({"": raises(GivenUp("no use"))}, tidy=tidies))
    assert reasons == ["no use"] * 3
    assert (shop.job().state, shop.job().note) == ("failed", "no use")


def test_job_that_cannot_be_tidied_up_after_ends_and_says_what_is_left(shop: Shop) -> None:
    def cannot(work: Work, why: str) -> None:
        raise Refused("the backend is away")

    run_out(shop, Doing({"": raises(GivenUp("no use"))}, tidy=cannot))
    assert (shop.job().state, shop.job().note) == ("failed", "no use; left behind: the backend is away")


def test_bug_in_one_handler_does_not_stop_the_others(shop: Shop) -> None:
    first, second = shop.add(), shop.add()

    def broken(work: Work) -> None:
        if work.job.id == first:
            raise ZeroDivisionError("oops")
        done(work)

    shop.engine(Doing({"": broken})).run_due()
    assert shop.job(second).state == "done"
    assert shop.job(first).state == "running"
    assert "internal error" in shop.job(first).note
    bug = InternalError(where="job 1 write-slot", text="ZeroDivisionError('oops')")
    assert bug in shop.events


def test_kind_that_this_bootd_cannot_do_fails_and_says_so(shop: Shop) -> None:
    shop.add(kind=JobKind.END)
    shop.engine(Doing()).run_due()
    assert shop.job().state == "failed"
    assert "this bootd cannot do end jobs" in shop.job().note


def test_step_that_this_bootd_does_not_know_fails_and_says_so(shop: Shop) -> None:
    shop.add()
    keep(shop.store, replace(shop.job(), step="dance"))
    shop.engine(Doing()).run_due()
    assert shop.job().state == "failed"
    assert "write-slot jobs have no step 'dance'" in shop.job().note


# -- taken back ----------------------------------------------------------------------------------


def test_job_taken_back_between_two_steps_is_handed_to_its_handler(shop: Shop) -> None:
    shop.add()
    engine = shop.engine(Doing({"": to("send", wait_s=60), "send": done}))
    engine.run_due()
    shop.cancel()
    assert engine.run_due() == 1
    assert (shop.job().state, shop.job().note) == ("cancelled", "taken back by anna")


def test_job_taken_back_during_a_step_loses_what_the_step_did_and_goes_on_at_once(shop: Shop) -> None:
    def meanwhile(work: Work) -> None:
        shop.cancel()
        with work.commit("send") as change:
            change.keep(Project("mesh", "anna", NOON))

    shop.add()
    engine = shop.engine(Doing({"": meanwhile, "send": done}), "first")
    assert engine.run_due() == 0
    assert shop.store.find(Project, "mesh") is None
    assert shop.engine(Doing(), "second").run_due() == 1
    assert shop.job().state == "cancelled"


def test_long_deed_hears_that_its_job_was_taken_back(shop: Shop) -> None:
    went_on = []

    def copies(work: Work) -> None:
        shop.cancel()
        shop.clock.move(seconds=2)
        work.show()
        went_on.append(work)

    shop.add()
    assert shop.engine(Doing({"": copies})).run_due() == 0
    assert went_on == []
    assert jobs.CANCEL in shop.job().facts


def test_taking_back_that_fails_is_tried_again_and_in_the_end_the_job_is_cancelled(shop: Shop) -> None:
    def cannot(work: Work, who: str) -> None:
        raise Refused("the backend is away")

    shop.add()
    keep(shop.store, replace(shop.job(), state="running", facts={jobs.CANCEL: "anna"}))
    engine = shop.engine(Doing(give_back=cannot))
    for _ in range(MOST_TRIES):
        engine.run_due()
        shop.clock.move(minutes=3)
    assert shop.job().state == "cancelled"
    assert shop.job().note == "taken back by anna; left behind: the backend is away"


# -- the daemon ends -----------------------------------------------------------------------------


def test_worker_that_stops_leaves_the_job_to_the_next_one_at_once(shop: Shop) -> None:
    stopping = False

    def copies(work: Work) -> None:
        nonlocal stopping
        stopping = True
        work.show()

    shop.add()
    assert shop.engine(Doing({"": copies}), "first", stopping=lambda: stopping).run_due() == 0
    assert shop.engine(Doing(), "second").run_due() == 1


def test_worker_that_stops_begins_no_further_step(shop: Shop) -> None:
    steps: list[str] = []

    def once(work: Work) -> None:
        steps.append(work.job.step)
        to("send")(work)

    shop.add()
    engine = shop.engine(Doing({"": once, "send": once}), stopping=lambda: bool(steps))
    engine.run_due()
    assert (steps, shop.job().step) == ([""], "send")
