"""``bootd images capture`` as a person types it: asked, ordered, followed to the image that comes of it."""

import json
from dataclasses import replace

import pytest

from bootd.cli import images_capture as command
from bootd.cli import jobs as follower
from bootd.model import Job, JobKind, JobPart, Outcome, Project, Slot
from bootd.services.capture import KEPT
from bootd.store import Store
from tests.helpers.bookings import a_disk_image
from tests.helpers.command import Bootd
from tests.helpers.deeds import IMAGE, a_reservation, keep
from tests.helpers.site import NOON, a_host, an_image

WORDS = ("images", "capture", "node1", "7", "mesh/debian")


@pytest.fixture
def site(bootd: Bootd) -> Bootd:
    with bootd.store() as store:
        with store.transaction("anna", "furnish") as change:
            change.put_hosts([a_host(1, settings={"power": "fake"})])
            change.put_memory_image(an_image("imager"))
        keep(store, Project("mesh", "anna", NOON), Slot("node1", 7, IMAGE, "sha256:1", "ready"))
    return bootd


def jobs_of(site: Bootd) -> list[Job]:
    with site.store() as store:
        return store.jobs()


@pytest.fixture
def worker(site: Bootd, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Do in the command's pauses what the daemon would do; the answer takes how the job is to end."""
    endings = ["done"]

    def work() -> None:
        with site.store() as store:
            [job] = store.jobs()
            if job.state == "waiting":
                move(store, replace(job, state="running", step="read"), JobPart(1, "node1", "reading"))
            else:
                end(store, job)

    def end(store: Store, job: Job) -> None:
        if endings[-1] == "done":
            keep(store, a_disk_image("debian"))
            ended = replace(job, state="done", note="image mesh/debian@1", ended_at=NOON)
            ended = replace(ended, facts={**job.facts, KEPT: "mesh/debian@1"})
            move(store, ended, JobPart(1, "node1", "captured", Outcome.OK))
        else:
            failed = replace(job, state="failed", note="e2fsck: errors", ended_at=NOON)
            move(store, failed, JobPart(1, "node1", "reading", Outcome.FAILED, note="e2fsck: errors"))

    monkeypatch.setattr(follower, "pause", work)
    return endings


def move(store: Store, job: Job, part: JobPart) -> None:
    keep(store, job)
    with store.transaction("anna", "test") as change:
        change.put_job_parts([part])


def test_capture_is_followed_to_its_image(site: Bootd, worker: list[str]) -> None:
    said = site.good(*WORDS, "--yes").out.splitlines()
    assert said[0] == "capturing slot 7 of node1: bootd jobs follow 1"
    assert any("reading" in line for line in said)
    assert said[-3].startswith("job 1 done (image mesh/debian@1)")
    assert said[-2].startswith("image mesh/debian@1: ")
    assert said[-1] == "next: bootd images verify mesh/debian@1"


def test_capture_that_fails_ends_with_1_and_its_reason(site: Bootd, worker: list[str]) -> None:
    worker.append("failed")
    ended = site(*WORDS, "--yes")
    assert ended.status == 1
    assert "job 1 failed (e2fsck: errors)  failed: node1" in ended.out
    assert "next:" not in ended.out


def test_json_is_a_line_for_the_order_and_one_at_each_change(site: Bootd, worker: list[str]) -> None:
    rows = [json.loads(line) for line in site.good(*WORDS, "--yes", "--json").out.splitlines()]
    assert rows[0] == {"job": 1, "node": "node1", "slot": 7, "image": "mesh/debian"}
    assert rows[-1]["state"] == "done"


def test_order_may_be_left_to_itself(site: Bootd) -> None:
    said = site.good(*WORDS, "--yes", "--no-follow").out
    assert said == "capturing slot 7 of node1: bootd jobs follow 1\n"
    [job] = jobs_of(site)
    assert (job.kind, job.nodes) == (JobKind.CAPTURE, ("node1",))


def test_nobody_is_restarted_without_a_yes(site: Bootd) -> None:
    ended = site(*WORDS)
    assert ended.status == 1
    assert "node1 is restarted for it, and nobody can be asked here: add --yes" in ended.err
    assert jobs_of(site) == []


@pytest.mark.parametrize(("answer", "orders"), [("n\n", 0), ("y\n", 1)])
def test_person_at_a_terminal_is_asked(
    site: Bootd, monkeypatch: pytest.MonkeyPatch, answer: str, orders: int
) -> None:
    monkeypatch.setattr(command, "is_terminal", lambda: True)
    ended = site(*WORDS, "--no-follow", stdin=answer)
    assert "node1 is restarted now, and once more when slot 7 is read:" in ended.out
    assert len(jobs_of(site)) == orders
    assert ended.status == 1 - orders


def test_what_is_against_it_comes_before_the_question(site: Bootd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "is_terminal", lambda: True)
    with site.store() as store:
        keep(store, Project("other", "bob", NOON), a_reservation(3, project="other"))
    ended = site("images", "capture", "node1", "8", "mesh/debian")
    assert ended.status == 1
    assert "slot 8 of node1 cannot be captured: it is empty" in ended.err
    assert "node1 is held by reservation 3 of project other" in ended.err
    assert "restarted" not in ended.out


def test_dry_run_orders_nothing(site: Bootd) -> None:
    said = site.good(*WORDS, "--dry-run").out
    assert said == "slot 7 of node1 would become the next version of mesh/debian\n"
    assert jobs_of(site) == []
    assert site.good(*WORDS, "--dry-run", "--json").json["job"] is None


def test_slot_that_is_no_number_is_wrong_usage(site: Bootd) -> None:
    assert site("images", "capture", "node1", "seven", "mesh/debian").status == 2
