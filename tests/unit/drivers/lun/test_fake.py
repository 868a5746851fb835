"""The fake's volumes can be looked into, outlive it, and are never half there."""

import errno
import itertools
from pathlib import Path

import pytest

from bootd.drivers.faults import Crash, Fail, PowerLost, Refuse, Slow, Unreachable
from bootd.drivers.lun import (
    Chap,
    LunFull,
    LunMissing,
    LunRefused,
    LunUnreachable,
    Volume,
    belonging,
    open_backend,
    shelf,
    sparse,
)
from bootd.drivers.lun.fake import FakeLuns
from bootd.drivers.source import BytesSource
from bootd.drivers.tools import Tools
from tests.helpers.site import NOON, HandClock

NODE = "iqn.2026-01.org.example:node1"
CHAP = Chap("node1", "secret-secret")
SIZE = 1 << 20


@pytest.fixture
def luns(tmp_path: Path) -> FakeLuns:
    return FakeLuns(Tools(tmp_path))


def again(luns: FakeLuns) -> FakeLuns:
    """Return the backend as the next process finds it."""
    return FakeLuns(luns._tools)


def test_a_volume_is_a_sparse_file_that_holds_the_image(luns: FakeLuns) -> None:
    luns.create("a", 1 << 40)
    luns.write("a", BytesSource(bytes(1 << 20) + b"data"))
    with luns.path("a").open("rb") as file:
        file.seek(1 << 20)
        assert file.read(5) == b"data\0"
    assert luns.path("a").stat().st_size == 1 << 40
    assert luns.path("a").stat().st_blocks * 512 < SIZE


def test_a_clone_of_a_sparse_volume_is_sparse(luns: FakeLuns) -> None:
    luns.create("a", 1 << 36)
    luns.write("a", BytesSource(bytes(3 << 20) + b"data"))
    luns.clone("a", "b")
    assert luns.path("b").stat().st_blocks * 512 < SIZE
    with luns.path("b").open("rb") as file:
        file.seek(3 << 20)
        assert file.read(4) == b"data"


def test_the_next_process_finds_volumes_exports_and_sessions(luns: FakeLuns) -> None:
    luns.create("a", SIZE)
    luns.export("a", NODE, CHAP)
    luns.log_in("a", NODE, CHAP, "10.0.0.1")
    assert again(luns).volumes() == luns.volumes()
    assert again(luns).sessions() == luns.sessions() != []


def test_secrets_lie_where_only_the_owner_reads(luns: FakeLuns) -> None:
    luns.create("a", SIZE)
    luns.export("a", NODE, CHAP)
    kept = [path for path in luns.path("a").parent.iterdir() if b"secret-secret" in path.read_bytes()]
    assert [path.stat().st_mode & 0o077 for path in kept] == [0]


@pytest.mark.parametrize("step", ["create", "create.made"])
def test_a_volume_whose_creation_was_cut_off_is_not_there_and_is_made_anew(luns: FakeLuns, step: str) -> None:
    luns.faults.plant(Crash(), step)
    with pytest.raises(PowerLost):
        luns.create("a", SIZE)
    assert again(luns).volumes() == []
    assert again(luns).create("a", SIZE) == Volume("a", SIZE)


def test_a_deletion_that_was_cut_off_leaves_a_volume_that_is_not_exported(luns: FakeLuns) -> None:
    luns.create("a", SIZE)
    luns.export("a", NODE, CHAP)
    luns.faults.plant(Crash(), "delete.closed")
    with pytest.raises(PowerLost):
        luns.delete("a")
    assert again(luns).volumes() == [Volume("a", SIZE)]
    again(luns).delete("a")
    assert again(luns).volumes() == []


@pytest.mark.parametrize("step", ["clone", "clone.copied"])
def test_a_clone_that_was_cut_off_is_not_there_and_is_made_anew_of_the_source_as_it_is_then(
    luns: FakeLuns, step: str
) -> None:
    luns.create("a", SIZE)
    luns.write("a", BytesSource(b"old" * 1000))
    luns.faults.plant(Crash(), step)
    with pytest.raises(PowerLost):
        luns.clone("a", "b")
    assert [volume.name for volume in again(luns).volumes()] == ["a"]
    luns.write("a", BytesSource(b"new"))
    again(luns).clone("a", "b")
    assert luns.path("b").read_bytes() == b"new".ljust(SIZE, b"\0")


# -- what a kill leaves


class Onlooker(FakeLuns):
    """Another process looks at the folder between any two steps of ours."""

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self.seen: list[tuple[str, list[str], bool]] = []

    def _between(self, step: str, name: str) -> None:
        other = again(self)
        self.seen.append((step, other.scraps(), other.clear(name)))


