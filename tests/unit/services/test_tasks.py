"""What nodes are told to write, and when they may not write any more."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootd.model import (
    DiskImage,
    ImageKind,
    ImagePart,
    Job,
    JobKind,
    JobPart,
    Outcome,
    Project,
    Slot,
    SlotScheme,
    parse_image_ref,
)
from bootd.services import tasks
from bootd.services.jobs import CANCEL, HELD, REPARTITION, TO_PLACE
from bootd.store import Store
from tests.helpers.deeds import a_deployment, a_reservation
from tests.helpers.divided import divided
from tests.helpers.site import NOON, HandClock, a_host, file_store, memory_store

IDENTITY = "sha256:" + "ab" * 32
HTTP = {"transport": "http", "path": "/image/1234"}
DISK = {
    "job": "1",
    "name": "sda",
    "sectors": "2000000000",
    "sector-size": "512",
    "removable": "0",
    "serial": "QM1",
    "wwn": "",
    "blank": "yes",
    "table": "",
}


def a_job(**fields: Any) -> Job:
    facts = {"called_at": NOON.isoformat(), tasks.WAYS: {"node1": HTTP}}
    job = Job(1, JobKind.WRITE_SLOT, 1, 1, ("node1", "node2"), NOON, "calendar", NOON, "running", "watch")
    return replace(job, **{"facts": facts} | fields)


@pytest.fixture
def store() -> Store:
    clock = HandClock()
    store = memory_store(clock)
    image = DiskImage(
        *("mesh", "debian", 1, "raw", "mesh/debian", (), NOON), description={"file": "disk.raw", "label": ""}
    )
    with store.transaction("anna", "furnish") as change:
        change.put_hosts([a_host(1), a_host(2), a_host(3)])
        for record in (Project("mesh", "anna", NOON), image, a_reservation(state="booked")):
            change.keep(record)
        change.keep(a_deployment(state="deploy-hd", digest=IDENTITY))
        change.keep(a_job())
        for node in ("node1", "node2"):
            change.keep(Slot(node, 7, image.ref, IDENTITY, "writing"))
        change.put_job_parts([JobPart(1, node, "joining", since=NOON) for node in ("node1", "node2")])
    return store


def keep(store: Store, *records: Any) -> None:
    with store.transaction("anna", "test") as change:
        for record in records:
            change.keep(record)


def part(store: Store, **fields: Any) -> None:
    with store.transaction("anna", "test") as change:
        change.put_job_parts([replace(JobPart(1, "node1", "joining", since=NOON), **fields)])


def answer(text: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in text.partition("\n\n")[0].splitlines())


# -- the task ----------------------------------------------------------------------------------


def test_node_of_a_running_session_is_told_all_that_it_must_know(store: Store) -> None:
    told = answer(tasks.task_text(store, "node1"))
    assert told["task"] == "write"
    assert told["image"] == "mesh/debian@1"
    assert (told["identity"], told["slot"], told["disk"]) == (IDENTITY, "7", "/dev/sda")
    assert (told["tool"], told["compression"], told["file"]) == ("raw", "uncomp", "disk.raw")
    assert (told["transport"], told["path"]) == ("http", "/image/1234")
    assert told["slot-core"] == "/files/loaders/core7-pc.img"
    assert told["menu"].split() == [str(n) for n in range(5, 26)]


def test_disk_is_named_by_what_the_host_is_set_to(store: Store) -> None:
    with store.transaction("anna", "test") as change:
        change.put_hosts([a_host(1, settings={"disk": "serial:QM1"})])
    assert answer(tasks.task_text(store, "node1"))["disk"] == "serial:QM1"


def test_node_waits_while_there_is_no_session_for_it(store: Store) -> None:
    assert tasks.task_text(store, "node2") == "task wait\n"
    keep(store, a_job(step="switch", facts={}))
    assert tasks.task_text(store, "node1") == "task wait\n"


@pytest.mark.parametrize(
    ("step", "outcome", "facts", "told"),
    [
        (TO_PLACE, Outcome.OPEN, {}, "task wait\n"),
        ("reset", Outcome.OPEN, {}, "task none\n"),  # it is let go
        (TO_PLACE, Outcome.FAILED, {}, "task none\n"),
        (TO_PLACE, Outcome.OPEN, {CANCEL: "anna"}, "task none\n"),
    ],
    ids=["awaited", "let-go", "left-out", "being-cancelled"],
)
def test_node_that_has_its_slot_stays_while_a_start_waits_for_the_image(
    store: Store, step: str, outcome: Outcome, facts: dict[str, Any], told: str
) -> None:
    part(store, outcome=Outcome.OK, word="verified", word_at=NOON)
    start = replace(a_job(), id=2, kind=JobKind.START, deployment=None, facts=facts, step="watch")
    keep(store, start)
    with store.transaction("calendar", "start") as change:
        change.put_job_parts([JobPart(2, "node1", step, outcome)])
    assert tasks.task_text(store, "node1") == told


@pytest.mark.parametrize(
    "job",
    [
        a_job(state="done"),
        a_job(step=""),
        a_job(facts={CANCEL: "anna"}),
        a_job(kind=JobKind.START),
        a_job(deployment=None),
    ],
    ids=["over", "not-begun", "being-cancelled", "other-kind", "no-deployment"],
)
def test_job_that_does_not_write_has_no_task(store: Store, job: Job) -> None:
    keep(store, job)
    assert tasks.task_text(store, "node1") == "task none\n"


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": Outcome.OK},
        {"step": HELD},  # somebody else is at work there
        {"word": "verified", "word_at": NOON.replace(hour=13)},
    ],
)
def test_node_that_is_done_has_no_task(store: Store, fields: dict[str, Any]) -> None:
    part(store, **fields)
    assert tasks.task_text(store, "node1") == "task none\n"
    assert "does not wait for this node" in tasks.permit_text(store, "node1", DISK)


@pytest.mark.parametrize("fields", [{"step": "missed"}, {"word": "failed", "word_at": NOON.replace(hour=13)}])
def test_node_that_did_not_succeed_waits_for_as_long_as_its_job_may_call_it_again(
    store: Store, fields: dict[str, Any]
) -> None:
    part(store, **fields)
    assert tasks.task_text(store, "node1") == "task wait\n"
    part(store, outcome=Outcome.FAILED, **fields)
    assert tasks.task_text(store, "node1") == "task none\n"


def test_node_that_failed_before_it_was_called_again_has_its_task(store: Store) -> None:
    part(store, word="failed", word_at=NOON.replace(hour=11))
    assert tasks.task_text(store, "node1").startswith("task write\n")


def test_node_of_no_job_has_no_task(store: Store) -> None:
    assert tasks.task_text(store, "node3") == "task none\n"


def test_image_that_cannot_go_into_a_slot_is_refused_in_words(store: Store) -> None:
    image = store.find(DiskImage, "mesh/debian@1")
    assert image is not None
    keep(store, replace(image, description={"file": "disk.raw", "label": "gpt"}))
    told = answer(tasks.task_text(store, "node1"))
    assert (told["task"], told["job"]) == ("refused", "1")
    assert "whole disk (gpt)" in told["reason"]


# -- permission --------------------------------------------------------------------------------


def test_planned_slot_of_an_empty_disk_may_be_written_after_dividing(store: Store) -> None:
    text = tasks.permit_text(store, "node1", DISK)
    assert answer(text) == {"permit": "yes", "layout": "divide"}
    assert text.partition("\n\n")[2].startswith("label: dos\nunit: sectors\np1 : start=2048, ")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (a_job(facts={CANCEL: "anna"}), "the job was ended"),
        (a_job(id=2), ""),
        (a_reservation(state="cancelled"), "reservation 1 is over"),
        (a_reservation(2, state="active", nodes=("node1",)), "reservation 2 holds the node"),
        (a_reservation(2, state="active", nodes=("node3",)), ""),
        (Slot("node1", 7, None, "", "damaged"), "slot 7 is not planned for mesh/debian@1 any more"),
        (Slot("node1", 7, None, "sha256:other", "writing"), "slot 7 is not planned"),
    ],
)
def test_permission_goes_with_what_is_planned_at_that_moment(store: Store, record: Any, words: str) -> None:
    assert answer(tasks.permit_text(store, "node1", DISK))["permit"] == "yes"
    keep(store, record)
    told = answer(tasks.permit_text(store, "node1", DISK))
    assert told["permit"] == ("no" if words else "yes")
    assert words in told.get("reason", "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"job": "9"}, "does not wait for this node"),
        ({"removable": "1"}, "sda is removable"),
        ({"removable": ""}, "sda is removable"),
        ({"sectors": "many"}, "makes no sense"),
        ({"name": "../sda"}, "makes no sense"),
        ({"blank": ""}, "not ours"),
        ({"firmware": "uefi"}, "this node started by UEFI"),
        ({"firmware": "coreboot"}, "makes no sense"),
    ],
)
def test_disk_that_is_not_as_it_should_be_is_not_written(
    store: Store, change: dict[str, str], words: str
) -> None:
    told = answer(tasks.permit_text(store, "node1", DISK | change))
    assert told["permit"] == "no"
    assert words in told["reason"]


def test_disk_that_starts_its_node_only_while_we_answer_is_permitted_with_a_note(
    store: Store, tmp_path: Path
) -> None:
    table = divided(tmp_path / "disk", SlotScheme(), 40_000)
    told = answer(
        tasks.permit_text(store, "node1", DISK | {"blank": "no", "firmware": "uefi", "table": table})
    )
    assert (told["permit"], told["layout"]) == ("yes", "keep")
    assert told["note"].startswith("this node started by UEFI")


def test_host_that_is_set_so_is_divided_anew(store: Store) -> None:
    full = DISK | {"blank": "no"}
    assert answer(tasks.permit_text(store, "node1", full))["permit"] == "no"
    with store.transaction("anna", "test") as change:
        change.put_hosts([a_host(1, settings={"repartition": "yes"})])
    assert answer(tasks.permit_text(store, "node1", full)) == {"permit": "yes", "layout": "divide"}


def test_foreign_layout_is_given_up_by_the_job_that_may_and_by_no_other(store: Store) -> None:
    full = DISK | {"blank": "no"}
    keep(store, a_job(facts=dict(a_job().facts) | {REPARTITION: True}))
    assert answer(tasks.permit_text(store, "node1", full)) == {"permit": "yes", "layout": "divide"}
    keep(store, a_job())
    assert answer(tasks.permit_text(store, "node1", full))["permit"] == "no"


FULL = DISK | {"blank": "no"}  # of a layout that is not ours
BOOKED = (
    a_reservation(2, state="booked", nodes=("node1",)),
    a_deployment(2, reservation=2, nodes=("node1",), slot=9, digest="sha256:9"),
)
NINE = Slot("node1", 9, parse_image_ref("mesh/debian@1"), "sha256:9", "ready")


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ((Slot("node1", 9, pinned=True),), "node1: slot 9 is pinned: bootd slots unpin node1 9"),
        ((*BOOKED, NINE), "node1: reservation 2 needs mesh/debian@1 in slot 9: wait for its end, or cancel"),
    ],
    ids=["pinned", "booked"],
)
def test_disk_is_not_divided_while_somebody_counts_on_a_slot_of_it(
    store: Store, records: tuple[Any, ...], words: str
) -> None:
    """That may have come after the job was ordered, and the host's setting is not of one job."""
    with store.transaction("anna", "test") as change:
        change.put_hosts([a_host(1, settings={"repartition": "yes"})])
    assert answer(tasks.permit_text(store, "node1", FULL))["permit"] == "yes"
    keep(store, *records)
    told = answer(tasks.permit(store, "node1", FULL))
    assert told["permit"] == "no"
    assert told["reason"].startswith(f"sda is not divided anew, nothing was written: {words}")
    assert {slot.key: slot.state for slot in store.slots(["node1"])}["node1/7"] == "writing"
    assert answer(tasks.permit_text(store, "node1", DISK))["permit"] == "yes"  # nothing is on it


