"""Several processes on one database: taking turns, and being killed half-way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.helpers.site import a_host, file_store

ROOT = Path(__file__).parents[3]
_HEAD = """
import sys
from bootd.clock import utc_now
from bootd.store import open_store
from tests.helpers.site import a_host
store = open_store("sqlite:///" + sys.argv[1] + "/bootd.db", clock=utc_now)
"""
_ADDS_FIFTY = (
    _HEAD
    + """
start = int(sys.argv[2])
for number in range(start, start + 50):
    with store.transaction("process") as change:
        change.put_host(a_host(number))
"""
)
_STOPS_IN_THE_MIDDLE = (
    _HEAD
    + """
with store.transaction("process") as change:
    change.put_hosts(a_host(number) for number in range(1, 500))
    print("half-way", flush=True)
    sys.stdin.read()
"""
)


def _python(program: str, *arguments: str, **how: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", program, *arguments], env=environment, **how)  # type: ignore[call-overload, no-any-return]


def test_processes_that_make_the_database_at_once_take_turns(tmp_path: Path) -> None:
    running = [_python(_ADDS_FIFTY, str(tmp_path), str(1 + 50 * n)) for n in range(4)]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    with file_store(tmp_path) as store:
        assert store.hosts() == [a_host(n) for n in range(1, 201)]
        assert [entry.id for entry in store.journal(limit=500)] == list(range(200, 0, -1))


def test_a_process_killed_in_a_transaction_leaves_nothing_of_it(tmp_path: Path) -> None:
    with file_store(tmp_path) as store:
        with store.transaction("anna") as change:
            change.put_host(a_host(1, ip="10.9.9.9"))
        process = _python(_STOPS_IN_THE_MIDDLE, str(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"half-way\n"
            process.send_signal(signal.SIGKILL)
        assert store.hosts() == [a_host(1, ip="10.9.9.9")]
        with store.transaction("anna") as change:  # the lock died with its holder
            change.put_host(a_host(2))
    with file_store(tmp_path) as store:
        assert [host.name for host in store.hosts()] == ["node1", "node2"]
        assert store.generation() == 2
