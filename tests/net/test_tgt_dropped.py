"""Volumes exported by a real tgtd, at the word of an ordinary user: through the broker that stayed root.

What the user does is done in a process of its own, since there is no way back to root.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from bootd.drivers.lun.tgtd import Tgtd
from tests.helpers.initiator import Initiator
from tests.helpers.lunsite import CHAP, NODE1, REFUSALS, SIZE
from tests.helpers.tgtd import PrivateTgtd, private_tgtd

pytestmark = pytest.mark.root

# Makes a broker, becomes nobody, and does what each line of its input says, with JSON for an answer.
CHILD = """
import json, os, sys
from pathlib import Path
from bootd import privileges
from bootd.drivers.lun import Chap, LunError
from bootd.drivers.lun.brokered import Broker
from bootd.drivers.lun.tgt import TgtLuns
from bootd.drivers.lun.tgtd import Tgtd, socket_path
from bootd.drivers.tools import Tools

folder = Path(sys.argv[1])
broker = Broker(socket_path(), folder / "luns", "nobody")
privileges.drop("nobody", [folder], program=["/etc/passwd"])
luns = TgtLuns(Tools(folder / "luns"), way=broker)
alone = Tgtd()
print(json.dumps({"broker": broker.pid, "uid": os.geteuid()}), flush=True)
for line in sys.stdin:
    try:
        said = eval(line)
    except LunError as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps(said, default=str), flush=True)
"""


class Dropped:
    """A process that was root, and what it says."""

    def __init__(self, folder: Path, tgtd: PrivateTgtd) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder)],
            env=os.environ | {"TGT_IPC_SOCKET": str(tgtd.socket)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._input, self._output = self.process.stdin, self.process.stdout
        begun = self._read()
        self.broker, self.uid = begun["broker"], begun["uid"]

    def does(self, expression: str) -> object:
        assert self._input is not None
        self._input.write(f"{expression}\n")
        self._input.flush()
        return self._read()

    def _read(self) -> "dict[str, int]":
        assert self._output is not None
        said: dict[str, int] = json.loads(self._output.readline())
        return said

    def close(self) -> None:
        pipes: tuple[IO[str] | None, ...] = (self._input, self._output)
        self.process.kill()
        self.process.wait()
        for pipe in pipes:
            if pipe is not None:
                pipe.close()


@pytest.fixture
def tgtd() -> Iterator[PrivateTgtd]:
    with private_tgtd() as made:
        yield made


@pytest.fixture
def dropped(tgtd: PrivateTgtd) -> Iterator[Dropped]:
    with tempfile.TemporaryDirectory(prefix="bootd-data-") as folder:  # not tmp_path: only root gets there
        made = Dropped(Path(folder), tgtd)
        yield made
        made.close()


EXPORT = f"luns.export('a', {NODE1!r}, Chap({CHAP.user!r}, {CHAP.secret!r})).target"


def read_first(tgtd: PrivateTgtd) -> bytes:
    target = "iqn.2026-01.bootd.tgt:a"
    with Initiator(NODE1, tgtd.portal, target, 1, CHAP.user, CHAP.secret) as machine:
        machine.write(0, b"written".ljust(512))
        return machine.read(0)


def test_an_ordinary_user_exports_its_own_files_and_machines_write_to_them(
    dropped: Dropped, tgtd: PrivateTgtd
) -> None:
    assert dropped.uid != 0
    assert (
        dropped.does("alone.targets()") == f"LunRefused: tgtd at {tgtd.socket}.0 takes orders from root alone"
    )
    dropped.does(f"luns.create('a', {SIZE})")
    assert dropped.does(EXPORT) == "iqn.2026-01.bootd.tgt:a"
    file = dropped.folder / "luns" / "a.img"
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (dropped.uid, 0o600)
    assert read_first(tgtd).startswith(b"written")
    assert file.read_bytes().startswith(b"written")
    tgtd.restart()
    assert dropped.does("luns.restore()") == ["a"]
    assert read_first(tgtd).startswith(b"written")
    dropped.does("luns.delete('a')")
    assert dropped.does("luns.volumes()") == []
    assert Tgtd(tgtd.socket).targets() == []


def test_sessions_are_told_and_ended(dropped: Dropped, tgtd: PrivateTgtd) -> None:
    dropped.does(f"luns.create('a', {SIZE})")
    dropped.does(EXPORT)
    with Initiator(NODE1, tgtd.portal, "iqn.2026-01.bootd.tgt:a", 1, CHAP.user, CHAP.secret):
        assert dropped.does("[one.initiator for one in luns.sessions()]") == [NODE1]
        assert str(dropped.does("luns.delete('a')")).startswith("LunBusy: volume a: in use by")
        dropped.does("luns.unexport('a', force=True)")
    assert dropped.does("luns.sessions()") == []
    with pytest.raises(Exception, match="|".join(REFUSALS)):
        read_first(tgtd)


def test_no_other_file_of_the_machine_is_exported_by_way_of_a_link(
    dropped: Dropped, tgtd: PrivateTgtd
) -> None:
    dropped.does(f"luns.create('a', {SIZE})")
    dropped.does("(luns.path('a').unlink(), luns.path('a').symlink_to('/etc/shadow'))")
    assert "is no file of user" in str(dropped.does(EXPORT))
    assert [target.path for target in Tgtd(tgtd.socket).targets()] == [""]


def test_a_broker_that_was_killed_is_a_named_error_that_may_pass(dropped: Dropped) -> None:
    os.kill(dropped.broker, signal.SIGKILL)
    said = str(dropped.does("luns.restore()"))
    assert said.startswith("LunUnreachable: the process that gives bootd's orders to tgtd has ended")
    assert said.endswith("start bootd again")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_broker_ends_with_whoever_made_it(dropped: Dropped, number: signal.Signals) -> None:
    status = Path(f"/proc/{dropped.broker}/status").read_text()
    assert "Uid:\t0\t0\t0\t0" in status
    dropped.process.send_signal(number)
    dropped.process.wait()
    gone = Path(f"/proc/{dropped.broker}")
    assert becomes(lambda: not gone.exists() or "State:\tZ" in (gone / "status").read_text())


def test_the_broker_has_nothing_open_but_where_orders_come(dropped: Dropped) -> None:
    handles = {each.name: str(each.readlink()) for each in Path(f"/proc/{dropped.broker}/fd").iterdir()}
    assert set(handles) <= {"0", "1", "2"}
    assert handles["0"].startswith("socket:")


def becomes(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
