"""A node's word: when it proves that the image of its reservation runs, and who else is told."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bootd.events import NodeReported, NodeReportRefused, OfferSent, ScriptSent
from bootd.model import DeployedNode, Deployment, JobKind, JobPart, Observation, Role
from bootd.services import reports
from bootd.services.reports import Given, Word, heard_in
from bootd.services.seen import observation_of
from bootd.store import Store
from tests.helpers.deeds import (
    IMAGE,
    NODES,
    a_clone,
    a_deployment,
    a_job,
    a_node,
    a_reservation,
    keep,
    put_in_place,
)
from tests.helpers.site import NOON, HandClock, a_host, memory_store

MAC = a_host().mac


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def store() -> Iterator[Store]:
    """Slot 7 of node1 and node2 was flipped to at NOON; both are to boot it."""
    with memory_store(HandClock()) as opened:
        with opened.transaction("anna") as change:
            change.put_hosts([a_host(1), a_host(2), a_host(3)])
        put_in_place(opened)
        yield opened


def running(host: str = "node1", *, given: float | None = 10, **fields: Any) -> Word:
    """Return the word of a node whose script was made so many seconds after NOON."""
    given_at = None if given is None else at(given)
    standard: dict[str, Any] = {"state": "running", "detail": "", "at": at(60), "given_at": given_at}
    return Word(host, **standard | fields)


def hear(store: Store, *words: Word | Given) -> bool:
    with store.transaction("bootd", "reports") as change:
        return reports.heard(change, *words)


def fetch(store: Store, seconds: float, answer: str = "", *, itself: bool = True, once: bool = False) -> None:
    """Have node1 fetch its script, so many seconds after NOON."""
    event = ScriptSent(
        mac=MAC,
        host="node1",
        client="10.0.0.1",
        dialect="ipxe",
        rule="reserved",
        answer=answer or str(store.places()["node1"]),
        octets=1,
        override=1 if once else None,
    )
    seen = observation_of(event, at(seconds), itself=itself)
    assert isinstance(seen, Observation)
    with store.transaction("bootd") as change:
        change.add_observations([seen])


def state(store: Store, host: str = "node1") -> str:
    node = store.find(DeployedNode, f"1/{host}")
    assert node is not None
    return node.state


def deployment_state(store: Store) -> str:
    deployment = store.find(Deployment, 1)
    assert deployment is not None
    return deployment.state


def test_a_word_after_the_flip_marks_the_node_running(store: Store) -> None:
    assert hear(store, running())
    node = store.find(DeployedNode, "1/node1")
    assert node == a_node(state="running", changed_at=at(60))
    assert store.journal(limit=1)[0].what == "reports"


def test_the_deployment_runs_when_its_last_node_does(store: Store) -> None:
    hear(store, running("node1"))
    assert deployment_state(store) == "hd-ready"
    hear(store, running("node2"))
    assert deployment_state(store) == "run"


def test_words_heard_together_count_as_if_one_by_one(store: Store) -> None:
    hear(store, *(running(node) for node in NODES))
    assert deployment_state(store) == "run"


def test_a_node_left_out_keeps_the_deployment_from_running(store: Store) -> None:
    keep(store, a_node("node2", state="failed"))
    hear(store, running())
    assert (state(store), deployment_state(store)) == ("running", "hd-ready")


def test_a_word_said_again_writes_nothing(store: Store) -> None:
    hear(store, running())
    generation = store.generation()
    assert not hear(store, running(at=at(90)))
    assert store.generation() == generation


@pytest.mark.parametrize(
    "word",
    [
        running(given=-1),  # it runs what it was given before the flip
        running(given=None),  # nobody knows what it was given
        running(override=3),  # the image of a one-shot order
        running(state="failed"),
        running(host="node3"),  # nothing is reserved for it
        running(host="nobody"),
    ],
)
def test_a_word_that_proves_nothing_changes_nothing(store: Store, word: Word) -> None:
    generation = store.generation()
    assert not hear(store, word)
    assert store.generation() == generation


@pytest.mark.parametrize(
    ("deployment", "node"),
    [
        ({"flipped_at": None}, {}),
        ({"state": "deploy-hd"}, {"state": "waiting"}),
        ({"state": "failed"}, {}),
        ({}, {"state": "waiting"}),
        ({}, {"state": "failed"}),
    ],
)
def test_a_word_from_a_place_that_is_not_bootable_changes_nothing(
    store: Store, deployment: dict[str, Any], node: dict[str, Any]
) -> None:
    keep(store, a_deployment(**deployment), a_node(**node))
    assert not hear(store, running())


def test_a_word_after_the_end_changes_nothing(store: Store) -> None:
    keep(store, a_reservation(state="ended"))
    assert not hear(store, running())


def test_without_a_token_the_script_it_fetched_last_tells(store: Store) -> None:
    fetch(store, 20)
    assert hear(store, running(given=None))
    assert state(store) == "running"


def test_a_root_node_is_known_by_the_lun_it_was_given(store: Store) -> None:
    clone = a_clone("node1", 1)
    on_lun = a_deployment(
        role=Role.ROOT, slot=None, group="roots", side=1, state="lun-ready", nodes=("node1",)
    )
    keep(store, on_lun, clone, a_node(device="", volume=clone.volume))
    fetch(store, 20, f"lun:roots {IMAGE}")
    assert hear(store, running(given=None, is_proved=False))
    assert (state(store), deployment_state(store)) == ("running", "run")


@pytest.mark.parametrize(
    "fetched",
    [
        {"seconds": -20},  # before the flip
        {"seconds": 70},  # after the word
        {"seconds": 20, "answer": "memory:rescue"},
        {"seconds": 20, "answer": f"slot:8 {IMAGE}"},
        {"seconds": 20, "answer": f"diagnose: given slot:7 {IMAGE} 5 times"},
        {"seconds": 20, "once": True},
        {"seconds": 20, "itself": False},  # a stranger asked in its name
    ],
)
def test_without_a_token_only_its_own_script_of_its_place_after_the_flip_tells(
    store: Store, fetched: dict[str, Any]
) -> None:
    fetch(store, **fetched)
    assert not hear(store, running(given=None))
    assert state(store) == "ready"


def test_the_script_before_is_the_one_that_counts(store: Store) -> None:
    fetch(store, 20)
    fetch(store, 30, "memory:rescue")
    assert not hear(store, running(given=None))
    assert not hear(store, running())
    fetch(store, 40)
    fetch(store, 50, itself=False)
    assert hear(store, running(given=None))


def test_a_node_that_was_given_up_and_runs_its_image_all_the_same_runs(store: Store) -> None:
    keep(store, a_node(state="failed", note="no word for 300 s"))
    fetch(store, 20)
    assert hear(store, running(given=None))
    assert store.find(DeployedNode, "1/node1") == a_node(state="running", changed_at=at(60))


def test_a_new_script_says_that_a_node_starts_anew(store: Store) -> None:
    hear(store, *(running(node) for node in NODES))
    assert hear(store, Given("node1", at(70)))
    assert (state(store), state(store, "node2")) == ("ready", "running")
    assert deployment_state(store) == "run"  # once reached; what runs now is told by the nodes
    assert hear(store, running(given=70, at=at(90)))
    assert state(store) == "running"


def test_a_machine_that_asks_and_tells_without_end_does_not_fill_the_journal(store: Store) -> None:
    hear(store, running())
    generation = store.generation()
    for second in range(61, 70):
        assert not hear(store, Given("node1", at(second)), running(given=second, at=at(second + 0.5)))
    assert store.generation() == generation
    assert hear(store, Given("node1", at(-3600)))  # the clock was set back


def test_order_decides_between_a_script_and_a_word(store: Store) -> None:
    hear(store, Given("node1", at(10)), running(), running("node2"), Given("node2", at(71)))
    assert (state(store), state(store, "node2")) == ("running", "ready")


def test_a_script_for_a_node_that_does_not_run_changes_nothing(store: Store) -> None:
    assert not hear(store, Given("node1", at(10)), Given("node3", at(10)), Given("nobody", at(10)))


def test_other_words_go_to_the_jobs_that_wait_for_the_node(store: Store) -> None:
    keep(store, a_job(1, state="running"), a_job(2, state="done"))
    part = JobPart(1, "node1", step="copy", octets=7)
    with store.transaction("calendar") as change:
        change.put_job_parts([part, JobPart(1, "node2"), JobPart(2, "node1")])
    verified = running(state="verified", detail="sha256:1", job=1)
    assert not hear(store, running(state="joined", job=1), verified)
    assert not hear(
        store, running(state="leaving", job=1)
    )  # a worker may not have heeded what was said before
    assert store.job_parts(1) == [
        replace(part, word="verified", word_detail="sha256:1", word_at=at(60)),
        JobPart(1, "node2"),
    ]
    assert store.job_parts(2) == [JobPart(2, "node1")]


@pytest.mark.parametrize("kind", [JobKind.WRITE_SLOT, JobKind.CAPTURE])
@pytest.mark.parametrize("job", [1, None, 7], ids=["of-an-earlier-job", "of-none", "of-one-unknown"])
@pytest.mark.parametrize("state", ["joined", "writing", "verified", "captured", "failed"])
def test_an_imager_is_heard_for_the_job_it_names_alone(
    store: Store, kind: JobKind, job: int | None, state: str
) -> None:
    keep(store, a_job(1, state="cancelled"), a_job(2, state="running", kind=kind, step="watch"))
    with store.transaction("calendar") as change:
        change.put_job_parts([JobPart(1, "node1"), JobPart(2, "node1")])
    assert not hear(store, running(state=state, detail="sha256:1", job=job))
    assert [store.job_parts(number) for number in (1, 2)] == [[JobPart(1, "node1")], [JobPart(2, "node1")]]
    hear(store, running(state=state, detail="sha256:1", job=2))
    assert store.job_parts(2)[0].word == state


def test_words_of_no_job_are_heard_by_those_who_start_and_end_a_reservation(store: Store) -> None:
    keep(store, *(a_job(n, state="running", kind=kind) for n, kind in enumerate(JobKind, 1)))
    with store.transaction("calendar") as change:
        change.put_job_parts(JobPart(n, "node1") for n, _ in enumerate(JobKind, 1))
    hear(store, running(state="starting"))
    heard = {kind for n, kind in enumerate(JobKind, 1) if store.job_parts(n)[0].word == "starting"}
    assert heard == {JobKind.START, JobKind.END, JobKind.STAGE_LUN}
    hear(store, running("node1", given=-1))
    assert {store.job_parts(n)[0].word for n, _ in enumerate(JobKind, 1)} == {"running"}


@pytest.mark.parametrize(
    ("note", "detail"), [("", "sha256:1"), ("not compared: a; b", "sha256:1; not compared: a; b")]
)
def test_what_should_be_known_of_a_good_slot_is_kept_with_the_word(
    store: Store, note: str, detail: str
) -> None:
    keep(store, a_job(1, state="running"))
    with store.transaction("calendar") as change:
        change.put_job_parts([JobPart(1, "node1")])
    hear(store, running(state="verified", detail="sha256:1", note=note, job=1))
    [part] = store.job_parts(1)
    assert part.word_detail == detail
    assert reports.last_said(part) == ("sha256:1", note)


@pytest.mark.parametrize(
    ("step", "word", "wakes"),
    [
        ("verify", "verified", True),
        ("watch", "failed", True),
        ("verify", "checking", False),
        ("switch", "failed", False),  # its worker may be about to write down whom it has switched
    ],
)
def test_a_last_word_wakes_the_job_that_waits_for_it(store: Store, step: str, word: str, wakes: bool) -> None:
    keep(store, a_job(1, state="running", step=step, due_at=at(300)))
    with store.transaction("calendar") as change:
        change.put_job_parts([JobPart(1, "node1")])
    assert hear(store, running(state=word, job=1)) == wakes
    assert store.jobs()[0].due_at == (at(60) if wakes else at(300))


def test_running_by_an_order_is_for_the_job_that_gave_it(store: Store) -> None:
    keep(store, a_job(1, state="running"))
    with store.transaction("calendar") as change:
        change.put_job_parts([JobPart(1, "node1")])
    hear(store, running(override=3))
    assert store.job_parts(1)[0].word == "running"
    assert state(store) == "ready"


def test_a_word_without_a_token_is_for_no_job_but_a_start(store: Store) -> None:
    keep(store, a_job(1, state="running"), a_job(2, state="running", kind=JobKind.START))
    with store.transaction("calendar") as change:
        change.put_job_parts([JobPart(1, "node1"), JobPart(2, "node1")])
    hear(store, running(state="failed", given=None, is_proved=False))
    assert [store.job_parts(job)[0].word for job in (1, 2)] == ["", "failed"]


@pytest.mark.parametrize(
    ("before", "after"), [("", "refused"), ("joined", "refused"), ("verified", "verified")]
)
def test_a_refused_token_is_told_to_the_job_that_waits_and_takes_no_last_word(
    store: Store, before: str, after: str
) -> None:
    keep(store, a_job(1, state="running"), a_job(2, state="running", kind=JobKind.START))
    with store.transaction("calendar") as change:
        change.put_job_parts([JobPart(1, "node1", word=before), JobPart(2, "node1")])
    event = NodeReportRefused(client="10.0.0.1", why="token-used", mac=MAC, host="node1")
    word = heard_in(event, at(5), itself=True)
    assert word is not None
    assert not hear(store, word)
    assert [store.job_parts(job)[0].word for job in (1, 2)] == [after, ""]


def test_events_are_heard_as_words_and_scripts() -> None:
    who: dict[str, Any] = {"mac": MAC, "host": "node1"}
    told = NodeReported(**who, state="running", detail="x", override=3, given_at=int(NOON.timestamp()))
    assert heard_in(told, at(1), itself=True) == Word("node1", "running", "x", at(1), NOON, 3)
    imager = NodeReported(**who, state="verified", given_at=int(NOON.timestamp()), job=7, note="n")
    assert heard_in(imager, at(1), itself=True) == Word("node1", "verified", "", at(1), NOON, job=7, note="n")
    plain = NodeReported(**who, state="running")
    assert heard_in(plain, at(1), itself=True) == Word("node1", "running", "", at(1), is_proved=False)
    script = ScriptSent(**who, client="c", dialect="ipxe", rule="r", answer="a", octets=1)
    assert heard_in(script, at(1), itself=True) == Given("node1", at(1))
    assert heard_in(script, at(1), itself=False) is None
    offer = OfferSent(**who, arch="a", stage="s", rule="r", boot_file="b", port=67, octets=1)
    assert heard_in(offer, at(1), itself=True) is None
    assert heard_in(NodeReported(mac=MAC, state="running"), at(1), itself=True) is None
