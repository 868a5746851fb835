"""Jobs are written down, taken back and tried again; what they are about moves with them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bootd.errors import NotFound, Refused
from bootd.lifecycle import IllegalMove
from bootd.model import DeployedNode, Deployment, Job, JobKind, JobPart, Outcome
from bootd.services import jobs
from bootd.store import Store
from tests.helpers.deeds import NODES, a_deployment, a_job, a_node, a_project, a_reservation, keep
from tests.helpers.site import NOON, HandClock, memory_store


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(clock: HandClock) -> Store:
    store = memory_store(clock)
    keep(store, a_project(), a_reservation(state="booked"), a_deployment(state="sched", flipped_at=None))
    return store


def a_write(store: Store, **fields: Any) -> Job:
    """Have a job that writes the deployment's slot, and move it to what *fields* say."""
    with store.transaction("calendar") as change:
        job = jobs.add(
            change,
            JobKind.WRITE_SLOT,
            by="calendar",
            now=NOON,
            nodes=NODES,
            reservation=1,
            deployment=1,
            facts={jobs.OCTETS: 4096},
        )
        changed = replace(job, **fields)
        change.keep(changed)
    return changed


def put_outcomes(store: Store, **outcomes: Outcome) -> None:
    with store.transaction("calendar") as change:
        change.put_job_parts(
            JobPart(1, node, outcome=outcome, octets=7, tries=2) for node, outcome in outcomes.items()
        )


def deployment(store: Store) -> Deployment:
    found = store.find(Deployment, 1)
    assert found is not None
    return found


# -- written down ------------------------------------------------------------------------------


def test_new_job_is_due_at_once_and_has_a_part_for_each_node(store: Store) -> None:
    job = a_write(store)
    assert jobs.find(store, job.id) == job
    assert (job.state, job.step, job.due_at, job.facts) == ("waiting", "", NOON, {"octets": 4096})
    assert store.job_parts(job.id) == [JobPart(job.id, node) for node in NODES]
    assert store.jobs_due(NOON) == [job]


def test_unknown_job_is_named_with_the_way_to_find_it(store: Store) -> None:
    with pytest.raises(NotFound, match=r"no job '9'.*jobs list --all"):
        jobs.find(store, 9)


def test_list_leaves_out_what_is_over_unless_asked(store: Store) -> None:
    a_write(store, state="done")
    second = a_write(store)
    keep(store, a_job(3, reservation=2))
    assert [job.id for job in jobs.select(store)] == [3, second.id]
    assert [job.id for job in jobs.select(store, over=True)] == [3, 2, 1]
    assert [job.id for job in jobs.select(store, over=True, reservation=1)] == [2, 1]


def test_outcomes_are_node_sets_for_the_next_command(store: Store) -> None:
    job = a_write(store)
    assert jobs.outcomes(store, job) == {
        Outcome.OPEN: "node[1-2]",
        Outcome.OK: "",
        Outcome.FAILED: "",
        Outcome.TIMED_OUT: "",
    }
    put_outcomes(store, node1=Outcome.OK, node2=Outcome.TIMED_OUT)
    found = jobs.outcomes(store, job)
    assert (found[Outcome.OK], found[Outcome.TIMED_OUT], found[Outcome.OPEN]) == ("node1", "node2", "")


def test_what_nodes_share_is_in_no_set_of_nodes(store: Store) -> None:
    job = a_write(store)
    with store.transaction("calendar") as change:
        change.put_job_parts([JobPart(job.id, "", outcome=Outcome.OK)])
    assert jobs.outcomes(store, job)[Outcome.OK] == ""


# -- taken back --------------------------------------------------------------------------------


def test_job_that_nobody_began_is_cancelled_at_once(store: Store, clock: HandClock) -> None:
    clock.move(minutes=1)
    job = jobs.cancel(store, "anna", a_write(store).id, clock=clock)
    assert (job.state, job.note, job.ended_at) == ("cancelled", "taken back by anna", clock())
    assert store.find(Job, job.id) == job


def test_image_of_a_job_taken_back_is_not_sent_again_by_itself(store: Store, clock: HandClock) -> None:
    jobs.cancel(store, "anna", a_write(store).id, clock=clock)
    assert (deployment(store).state, deployment(store).note) == ("failed", "job 1 was taken back by anna")


def test_running_job_is_left_to_its_worker_and_due_now(store: Store, clock: HandClock) -> None:
    a_write(store, state="running", due_at=NOON.replace(minute=9), facts={"tries": 7, "session": "s1"})
    job = jobs.cancel(store, "anna", 1, clock=clock)
    assert (job.state, job.due_at, job.ended_at) == ("running", NOON, None)
    assert job.facts == {"tries": 0, "session": "s1", jobs.CANCEL: "anna"}
    assert deployment(store).state == "sched"


def test_second_word_to_take_a_job_back_changes_nothing(store: Store, clock: HandClock) -> None:
    a_write(store, state="running")
    first = jobs.cancel(store, "anna", 1, clock=clock)
    generation = store.generation()
    assert jobs.cancel(store, "bob", 1, clock=clock) == first
    assert store.generation() == generation


