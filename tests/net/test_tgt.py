"""Volumes exported by a real tgtd, to real initiators over TCP."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bootd.drivers.lun import (
    Chap,
    LunBusy,
    LunRefused,
    LunsNotRestored,
    LunUnreachable,
    Session,
    Volume,
    open_backend,
)
from bootd.drivers.lun.tgt import TgtLuns
from bootd.drivers.lun.tgtd import Tgtd
from bootd.drivers.source import BytesSource
from bootd.drivers.tools import Tools
from tests.helpers.initiator import Initiator
from tests.helpers.lunsite import CHAP, IMAGE, NODE1, NODE2, SIZE, Site, lun_site
from tests.helpers.reflink import CannotMount, sharing_folder

pytestmark = pytest.mark.root


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with lun_site(tmp_path) as made:
        yield made


@pytest.fixture
def exported(site: Site) -> Site:
    site.export_image()
    return site


# -- who gets in


def inquiry(
    site: Site, initiator: str, login: str, *, page: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run iscsi-inq, libiscsi's command, with *login* "user%secret@" or ""."""
    pages = [] if page is None else ["-e", "1", "-c", str(page)]
    url = f"iscsi://{login}{site.tgtd.portal}/iqn.2026-01.bootd.tgt:a/1"
    command = ["iscsi-inq", "-i", initiator, *pages, url]
    return subprocess.run(command, capture_output=True, encoding="latin-1", timeout=60)


@pytest.mark.parametrize(
    ("initiator", "login", "said"),
    [
        pytest.param(NODE1, "node1%wrong-secret@", "Authentication failure", id="wrong secret"),
        pytest.param(NODE1, "node2%secret-secret@", "Authentication failure", id="wrong user"),
        pytest.param(NODE1, "", "Authentication failure", id="no secret"),
        pytest.param(NODE2, "node1%secret-secret@", "Target not found", id="another initiator"),
    ],
)
def test_the_target_itself_refuses_others(exported: Site, initiator: str, login: str, said: str) -> None:
    assert "Product:VIRTUAL-DISK" in inquiry(exported, NODE1, "node1%secret-secret@").stdout
    refused = inquiry(exported, initiator, login)
    assert said in refused.stdout + refused.stderr
    assert "Product" not in refused.stdout


