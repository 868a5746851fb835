"""The agent of the imager between tasks: it waits, goes on after silence, stays where it failed, leaves."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bootd.events import NodeReported
from tests.helpers.imagershell import Agent, ImagerShell
from tests.helpers.web import MAC, NOON, Site, a_host, a_snapshot, running

WAIT, NONE = "task wait\n", "task none\n"
NO_DISK = (
    "task write\njob 1\nsession s1\nidentity sha256:0a\nfilesystem ext4\ndisk /dev/no-such-disk\nslot 7\n"
)
_PATIENCE_S = 60.0


@dataclass
class Desk:
    """Tells *tasks* one after the other, and the last of them for good."""

    tasks: list[str]
    asked: int = 0
    refused: list[str] = field(default_factory=list)

    async def task(self, node: str) -> str:
        self.asked += 1
        return self.tasks.pop(0) if len(self.tasks) > 1 else self.tasks[0]

    async def permit(self, node: str, form: Mapping[str, str]) -> str:
        return "permit no\nreason nothing is written here\n"


def a_site(*tasks: str) -> tuple[Site, Desk]:
    site, desk = Site(a_snapshot(a_host())), Desk(list(tasks))
    site.parts = replace(site.parts, tasks=desk)
    return site, desk


def an_agent(site: Site, folder: Path) -> Agent:
    token = site.parts.tokens.mint(MAC, None, NOON)
    return Agent(folder / "agent", f"http://127.0.0.1:{site.port}", token)


def words(site: Site) -> list[str]:
    return [event.state for event in site.of_kind(NodeReported)]


async def test_agent_whose_job_is_taken_back_leaves_at_once(tmp_path: Path) -> None:
    site, desk = a_site(WAIT, WAIT, NONE)
    async with running(site):
        agent = an_agent(site, tmp_path)
        async with agent.running() as process:
            assert await asyncio.wait_for(agent.left(process), _PATIENCE_S), agent.console
    assert (desk.asked, words(site)) == (3, ["leaving"])


async def test_agent_that_failed_says_why_and_stays_to_be_called_again(tmp_path: Path) -> None:
    again = NO_DISK.replace("s1", "s2")
    site, desk = a_site(NO_DISK, NO_DISK, WAIT, WAIT, again, again, NONE)
    async with running(site):
        agent = an_agent(site, tmp_path)
        async with agent.running() as process:
            async with asyncio.timeout(_PATIENCE_S):
                while words(site).count("failed") < 2:
                    await asyncio.sleep(0.1)
            desk.asked = 0
            async with asyncio.timeout(_PATIENCE_S):
                while desk.asked < 4:
                    await asyncio.sleep(0.1)
            assert process.returncode is None
            assert site.parts.attendance.is_there("node1")
    assert words(site) == ["failed", "failed"]
    assert [event.job for event in site.of_kind(NodeReported)] == [1, 1]
    assert "there is no disk /dev/no-such-disk here" in agent.console


async def test_agent_does_not_call_a_failure_what_bootd_has_ended(tmp_path: Path) -> None:
    site, _ = a_site(NO_DISK, NONE)
    async with running(site):
        agent = an_agent(site, tmp_path)
        async with agent.running() as process:
            async with asyncio.timeout(_PATIENCE_S):
                while "does not want it of us any more" not in agent.console:
                    await asyncio.sleep(0.1)
            assert process.returncode is None
    assert words(site) == []


async def test_last_word_of_a_good_slot_says_what_could_not_be_compared(tmp_path: Path) -> None:
    task = "task write\njob 5\nsession s1\nidentity sha256:0a\nimage mesh/it\n"
    site, _ = a_site(task, task, NONE)
    async with running(site):
        agent = an_agent(site, tmp_path)
        agent.append("capture", "write_slot() { uncompared='was not read back (NTFS)'; }\n")
        async with agent.running() as process:
            assert await asyncio.wait_for(agent.left(process), _PATIENCE_S), agent.console
    verified, leaving = site.of_kind(NodeReported)
    assert (verified.state, verified.detail, verified.job) == ("verified", "sha256:0a", 5)
    assert verified.note == "was not read back (NTFS)"
    assert (leaving.state, leaving.job, leaving.note) == ("leaving", None, "")


async def test_agent_goes_on_when_bootd_was_away(tmp_path: Path) -> None:
    site, desk = a_site(WAIT)
    async with running(site):
        agent = an_agent(site, tmp_path)
        port = site.port
        starting = agent.running()
        process = await starting.__aenter__()
        while desk.asked < 2:
            await asyncio.sleep(0.1)
    away = time.monotonic()
    while time.monotonic() < away + 5:
        await asyncio.sleep(0.1)
    desk.tasks = [NONE]
    async with running(site, port):
        assert await asyncio.wait_for(agent.left(process), _PATIENCE_S), agent.console
    await starting.__aexit__(None, None, None)
    assert words(site) == ["leaving"]


async def test_question_leaves_alone_what_its_asker_calls_things(tmp_path: Path) -> None:
    site, _ = a_site(WAIT)
    names = ("sent", "gone", "disk", "device", "slot", "why", "name", "kind", "note", "value", "left", "did")
    names += ("pause", "percent", "result", "before", "whole")
    async with running(site):
        token = site.parts.tokens.mint(MAC, None, NOON)
        shell = ImagerShell(tmp_path / "shell", f"http://127.0.0.1:{site.port}", token=token)
        given = " ".join(f"{name}=its-{name}" for name in names)
        said = await shell.run(
            f"{given}; say capturing '1 %' >/dev/null; echo {' '.join(f'${n}' for n in names)}"
        )
    assert said.out.decode().split() == [f"its-{name}" for name in names]
    assert words(site) == ["capturing"]