@pytest.mark.parametrize("step", ["create.made", "clone.copied"])
def test_what_a_kill_left_of_a_volume_is_found_and_goes_and_nothing_else_does(
    luns: FakeLuns, tmp_path: Path, step: str
) -> None:
    luns.create("whole", SIZE)
    luns.faults.plant(Crash(), step)
    with pytest.raises(PowerLost):
        luns.create("cut", SIZE) if step == "create.made" else luns.clone("whole", "cut")
    (tmp_path / ".cut.new").write_bytes(b"half a record, with a secret in it")
    (tmp_path / "Not a volume.img").touch()
    after = again(luns)
    assert after.scraps() == ["cut"]
    assert not after.clear("whole")
    assert after.clear("cut")
    assert not after.clear("cut")
    assert after.scraps() == []
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".locks", "whole.img", "whole.json", "Not a volume.img"}


def test_what_is_being_made_at_this_moment_is_no_scrap(tmp_path: Path) -> None:
    luns = Onlooker(Tools(tmp_path))
    luns.create("a", SIZE)
    luns.write("a", BytesSource(b"image"))
    luns.clone("a", "b")
    luns.delete("b")
    assert {step for step, *_ in luns.seen} >= {"create.made", "write.chunk", "clone.copied", "delete.closed"}
    assert {(tuple(scraps), gone) for _, scraps, gone in luns.seen} == {((), False)}


def test_a_clone_that_a_loss_of_power_undid_is_a_scrap(
    luns: FakeLuns, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    luns.create("a", SIZE)
    luns.clone("a", "b")
    assert luns.scraps() == []
    lose_power(monkeypatch)
    assert luns.scraps() == ["b"]
    assert luns.clear("b")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".locks", "a.img", "a.json"]


