"""A slot of a node becomes an image: all of it or nothing, and the node is left as it was."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootd.darkstore.captured import PIECE
from bootd.drivers.faults import PowerLost
from bootd.drivers.power import PowerState
from bootd.model import DiskImage, ImageKind, JobPart, Outcome, Slot, Target, TargetKind
from bootd.services import images, jobs
from bootd.services.jobs import HELD
from bootd.services.payload import payload_of
from bootd.services.tasks import task_text
from bootd.workers.capture import CALL, CLOSE, KEEP
from bootd.workers.engine import Engine
from bootd.workers.work import LEASE_S
from tests.helpers.capturing import OCTETS, TWO_PIECES, Studio, a_studio, pieces_of, put
from tests.helpers.deeds import IMAGE, a_job, a_reservation
from tests.helpers.mortal import Death, mortal


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return a_studio(tmp_path)


def captured(studio: Studio, octets: bytes = OCTETS, **changes: str) -> DiskImage:
    """Capture slot 7 of node1 from beginning to end."""
    studio.order()
    studio.starts()
    studio.sends(octets, **changes)
    studio.ends()
    return images.images(studio.store)[-1]


def listed(studio: Studio) -> list[str]:
    return [str(image.ref) for image in images.images(studio.store)]


# -- as it should go --------------------------------------------------------------------------


def test_slot_becomes_the_next_version_of_an_image(studio: Studio) -> None:
    image = captured(studio, TWO_PIECES)
    assert (str(image.ref), image.kind, image.state) == ("mesh/mine@1", ImageKind.CLONEZILLA, "registered")
    assert (studio.now.state, studio.now.note) == ("done", "image mesh/mine@1")
    assert studio.outcomes() == {"node1": Outcome.OK}
    saved = studio.tree.path(image.folder) / "sda7.ext4-ptcl-img.zst.aa"
    assert saved.read_bytes() == TWO_PIECES
    assert studio.left == []


def test_image_goes_into_slots_again(studio: Studio) -> None:
    image = captured(studio)
    payload = payload_of(image)
    assert (payload.tool, payload.compression, payload.file_system) == ("partclone", "zst", "ext4")
    assert payload.files == ("sda7.ext4-ptcl-img.zst.aa",)
    [disk] = image.description["disks"]
    [part] = [each for each in disk["partitions"] if each["files"]]
    assert (part["device"], part["used"], part["size"]) == ("sda7", 2048 * 4096, 65536 * 512)


def test_slot_of_an_unknown_file_system_is_kept_octet_by_octet(studio: Studio) -> None:
    payload = payload_of(captured(studio, filesystem="raw", log="", uuid="", label=""))
    assert (payload.tool, payload.file_system) == ("raw", "")
    assert payload.files == ("sda7.dd-ptcl-img.zst.aa",)


def test_nothing_is_overwritten_by_a_second_capture(studio: Studio) -> None:
    captured(studio)
    captured(studio, OCTETS + b"more")
    assert listed(studio) == ["mesh/mine@1", "mesh/mine@2"]


def test_digests_are_those_of_images_that_are_added(studio: Studio) -> None:
    image = captured(studio)
    [verdict] = images.verify(studio.store, "anna", studio.tree, [image], clock=studio.clock)
    assert not verdict.problems
    assert not verdict.first


def test_node_is_asked_to_restart_into_the_imager_once(studio: Studio) -> None:
    studio.order()
    studio.starts()
    assert studio.switched() == [("reset soft", "node1")] or studio.switched()[0][0].startswith("reset")
    [override] = studio.store.overrides()
    assert (override.host, override.target) == ("node1", Target(TargetKind.MEMORY, "imager"))
    studio.sends()
    studio.ends()
    assert studio.store.overrides() == []


def test_node_that_does_not_listen_has_its_power_cycled(studio: Studio) -> None:
    studio.order()
    studio.until("switch")
    studio.run_for(studio.settings.up_s + 20, each=5.0)
    assert [verb for verb, _ in studio.switched()][-2:] == ["off", "on"]
    studio.say("node1", "capturing")
    studio.until("read")
    studio.sends()
    studio.ends()
    assert listed(studio) == ["mesh/mine@1"]


def test_slot_itself_is_left_as_it_was(studio: Studio) -> None:
    before = studio.store.find(Slot, "node1/7")
    captured(studio)
    assert studio.store.find(Slot, "node1/7") == before


def test_people_see_how_much_was_read(studio: Studio) -> None:
    studio.order()
    studio.starts()
    for piece, content in list(pieces_of(TWO_PIECES))[:1]:
        put(studio.upload, piece, content)
    studio.run_for(4)
    part = studio.part("node1")
    assert (part.step, part.octets, part.size) == ("reading", PIECE, len(TWO_PIECES))
    assert studio.now.note == "16.8 MB came"


def test_what_the_node_notes_is_told(studio: Studio) -> None:
    captured(studio, note="its journal was replayed")
    assert studio.now.note == "image mesh/mine@1 (its journal was replayed)"


# -- what a node is told ----------------------------------------------------------------------


def test_node_is_told_which_slot_to_read_until_it_has_said_its_last_word(studio: Studio) -> None:
    studio.order()
    assert task_text(studio.store, "node1") == "task none\n"
    studio.until("switch")
    told = dict(line.split(" ", 1) for line in task_text(studio.store, "node1").splitlines())
    assert (told["task"], told["slot"], told["disk"], told["round"]) == ("capture", "7", "/dev/sda", "1")
    assert task_text(studio.store, "node2") == "task none\n"
    studio.starts()
    assert task_text(studio.store, "node1").startswith("task capture\n")
    studio.sends()
    assert task_text(studio.store, "node1") == "task none\n"


# -- what goes wrong ----------------------------------------------------------------------------


def test_node_that_fails_is_called_once_more_by_its_power(studio: Studio) -> None:
    studio.order()
    studio.starts()
    studio.say("node1", "failed", "e2fsck: errors")
    studio.until("switch")
    studio.starts()
    assert [verb for verb, _ in studio.switched()][-2:] == ["off", "on"]
    studio.sends()
    studio.ends()
    assert listed(studio) == ["mesh/mine@1"]


def test_node_that_waits_in_the_imager_is_called_without_a_restart(studio: Studio) -> None:
    studio.waiting.add("node1")
    studio.order()
    studio.starts()
    assert (studio.switched(), studio.store.overrides()) == ([], [])
    studio.sends()
    studio.ends()
    assert listed(studio) == ["mesh/mine@1"]


def test_order_of_the_first_round_is_taken_back_with_it(studio: Studio) -> None:
    studio.order()
    studio.starts()
    studio.waiting.add("node1")
    studio.say("node1", "failed", "no")
    studio.until("switch")
    studio.starts()
    studio.sends()
    studio.ends()
    assert (listed(studio), studio.store.overrides()) == (["mesh/mine@1"], [])


def test_pieces_of_the_first_round_are_not_mixed_with_those_of_the_second(studio: Studio) -> None:
    studio.order()
    studio.starts()
    [first, _] = pieces_of(TWO_PIECES)
    put(studio.upload, *first)
    studio.say("node1", "failed", "a broken disk")
    studio.until("switch")
    studio.starts()
    assert studio.upload.state().pieces == 0
    studio.sends(OCTETS)
    studio.ends()
    [image] = images.images(studio.store)
    saved = studio.tree.path(image.folder) / "sda7.ext4-ptcl-img.zst.aa"
    assert saved.read_bytes() == OCTETS


def fails_twice(studio: Studio, word: str = "failed", detail: str = "e2fsck: errors") -> None:
    studio.order()
    for _ in range(2):
        studio.starts()
        studio.say("node1", word, detail)
        studio.until("switch")


def test_node_that_fails_twice_ends_the_job_with_its_reason_and_leaves_nothing(studio: Studio) -> None:
    fails_twice(studio)
    assert (studio.now.state, studio.now.note) == ("failed", "e2fsck: errors")
    assert studio.outcomes() == {"node1": Outcome.FAILED}
    assert (listed(studio), studio.left, studio.store.overrides()) == ([], [], [])


def test_node_that_falls_silent_is_not_waited_for_for_ever(studio: Studio) -> None:
    studio.order()
    studio.starts()
    studio.run_for(studio.settings.up_s + 20, each=5.0)
    assert studio.now.facts["round"] == 2
    studio.run_for(4 * studio.settings.up_s, each=5.0)
    assert studio.now.state == "failed"
    assert studio.left == []


def test_node_that_goes_on_sending_is_not_silent(studio: Studio) -> None:
    studio.order()
    studio.starts()
    for piece, content in pieces_of(TWO_PIECES):
        studio.run_for(studio.settings.up_s - 20, each=5.0)
        put(studio.upload, piece, content)
    studio.run_for(studio.settings.up_s - 20, each=5.0)
    assert (studio.now.step, studio.now.facts["round"]) == ("read", 1)


def test_other_octets_than_were_sent_are_no_image(studio: Studio) -> None:
    studio.order()
    for _ in range(2):
        studio.starts()
        studio.sends(sha256="0" * 64)
        studio.until("switch")
    assert (studio.now.state, studio.now.note) == ("failed", "what came is not what it sent")
    assert (listed(studio), studio.left) == ([], [])


def test_folder_that_is_no_image_is_not_kept(studio: Studio) -> None:
    studio.order()
    studio.starts()
    studio.sends(b"not zstd at all")
    studio.ends()
    assert studio.now.state == "failed"
    assert "not zst" in studio.now.note
    assert (listed(studio), studio.left) == ([], [])


def test_job_taken_back_leaves_nothing(studio: Studio) -> None:
    studio.order()
    studio.starts()
    put(studio.upload, *next(pieces_of(TWO_PIECES)))
    jobs.cancel(studio.store, "anna", 1, clock=studio.clock)
    assert task_text(studio.store, "node1") == "task none\n"
    studio.ends()
    assert (studio.now.state, studio.left, listed(studio)) == ("cancelled", [], [])
    assert studio.store.overrides() == []


def test_job_can_be_tried_again_after_it_failed(studio: Studio) -> None:
    fails_twice(studio)
    jobs.retry(studio.store, "anna", 1, clock=studio.clock)
    studio.starts()
    studio.sends()
    studio.ends()
    assert listed(studio) == ["mesh/mine@1"]


@pytest.mark.parametrize(
    ("records", "note"),
    [
        ([Slot("node1", 7, IMAGE, "sha256:1", "damaged")], "slot 7 of node1 is damaged now"),
        ([a_reservation(project="other")], "node1 is held by reservation 1 of project other"),
    ],
    ids=["slot-damaged", "node-given-away"],
)
def test_what_changed_since_the_order_ends_the_job(studio: Studio, records: list[Any], note: str) -> None:
    studio.order()
    studio.keep(*records)
    studio.run()
    assert (studio.now.state, studio.now.note) == ("failed", note)
    assert studio.switched() == []


def test_capture_waits_for_a_job_that_is_at_work_on_the_node(studio: Studio) -> None:
    studio.order()
    studio.keep(a_job(5, state="running", step="watch", reservation=None, deployment=None, nodes=("node1",)))
    with studio.store.transaction("anna", "test") as change:
        change.put_job_parts([JobPart(5, "node1", "joining")])
    studio.context.tree.root.mkdir()
    Engine(studio.context, studio.handlers).run(1)
    assert studio.now.note == "waits: job 5 (write-slot) is at work on node1"
    assert studio.switched() == []


@pytest.mark.parametrize(
    ("number", "note"), [(1, "waits: job 1 was there first"), (5, "1 nodes: 1 starting")]
)
def test_capture_waits_for_an_older_job_whose_turn_it_is_and_for_no_younger_one(
    studio: Studio, number: int, note: str
) -> None:
    theirs = a_job(number, state="running", step="turn", reservation=None, deployment=None, nodes=("node1",))
    if number == 1:
        studio.keep(theirs)
    order = studio.order()
    studio.keep(theirs)
    with studio.store.transaction("anna", "test") as change:
        change.put_job_parts([JobPart(number, "node1", HELD)])
    studio.context.tree.root.mkdir()
    Engine(studio.context, studio.handlers).run(order.id)
    assert studio.now.note == note


def test_dark_store_that_cannot_be_written_fails_before_the_node_is_touched(studio: Studio) -> None:
    studio.tree.root.mkdir()
    (studio.tree.root / ".capturing").write_text("in the way")
    studio.order()
    studio.ends()
    assert studio.now.state == "failed"
    assert "cannot write to" in studio.now.note
    assert studio.switched() == []


def test_dark_store_that_went_away_is_waited_for_and_nothing_made_in_its_place(studio: Studio) -> None:
    studio.order()
    studio.starts()
    studio.tree.root.rename(studio.folder / "elsewhere")
    studio.tree = replace(studio.tree, must_be_mount=True)
    studio.tree.root.mkdir()
    studio.say("node1", "failed", "bootd cannot keep it")
    studio.run_for(20)
    assert (studio.now.step, list(studio.tree.root.iterdir())) == (CALL, [])
    assert "is not mounted" in studio.now.note
    studio.tree = replace(studio.tree, must_be_mount=False)
    studio.starts()
    studio.sends()
    studio.ends()
    assert listed(studio) == ["mesh/mine@1"]


def test_node_without_power_is_given_up(studio: Studio) -> None:
    studio.power.states["node1"] = PowerState.OFF
    studio.order()
    studio.run_for(10 * studio.settings.up_s, each=10.0)
    assert (studio.now.state, studio.outcomes()) == ("failed", {"node1": Outcome.FAILED})


# -- killed -------------------------------------------------------------------------------------


def test_worker_killed_at_any_moment_leaves_one_image_and_nothing_else(tmp_path: Path) -> None:
    count = Death()
    story(a_studio(tmp_path / "whole"), count)
    assert count.count > 8
    for moment in range(1, count.count + 1):
        studio = a_studio(tmp_path / f"at{moment}")
        story(studio, Death(moment))
        assert studio.now.state == "done", (moment, studio.now)
        assert (listed(studio), studio.left) == (["mesh/mine@1"], []), moment
        assert studio.store.overrides() == []


def story(studio: Studio, death: Death) -> None:
    """Capture a slot with workers that know nothing of each other, the first of which may die."""
    studio.order()
    context = mortal(studio.context, death)
    sent = False
    for _ in range(300):
        try:
            Engine(context, studio.handlers).run_due()
        except PowerLost:
            context = replace(studio.context, holder="second")
            studio.clock.move(seconds=LEASE_S + 1)
        if studio.now.ended_at is not None:
            return
        studio.clock.move(seconds=1)
        if studio.now.step == "switch" and studio.switched() and not studio.part("node1").word:
            studio.say("node1", "capturing")
        if studio.now.step == "read" and not sent:
            studio.sends()
            sent = True


@pytest.mark.parametrize("step", [KEEP, CLOSE])
def test_job_taken_back_when_all_has_come_is_still_tidy(studio: Studio, step: str) -> None:
    studio.order()
    studio.starts()
    studio.sends()
    stop_before(studio, step)
    jobs.cancel(studio.store, "anna", 1, clock=studio.clock)
    studio.ends()
    assert studio.left == []
    assert listed(studio) == ([] if step == KEEP else ["mesh/mine@1"])
    assert studio.now.state == ("cancelled" if step == KEEP else "done")


def stop_before(studio: Studio, step: str) -> None:
    """Let the daemon end when the job has come to *step*."""
    context = replace(studio.context, stopping=lambda: studio.now.step == step)
    for _ in range(100):
        Engine(context, studio.handlers).run_due()
        if studio.now.step == step:
            return
        studio.clock.move(seconds=1)