def test_a_target_is_named_to_its_own_initiator_alone(exported: Site) -> None:
    def discover(initiator: str) -> str:
        command = ["iscsi-ls", "-i", initiator, f"iscsi://{exported.tgtd.portal}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    assert "iqn.2026-01.bootd.tgt:a" in discover(NODE1)
    assert "iqn" not in discover(NODE2)


def test_what_is_not_exported_refuses_everybody(exported: Site) -> None:
    exported.luns.create("b", SIZE)
    assert exported.refuses("b")
    exported.luns.unexport("a")
    assert exported.refuses("a")


def test_a_secret_may_have_any_letter_and_a_user_no_comma(site: Site) -> None:
    site.luns.create("a", SIZE)
    odd = Chap("user=node1", "a,b=c%d\"e'f\\g")
    site.luns.export("a", NODE1, odd)
    site.log_in("a", odd).log_out()
    with pytest.raises(LunRefused, match="comma"):
        site.luns.export("a", NODE1, Chap("a,b", CHAP.secret))


# -- what is read and written


def test_a_machine_reads_the_image_and_writes_to_its_own_clone(exported: Site) -> None:
    exported.luns.clone("a", "b")
    exported.luns.export("b", NODE1, CHAP)
    with exported.log_in("b") as machine:
        assert machine.read(1, 3) == IMAGE[512:2048]
        machine.write(1, b"written".ljust(512, b"\0"))
        assert machine.read(1)[:7] == b"written"
    assert b"".join(exported.luns.read("b"))[512:519] == b"written"
    assert b"".join(exported.luns.read("a")) == IMAGE.ljust(SIZE, b"\0")


def test_a_session_is_told_with_the_machines_address(exported: Site) -> None:
    with exported.log_in("a"):
        assert exported.luns.sessions() == [Session("a", NODE1, "127.0.0.1")]
    assert exported.luns.sessions() == []


def test_a_session_that_a_reset_machine_left_behind_is_told_from_its_new_one(exported: Site) -> None:
    exported.luns.clone("a", "b")
    exported.luns.export("b", NODE1, CHAP)
    with exported.log_in("a"), exported.log_in("b"), exported.log_in("b"):
        found = [(each.volume, each.is_left) for each in exported.luns.sessions()]
    assert sorted(found) == [("a", True), ("b", False), ("b", True)]


def test_volumes_and_secrets_are_read_by_their_owner_alone(exported: Site) -> None:
    exported.luns.clone("a", "b")
    folder = exported.luns.path("a").parent
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == dict.fromkeys(["a.img", "a.json", "b.img", "b.json", ".locks"], 0o600)


# -- tgtd comes and goes


def test_a_restarted_tgtd_has_its_exports_back_with_the_next_call(exported: Site) -> None:
    export = exported.luns.volume("a").export
    exported.tgtd.restart()
    assert exported.refuses("a")
    assert exported.luns.volume("a").export == export
    exported.log_in("a").log_out()
    assert exported.refuses("a", replace(CHAP, secret="wrong-secret"))
    assert exported.refuses("a", None)


def test_restoring_tells_what_was_missing(exported: Site) -> None:
    assert exported.luns.restore() == []
    exported.tgtd.restart()
    assert exported.next_process().restore() == ["a"]
    exported.log_in("a").log_out()
    assert exported.luns.restore() == []


def test_a_disk_keeps_its_identity_when_tgtd_was_restarted(site: Site) -> None:
    def identity() -> tuple[str, str]:
        serial, others = (inquiry(site, NODE1, "node1%secret-secret@", page=page) for page in (0x80, 0x83))
        return serial.stdout, others.stdout

    for name in ("0-first", "a"):
        site.luns.create(name, SIZE)
        site.luns.export(name, NODE1, CHAP)
    before = identity()
    site.luns.delete("0-first")
    site.tgtd.restart()
    assert site.luns.restore() == ["a"]
    assert identity() == before
    assert "beaf" in before[0]
    assert "Designator" in before[1]


def test_without_tgtd_volumes_are_made_and_nothing_is_exported(site: Site) -> None:
    site.tgtd.kill()
    site.luns.create("a", SIZE)
    assert site.luns.clone("a", "b") == Volume("b", SIZE, parent="a")
    for call in (
        lambda: site.luns.export("b", NODE1, CHAP),
        lambda: site.luns.unexport("b"),
        lambda: site.luns.delete("b"),
        lambda: site.luns.write("b", BytesSource(IMAGE)),  # who knows whether it is in use
        site.luns.volumes,
        site.luns.sessions,
    ):
        with pytest.raises(LunUnreachable, match=r"tgtd does not answer at .*; systemctl start tgt"):
            call()
    site.tgtd.start()
    assert site.luns.export("b", NODE1, CHAP).volume == "b"


def test_a_volume_whose_file_is_lost_keeps_no_other_from_being_served(exported: Site) -> None:
    exported.luns.clone("a", "b")
    exported.luns.export("b", NODE1, CHAP)
    exported.luns.path("a").unlink()
    exported.tgtd.restart()
    assert {one.name: one.export is not None for one in exported.luns.volumes()} == {"a": False, "b": True}
    exported.log_in("b").log_out()
    exported.tgtd.restart()
    with pytest.raises(LunsNotRestored, match=r"^a: .*luns/a\.img: No such file") as caught:
        exported.luns.restore()
    assert (set(caught.value.failures), caught.value.restored) == ({"a"}, ["b"])


# -- others at the same tgtd


def test_what_somebody_changed_by_hand_is_put_right(exported: Site) -> None:
    tgtd = Tgtd(exported.tgtd.socket)
    (target,) = tgtd.targets()
    tgtd.allow(target.tid, NODE2)
    tgtd.ask(1, 3, "initiator-address=ALL", tid=target.tid)
    tgtd.new_account("master", "master-secret")
    tgtd.bind_account(target.tid, "master")
    exported.log_in("a", Chap("master", "master-secret"), NODE2).log_out()
    assert exported.luns.restore() == ["a"]
    assert exported.refuses("a", Chap("master", "master-secret"), NODE2)
    assert exported.refuses("a", Chap("master", "master-secret"))
    exported.log_in("a").log_out()
    tgtd.delete_target(target.tid)
    assert exported.luns.restore() == ["a"]
    exported.log_in("a").log_out()


def test_targets_and_accounts_of_others_are_left_alone(site: Site) -> None:
    tgtd = Tgtd(site.tgtd.socket)
    tgtd.new_target(7, "iqn.2026-01.bootd.tgt:a2")  # our manner of naming, and not our number
    tgtd.new_target(8, "iqn.2026-01.org.example:tape")
    tgtd.new_account("node1", "another-secret")
    tgtd.bind_account(8, "node1")
    site.luns.create("a", SIZE)
    with pytest.raises(
        LunRefused, match=r"CHAP user node1 is taken by tgtd's target iqn.2026-01.org.example:tape"
    ):
        site.luns.export("a", NODE1, CHAP)
    site.luns.unexport("a")
    site.luns.export("a", NODE1, Chap("node1-a", CHAP.secret))
    site.luns.delete("a")
    assert [(one.tid, one.accounts) for one in tgtd.targets()] == [(7, []), (8, ["node1"])]


def test_a_number_that_another_target_has_is_a_named_refusal(exported: Site) -> None:
    tgtd = Tgtd(exported.tgtd.socket)
    (target,) = tgtd.targets()
    exported.luns.unexport("a")
    tgtd.new_target(target.tid, "iqn.2026-01.org.example:tape")
    with pytest.raises(LunRefused, match=r"volume a: its number is taken by .*org.example:tape"):
        exported.luns.export("a", NODE1, CHAP)
    assert [one.name for one in tgtd.targets()] == ["iqn.2026-01.org.example:tape"]


def test_two_folders_do_not_take_each_others_targets(exported: Site, tmp_path: Path) -> None:
    other = TgtLuns(Tools(tmp_path / "other"), socket=exported.tgtd.socket)
    other.create("a", SIZE)
    with pytest.raises(LunRefused, match=r"not ours, of .*-a\.img"):
        other.export("a", NODE2, Chap("node2", "other-secret"))
    other.delete("a")
    exported.log_in("a").log_out()
    TgtLuns(Tools(tmp_path / "other"), socket=exported.tgtd.socket, prefix="iqn.2026-01.org.example").create(
        "a", 512
    )


def test_a_target_that_no_record_wants_is_closed_and_goes_with_its_machine(exported: Site) -> None:
    (exported.tools.folder / "a.json").unlink()
    with exported.log_in("a"):
        assert exported.luns.sessions() == [Session("a", NODE1, "127.0.0.1")]
        assert exported.refuses("a")
        with pytest.raises(LunBusy, match="in use by"):
            exported.luns.delete("a")
        assert (exported.luns.scraps(), exported.luns.clear("a")) == (
            [],
            False,
        )  # it is still a machine's disk
    assert exported.luns.volumes() == []
    assert exported.luns.scraps() == ["a"]
    assert Tgtd(exported.tgtd.socket).targets() == []


def test_two_processes_that_work_at_the_same_time_do_not_disturb_each_other(site: Site) -> None:
    names = [f"v{n}" for n in range(8)]

    def work(name: str) -> None:
        luns = site.next_process()  # locks of its own
        luns.create(name, SIZE)
        for _ in range(5):
            luns.export(name, NODE1, CHAP)
            luns.restore()
            luns.unexport(name)
        luns.export(name, NODE1, CHAP)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, names))
    assert [volume.name for volume in site.luns.volumes() if volume.export] == names
    assert site.luns.restore() == []
    for name in names:
        site.log_in(name).log_out()


