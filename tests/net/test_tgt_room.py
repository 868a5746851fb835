"""A clone that ran out of space, with a real tgtd: who it is, that others go on, and the ways out."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootd.clock import utc_now
from bootd.services import luns
from bootd.store import open_store
from tests.helpers.dropped import DroppedService
from tests.helpers.initiator import Initiator, LoginRefused
from tests.helpers.namespace import namespace
from tests.helpers.tgtd import private_tgtd
from tests.net.test_tgt_daemon import CONFIG, Site, until

pytestmark = pytest.mark.root

ROOM = "24m"  # where LUNs lie; volumes are larger
MIB = 1 << 20


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Two booked nodes, whose clones lie on a file system that is soon full."""
    with namespace() as space, tempfile.TemporaryDirectory(prefix="bootd-data-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        service = DroppedService(space, folder, CONFIG)
        lie = service.data_dir / "drivers" / "luns"
        lie.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "luns", lie], check=True)
        try:
            with private_tgtd() as tgtd:
                monkeypatch.setenv("TGT_IPC_SOCKET", str(tgtd.socket))
                yield booked(Site(service, tgtd), folder)
        finally:
            subprocess.run(["umount", lie], check=True)


def booked(site: Site, folder: Path) -> Site:
    for number in (1, 2):
        facts = [
            "--mac",
            f"52:54:00:00:00:0{number}",
            "--role",
            "root",
            "--group",
            "rack",
            "--set",
            "power=fake",
        ]
        site.bootd("hosts", "add", f"node{number}", *facts)
    (folder / "debian.raw").write_bytes(b"d" * MIB)
    site.bootd("projects", "add", "mesh", "--owner", "anna")
    site.bootd("images", "add", "mesh/debian", str(folder / "debian.raw"))
    site.bootd("luns", "add", "rack", "--size", "64M")
    times = ["--start", "now", "--end", "+1h"]
    site.bootd("reservations", "add", "mesh", "--nodes", "node[1-2]", "--image", "mesh/debian", *times)
    return site


def log_in(site: Site, node: str) -> Initiator:
    return log_in_to(site, clone_of(site, node))


def clone_of(site: Site, node: str) -> dict[str, Any]:
    (clone,) = [each for each in site.clones() if each["node"] == node]
    return clone


def log_in_to(site: Site, clone: dict[str, Any]) -> Initiator:
    with open_store(f"sqlite:///{site.service.data_dir}/bootd.db", clock=utc_now) as store:
        chap = luns.chap_of(store.secret(luns.SECRET) or b"", clone["chap_user"])
    where = (site.tgtd.portal, clone["target"], clone["lun"])
    return Initiator(clone["initiator"], *where, chap.user, chap.secret)


def shown(site: Site) -> dict[str, Any]:
    pair: dict[str, Any] = json.loads(site.bootd("luns", "show", "rack", "--json"))
    return pair


def fill(machine: Initiator) -> int:
    """Write as a machine does that needs room, until its disk says no; return how many octets it took."""
    for number in range(64):
        try:
            machine.write((number + 1) * (MIB // 512), b"x" * MIB)
        except OSError:
            return number * MIB
    pytest.fail("there was room for everything")


def idle(site: Site) -> bool:
    return not json.loads(site.bootd("jobs", "list", "--json"))


def test_clone_that_ran_out_of_space_is_named_and_the_others_go_on_and_it_comes_back(site: Site) -> None:
    with site.service.serve():
        until(lambda: idle(site) and len([each for each in site.clones() if each["target"]]) == 2, "clones")
        with log_in(site, "node1") as greedy, log_in(site, "node2") as other:
            until(lambda: "LUNs have only" in site.problems().get("luns-room", ""), "little room")
            assert "node" not in site.problems()["luns-room"]
            other.write(0, b"o" * 4096)
            # a machine goes on trying; bootd looks every ten seconds whether more was refused than before
            said = until(lambda: fill(greedy) < 24 * MIB and refused(site), "whose disk is broken")
            assert "disks refuse what their machines write: node1 (rack.b.node1.1)" in said
            assert "bootd luns gc removes clones that nobody needs" in said
            assert list(shown(site)["doubts"]) == ["node1"]
            assert "its disk refuses what it writes" in site.bootd("reservations", "show", "1")
            other.write(0, b"p" * 4096)  # blocks that it has are its own
            assert other.read(0, 2) == b"p" * 1024
            # its system runs on, with all that it could not write, while it is given a new clone
            old = clone_of(site, "node1")
            site.bootd("luns", "renew", "rack", "node1")
            until(lambda: idle(site) and clone_of(site, "node1") != old, "the new clone")
            with pytest.raises(OSError, match=r"\S"):  # its session was ended; once, libiscsi bears no second
                greedy.write(0, b"stale".ljust(512))
            with pytest.raises(LoginRefused):  # and what it knows opens nothing any more
                log_in_to(site, old)
            with log_in(site, "node1") as anew:
                assert anew.read(0) == b"d" * 512
        until(
            lambda: "node1" not in site.problems().get("luns-room", ""), "nothing is said of node1 any more"
        )
        assert shown(site)["doubts"] == {}
        with log_in(site, "node1") as anew, log_in(site, "node2") as other:
            assert anew.read(2048) == bytes(512)  # as the image has it
            anew.write(2048, b"y" * MIB)
            assert anew.read(2048) == b"y" * 512
            assert other.read(0) == b"p" * 512  # what others wrote stays


def refused(site: Site) -> str:
    said = site.problems().get("luns-room", "")
    return said if "refuse" in said else ""
