"""Threads and processes exclude each other by name, and the dead exclude nobody."""

import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest

from bootd.drivers.lun.locks import Locks

HOLDER = """
import sys
from pathlib import Path
from bootd.drivers.lun.locks import Locks
with Locks(Path(sys.argv[1])).hold(*sys.argv[2:]):
    print("held", flush=True)
    sys.stdin.read()
"""


def holding(path: Path, *names: str) -> "subprocess.Popen[str]":
    """Start another process that holds *names* until it is killed or its input ends."""
    command = [sys.executable, "-c", HOLDER, str(path), *names]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def taker(path: Path, *names: str) -> tuple[threading.Thread, threading.Event]:
    taken = threading.Event()

    def take() -> None:
        with Locks(path).hold(*names):
            taken.set()

    thread = threading.Thread(target=take)
    thread.start()
    return thread, taken


def test_a_thread_waits_for_another_with_the_same_name(tmp_path: Path) -> None:
    locks = Locks(tmp_path / "locks")
    with locks.hold("a", "b"):
        thread, taken = taker(tmp_path / "locks", "b")
        with locks.hold("c"), locks.hold(""):  # other names are free
            assert not taken.wait(0.05)
    thread.join()
    assert taken.is_set()


def test_what_a_killed_process_held_is_free(tmp_path: Path) -> None:
    holder = holding(tmp_path / "locks", "a")
    thread, taken = taker(tmp_path / "locks", "a")
    assert not taken.wait(0.05)
    holder.kill()
    holder.communicate()
    thread.join()
    assert taken.is_set()


def test_a_failure_gives_the_lock_back(tmp_path: Path) -> None:
    locks = Locks(tmp_path / "locks")
    with pytest.raises(RuntimeError), locks.hold("a"):
        raise RuntimeError
    with locks.hold("a"):
        pass


def test_no_name_meets_the_lock_of_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume's lock is held while that of all logins is taken: one octet for both would be for ever."""
    monkeypatch.setattr(zlib, "crc32", lambda octets: 0)
    with Locks(tmp_path / "locks").hold("a", "b"):
        thread, taken = taker(tmp_path / "locks", "")
        assert taken.wait(30)
    thread.join()
