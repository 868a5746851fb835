"""Machines are switched in windows by micro-steps; a worker that dies on the way is followed by another."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootd.drivers.faults import Crash, Refuse, Unreachable
from bootd.drivers.power import PowerState, ResetKind
from bootd.model import Job, JobKind, JobPart, Outcome
from bootd.workers import switching
from bootd.workers.switching import ASKED, CYCLED_ONCE, FORCED, MOST_TRIES, Manner, Turn, plan
from bootd.workers.work import Work, lease_name
from tests.helpers.deeds import a_job
from tests.helpers.site import NOON, HandClock, a_host
from tests.helpers.workshop import SETTINGS, Workshop

NODES = ("node1", "node2", "node3", "node4")
PACE = replace(SETTINGS, window=2, window_pause_s=10.0, up_s=300.0)


class Switches:
    """A job that does nothing but switch its machines; *up* and *held* are looked up by each of its steps."""

    def __init__(self, manner: Manner = ASKED) -> None:
        self.manner = manner
        self.up: set[str] = set()
        self.held: set[str] = set()

    @property
    def steps(self) -> Mapping[str, Any]:
        return {"": self._begin, "switch": self._switch}

    def _begin(self, work: Work) -> None:
        work.note_parts(*(switching.begin(work.part(n), work.now, self.manner) for n in work.job.nodes))
        with work.commit("switch"):
            pass

    def _switch(self, work: Work) -> None:
        more = switching.step(work, work.job.nodes, up=self.up, held=self.held, manner=self.manner)
        if not more:
            with work.finish(switching.verdict(work)):
                pass

    def fail(self, work: Work, why: str) -> None:
        with work.finish("fail", why):
            pass

    def cancel(self, work: Work, who: str) -> None:
        with work.finish("cancel", who):
            pass


def a_workshop(folder: Path, job: Switches, *, on: bool = True, **pace: Any) -> Workshop:
    shop = Workshop({JobKind.START: job}, folder, settings=replace(PACE, **pace))
    if on:
        shop.power.states = dict.fromkeys(NODES, PowerState.ON)
    shop.keep(a_job(kind=JobKind.START, nodes=NODES, reservation=None, deployment=None))
    return shop


# -- the plan ---------------------------------------------------------------------------------


def parts(*steps: str, **fields: Any) -> list[JobPart]:
    standard = {"since": NOON} | fields
    return [JobPart(1, f"node{n}", step, **standard) for n, step in enumerate(steps, 1)]


def at(seconds: float) -> Any:
    clock = HandClock()
    clock.move(seconds=seconds)
    return clock()


def test_the_first_window_is_as_large_as_the_settings_allow() -> None:
    assert plan(parts("queued", "queued", "queued"), NOON, PACE) == Turn((), ("node1", "node2"), 0.0)


def test_the_next_window_waits_for_its_pause() -> None:
    queue = parts("reset", "reset", "queued")
    assert plan(queue, at(4), PACE, last_window_at=NOON, up=["node1", "node2"]).wait_s == 5.0
    assert plan(queue, at(6), PACE, last_window_at=NOON).wait_s == 4.0
    assert plan(queue, at(10), PACE, last_window_at=NOON).window == ("node3",)


def test_after_an_absence_one_window_is_due_and_not_all() -> None:
    assert plan(parts(*["queued"] * 4), at(3600), PACE, last_window_at=NOON).window == ("node1", "node2")


def test_a_clock_set_back_holds_up_no_window() -> None:
    assert plan(parts("queued"), NOON, PACE, last_window_at=at(3600)).window == ("node1",)


def test_a_clock_set_back_does_not_lengthen_the_wait_for_a_word() -> None:
    [part] = plan(parts("reset", since=at(3600)), NOON, PACE).parts
    assert part.since == NOON


def test_who_is_held_is_left_out_and_takes_nobody_s_place() -> None:
    assert plan(parts(*["queued"] * 3), NOON, PACE, held=["node1"]).window == ("node2", "node3")
    assert plan(parts("queued"), NOON, PACE, held=["node1"]) == Turn((), (), switching.POLL_S)


def test_who_is_up_needs_no_switching() -> None:
    turn = plan(parts("queued", "reset"), NOON, PACE, up=["node1", "node2"])
    assert [(part.node, part.outcome) for part in turn.parts] == [("node1", "ok"), ("node2", "ok")]
    assert turn.wait_s is None


def test_without_a_word_a_reset_machine_is_cycled_and_a_cycled_one_given_up() -> None:
    soon = plan(parts("reset", "cycled"), at(299), PACE)
    assert (soon.parts, soon.wait_s) == ((), 1.0)
    late = plan(parts("reset", "cycled"), at(300), PACE)
    assert [(part.step, part.outcome) for part in late.parts] == [("overdue", ""), ("cycled", "timed-out")]
    assert late.window == ("node1",)
    assert "no word for 300 s" in late.parts[1].note


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT])
def test_who_was_given_up_and_comes_up_by_itself_is_ok(outcome: Outcome) -> None:
    [part] = plan(parts("left", outcome=outcome), NOON, PACE, up=["node1"]).parts
    assert (part.outcome, part.note) == (Outcome.OK, "")


def test_a_machine_whose_switch_did_not_answer_is_given_a_while() -> None:
    tried = parts("queued", tries=1)
    assert plan(tried, at(14), PACE).window == ()
    assert plan(tried, at(15), PACE).window == ("node1",)


def test_steps_of_other_kinds_are_left_alone() -> None:
    assert plan(parts("", "waiting", "sent"), at(9999), PACE) == Turn((), (), None)


def test_where_no_word_is_awaited_an_order_taken_is_the_end() -> None:
    for step in ("reset", "cycled", "left"):
        assert plan(parts(step), at(9999), PACE, manner=FORCED) == Turn((), (), None)


# -- carried out ------------------------------------------------------------------------------


def test_machines_are_asked_to_reset_in_windows(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches())
    shop.run()
    assert shop.switched() == [("reset-soft", "node1"), ("reset-soft", "node2")]
    shop.run_for(9)
    assert len(shop.switched()) == 2
    shop.run_for(1)
    assert shop.switched()[2:] == [("reset-soft", "node3"), ("reset-soft", "node4")]


def test_machines_that_are_off_are_switched_on(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches(), on=False, window=4)
    shop.run()
    assert shop.switched() == [("on", node) for node in NODES]


def test_a_machine_that_says_nothing_is_cycled_and_then_given_up(tmp_path: Path) -> None:
    job = Switches()
    shop = a_workshop(tmp_path, job, window=4)
    shop.run()
    job.up = {"node1", "node2", "node3"}
    shop.run_for(295)
    assert shop.job().state == "running"
    shop.run_for(10)
    assert ("off", "node4") in shop.switched()
    shop.run_for(300)
    assert shop.outcomes() == {**dict.fromkeys(NODES[:3], Outcome.OK), "node4": Outcome.TIMED_OUT}
    assert shop.job().state == "partly"
    assert [start.node for start in shop.power.starts] == [*NODES, "node4"]


def test_a_machine_without_a_power_driver_fails_with_the_reason(tmp_path: Path) -> None:
    job = Switches()
    shop = a_workshop(tmp_path, job, window=4)
    with shop.store.transaction("anna") as change:
        change.put_host(a_host(4))
    shop.run()
    job.up = {"node1", "node2", "node3"}
    shop.run_for(320)
    assert shop.outcomes()["node4"] is Outcome.FAILED
    assert "has no setting 'power'" in shop.part("node4").note


def test_a_machine_without_a_power_driver_may_come_up_by_itself(tmp_path: Path) -> None:
    job = Switches()
    shop = a_workshop(tmp_path, job, window=4)
    with shop.store.transaction("anna") as change:
        change.put_host(a_host(4))
    shop.run_for(100)
    job.up = set(NODES)
    shop.run_for(10)
    assert shop.job().state == "done"


def test_a_machine_that_is_no_longer_in_the_table_fails_alone(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches(FORCED), window=4)
    with shop.store.transaction("anna") as change:
        change.remove_host("node2")
    shop.run_for(30)
    assert shop.part("node2").step == "left"
    assert "no such host" in shop.part("node2").note
    assert [verb for verb, _ in shop.switched()] == ["reset-hard"] * 3


def test_a_switch_that_does_not_answer_is_tried_again_and_holds_up_nobody(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches(FORCED), window=4)
    shop.power.faults.plant(Unreachable("BMC is busy"), "reset-hard", "node2")
    shop.run()
    assert (shop.part("node2").step, shop.part("node2").note) == ("queued", "node2: BMC is busy")
    assert shop.part("node3").step == "reset"
    shop.run_for(16)
    assert shop.part("node2").step == "reset"
    assert [start.node for start in shop.power.starts] == ["node1", "node3", "node4", "node2"]


def test_a_switch_that_never_answers_is_given_up_after_so_many_tries(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches(CYCLED_ONCE), window=4)
    shop.power.faults.plant(Unreachable("BMC is gone"), "off", "node2", times=None)
    shop.run_for(300)
    assert [order for order in shop.switched() if order == ("off", "node2")] == [
        ("off", "node2")
    ] * MOST_TRIES
    assert (shop.part("node2").step, shop.job().state) == ("left", "failed")


def test_a_machine_that_is_off_is_switched_on_and_not_kept_waiting(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches(CYCLED_ONCE), window=4, on=False)
    shop.power.states["node2"] = PowerState.ON
    shop.run_for(20)
    assert [verb for verb, node in shop.switched() if node == "node1"] == ["on"]
    assert [verb for verb, node in shop.switched() if node == "node2"] == ["off", "on"]


def test_a_reset_that_is_refused_for_good_becomes_a_power_cycle(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches(FORCED), window=4)
    shop.power.faults.plant(Refuse("no reset line"), "reset-hard", "node1")
    shop.run_for(20)
    assert shop.part("node1").step == "cycled"
    assert [verb for verb, node in shop.switched() if node == "node1"] == ["reset-hard", "off", "on"]


def test_many_hands_switch_a_window_at_once(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches(FORCED), window=4, hands=4)
    shop.power.faults.plant(Refuse(), "reset-hard", "node3")
    shop.run()
    assert {shop.part(node).step for node in ("node1", "node2", "node4")} == {"reset"}
    assert shop.part("node3").step == "overdue"


def test_a_kill_before_the_order_gives_it_once(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches(), window=4)
    shop.power.faults.plant(Crash(), "reset-soft", "node1")
    shop.run()
    assert [start.node for start in shop.power.starts] == list(NODES)


def test_a_kill_after_the_order_leaves_alone_who_was_heard_of_since(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches(), window=4)
    shop.power.faults.plant(Crash(done=True), "reset-soft", "node2")
    shop.power.started = lambda start: shop.seen(start.node)
    shop.run()
    assert [start.node for start in shop.power.starts] == list(NODES)
    assert {shop.part(node).step for node in NODES} == {"reset"}


def test_a_machine_heard_of_before_the_intent_is_not_taken_for_started(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches(), window=4)
    shop.seen("node1")
    shop.clock.move(seconds=1)
    shop.power.faults.plant(Crash(), "reset-soft", "node1")
    shop.run()
    assert [start.node for start in shop.power.starts] == list(NODES)


def test_a_kill_with_the_power_off_is_followed_by_power_on(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches(CYCLED_ONCE), window=4)
    shop.power.faults.plant(Crash(), "on", "node1")
    shop.run()
    assert shop.power.states == dict.fromkeys(NODES, PowerState.ON)
    assert shop.job().state == "failed"  # this job gives no outcomes
    assert {shop.part(node).step for node in NODES} == {"cycled"}


def test_two_jobs_do_not_switch_one_machine_at_the_same_time(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches(FORCED), window=4)
    name = switching.power_lease("node2")
    with shop.store.transaction("other") as change:
        change.take_lease(name, "job/99", now=shop.clock(), until=at(60))
    shop.run_for(30)
    assert ("reset-hard", "node2") not in shop.switched()
    with shop.store.transaction("other") as change:
        change.drop_lease(name, "job/99")
    shop.run_for(10)
    assert ("reset-hard", "node2") in shop.switched()
    assert shop.store.lease(name) is None


def test_a_job_that_ends_holds_no_machine_any_more(tmp_path: Path) -> None:
    shop = a_workshop(tmp_path, Switches(FORCED), window=4)
    [job] = shop.store.jobs()
    with shop.store.transaction("a worker that was killed") as change:  # it was about to switch this one
        change.take_lease(switching.power_lease("node9"), lease_name(job.id), now=shop.clock(), until=at(60))
    shop.run_for(30)
    assert shop.store.jobs()[0].ended_at is not None
    assert shop.store.leases() == []


def test_the_job_says_how_far_its_machines_are(tmp_path: Path) -> None:
    job = Switches()
    shop = a_workshop(tmp_path, job)
    job.up = {"node1"}
    shop.run_for(5)
    assert shop.job().note == "4 nodes: 1 ok, 2 starting, 1 to be switched"


def test_the_verdict_is_that_of_the_table_of_jobs(tmp_path: Path) -> None:
    shop = Workshop({}, tmp_path)
    job = Job(1, JobKind.END, None, None, NODES[:2], NOON, "anna", NOON)
    for outcomes, event in [("ok ok", "finish"), ("ok failed", "finish-partly"), ("failed failed", "fail")]:
        given = zip(NODES, outcomes.split(), strict=False)
        work = Work(shop.context, job, {n: JobPart(1, n, outcome=Outcome(o)) for n, o in given})
        assert switching.verdict(work) == event
    assert switching.verdict(Work(shop.context, replace(job, nodes=()))) == "finish"


def test_the_manners_are_what_they_are_called() -> None:
    assert (ASKED.reset, ASKED.awaited) == (ResetKind.SOFT, True)
    assert (FORCED.reset, FORCED.awaited) == (ResetKind.HARD, False)
