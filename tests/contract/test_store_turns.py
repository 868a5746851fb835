"""Whose turn it is: leases, jobs that are due, and how far each is."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bootd.model import Job, JobKind, JobPart, Lease, Outcome
from bootd.store import Store
from tests.helpers.deeds import a_job, keep
from tests.helpers.site import NOON, HandClock

MINUTE = timedelta(minutes=1)


def take(store: Store, clock: HandClock, holder: str, length: timedelta = MINUTE) -> bool:
    with store.transaction("calendar") as change:
        return change.take_lease("job/1", holder, now=clock(), until=clock() + length)


def test_a_lease_is_had_by_one(store: Store, clock: HandClock) -> None:
    assert take(store, clock, "a")
    assert not take(store, clock, "b")
    assert store.lease("job/1") == Lease("job/1", "a", NOON + MINUTE)
    assert store.lease("job/2") is None


def test_a_lease_is_renewed_by_its_holder_and_free_after_its_time(store: Store, clock: HandClock) -> None:
    take(store, clock, "a")
    clock.move(seconds=59)
    assert take(store, clock, "a")
    clock.move(seconds=59)
    assert not take(store, clock, "b")
    clock.move(seconds=1)
    assert take(store, clock, "b")
    assert not take(store, clock, "a")


def test_a_lease_of_a_clock_that_was_far_ahead_is_void(store: Store, clock: HandClock) -> None:
    clock.move(hours=5)
    take(store, clock, "a")
    clock.move(hours=-5)
    assert take(store, clock, "b")


def test_a_lease_taken_while_we_waited_for_our_turn_is_not_void(store: Store, clock: HandClock) -> None:
    clock.move(seconds=5)  # the other's clock was read later than ours, or ours was set back a little
    take(store, clock, "a")
    clock.move(seconds=-5)
    assert not take(store, clock, "b")


def test_a_lease_is_dropped_by_its_holder_alone(store: Store, clock: HandClock) -> None:
    take(store, clock, "a")
    for holder, left in (("b", Lease("job/1", "a", NOON + MINUTE)), ("a", None)):
        with store.transaction("calendar") as change:
            change.drop_lease("job/1", holder)
        assert store.lease("job/1") == left


def test_a_lease_goes_with_the_transaction_that_took_it(store: Store, clock: HandClock) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction("calendar") as change:  # noqa: PT012
        change.take_lease("job/1", "a", now=clock(), until=clock() + MINUTE)
        1 / 0  # noqa: B018
    assert store.lease("job/1") is None


def test_leases_and_parts_are_not_journalled(store: Store, clock: HandClock) -> None:
    take(store, clock, "a")
    with store.transaction("calendar") as change:
        change.put_job_parts([JobPart(1, "node1")])
    assert store.generation() == 0


def test_parts_whose_node_spoke_are_found(store: Store) -> None:
    spoke = JobPart(1, "node2", word="joined", word_at=NOON)
    with store.transaction("bootd", "job") as change:
        change.put_job_parts([JobPart(1, "node1"), spoke, JobPart(2, "node3", word="joined")])
        assert change.spoken_parts(1) == [spoke]
    assert store.spoken_parts(1) == [spoke]


def test_parts_come_back_equal_by_node(store: Store) -> None:
    part = JobPart(
        *(1, "node2", "copy", Outcome.TIMED_OUT, NOON, 2, 10, 100, 7, "slow", "verified", "sha256:1"), NOON
    )
    with store.transaction("calendar") as change:
        change.put_job_parts([part, JobPart(1, ""), JobPart(2, "node2")])
    assert store.job_parts(1) == [JobPart(1, ""), part]
    with store.transaction("calendar") as change:
        change.put_job_parts([replace(part, outcome=Outcome.OK, word_at=None)])
    assert store.job_parts(1) == [JobPart(1, ""), replace(part, outcome=Outcome.OK, word_at=None)]


def test_open_parts_of_a_node_are_those_of_jobs_not_ended(store: Store) -> None:
    states = ("waiting", "running", "done", "partly", "failed", "cancelled")
    keep(store, *(a_job(number, state=state) for number, state in enumerate(states, 1)))
    with store.transaction("calendar") as change:
        change.put_job_parts(JobPart(number, node) for number in range(1, 7) for node in ("node1", "node2"))
    assert store.open_parts_of("node2") == [JobPart(1, "node2"), JobPart(2, "node2")]
    assert store.open_parts_of("node3") == []


def test_jobs_due_come_longest_due_first(store: Store) -> None:
    due = [NOON, NOON - MINUTE, NOON + MINUTE, NOON - 2 * MINUTE, NOON - 3 * MINUTE]
    states = ["waiting", "running", "waiting", "waiting", "done"]
    rows = enumerate(zip(due, states, strict=True), 1)
    keep(store, *(a_job(number, due_at=at, state=state) for number, (at, state) in rows))
    assert [job.id for job in store.jobs_due(NOON)] == [4, 2, 1]
    assert store.jobs_due(NOON - timedelta(minutes=3)) == []


def test_a_job_put_off_by_a_clock_that_was_far_ahead_is_due(store: Store) -> None:
    keep(store, a_job(1, due_at=NOON + timedelta(days=30)), a_job(2, due_at=NOON + 10 * MINUTE))
    assert [job.id for job in store.jobs_due(NOON)] == [1]


def test_jobs_are_listed_newest_first_by_what_is_asked(store: Store) -> None:
    keep(
        store,
        a_job(1, state="done"),
        a_job(2, kind=JobKind.START, deployment=None),
        a_job(3, reservation=2, deployment=2),
    )

    def numbers(**asked: object) -> list[int]:
        return [job.id for job in store.jobs(**asked)]  # type: ignore[arg-type]

    assert numbers() == [3, 2, 1]
    assert numbers(limit=2) == [3, 2]
    assert numbers(states=["waiting"], reservation=1) == [2]
    assert numbers(kind="write-slot") == [3, 1]
    assert numbers(deployment=2) == [3]
    assert store.find(Job, 2) == a_job(2, kind=JobKind.START, deployment=None)


def test_leases_of_one_holder_are_given_back_together(store: Store) -> None:
    until = NOON + timedelta(minutes=1)
    with store.transaction("calendar") as change:
        for name, holder in (("power/node1", "job/3"), ("power/node2", "job/3"), ("power/node3", "job/4")):
            assert change.take_lease(name, holder, now=NOON, until=until)
    with store.transaction("calendar") as change:
        change.drop_leases_of("job/3")
    assert [lease.name for lease in store.leases()] == ["power/node3"]
