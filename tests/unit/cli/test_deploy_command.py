"""``bootd deploy`` as people type it: what it says, what it follows, and how it ends."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from bootd.cli import deploy as command
from bootd.model import DeployedNode, ImageRef, Job, JobKind, JobPart, Outcome, Reservation, Slot
from bootd.services import jobs
from bootd.store import Store
from tests.helpers.bookings import a_disk_image, furnish
from tests.helpers.command import Bootd
from tests.helpers.deeds import keep
from tests.helpers.site import an_image
from tests.unit.cli.test_suggest import completed

WORDS = ("deploy", "mesh/router", "--nodes", "node[2-3]")
NODES = ("node2", "node3")


@pytest.fixture
def site(bootd: Bootd) -> Bootd:
    bootd.config.write_text(bootd.config.read_text() + '[imaging]\ntransport = "mixed"\n')
    with bootd.store() as store:
        furnish(store)
        keep(store, a_disk_image("router"))
        with store.transaction("anna", "furnish") as change:
            change.put_memory_image(an_image("imager"))
    return bootd


def ended(store: Store, number: int, *, without: str = "") -> None:
    """Let a job end as a worker would, for all of its nodes or *without* one."""
    job = jobs.find(store, number)
    outcomes = {node: Outcome.FAILED if node == without else Outcome.OK for node in job.nodes}
    with store.transaction("calendar") as change:
        change.put_job_parts(JobPart(number, node, outcome=found) for node, found in outcomes.items())
    keep(store, replace(job, state="partly" if without else "done"))


@pytest.fixture
def calendar(site: Bootd, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Do in the command's pauses what the daemon would do, one after the other; the answer takes a victim."""
    victim: list[str] = []

    def begin(store: Store) -> None:
        with store.transaction("calendar") as change:
            [reservation] = change.every(Reservation)
            jobs.add(
                change,
                JobKind.START,
                by="calendar",
                now=reservation.created_at,
                nodes=NODES,
                reservation=reservation.id,
            )

    def run(store: Store) -> None:
        for node in NODES:
            state = "failed" if node in victim else "running"
            keep(store, DeployedNode(1, node, state, note="no word" if node in victim else ""))
        ended(store, 2, without="".join(victim))

    deeds = iter((lambda store: ended(store, 1), begin, run))

    def pause() -> None:
        with site.store() as store:
            next(deeds)(store)

    monkeypatch.setattr(command, "pause", pause)
    monkeypatch.setattr("bootd.cli.jobs.pause", pause)
    return victim.append


def test_order_is_told_with_its_end_its_slot_and_its_jobs(site: Bootd) -> None:
    said = site.good(*WORDS, "--slot", "7", "--no-follow").out
    assert said.startswith("deploying mesh/router@1 to node[2-3]: reservation 1 of mesh, until ")
    assert "slot 7 on node[2-3]: copied there" in said
    assert "it ends after 4 h, as nobody said when" in said
    assert "bootd jobs follow 1" in said


def test_site_without_an_imager_is_told_how_to_have_one(bootd: Bootd) -> None:
    with bootd.store() as store:
        furnish(store)
        keep(store, a_disk_image("router"))
    done = bootd(*WORDS)
    assert done.status == 1
    assert "bootd memory build imager" in done.err
    assert "imaging.transport" in done.err


def test_dry_run_says_it_and_does_nothing(site: Bootd) -> None:
    said = site.good(*WORDS, "--dry-run").out
    assert said.startswith("would deploy mesh/router@1 to node[2-3]: reservation a new one of mesh")
    assert site.good("reservations", "list", "--json").json == []


def test_refusal_names_every_reason_and_ends_with_1(site: Bootd) -> None:
    done = site("deploy", "mesh/nosuch", "--nodes", "node9", "--slot", "7")
    assert (done.status, done.out) == (1, "")
    assert "no image 'mesh/nosuch'" in done.err
    assert "node9" in done.err


