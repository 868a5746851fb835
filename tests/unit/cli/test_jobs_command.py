"""``bootd jobs`` as people type it: lists, node sets for the next command, and a job as it goes on."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from bootd.cli.jobs_follow import LivePage, eta_text, follow_job, lines, percent, table, word_text
from bootd.model import Job, JobKind, JobPart, Outcome
from bootd.services import jobs as service
from bootd.store import Store
from tests.helpers.command import Bootd
from tests.helpers.deeds import a_deployment, a_job, a_project, a_reservation, keep
from tests.helpers.site import NOON, memory_store

NODES = tuple(f"node{n}" for n in range(1, 5))


def put(store: Store, *records: Any, parts: Sequence[JobPart] = ()) -> None:
    keep(store, *records)
    with store.transaction("calendar") as change:
        change.put_job_parts(parts)


def parts_of(job: int = 1) -> list[JobPart]:
    return [
        JobPart(job, "", step="send", octets=500, size=1000, rate=50),
        JobPart(job, "node1", step="send", outcome=Outcome.OK, word="verified", word_detail="sha256:1"),
        JobPart(job, "node2", step="send", outcome=Outcome.OK),
        JobPart(job, "node3", outcome=Outcome.FAILED, note="the digest does not match"),
        JobPart(job, "node4", outcome=Outcome.TIMED_OUT),
    ]


@pytest.fixture
def site(bootd: Bootd) -> Bootd:
    """A site with a job that ended partly, and one that waits."""
    with bootd.store() as store:
        keep(store, a_project(), a_reservation(state="booked"), a_deployment(state="hd-ready"))
        ended = a_job(1, nodes=NODES, state="partly", note="2 of 4", began_at=NOON, ended_at=NOON)
        put(store, ended, parts=parts_of())
        put(store, a_job(2, kind=JobKind.START, deployment=None), parts=[JobPart(2, "node1")])
    return bootd


# -- list and show -------------------------------------------------------------------------------


def test_open_jobs_are_listed_and_with_all_those_that_are_over(site: Bootd) -> None:
    rows = site.good("jobs", "list").out.splitlines()
    headers = [word for word in rows[0].split() if not word.startswith("(")]  # a zone
    assert headers == ["JOB", "KIND", "RESERVATION", "NODES", "STATE", "SINCE", "NOTE"]
    assert [row.split()[:2] for row in rows[1:]] == [["2", "start"]]
    assert [row["id"] for row in site.good("jobs", "list", "--all", "--json").json] == [2, 1]
    assert site.good("jobs", "list", "--all", "--reservation", "9", "--json").json == []


def test_empty_list_says_where_to_look(bootd: Bootd) -> None:
    assert "bootd jobs list --all" in bootd.good("jobs", "list").out


@pytest.mark.parametrize(
    ("outcome", "nodes"), [("ok", "node[1-2]"), ("failed", "node3"), ("timed-out", "node4")]
)
def test_node_set_is_all_that_is_printed(site: Bootd, outcome: str, nodes: str) -> None:
    assert site.good("jobs", "show", "1", "--outcome", outcome).out == f"{nodes}\n"


def test_node_set_can_be_fed_to_the_next_command(site: Bootd) -> None:
    for number in range(1, 5):
        site.good("hosts", "add", f"node{number}", "--mac", f"52:54:00:00:00:0{number}")
    nodes = site.good("jobs", "show", "1", "--outcome", "ok").out.strip()
    site.good("boot", nodes, "local")
    assert site.good("status", "--json").json["assigned"] == 2


def test_empty_node_set_is_an_error_and_prints_nothing(site: Bootd) -> None:
    ended = site("jobs", "show", "2", "--outcome", "failed")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == "no node of job 2 is in the set failed\n"


def test_job_is_shown_node_by_node(site: Bootd) -> None:
    rows = [" ".join(row.split()) for row in site.good("jobs", "show", "1").out.splitlines()]
    assert rows[0] == "job 1 write-slot partly"
    assert "nodes node[1-4]" in rows
    assert "ok node[1-2]" in rows
    assert "(all) send 500 B of 1.0 kB" in rows
    assert "node1 send ok said verified: sha256:1" in rows
    assert "node3 failed the digest does not match" in rows


def test_json_of_a_job_has_its_sets_and_its_parts(site: Bootd) -> None:
    shown = site.good("jobs", "show", "1", "--json").json
    assert shown["outcomes"] == {"ok": "node[1-2]", "failed": "node3", "timed-out": "node4"}
    assert [part["node"] for part in shown["parts"]] == [None, *NODES]
    listed = next(job for job in site.good("jobs", "list", "--all", "--json").json if job["id"] == 1)
    assert listed.items() <= shown.items()


@pytest.mark.parametrize("verb", ["show", "follow", "cancel", "retry"])
def test_unknown_job_is_one_sentence(site: Bootd, verb: str) -> None:
    ended = site("jobs", verb, "9")
    assert (ended.status, ended.err) == (1, "bootd: no job '9'; bootd jobs list --all names them\n")


# -- cancel and retry ------------------------------------------------------------------------------


def test_waiting_job_is_cancelled_and_brought_back(site: Bootd) -> None:
    assert "cancelled job 2" in site.good("jobs", "cancel", "2").out
    ended = site("jobs", "cancel", "2")
    assert (ended.status, "a job that is cancelled cannot cancel" in ended.err) == (1, True)
    assert "job 2 begins anew for node[1-2]" in site.good("jobs", "retry", "2").out
    assert site.good("jobs", "list", "--json").json[0]["state"] == "waiting"


def test_running_job_is_left_to_its_worker(site: Bootd) -> None:
    with site.store() as store:
        keep(store, a_job(3, state="running", reservation=7))
    assert site.good("jobs", "cancel", "3").out == "job 3 is being taken back: bootd jobs follow 3\n"


def test_retry_names_the_nodes_that_are_tried_again(site: Bootd) -> None:
    assert site.good("jobs", "retry", "1").out == "job 1 begins anew for node[3-4]: bootd jobs follow 1\n"
    assert site.good("jobs", "show", "1", "--json").json["outcomes"]["ok"] == "node[1-2]"


# -- follow --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "status"), [("done", 0), ("partly", 1), ("failed", 1), ("cancelled", 1)])
def test_following_ends_with_the_job_and_tells_how(site: Bootd, state: str, status: int) -> None:
    with site.store() as store:
        job = store.find(Job, 1)
        assert job is not None
        keep(store, replace(job, state=state))
    ended = site("jobs", "follow", "1")
    assert ended.status == status
    last = ended.out.splitlines()[-1]
    assert last == f"job 1 {state} (2 of 4)  ok: node[1-2]  failed: node3  timed-out: node4"


def test_following_in_json_is_an_object_a_line(site: Bootd) -> None:
    rows = [json.loads(row) for row in site("jobs", "follow", "1", "--json").out.splitlines()]
    assert [row.get("node", "job") for row in rows] == [None, *NODES, "job"]
    assert rows[0]["octets"] == 500


def test_following_without_a_daemon_says_that_nothing_will_be_done(
    site: Bootd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_it(seconds: float) -> None:
        with site.store() as store:
            keep(store, replace(service.find(store, 2), state="done"))

    monkeypatch.setattr("bootd.cli.jobs.time.sleep", end_it)
    ended = site.good("jobs", "follow", "2")
    assert ended.err == "no bootd serve is heard here: without one nothing is done\n"
    assert ended.out.splitlines()[-1] == "job 2 done"


Change = Callable[[Store], None]


def follow(*changes: Change) -> list[str]:
    """Follow a job that is changed at each wait; return the lines without their times."""
    store = memory_store()
    put(store, a_job(1, nodes=NODES[:2]), parts=[JobPart(1, node) for node in NODES[:2]])
    said: list[str] = []
    left = list(changes)
    follow_job(store, 1, lines(said.append, UTC), lambda: left.pop(0)(store))
    assert left == []
    return [line[10:] for line in said]


def job_is(**fields: Any) -> Change:
    return lambda store: keep(store, replace(service.find(store, 1), **fields))


def part_is(node: str, **fields: Any) -> Change:
    return lambda store: put(store, parts=[JobPart(1, node, **fields)])


def test_only_what_changed_is_told() -> None:
    told = follow(
        job_is(state="running", step="send"),
        part_is("node1", step="send", octets=50, size=1000, rate=100),
        part_is("node1", step="send", octets=99, size=1000, rate=100),
        part_is("node1", step="send", octets=400, size=1000, rate=100),
        part_is("node1", step="send", octets=1000, size=1000, outcome=Outcome.OK),
        part_is("node2", outcome=Outcome.FAILED, note="no answer"),
        job_is(state="partly"),
    )
    assert told == [
        "job 1  write-slot  reservation 1  waiting",
        "job 1  write-slot  reservation 1  running: send",
        "node1  send  5 %  100 B/s  0:10 left",
        "node1  send  40 %  100 B/s  0:06 left",
        "node1  send  100 %  ok",
        "node2  failed  no answer",
        "job 1  write-slot  reservation 1  partly",
    ]


@pytest.mark.parametrize(
    ("octets", "size", "rate", "done", "left"),
    [
        (0, 0, 10, None, ""),
        (0, 1000, 0, 0, ""),
        (250, 1000, 10, 25, "1:15"),
        (1000, 1000, 10, 100, ""),
        (2000, 1000, 10, 100, ""),
        (0, 40_000, 10, 0, "1:06:40"),
    ],
)
def test_percent_and_what_is_left(octets: int, size: int, rate: int, done: int | None, left: str) -> None:
    part = JobPart(1, "node1", octets=octets, size=size, rate=rate)
    assert (percent(part), eta_text(part)) == (done, left)


@pytest.mark.parametrize(
    ("word", "detail", "outcome", "text"),
    [
        ("writing", "37", Outcome.OPEN, "says writing 37 %"),
        ("checking", "", Outcome.OPEN, "says checking"),
        ("verified", "sha256:12", Outcome.OK, "said verified"),
        ("", "", Outcome.OPEN, ""),
    ],
)
def test_what_a_node_says_of_itself_is_told(word: str, detail: str, outcome: Outcome, text: str) -> None:
    part = JobPart(1, "node1", "receiving", outcome, word=word, word_detail=detail, word_at=NOON)
    assert word_text(a_job(), part) == text


def test_what_a_node_said_before_it_was_called_again_is_not_told() -> None:
    part = JobPart(1, "node1", "cycling", word="failed", word_at=NOON)
    before, since = (NOON + timedelta(seconds=seconds) for seconds in (-1, 1))
    assert word_text(a_job(facts={"called_at": before.isoformat()}), part) == "says failed"
    assert word_text(a_job(facts={"called_at": since.isoformat()}), part) == ""


def test_line_of_a_node_has_step_percent_rate_time_left_and_its_own_word() -> None:
    told = follow(
        job_is(state="running", step="watch"),
        part_is(
            "node1",
            step="receiving",
            octets=370,
            size=1000,
            rate=30,
            word="writing",
            word_detail="41",
            word_at=NOON,
        ),
        job_is(state="done"),
    )
    assert told[2] == "node1  receiving  37 %  30 B/s  0:21 left  says writing 41 %"


def drawn(job: Job, parts: Sequence[JobPart], most: int = 10) -> list[str]:
    console = Console(file=io.StringIO(), width=120, legacy_windows=False)
    console.print(table(job, parts, most=most))
    assert isinstance(console.file, io.StringIO)
    return [" ".join(row.split()) for row in console.file.getvalue().splitlines()]


def test_table_has_a_row_for_each_node_with_bar_rate_and_time_left() -> None:
    rows = drawn(a_job(nodes=NODES, state="running", step="send"), parts_of())
    assert rows[0] == "job 1 write-slot reservation 1 running: send"
    assert rows[2].startswith("(all) send ━")
    assert rows[2].endswith("50 % 50 B/s 0:10")
    assert rows[3] == "node3 failed: the digest does not match"
    assert rows[-1] == "node2 send ok"


def test_table_that_is_longer_than_the_screen_shows_those_that_are_not_ok() -> None:
    rows = drawn(a_job(), parts_of(), most=3)
    assert [row.split()[0] for row in rows[2:5]] == ["(all)", "node3", "node4"]
    assert rows[5] == "… and 2 more"


def test_square_brackets_in_a_note_are_no_markup() -> None:
    part = JobPart(1, "node1", note="volume [bold]rack-a[/bold] is gone")
    assert drawn(a_job(), [part])[2] == "node1 volume [bold]rack-a[/bold] is gone"


def test_live_page_draws_on_a_terminal_and_leaves_nothing_behind() -> None:
    out = io.StringIO()
    with LivePage(Console(file=out, force_terminal=True, width=100, height=30)) as page:
        page.show(a_job(nodes=NODES), parts_of())
    assert "node3" in out.getvalue()
    assert out.getvalue().endswith("\x1b[2K") or "\x1b[1A" in out.getvalue()


# -- status --------------------------------------------------------------------------------------


def test_status_tells_what_runs_what_comes_and_what_failed(bootd: Bootd) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    hour = timedelta(hours=1)
    with bootd.store() as store:
        keep(
            store,
            a_project(),
            a_reservation(1, starts_at=now - hour, ends_at=now + hour),
            a_deployment(1, 1, state="hd-ready", flipped_at=now),
            a_reservation(2, starts_at=now + hour, ends_at=now + 2 * hour, state="booked"),
            a_deployment(2, 2, state="deploy-hd", flipped_at=None),
            a_reservation(3, starts_at=now + 300 * hour, ends_at=now + 301 * hour, state="booked"),
            a_job(1, reservation=2, deployment=2, state="running", step="send", note="half way"),
            a_job(2, state="failed", note="no answer", ended_at=now - 2 * hour),
            a_job(3, state="failed", note="long ago", ended_at=now - 30 * hour),
        )
    rows = [" ".join(row.split()) for row in bootd.good("status").out.splitlines()]
    told = [row for row in rows if row.split()[0] in ("active", "next", "job", "failed")]
    assert [row.split()[0] for row in told] == ["active", "next", "job", "failed"]
    assert told[0].startswith("active reservation 1 of mesh until ")
    assert told[0].endswith("node[1-2] mesh/debian@1 READY")
    assert told[1].endswith("mesh/debian@1 DEPLOY HD")
    assert told[2] == "job 1 write-slot for reservation 2, running: send (half way)"
    assert told[3] == "failed 2 write-slot for reservation 1, failed (no answer): bootd jobs show 2"
    shown = bootd.good("status", "--json").json["lifecycle"]
    assert {key: len(rows) for key, rows in shown.items()} == {"active": 1, "next": 1, "jobs": 1, "failed": 1}
    assert shown["active"][0]["images"][0]["nodes"] == {"waiting": "node[1-2]"}