@pytest.mark.parametrize(
    "records",
    [
        (NINE,),  # a cache that nobody waits for
        (*BOOKED, replace(NINE, digest="sha256:other")),  # it is still to be written
        (replace(NINE, host="node2", pinned=True),),
        (BOOKED[0], replace(BOOKED[1], state="dark"), NINE),
    ],
    ids=["cache", "not-there-yet", "another-disk", "over"],
)
def test_slots_that_nobody_counts_on_keep_no_disk_from_being_divided(
    store: Store, records: tuple[Any, ...]
) -> None:
    keep(store, a_job(facts=dict(a_job().facts) | {REPARTITION: True}), *records)
    assert answer(tasks.permit(store, "node1", FULL)) == {"permit": "yes", "layout": "divide"}


def test_pin_that_comes_between_two_looks_is_seen(store: Store) -> None:
    """The second look is in the transaction which says what is gone."""
    keep(store, a_job(facts=dict(a_job().facts) | {REPARTITION: True}), NINE)

    class Between(type(store)):  # type: ignore[misc]
        def transaction(self, *who: str) -> Any:
            if who[0] == "bootd":
                keep(store, replace(NINE, pinned=True))
            return super().transaction(*who)

    store.__class__ = Between
    told = answer(tasks.permit(store, "node1", FULL))
    assert (told["permit"], "slot 9 is pinned" in told["reason"]) == ("no", True)
    assert store.find(Slot, "node1/9") == replace(NINE, pinned=True)


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "to-be-divided"])
def test_image_larger_than_its_slot_is_refused_before_the_slot_is_touched(
    store: Store, tmp_path: Path, is_kept: bool
) -> None:
    scheme = SlotScheme(slot_mib=100)
    keep(store, scheme)
    kept = {"blank": "no", "table": divided(tmp_path / "disk", scheme, 40_000)}
    disk = DISK | (kept if is_kept else {})
    for octets, permit in ((100 << 20, "yes"), ((100 << 20) + 1, "no")):
        image = store.find(DiskImage, "mesh/debian@1")
        assert image is not None
        keep(store, replace(image, parts=(ImagePart("disk.raw", octets, "ab" * 32),)))
        told = answer(tasks.permit(store, "node1", disk))
        assert told["permit"] == permit
    assert told["reason"] == (
        "slot 7 of sda has 104,857,600 octets, mesh/debian@1 needs 104,857,601: nothing was written"
    )


