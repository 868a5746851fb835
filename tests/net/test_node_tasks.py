"""What the imager asks the boot port, over a real connection: its task, and whether it may write."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import pytest

from bootd.events import (
    Event,
    NodeReported,
    NodeReportRefused,
    ReadPermitted,
    ReadRefused,
    WritePermitted,
    WriteRefused,
)
from tests.helpers.web import MAC, NOON, Site, a_host, a_snapshot, ask, running

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TASK, PERMIT, REPORT = "/node/v1/task", "/node/v1/permit", "/node/v1/report"


@dataclass
class Desk:
    """Answers what a test wants, and keeps who asked."""

    permission: str = "permit yes\nlayout keep\n"
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    async def task(self, node: str) -> str:
        self.asked.append((node, {}))
        return "task write\njob 1\n"

    async def permit(self, node: str, form: Mapping[str, str]) -> str:
        self.asked.append((node, form))
        return self.permission


def a_site(desk: Desk, **changes: Any) -> Site:
    site = Site(a_snapshot(a_host()), **changes)
    site.parts = replace(site.parts, tasks=desk)
    return site


def token(site: Site, mac: str = MAC) -> str:
    return site.parts.tokens.mint(mac, None, NOON)


async def post(site: Site, path: str, **fields: str) -> tuple[int, str]:
    reply = await ask(site.port, path, method="POST", headers=FORM, body=urlencode(fields).encode())
    return reply.status, reply.body.decode()


async def test_node_with_a_token_is_told_its_task_as_often_as_it_asks() -> None:
    desk = Desk()
    async with running(a_site(desk)) as site:
        good = token(site)
        for _ in range(2):
            assert await post(site, TASK, token=good) == (200, "task write\njob 1\n")
    assert desk.asked == [("node1", {}), ("node1", {})]


async def test_imager_that_waits_is_known_to_be_there_until_it_has_something_to_do_or_leaves() -> None:
    async with running(a_site(Desk())) as site:
        good, is_there = token(site), site.parts.attendance.is_there
        await post(site, TASK, token=good)
        assert not is_there("node1")
        await post(site, TASK, token=good, idle="yes")
        assert is_there("node1")
        await post(site, REPORT, token=good, state="joined")
        assert not is_there("node1")
        await post(site, REPORT, token=good, state="failed", detail="the disk is full")
        assert is_there("node1")
        await post(site, TASK, token="forged", idle="yes")
        await post(site, REPORT, token=good, state="leaving")
        assert not is_there("node1")


async def test_node_that_may_write_is_written_down_with_its_disk() -> None:
    desk = Desk()
    async with running(a_site(desk)) as site:
        told = await post(site, PERMIT, token=token(site), name="sda", serial="QM\x1b1")
    assert told == (200, "permit yes\nlayout keep\n")
    assert [(event.host, event.mac, event.disk) for event in site.of_kind(WritePermitted)] == [
        ("node1", MAC, "sda QM 1")
    ]
    [(node, form)] = desk.asked
    assert (node, form["name"]) == ("node1", "sda")


async def test_node_that_may_not_write_is_told_why_and_so_is_everybody() -> None:
    desk = Desk("permit no\nreason sda is removable\n")
    async with running(a_site(desk)) as site:
        assert (await post(site, PERMIT, token=token(site)))[1] == desk.permission
    assert [event.text for event in site.of_kind(WriteRefused)] == ["sda is removable"]
    assert not site.of_kind(WritePermitted)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("permit yes\nuse read\nlayout keep\n", ReadPermitted),
        ("permit no\nuse read\nreason sda is removable\n", ReadRefused),
    ],
    ids=["yes", "no"],
)
async def test_node_that_reads_a_slot_is_not_said_to_write(answer: str, kind: type[Event]) -> None:
    async with running(a_site(Desk(answer))) as site:
        assert (await post(site, PERMIT, token=token(site), name="sda"))[1] == answer
    [event] = [each for each in site.events if type(each) in (ReadPermitted, ReadRefused)]
    assert type(event) is kind
    assert getattr(event, "text", "sda is removable") == "sda is removable"
    assert not site.of_kind(WritePermitted)
    assert not site.of_kind(WriteRefused)


@pytest.mark.parametrize("path", [TASK, PERMIT, REPORT])
@pytest.mark.parametrize(
    ("mac", "arp", "status", "reason"),
    [
        (MAC, {"127.0.0.1": "52:54:00:00:00:99"}, 403, "token-other-machine"),
        (MAC, {"127.0.0.1": MAC}, 200, ""),
        ("", {}, 403, "token-malformed"),
    ],
    ids=["of-another-machine", "of-its-own", "none"],
)
async def test_token_is_good_for_the_machine_it_was_made_for(
    path: str, mac: str, arp: dict[str, str], status: int, reason: str
) -> None:
    desk = Desk()
    async with running(a_site(desk, arp=arp)) as site:
        got, text = await post(site, path, token=token(site, mac) if mac else "", state="verified")
    assert got == status
    assert reason in text
    assert bool(desk.asked or site.of_kind(NodeReported)) == (status == 200)
    assert [event.why for event in site.of_kind(NodeReportRefused)] == ([reason] if reason else [])


@pytest.mark.parametrize("path", [TASK, PERMIT])
async def test_token_of_a_machine_that_is_no_host_any_more_is_good_for_nothing(path: str) -> None:
    desk = Desk()
    async with running(a_site(desk)) as site:
        got, text = await post(site, path, token=token(site, "52:54:00:00:00:99"))
    assert (got, "unknown-machine" in text, desk.asked) == (403, True, [])


@pytest.mark.parametrize(("neighbour", "host"), [(MAC, "node1"), ("52:54:00:00:00:77", ""), (None, "")])
async def test_refused_token_is_held_against_the_machine_that_sent_it(
    neighbour: str | None, host: str
) -> None:
    arp = {} if neighbour is None else {"127.0.0.1": neighbour}
    async with running(a_site(Desk(), arp=arp)) as site:
        other = token(site, "52:54:00:00:00:99")
        assert (await post(site, TASK, token=other if neighbour else ""))[0] == 403
    [event] = site.of_kind(NodeReportRefused)
    assert (event.host, event.mac) == (host, MAC if host else "")


async def test_node_that_has_done_all_leaves_and_its_token_is_used_up() -> None:
    async with running(a_site(Desk())) as site:
        good = token(site)
        for state in ("joined", "verified"):
            assert (await post(site, REPORT, token=good, state=state))[0] == 200
        assert (await post(site, TASK, token=good))[0] == 200
        assert (await post(site, REPORT, token=good, state="leaving"))[0] == 200
        for path in (TASK, PERMIT):
            assert (await post(site, path, token=good))[0] == 409
    assert [event.state for event in site.of_kind(NodeReported)] == ["joined", "verified", "leaving"]


@pytest.mark.parametrize(("job", "named"), [("7", 7), ("", None), ("007", 7)])
async def test_word_of_an_imager_names_its_job(job: str, named: int | None) -> None:
    async with running(a_site(Desk())) as site:
        note = "not compared:\x1bbtrfs" + "." * 200
        told = await post(site, REPORT, token=token(site), state="verified", job=job, note=note)
    assert told == (200, "noted\n")
    [event] = site.of_kind(NodeReported)
    assert (event.job, event.note) == (named, note.replace("\x1b", " ")[:200])


@pytest.mark.parametrize("job", ["seven", "-1", "1.5", "1\n", "٣", "1" * 10])
async def test_word_for_what_is_no_job_is_refused(job: str) -> None:
    async with running(a_site(Desk())) as site:
        got, text = await post(site, REPORT, token=token(site), state="verified", job=job)
    assert (got, "bad-job" in text, site.of_kind(NodeReported)) == (400, True, [])


async def test_without_a_token_nobody_speaks_of_a_job() -> None:
    async with running(a_site(Desk(), arp={"127.0.0.1": MAC})) as site:
        assert (await post(site, REPORT, state="failed", job="7", note="n"))[0] == 200
    assert [(event.job, event.note) for event in site.of_kind(NodeReported)] == [(None, "")]


async def test_nothing_is_written_where_nobody_wants_it() -> None:
    site = Site(a_snapshot(a_host()))
    async with running(site):
        assert await post(site, TASK, token=token(site)) == (200, "task none\n")
        assert (await post(site, PERMIT, token=token(site)))[1].startswith("permit no\n")