def lose_power(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is started anew; what it had not brought to the disk may be anything."""
    monkeypatch.setattr(shelf, "this_boot", lambda: "the next boot")


def test_a_clone_that_was_not_safe_on_the_disk_is_not_there_after_a_loss_of_power(
    luns: FakeLuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    luns.create("a", SIZE)
    luns.write("a", BytesSource(b"image"))
    luns.clone("a", "b")
    assert again(luns).volume("b").parent == "a"  # so it is for a process that comes after a killed one
    lose_power(monkeypatch)
    with luns._shelf.image("b").open("r+b") as file:
        file.write(b"torn")
    assert [volume.name for volume in again(luns).volumes()] == ["a"]
    with pytest.raises(LunMissing):
        again(luns).export("b", NODE, CHAP)
    again(luns).clone("a", "b")
    assert luns.path("b").read_bytes().startswith(b"image\0")


@pytest.mark.parametrize("deed", ["export", "write"])
def test_a_clone_is_brought_to_the_disk_before_anything_is_kept_on_it(
    luns: FakeLuns, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    luns.create("a", SIZE)
    luns.clone("a", "b")
    settled: list[str] = []
    monkeypatch.setattr(sparse, "settle", lambda path: settled.append(path.name))
    if deed == "export":
        luns.export("b", NODE, CHAP)
        luns.export("b", NODE, CHAP)
    else:
        luns.write("b", BytesSource(b"image"))
    assert settled == (["b.img"] if deed == "export" else [])  # what is written is synced by itself
    lose_power(monkeypatch)
    assert again(luns).volume("b").is_whole


def test_a_clone_that_the_disk_would_not_take_is_gone_and_not_exported(
    luns: FakeLuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    luns.create("a", SIZE)
    luns.clone("a", "b")
    monkeypatch.setattr(sparse, "settle", refuse)
    with pytest.raises(LunUnreachable, match="Input/output error"):
        luns.export("b", NODE, CHAP)
    monkeypatch.undo()
    with pytest.raises(LunMissing):
        luns.export("b", NODE, CHAP)
    luns.clone("a", "b")
    assert luns.export("b", NODE, CHAP).volume == "b"


def test_where_boots_have_no_name_a_clone_is_safe_at_once(
    luns: FakeLuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[str] = []
    monkeypatch.setattr(shelf, "_BOOT_ID", Path("/nowhere"))
    monkeypatch.setattr(sparse, "settle", lambda path: settled.append(path.name))
    luns.create("a", SIZE)
    luns.clone("a", "b")
    assert settled == ["b.img"]
    lose_power(monkeypatch)
    assert again(luns).volume("b").parent == "a"


@pytest.mark.parametrize("step", ["write.begun", "write.chunk", "write.done"])
def test_an_image_that_was_cut_off_leaves_a_volume_that_nobody_boots(luns: FakeLuns, step: str) -> None:
    luns.create("a", SIZE)
    luns.faults.plant(Crash(), step)
    with pytest.raises(PowerLost):
        luns.write("a", BytesSource(b"x" * 3000, chunk=1000))
    after = again(luns)
    assert not after.volume("a").is_whole
    with pytest.raises(LunRefused, match="half written"):
        after.export("a", NODE, CHAP)
    after.write("a", BytesSource(b"x" * 3000))
    assert after.volume("a").is_whole


def test_no_room_is_told_as_such_and_the_volume_is_not_whole(luns: FakeLuns) -> None:
    luns.create("a", SIZE)
    luns.faults.plant(Fail(OSError(errno.ENOSPC, "No space left on device")), "write.chunk", "a", after=1)
    with pytest.raises(LunFull, match="No space left") as caught:
        luns.write("a", BytesSource(b"x" * 3000, chunk=1000))
    assert caught.value.is_permanent
    assert not luns.volume("a").is_whole


def test_a_clone_that_finds_no_room_is_not_there(luns: FakeLuns) -> None:
    luns.create("a", SIZE)
    luns.faults.plant(Fail(OSError(errno.ENOSPC, "No space left on device")), "clone.copied", "b")
    with pytest.raises(LunFull):
        luns.clone("a", "b")
    assert [volume.name for volume in luns.volumes()] == ["a"]


def test_where_no_room_is_left_at_all_some_can_be_made(
    luns: FakeLuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may log in no more, and what goes, is kept in the room of the record that is there."""

    def full(path: Path, flags: int) -> int:
        if path.suffix == ".new":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return make(path, flags)

    make = belonging.make

    for name in ("a", "b"):
        luns.create(name, SIZE)
        luns.export(name, NODE, CHAP)
    with monkeypatch.context() as patch:
        patch.setattr(belonging, "make", full)
        luns.unexport("a")
        with pytest.raises(LunFull):
            luns.create("c", SIZE)
        luns.delete("b")
    assert again(luns).volumes() == [Volume("a", SIZE)]
    assert luns.export("a", NODE, CHAP).volume == "a"


def test_a_folder_that_cannot_be_written_may_come_back(luns: FakeLuns) -> None:
    luns.faults.plant(Fail(OSError(errno.EIO, "Input/output error")), "create.made")
    with pytest.raises(LunUnreachable, match="Input/output error"):
        luns.create("a", SIZE)


def test_an_answer_that_was_lost_is_had_by_asking_again(luns: FakeLuns) -> None:
    luns.faults.plant(Unreachable(done=True), "create", "a")
    with pytest.raises(LunUnreachable):
        luns.create("a", SIZE)
    assert luns.create("a", SIZE) == Volume("a", SIZE)


def test_a_planted_refusal_names_the_volume(luns: FakeLuns) -> None:
    luns.faults.plant(Refuse("licence ended"), "create")
    with pytest.raises(LunRefused, match="volume a: licence ended"):
        luns.create("a", SIZE)


def test_a_slow_backend_takes_its_time_by_the_clock(tmp_path: Path) -> None:
    clock = HandClock()
    luns = FakeLuns(Tools(tmp_path, clock, lambda s: clock.move(seconds=s)))
    luns.create("a", SIZE)
    luns.faults.plant(Slow(2.0), "write.chunk", times=None)
    times: list[float] = []
    luns.write(
        "a", BytesSource(b"x" * 3000, chunk=1000), lambda _: times.append((clock() - NOON).total_seconds())
    )
    assert times == [0, 2, 4]
    assert (clock() - NOON).total_seconds() == 6


def test_volumes_are_told_while_one_of_them_is_written(luns: FakeLuns) -> None:
    luns.create("a", SIZE)
    luns.create("b", SIZE)
    seen: list[list[bool]] = []
    luns.write("a", BytesSource(b"x"), lambda _: seen.append([volume.is_whole for volume in luns.volumes()]))
    assert seen == [[False, True]]


def test_files_that_were_left_behind_are_no_volumes(luns: FakeLuns) -> None:
    for name in ("a.img", ".b.new"):
        (luns._tools.folder / name).write_bytes(b"left behind")
    assert luns.volumes() == []
    luns.create("a", SIZE)
    assert next(luns.read("a")) == bytes(SIZE)


def test_no_other_than_its_own_initiator_is_let_in(luns: FakeLuns) -> None:
    luns.create("a", SIZE)
    with pytest.raises(LunRefused, match="not exported"):
        luns.log_in("a", NODE, CHAP)
    luns.export("a", NODE, CHAP)
    others = [("iqn.2026-01.org.example:node2", CHAP), (NODE, Chap("node1", "wrong-secret"))]
    for initiator, chap in itertools.chain(others, [(NODE, Chap("node2", CHAP.secret))]):
        with pytest.raises(LunRefused):
            luns.log_in("a", initiator, chap)
    assert luns.sessions() == []


def test_a_backend_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    assert isinstance(open_backend("fake", Tools(tmp_path)), FakeLuns)
    with pytest.raises(LunRefused, match="no LUN backend 'magic'; there are: fake"):
        open_backend("magic", Tools(tmp_path))
