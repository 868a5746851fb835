"""``bootd serve`` as an ordinary user with a real tgtd: booked, exported, restored; and what /readyz says."""

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any, TypeVar

import pytest

from bootd.clock import utc_now
from bootd.services import luns
from bootd.store import open_store
from tests.helpers.dropped import DroppedService
from tests.helpers.initiator import Initiator
from tests.helpers.namespace import Namespace, namespace
from tests.helpers.service import PATIENCE_S
from tests.helpers.tgtd import PrivateTgtd, private_tgtd

pytestmark = pytest.mark.root

T = TypeVar("T")
VOLUME = "rack.b.node1.1"
LUN_SIZE = 64 << 20  # octets
CONFIG = """
[calendar]
window_pause = 0
up_timeout = 10
[luns]
backend = "tgt"
"""


class Site:
    """A daemon that is nobody, and its tgtd."""

    def __init__(self, service: DroppedService, tgtd: PrivateTgtd) -> None:
        self.service, self.tgtd = service, tgtd

    def bootd(self, *words: str) -> str:
        return self.service.bootd(*words)

    def problems(self) -> dict[str, str]:
        problems: dict[str, str] = json.loads(self.service.get("/readyz")[1])["problems"]
        return problems

    def clones(self) -> list[dict[str, Any]]:
        clones: list[dict[str, Any]] = json.loads(self.bootd("luns", "show", "rack", "--json"))["clones"]
        return clones

    def log_in(self) -> Initiator:
        """Do as node1 does."""
        (clone,) = self.clones()
        with open_store(f"sqlite:///{self.service.data_dir}/bootd.db", clock=utc_now) as store:
            chap = luns.chap_of(store.secret(luns.SECRET) or b"", clone["volume"])
        target, lun = clone["target"], clone["lun"]
        return Initiator(clone["initiator"], self.tgtd.portal, target, lun, chap.user, chap.secret)


@pytest.fixture(scope="module")
def space() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


@pytest.fixture
def site(space: Namespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with private_tgtd() as tgtd, tempfile.TemporaryDirectory(prefix="bootd-data-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.setenv("TGT_IPC_SOCKET", str(tgtd.socket))
        service = DroppedService(space, folder, CONFIG)
        site = Site(service, tgtd)
        site.bootd("hosts", "add", "node1", "--mac", "52:54:00:00:00:01", "--role", "root", "--group", "rack")
        (folder / "debian.raw").write_bytes(b"d" * 4096)
        site.bootd("projects", "add", "mesh", "--owner", "anna")
        site.bootd("images", "add", "mesh/debian", str(folder / "debian.raw"))
        site.bootd("luns", "add", "rack", "--size", f"{LUN_SIZE >> 20}M")
        booked = ["--nodes", "node1", "--image", "mesh/debian", "--start", "now", "--end", "+1h"]
        site.bootd("reservations", "add", "mesh", *booked)
        yield site


def broker_of(daemon: "Popen[bytes]") -> int:
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    (pid,) = [int(pid) for pid in children if b"broker.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return pid


def until(condition: Callable[[], T], what: str) -> T:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not seen: {what}")


def test_booked_node_gets_its_clone_and_finds_it_again_after_the_targets_restart(site: Site) -> None:
    with site.service.serve() as daemon:
        assert "Uid:\t0" not in Path(f"/proc/{daemon.pid}/status").read_text()
        until(lambda: [one for one in site.clones() if one["target"]], "a clone that is exported")
        image = site.service.data_dir / "drivers" / "luns" / f"{VOLUME}.img"
        assert (image.stat().st_uid != 0, image.stat().st_mode & 0o777) == (True, 0o600)
        with site.log_in() as node:
            assert node.read(0) == b"d" * 512
        site.tgtd.kill()
        said = until(lambda: site.problems().get("luns"), "tgtd is away")
        assert "machines may find no LUN to boot from: tgtd does not answer" in said
        assert said.endswith("systemctl start tgt starts it")
        site.tgtd.start()
        until(lambda: not site.problems(), "all is well")
        with site.log_in() as node:
            assert node.read(0) == b"d" * 512
    assert "luns.restored" in site.service.log


def test_broker_that_is_killed_is_a_problem_and_ends_with_a_daemon_that_is_killed(site: Site) -> None:
    with site.service.serve() as daemon:
        broker = broker_of(daemon)
        os.kill(broker, signal.SIGKILL)
        said = until(lambda: site.problems().get("luns"), "the broker has ended")
        assert said.endswith("start bootd again")
    with site.service.serve() as daemon:
        broker = broker_of(daemon)
        daemon.kill()
        daemon.wait()
        daemon.returncode = 0
        until(lambda: not Path(f"/proc/{broker}").exists(), "the broker has ended with its daemon")