@pytest.mark.parametrize("state", jobs.OVER)
def test_job_that_is_over_cannot_be_taken_back(store: Store, clock: HandClock, state: str) -> None:
    a_write(store, state=state)
    with pytest.raises(IllegalMove, match=f"a job that is {state} cannot cancel"):
        jobs.cancel(store, "anna", 1, clock=clock)


def test_job_that_waits_is_told_to_look_again_and_others_are_left_alone(store: Store) -> None:
    later = NOON + timedelta(seconds=60)
    keep(
        store,
        a_job(1, kind=JobKind.START, deployment=None, state="running", due_at=later),
        a_job(2, kind=JobKind.END, deployment=None, state="running", due_at=later),
        a_job(3, kind=JobKind.START, deployment=None, state="done", due_at=later),
    )
    with store.transaction("calendar") as change:
        jobs.hasten(change, JobKind.START, 1, now=NOON)
    assert [job.due_at for job in store.every(Job)] == [NOON, later, later]


def test_new_try_keeps_the_permission_to_divide_disks(store: Store, clock: HandClock) -> None:
    job = a_write(store, state="failed", facts={jobs.REPARTITION: True, "ways": {}})
    assert jobs.retry(store, "anna", job.id, clock=clock).facts == {jobs.REPARTITION: True}


# -- tried again -------------------------------------------------------------------------------


def fail(store: Store, state: str = "failed") -> None:
    facts = {jobs.OCTETS: 4096, jobs.FAILING: "no answer", "session": "s1", "tries": 8}
    a_write(store, state=state, step="send", facts=facts, began_at=NOON, ended_at=NOON)
    put_outcomes(store, node1=Outcome.OK, node2=Outcome.FAILED)


def test_failed_job_begins_anew_for_the_nodes_that_are_not_ok(store: Store, clock: HandClock) -> None:
    fail(store)
    clock.move(hours=1)
    job = jobs.retry(store, "anna", 1, clock=clock)
    assert (job.state, job.step, job.due_at, job.began_at, job.ended_at) == (
        "waiting",
        "",
        clock(),
        None,
        None,
    )
    assert job.facts == {jobs.OCTETS: 4096}
    assert store.job_parts(1) == [
        JobPart(1, "node1", outcome=Outcome.OK, octets=7, tries=2),
        JobPart(1, "node2"),
    ]


def test_deployment_that_failed_is_scheduled_again_with_its_job(store: Store, clock: HandClock) -> None:
    fail(store)
    keep(
        store,
        replace(deployment(store), state="failed", note="no answer"),
        a_node("node1"),
        a_node("node2", state="failed", note="no answer"),
    )
    jobs.retry(store, "anna", 1, clock=clock)
    assert (deployment(store).state, deployment(store).note) == ("sched", "")
    states = {node.node: node.state for node in store.deployed_nodes(1)}
    assert states == {"node1": "ready", "node2": "waiting"}


def test_deployment_that_is_ready_but_for_some_nodes_stays_ready(store: Store, clock: HandClock) -> None:
    fail(store, "partly")
    keep(store, replace(deployment(store), state="hd-ready"), a_node("node2", state="failed"))
    jobs.retry(store, "anna", 1, clock=clock)
    assert deployment(store).state == "hd-ready"
    assert store.find(DeployedNode, "1/node2") == a_node("node2", state="waiting")


@pytest.mark.parametrize("state", ["done", "waiting", "running"])
def test_job_that_is_done_or_under_way_is_not_tried_again(store: Store, clock: HandClock, state: str) -> None:
    fail(store, state)
    with pytest.raises(IllegalMove, match=f"a job that is {state} cannot retry"):
        jobs.retry(store, "anna", 1, clock=clock)


def test_second_job_for_the_same_thing_is_refused_with_the_first(store: Store, clock: HandClock) -> None:
    fail(store)
    a_write(store)
    with pytest.raises(Refused, match="job 2 does the same already: bootd jobs follow 2"):
        jobs.retry(store, "anna", 1, clock=clock)


def test_job_of_a_reservation_that_is_over_is_not_tried_again(store: Store, clock: HandClock) -> None:
    fail(store)
    keep(store, a_reservation(state="cancelled"))
    with pytest.raises(Refused, match="reservation 1 is cancelled: job 1 has no use now"):
        jobs.retry(store, "anna", 1, clock=clock)
    assert jobs.find(store, 1).state == "failed"


def test_end_of_a_reservation_that_is_over_is_tried_again(store: Store, clock: HandClock) -> None:
    keep(store, a_reservation(state="ended"), a_job(1, kind=JobKind.END, deployment=None, state="failed"))
    assert jobs.retry(store, "anna", 1, clock=clock).state == "waiting"


def test_image_that_was_taken_from_its_place_is_not_sent_there_again(store: Store, clock: HandClock) -> None:
    fail(store)
    keep(store, replace(deployment(store), state="dark"))
    with pytest.raises(Refused, match="mesh/debian@1 was taken from its place"):
        jobs.retry(store, "anna", 1, clock=clock)