def test_all_is_followed_until_the_nodes_run_it(site: Bootd, calendar: Callable[[str], None]) -> None:
    done = site.good(*WORDS)
    told = [line for line in done.out.splitlines() if line.startswith("job ")]
    assert told == ["job 1 done  ok: node[2-3]", "job 2 done  ok: node[2-3]"]
    assert done.out.splitlines()[-1] == "node[2-3]: run mesh/router@1 from slot 5"


def test_node_that_does_not_run_it_is_named_and_the_end_is_1(
    site: Bootd, calendar: Callable[[str], None]
) -> None:
    calendar("node3")
    done = site(*WORDS)
    assert done.status == 1
    assert "node2: runs mesh/router@1 from slot 5" in done.out
    assert "node3: does not run mesh/router@1 from slot 5: no word" in done.out
    assert "bootd jobs list --all --reservation 1" in done.out


def test_json_is_a_line_for_the_order_and_one_for_each_change(
    site: Bootd, calendar: Callable[[str], None]
) -> None:
    order, *changes = [json.loads(line) for line in site.good(*WORDS, "--json").out.splitlines()]
    assert (order["id"], order["is_new"], order["jobs"]) == (1, True, [1])
    assert order["deployments"][0]["slot"] == 5
    assert {row["job"] for row in changes} == {1, 2}


def test_without_a_daemon_that_is_said(site: Bootd, calendar: Callable[[str], None]) -> None:
    assert "no bootd serve is heard here" in site.good(*WORDS).err


def test_ctrl_c_leaves_the_job_going_and_says_how_to_look_again(
    site: Bootd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bootd.cli.jobs.pause", pressed)
    done = site(*WORDS)
    assert done.status == 1
    assert "bootd reservations show 1" in done.err
    assert "bootd reservations cancel 1 takes it back" in done.err
    assert site.good("jobs", "list", "--json").json[0]["state"] == "waiting"


def test_reservation_that_is_cancelled_meanwhile_is_not_waited_for(
    site: Bootd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled() -> None:
        with site.store() as store:
            ended(store, 1)
            [reservation] = store.every(Reservation)
            keep(store, replace(reservation, state="cancelled"))

    monkeypatch.setattr("bootd.cli.jobs.pause", cancelled)
    assert site(*WORDS).status == 1


# -- disks of another layout -----------------------------------------------------------------------


def hold(site: Bootd) -> None:
    with site.store() as store:
        keep(store, *(Slot(node, 5, ImageRef("mesh", "debian", 2), "x", "ready") for node in NODES))


def test_repartition_names_what_is_lost_and_asks(site: Bootd, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(site)
    monkeypatch.setattr(command, "is_terminal", lambda: True)
    done = site(*WORDS, "--repartition", "--no-follow", stdin="n\n")
    assert done.status == 1
    assert "slot 5 of node[2-3]: mesh/debian@2 (ready)" in done.out
    assert site.good("reservations", "list", "--json").json == []
    site.good(*WORDS, "--repartition", "--no-follow", stdin="y\n")


def test_repartition_without_a_terminal_wants_yes(site: Bootd) -> None:
    done = site(*WORDS, "--repartition", "--no-follow")
    assert (done.status, "add --yes" in done.err) == (1, True)
    site.good(*WORDS, "--repartition", "--yes", "--no-follow")
    with site.store() as store:
        [job] = store.every(Job)
        assert job.facts[jobs.REPARTITION] is True


@pytest.mark.parametrize(
    ("words", "incomplete", "found"),
    [
        (["deploy"], "mesh/r", ["mesh/router@1"]),
        (["deploy", "mesh/router", "--nodes"], "node4", ["node4"]),
        (["deploy", "mesh/router", "--slot"], "25", ["25"]),
        (["deploy", "mesh/router", "--project"], "o", ["orbit"]),
    ],
)
def test_words_are_completed(site: Bootd, words: list[str], incomplete: str, found: list[str]) -> None:
    assert completed(words, incomplete) == found