def test_image_that_is_unpacked_first_is_measured_by_what_came_out(store: Store) -> None:
    image = store.find(DiskImage, "mesh/debian@1")
    assert image is not None
    keep(store, SlotScheme(slot_mib=100), replace(image, kind=ImageKind.QCOW2))
    sent = {"size": 1000, "identity": IDENTITY, "sha256": "ab" * 32, "file_system": "ext4"}
    for needs, permit in ((100 << 20, "yes"), (200 << 20, "no")):
        keep(store, a_job(facts={**a_job().facts, tasks.SENT: {**sent, "needs": needs}}))
        assert answer(tasks.permit_text(store, "node1", DISK))["permit"] == permit


def test_what_was_on_a_disk_that_is_divided_is_good_no_more(store: Store) -> None:
    keep(store, Slot("node1", 9, None, "sha256:9", "ready"), Slot("node2", 9, None, "sha256:9", "ready"))
    assert answer(tasks.permit(store, "node1", DISK | {"removable": "1"}))["permit"] == "no"
    assert {slot.key: slot.state for slot in store.slots(number=9)} == {
        "node1/9": "ready",
        "node2/9": "ready",
    }
    assert answer(tasks.permit(store, "node1", DISK)) == {"permit": "yes", "layout": "divide"}
    states = {slot.key: slot.state for slot in store.slots()}
    assert states == {"node1/7": "writing", "node2/7": "writing", "node1/9": "damaged", "node2/9": "ready"}


async def test_desk_asks_the_store_as_it_is_at_each_question(tmp_path: Path) -> None:
    file_store(tmp_path).close()
    desk = tasks.TaskDesk(lambda: file_store(tmp_path))
    assert await desk.task("node1") == "task none\n"
    assert (await desk.permit("node1", DISK)).startswith("permit no\n")
    await desk.aclose()
