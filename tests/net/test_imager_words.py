"""What the imager says while it works: of which job, how far it is, and nothing after its last word."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootd.events import NodeReported
from tests.helpers.imagershell import ImagerShell
from tests.helpers.web import MAC, NOON, Site, a_host, a_snapshot, running

# The words of a loop are slow to arrive; those of the agent itself are not.
SLOW = """
timeout() {
  shift
  case $asking in
    *every) busybox sh -c 'busybox sleep 0.7; exec busybox "$@"' - "$@" ;;
    *) busybox "$@" ;;
  esac
}
"""


@dataclass
class Speaker:
    """The imager's functions, with a task, and a boot port that hears them."""

    site: Site
    shell: ImagerShell
    folder: Path

    async def run(self, commands: str, task: str = "task write\njob 12\n") -> str:
        (self.folder / "run/task").write_text(task)
        said = await self.shell.run(commands)
        assert said.errors == ""
        return said.out.decode()

    @property
    def words(self) -> list[tuple[str, str]]:
        return [(event.state, event.detail) for event in self.site.of_kind(NodeReported)]

    @property
    def jobs(self) -> list[int | None]:
        return [event.job for event in self.site.of_kind(NodeReported)]


@pytest.fixture
async def speaker(tmp_path: Path) -> AsyncIterator[Speaker]:
    site, folder = Site(a_snapshot(a_host())), tmp_path / "shell"
    async with running(site):
        token = site.parts.tokens.mint(MAC, None, NOON)
        sourced = ("functions", "talk", "disk", "slot", "capture")
        server = f"http://127.0.0.1:{site.port}"
        yield Speaker(site, ImagerShell(folder, server, token=token, sourced=sourced), folder)


async def test_each_word_names_the_job_that_the_task_names(speaker: Speaker) -> None:
    await speaker.run(
        "say joined; whole=10 begin=0 interface=lo; progress writing; last_word failed 'no disk'"
    )
    assert [word for word, _ in speaker.words] == ["joined", "writing", "failed"]
    assert speaker.jobs == [12, 12, 12]


async def test_machine_that_has_no_job_names_none(speaker: Speaker) -> None:
    await speaker.run("say leaving", task="task none\n")
    assert (speaker.words, speaker.jobs) == ([("leaving", "")], [None])


async def test_what_else_is_to_be_known_comes_with_the_last_word(speaker: Speaker) -> None:
    await speaker.run("last_word verified sha256:1 'not compared: ntfs & such'")
    [event] = speaker.site.of_kind(NodeReported)
    assert (event.state, event.detail, event.note) == ("verified", "sha256:1", "not compared: ntfs & such")


async def test_work_that_takes_long_is_spoken_of_until_it_is_done_and_never_after_it(
    speaker: Speaker,
) -> None:
    twice_said = speaker.folder / "twice"
    work = f"work() {{ until [ -s {twice_said} ]; do busybox sleep 0.05; done; why=because; return 3; }}\n"
    twice = f'still_at() {{ say "$1"; say "$1"; echo >{twice_said}; say "$1"; }}\n'
    out = await speaker.run(
        f'{SLOW}{work}{twice}ALIVE_S=0.1\ntelling fitting work; echo "ended $? $why"; last_word failed "$why"'
    )
    assert "ended 3 because" in out
    assert [word for word, _ in speaker.words] == ["fitting"] * 4 + ["failed"]


async def test_work_that_is_done_at_once_waits_for_no_word(speaker: Speaker) -> None:
    out = await speaker.run("ALIVE_S=600\ntelling checking true; echo $?; telling fitting false; echo $?")
    assert out.splitlines()[1::2] == ["0", "1"]
    assert speaker.words == [("checking", ""), ("fitting", "")]


async def test_reading_back_is_told_in_percent(speaker: Speaker) -> None:
    (speaker.folder / "block/sda7").mkdir(parents=True)
    stat = speaker.folder / "block/sda7/stat"
    stat.write_text("     10        0     3000        5        0 0 0 0 0 0 0\n")
    told = "device=/dev/sda7 before=1000 whole=2048000; still_at checking; still_at fitting"
    await speaker.run(told)
    stat.write_text("     10        0     9000        5        0 0 0 0 0 0 0\n")
    await speaker.run(told)
    assert speaker.words == [("checking", "49"), ("fitting", ""), ("checking", "99"), ("fitting", "")]
