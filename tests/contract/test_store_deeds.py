"""What every store does with the records of the lifecycle: kept whole, journalled, numbered once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bootd.model import (
    CalendarFeed,
    DeployedNode,
    Deployment,
    DiskImage,
    ImageKind,
    ImagePart,
    Job,
    Limits,
    LunClone,
    LunPair,
    Project,
    Reservation,
    Role,
    Slot,
    SlotScheme,
)
from bootd.store import Store
from tests.helpers.deeds import (
    HOUR,
    IMAGE,
    a_clone,
    a_deployment,
    a_job,
    a_node,
    a_pair,
    a_project,
    a_reservation,
    a_slot,
    keep,
    put_in_place,
)
from tests.helpers.site import NOON, HandClock

AN_IMAGE = DiskImage(
    "mesh",
    "debian",
    1,
    ImageKind.RAW,
    "mesh/debian",
    (ImagePart("disk.raw", 10, "ab" * 32),),
    NOON,
    NOON + HOUR,
    "dark",
    {"partitions": [{"number": 1, "label": "é"}]},
)
A_PROJECT = Project("mesh", "anna", NOON, ("ben",), "mesh@example.org", Limits(nodes=4))
A_RESERVATION = a_reservation(note="line\nline", series="s", uid="u@x")
A_DEPLOYMENT = a_deployment(side=1, group="roots", role=Role.ROOT, slot=None, note="late")
A_JOB = a_job(
    state="running",
    step="boot",
    note="waits",
    facts={"tries": 2, "done": ["node1"], "at": None, "ä": 0.5},
    began_at=NOON,
    ended_at=NOON + HOUR,
)
# (record, its key, the field that is changed, what to)
RECORDS: list[tuple[Any, str | int, dict[str, Any]]] = [
    (A_PROJECT, "mesh", {"state": "suspended"}),
    (AN_IMAGE, "mesh/debian@1", {"state": "damaged"}),
    (A_RESERVATION, 1, {"state": "ended"}),
    (a_slot(), "node1/7", {"state": "writing", "image": None, "digest": "", "last_used_at": None}),
    (SlotScheme("new", "/dev/nvme0n1", 5, 9), "new", {"last": 12}),
    (a_pair(), "roots", {"sides": (a_pair().sides[1], a_pair().sides[0])}),
    (a_clone(), "roots-0-node1", {"target": "", "portals": ()}),
    (A_DEPLOYMENT, 1, {"state": "dark", "flipped_at": None}),
    (a_node(volume="roots-0-node1", note="x"), "1/node1", {"state": "running", "changed_at": None}),
    (A_JOB, 1, {"state": "done", "facts": {}}),
    (CalendarFeed(1, "mesh", "ab" * 32, NOON, "anna"), 1, {"project": ""}),
]
each = pytest.mark.parametrize(
    ("record", "key", "changed"), RECORDS, ids=[type(r[0]).__name__ for r in RECORDS]
)


@pytest.fixture
def with_project(store: Store) -> Store:
    """A store with the project that images and reservations belong to."""
    keep(store, a_project(), a_project("orbit"))
    return store


@each
def test_a_record_comes_back_equal(
    with_project: Store, record: Any, key: str | int, changed: dict[str, Any]
) -> None:
    store = with_project
    keep(store, record)
    assert store.find(type(record), key) == record
    assert record in store.every(type(record))
    other = replace(record, **changed)
    keep(store, other)
    assert store.find(type(record), key) == other


@each
def test_each_change_of_a_record_is_journalled_and_no_change_is_not(
    with_project: Store, record: Any, key: str | int, changed: dict[str, Any]
) -> None:
    store = with_project
    keep(store, record)
    with store.transaction("ben", "why") as change:
        assert change.keep(record) is False
    first = store.journal(limit=1)[0]
    assert (first.actor, first.key) == ("anna", str(key))
    with store.transaction("ben", "why") as change:
        assert change.keep(replace(record, **changed)) is True
    second = store.journal(limit=1)[0]
    assert (second.id, second.actor, second.what, second.action) == (first.id + 1, "ben", "why", "changed")
    assert (second.kind, second.key, second.before) == (first.kind, first.key, first.after)
    assert second.before is not None
    assert second.after is not None
    assert {name for name in second.after if second.after[name] != second.before[name]} == set(changed)


@each
def test_a_discarded_record_is_gone_and_remembered(
    with_project: Store, record: Any, key: str | int, changed: dict[str, Any]
) -> None:
    store = with_project
    if type(record) is not Project:
        keep(store, record)
    with store.transaction("ben") as change:
        assert change.discard(type(record), key) is True
        assert change.discard(type(record), key) is False
    assert store.find(type(record), key) is None
    last = store.journal(limit=1)[0]
    assert (last.action, last.key, last.after) == ("removed", str(key), None)
    assert last.before is not None


@pytest.mark.parametrize("make", [a_reservation, a_deployment, a_job])
def test_a_number_never_comes_back(with_project: Store, make: Any) -> None:
    kind = type(make())
    with with_project.transaction("anna") as change:
        assert change.next_id(kind) == 1
        change.keep(make(1))
        change.keep(make(change.next_id(kind)))
        change.keep(replace(make(1), state="failed"))
    with with_project.transaction("anna") as change:
        change.discard(kind, 2)
        assert change.next_id(kind) == 3


def test_a_number_of_a_transaction_that_failed_is_given_again(with_project: Store) -> None:
    with pytest.raises(ZeroDivisionError), with_project.transaction("anna") as change:  # noqa: PT012
        change.keep(a_job(change.next_id(Job)))
        1 / 0  # noqa: B018
    with with_project.transaction("anna") as change:
        assert change.next_id(Job) == 1


def test_slots_and_clones_and_schemes_are_told_by_where_they_are(store: Store) -> None:
    keep(store, a_slot("node2"), a_slot("node1", 10), a_slot("node1", 9), a_clone("node1", 1), a_clone())
    assert [slot.key for slot in store.slots()] == ["node1/9", "node1/10", "node2/7"]
    assert [slot.key for slot in store.slots(["node2", "node3"])] == ["node2/7"]
    assert store.clones("roots") == [a_clone(), a_clone("node1", 1)]
    assert store.clones("roots", 1) == [a_clone("node1", 1)]
    assert store.clones("others") == []
    scheme = SlotScheme("new", "/dev/nvme0n1", 5, 9, 64, 128, 256, 512)
    keep(store, scheme)
    assert store.schemes().of(("x", "new")) == scheme
    assert store.schemes().of(("x",)) == SlotScheme()


def test_deployments_are_told_by_reservation_state_and_node(store: Store) -> None:
    put_in_place(store)
    other = a_deployment(2, 2, nodes=("node3",), state="sched", flipped_at=None)
    keep(store, a_reservation(2, state="booked", nodes=("node3",)), other)
    keep(store, a_reservation(3, state="ended", nodes=("node3",)), a_deployment(3, 3, nodes=("node3",)))
    assert store.deployments_of(2) == [other]
    assert store.deployments_for([2, 1, 99]) == [*store.deployments_of(1), other]
    assert store.deployments_for([2]) == [other]
    assert store.deployments_for([]) == []
    assert [each.id for each in store.deployments_in(["hd-ready", "run"])] == [1, 3]
    assert store.deployments_in([]) == []
    assert [each.id for each in store.deployments_on(["node3", "nobody"])] == [2]
    assert [each.id for each in store.deployments_on(["node1", "node2", "node3"])] == [1, 2]
    assert store.deployed_nodes(1) == [a_node("node1"), a_node("node2")]
    assert store.deployed_nodes(2) == []


def test_reservations_are_told_by_state_and_start(store: Store) -> None:
    keep(store, a_project())
    for number, (state, hours) in enumerate([("booked", 3), ("booked", 1), ("active", 0), ("ended", 0)], 1):
        starts_at = NOON + hours * HOUR
        keep(store, a_reservation(number, state=state, starts_at=starts_at, ends_at=starts_at + HOUR))
    assert [each.id for each in store.reservations_in(["booked", "active"])] == [3, 2, 1]
    before = NOON + 3 * HOUR
    assert [each.id for each in store.reservations_in(["booked"], starts_before=before)] == [2]


def test_nodes_of_reservations_follow_each_change(store: Store) -> None:
    def held() -> list[tuple[str, list[int]]]:
        nodes = ("node1", "node2", "node3")
        return [(node, [each.reservation for each in store.deployments_on([node])]) for node in nodes]

    keep(store, a_project(), a_reservation(state="booked"), a_deployment())
    assert held() == [("node1", [1]), ("node2", [1]), ("node3", [])]
    keep(store, a_reservation(state="booked", nodes=("node2", "node3")))
    assert held() == [("node1", []), ("node2", [1]), ("node3", [1])]
    keep(store, a_reservation(state="active", nodes=("node2", "node3")))
    assert held() == [("node1", []), ("node2", [1]), ("node3", [1])]
    keep(store, a_reservation(state="active", nodes=("node2",), note="only the note and the nodes"))
    assert held() == [("node1", []), ("node2", [1]), ("node3", [])]
    keep(store, a_reservation(state="cancelled", nodes=("node2",)))
    assert held() == [("node1", []), ("node2", []), ("node3", [])]
    with store.transaction("anna") as change:
        change.keep(a_reservation(2, nodes=("node3",)))
        change.keep(a_deployment(2, 2))
    with store.transaction("anna") as change:
        change.discard(Reservation, 2)
    assert held()[2] == ("node3", [])


def test_secrets_are_made_once_and_not_told(store: Store) -> None:
    assert store.secret("chap") is None
    with store.transaction("anna") as change:
        made = change.make_secret("chap")
        assert change.make_secret("chap") == made
        assert change.make_secret("other") != made
    assert len(made) == 32
    assert store.secret("chap") == made
    assert store.generation() == 0
    assert store.journal() == []


def test_the_story_of_records_is_told_oldest_first(store: Store, clock: HandClock) -> None:
    put_in_place(store)
    clock.move(minutes=1)
    keep(store, a_node(state="running"))
    keep(store, a_deployment(state="run"))
    told = store.entries_about("deployed_node", ["1/node1", "1/nobody"])
    assert [(entry.action, entry.at - NOON) for entry in told] == [
        ("added", timedelta(0)),
        ("changed", timedelta(minutes=1)),
    ]
    many = [f"1/node{n}" for n in range(2000)]
    assert [entry.key for entry in store.entries_about("deployed_node", many)] == [
        "1/node1",
        "1/node2",
        "1/node1",
    ]
    assert store.entries_about("deployment", []) == []


def test_how_often_and_when_rows_were_changed_is_told_by_key(store: Store, clock: HandClock) -> None:
    put_in_place(store)
    clock.move(minutes=1)
    keep(store, a_node(state="running"))
    later = NOON + timedelta(minutes=1)
    assert store.times_changed("deployed_node") == {"1/node1": (2, later), "1/node2": (1, NOON)}
    assert store.times_changed("nothing") == {}


def test_deployments_of_an_image_are_told_by_version_or_all(store: Store) -> None:
    put_in_place(store)
    newer = replace(IMAGE, version=10)
    keep(store, a_deployment(2, image=newer), a_deployment(3, image=replace(IMAGE, name="debian2")))
    assert [each.id for each in store.deployments_with(IMAGE)] == [1]
    assert [each.id for each in store.deployments_with(newer)] == [2]
    assert [each.id for each in store.deployments_with(replace(IMAGE, version=None))] == [1, 2]


def test_kinds_of_the_tests_are_all_there_are() -> None:
    assert {type(record) for record, _, _ in RECORDS} == {
        *(Project, DiskImage, Reservation, Slot, SlotScheme),
        *(LunPair, LunClone, Deployment, DeployedNode, Job, CalendarFeed),
    }


def test_that_a_job_waits_for_something_else_is_kept_and_not_journalled(store: Store) -> None:
    with store.transaction("calendar", "job 1") as change:
        job = a_job()
        change.keep(job)
    before = store.generation()
    waiting = replace(job, due_at=job.due_at + timedelta(seconds=5), note="2 of 3 nodes")
    with store.transaction("calendar", "job 1") as change:
        assert change.keep(waiting)
    assert store.find(Job, job.id) == waiting
    assert store.generation() == before
    with store.transaction("calendar", "job 1") as change:
        change.keep(replace(waiting, step="watch"))
    assert store.generation() == before + 1
