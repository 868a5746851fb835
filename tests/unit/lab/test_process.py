"""A process is known by pid and start time: strangers with the same pid are left alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.lab.process import Process, identify, start


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


def test_a_stranger_with_the_same_pid_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    real = identify(sleeper.pid)
    assert real is not None
    other = Process(real.pid, real.started + 1)
    assert not other.alive
    other.end(patience_s=0)
    assert sleeper.poll() is None
    assert real.alive


def test_an_ended_process_is_not_alive_even_before_it_is_reaped(sleeper: subprocess.Popen[bytes]) -> None:
    process = identify(sleeper.pid)
    assert process is not None
    process.end()
    assert not process.alive  # a zombie: nobody called wait() yet
    assert Path(f"/proc/{sleeper.pid}").exists()


def test_who_does_not_listen_to_sigterm_is_ended_too(tmp_path: Path) -> None:
    code = "import signal,time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    process, child = start([sys.executable, "-c", code], log=tmp_path / "log")
    with child:
        while "deaf" not in (tmp_path / "log").read_text():
            os.sched_yield()
        process.end(patience_s=0.1)
        assert child.wait() == -9


def test_nobody_has_a_pid_that_cannot_be() -> None:
    assert identify(2**22 + 1) is None
