"""Programs run as a pipe: what they say, who is to blame, and that none outlives whoever started it."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bootd.darkstore.unpack.errors import ToolFailed
from bootd.darkstore.unpack.programs import Limits, Pipe

LIMITS = Limits(1 << 20)


def nothing() -> None:
    return


def test_what_is_fed_comes_out_at_the_other_end(tmp_path: Path) -> None:
    with Pipe([["gzip", "-c"], ["gzip", "-dc"]], tmp_path, LIMITS, fed=True) as pipe:
        for _ in range(5):
            pipe.feed(b"abc" * 50_000, nothing)
        pipe.wait(nothing)
        assert pipe.answer_octets() == b"abc" * 250_000


def test_program_that_fails_is_blamed_and_not_the_one_it_no_longer_listens_to(tmp_path: Path) -> None:
    commands = [["yes"], ["sh", "-c", "echo no such thing >&2; exit 3"]]
    said = pytest.raises(ToolFailed, match=r"^sh ended with status 3: no such thing$")
    with said, Pipe(commands, tmp_path, LIMITS) as pipe:
        pipe.wait(nothing)


def test_file_that_outgrows_its_limit_ends_the_program(tmp_path: Path) -> None:
    command = ["dd", "if=/dev/zero", "of=big", "bs=1M"]
    with pytest.raises(ToolFailed, match="dd ended"), Pipe([command], tmp_path, LIMITS) as pipe:
        pipe.wait(nothing)
    assert (tmp_path / "big").stat().st_size == LIMITS.file


def test_feeding_a_program_that_reads_nothing_asks_now_and_then_whether_to_go_on(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    asked: list[int] = []

    def beat() -> None:
        asked.append(1)
        if len(asked) > 2:
            raise Enough

    with pytest.raises(Enough), Pipe([["sleep", "600"]], tmp_path, LIMITS, fed=True) as pipe:
        pipe.feed(bytes(8 << 20), beat)
    with pytest.raises(Enough), Pipe([["sleep", "600"]], tmp_path, LIMITS) as pipe:
        pipe.wait(beat)
    assert pipe._children[0].returncode == -signal.SIGKILL


_SCRIPT = """
import sys
from pathlib import Path
from bootd.darkstore.unpack.programs import Limits, Pipe
with Pipe([["sleep", "600"], ["sleep", "600"]], Path(sys.argv[1]), Limits(1 << 20), fed=True) as pipe:
    for child in pipe._children:
        while b"sleep" not in Path(f"/proc/{child.pid}/cmdline").read_bytes().split(b"\\0")[0]:
            pass
    print(*[child.pid for child in pipe._children], flush=True)
    pipe.wait(lambda: None)
"""


def test_programs_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as daemon:
        assert daemon.stdout is not None
        children = [os.pidfd_open(int(pid)) for pid in daemon.stdout.readline().split()]
        assert len(children) == 2
        daemon.kill()
        for child in children:
            assert select.select([child], [], [], 60)[0], "a child outlived the one who started it"
            os.close(child)