# -- sessions that are ended


def test_force_ends_the_session_of_a_machine_that_reads_at_full_speed(exported: Site) -> None:
    url = f"iscsi://node1%secret-secret@{exported.tgtd.portal}/iqn.2026-01.bootd.tgt:a/1"
    command = ["iscsi-perf", "-i", NODE1, "-m", "64", "-b", "2048", url]
    machine = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert machine.stdout is not None
    try:
        while b"iops" not in os.read(machine.stdout.fileno(), 1 << 16).lower():
            assert machine.poll() is None
        with pytest.raises(LunBusy, match=NODE1):
            exported.luns.unexport("a")
        exported.luns.unexport("a", force=True)
        assert exported.luns.sessions() == []
        assert exported.refuses("a")
        exported.luns.delete("a")
    finally:
        machine.kill()
        machine.communicate()


class Eager(Tgtd):
    """Its machine comes back the moment it was sent away."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.tgtd.socket)
        self._site, self.refused = site, 0

    def end(self, tid: int, session: int, connection: int) -> None:
        super().end(tid, session, connection)
        self.refused += self._site.refuses("a")


def test_nobody_comes_back_while_sessions_are_ended_by_force(exported: Site) -> None:
    exported.luns._tgtd = tgtd = Eager(exported)
    with exported.log_in("a"):
        exported.luns.unexport("a", force=True)
    assert tgtd.refused == 1
    assert exported.luns.sessions() == []


# -- copies that share


@pytest.fixture
def reflinks(tmp_path: Path) -> Iterator[Path]:
    """A file system that can share blocks. To be asked for before the tgtd that uses it."""
    try:
        with sharing_folder(tmp_path, 400 << 20) as folder:
            yield folder
    except CannotMount as error:
        pytest.fail(f"copies that share blocks cannot be tested on this machine: {error}")


def test_a_clone_shares_the_sources_blocks_where_the_file_system_can(reflinks: Path, site: Site) -> None:
    luns = TgtLuns(Tools(reflinks / "luns"), socket=site.tgtd.socket)
    luns.create("a", 1 << 30)
    luns.write("a", BytesSource(b"x" * (100 << 20)))
    free = os.statvfs(reflinks).f_bavail * os.statvfs(reflinks).f_bsize
    for n in range(20):
        luns.clone("a", f"b{n}")
    left = os.statvfs(reflinks).f_bavail * os.statvfs(reflinks).f_bsize
    assert free - left < 20 << 20  # of 2,000
    luns.export("b7", NODE1, CHAP)
    with Initiator(NODE1, site.tgtd.portal, "iqn.2026-01.bootd.tgt:b7", 1, CHAP.user, CHAP.secret) as machine:
        machine.write(0, b"y" * 512)
        assert machine.read(0, 2) == b"y" * 512 + b"x" * 512
    for name in ("a", "b8"):
        assert next(luns.read(name))[:512] == b"x" * 512


def test_what_machines_wrote_to_a_clone_is_counted_by_the_block(reflinks: Path, site: Site) -> None:
    luns = TgtLuns(Tools(reflinks / "luns"), socket=site.tgtd.socket)
    luns.create("a", 64 << 20)
    luns.write("a", BytesSource(b"x" * (8 << 20)))
    for name in ("b", "c"):
        luns.clone("a", name)
    assert luns.written("b") == 0
    luns.export("b", NODE1, CHAP)
    with Initiator(NODE1, site.tgtd.portal, "iqn.2026-01.bootd.tgt:b", 1, CHAP.user, CHAP.secret) as machine:
        machine.write(0, b"y" * 4096)
        machine.write(0, b"z" * 4096)  # the same block again
        assert luns.written("b") == 4096
        machine.write(64 << 10, b"y" * 512)  # where the source has none
        assert luns.written("b") == 8192
        for block in range(1024, 1024 + 16 * 700, 16):  # more extents than are asked for at a time
            machine.write(block, b"y" * 4096)
        assert luns.written("b") == 8192 + 700 * 4096
    assert luns.written("c") == 0


def test_what_was_written_is_not_known_once_the_source_or_the_clone_shares_otherwise(
    reflinks: Path, site: Site
) -> None:
    luns = TgtLuns(Tools(reflinks / "luns"), socket=site.tgtd.socket)
    luns.create("a", 64 << 20)
    luns.write("a", BytesSource(b"x" * (8 << 20)))
    for source, name in (("a", "b"), ("a", "c"), ("c", "d")):
        luns.clone(source, name)
    assert [luns.written(name) for name in "abcd"] == [None, 0, None, 0]
    luns.write("a", BytesSource(b"y" * (8 << 20)))
    assert [luns.written(name) for name in "abcd"] == [None, None, None, 0]
    luns.delete("c")
    assert luns.written("d") is None


def test_the_backend_is_there_by_name(site: Site) -> None:
    luns = open_backend("tgt", site.tools)
    assert isinstance(luns, TgtLuns)
    assert luns._tgtd.path == "/run/tgtd/socket.0"
