"""STAGE_LUN with an image that is no raw disk: unpacked once, kept until the LUN is verified, then gone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bootd.darkstore.unpack import programs
from bootd.drivers.faults import Fail, PowerLost
from bootd.model import DiskImage, Job, JobKind
from bootd.services import images, jobs, luns
from bootd.workers.engine import Engine
from bootd.workers.stage_lun import StageLun
from bootd.workers.work import LEASE_S
from tests.helpers.genuine import GPT, GenuineDisk, check_parts
from tests.helpers.lunshop import GROUP, IMAGE, NODES, SIZE, LunShop
from tests.helpers.unpacking import run


@pytest.fixture
def shop(tmp_path: Path) -> LunShop:
    return LunShop({JobKind.STAGE_LUN: StageLun()}, tmp_path)


class LargeShop(LunShop):
    lun = 96 << 20


def qcow2(shop: LunShop, octets: bytes = IMAGE) -> DiskImage:
    raw, packed = shop.folder / "new.raw", shop.folder / "new.qcow2"
    raw.write_bytes(octets)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, packed)
    return images.add(shop.store, "anna", shop.tree, "mesh/packed", packed, clock=shop.clock)


def unpacked(shop: LunShop) -> list[str]:
    """Return the work folders that are left."""
    root = shop.context.scratch
    return [entry.name for entry in root.iterdir()] if root.is_dir() else []


def assert_whole(shop: LunShop, job: Job) -> None:
    assert (shop.job(job.id).state, shop.deployment().state) == ("done", "lun-ready"), shop.job(job.id).note
    for name in NODES:
        assert shop.content(shop.clone(name).volume) == IMAGE.ljust(SIZE, b"\0")
    assert unpacked(shop) == []


class Watched:
    """The daemon's question whether it ends, asked at each sign of progress."""

    def __init__(self, shop: LunShop, step: str, act: Callable[[], bool], after: int = 0) -> None:
        self.shop, self.step, self.act, self.left = shop, step, act, after

    def __call__(self) -> bool:
        if self.shop.job(1).step != self.step:
            return False
        self.left -= 1
        return self.act() if self.left < 0 else False

    def run(self) -> None:
        Engine(replace(self.shop.context, stopping=self), self.shop.handlers).run_due()


def test_qcow2_image_comes_to_the_lun_as_the_disk_it_is_and_nothing_is_left_behind(shop: LunShop) -> None:
    job = shop.book(qcow2(shop))
    shop.run_for(10)
    assert_whole(shop, job)


def test_disk_that_clonezilla_saved_is_on_the_lun_with_all_its_file_systems(tmp_path: Path) -> None:
    shop = LargeShop({JobKind.STAGE_LUN: StageLun()}, tmp_path)
    saved = GenuineDisk(tmp_path / "made", GPT).save(tmp_path / "saved", "zst", split=1 << 20)
    image = images.add(shop.store, "anna", shop.tree, "mesh/saved", saved, clock=shop.clock)
    job = shop.book(image, nodes=("node1",))
    shop.run_for(10)
    assert shop.job(job.id).state == "done", shop.job(job.id).note
    clone = shop.folder / "clone"
    clone.write_bytes(shop.content(shop.clone("node1").volume))
    assert "No errors detected" in run("sfdisk", "--verify", clone)
    check_parts(clone, tmp_path / "carved")
    assert unpacked(shop) == []


def test_progress_of_unpacking_is_that_of_the_image(shop: LunShop) -> None:
    image = qcow2(shop)
    shop.book(image)
    seen: list[tuple[str, int, int]] = []

    def look() -> bool:
        shop.clock.move(seconds=2)
        seen.extend((part.step, part.octets, part.size) for part in shop.store.job_parts(1) if not part.node)
        return False

    Watched(shop, "unpack", look).run()
    assert len({octets for _, octets, _ in seen}) > 2
    assert {(step, size) for step, _, size in seen} == {("unpack", 2 * image.size)}
    assert seen == sorted(seen)


def die() -> bool:
    raise PowerLost("while it unpacks")


@pytest.mark.parametrize("after", [1, 4, 8])
def test_worker_killed_while_it_unpacks_is_followed_by_one_that_begins_anew(
    shop: LunShop, after: int
) -> None:
    job = shop.book(qcow2(shop))
    with pytest.raises(PowerLost):
        Watched(shop, "unpack", die, after).run()
    assert unpacked(shop) == ["job-1"]
    shop.holder = "second"
    shop.clock.move(seconds=LEASE_S + 1)
    shop.run_for(10)
    assert_whole(shop, job)


def test_worker_killed_after_it_unpacked_is_followed_by_one_that_writes_what_is_there(shop: LunShop) -> None:
    job = shop.book(qcow2(shop))
    shop.luns.faults.plant(Fail(PowerLost("while it writes")), "write")  # type: ignore[arg-type]
    with pytest.raises(PowerLost):
        Engine(shop.context, shop.handlers).run_due()
    assert shop.job().step == "write"
    (shop.tree.root / "mesh/packed/disk.qcow2").rename(shop.folder / "away")
    shop.holder = "second"
    shop.clock.move(seconds=LEASE_S + 1)
    shop.run_for(10)
    assert_whole(shop, job)


@pytest.mark.parametrize("is_gone", [True, False])
def test_unpacked_disk_that_is_lost_or_changed_before_it_is_written_is_unpacked_again(
    shop: LunShop, is_gone: bool
) -> None:
    job = shop.book(qcow2(shop))

    def spoil() -> bool:
        disk = shop.context.scratch / "job-1" / "disk.raw"
        if not spoiled:
            disk.unlink() if is_gone else disk.write_bytes(bytes(len(IMAGE)))
        spoiled.append(disk)
        return False

    spoiled: list[Path] = []
    Watched(shop, "write", spoil).run()
    shop.run_for(60)
    assert_whole(shop, job)
    assert images.find(shop.store, "mesh/packed@1").state == "registered"


def test_job_that_is_cancelled_leaves_nothing_unpacked(shop: LunShop) -> None:
    job = shop.book(qcow2(shop))

    def cancel() -> bool:
        if jobs.CANCEL not in shop.job().facts:
            jobs.cancel(shop.store, "anna", job.id, clock=shop.clock)
        shop.clock.move(seconds=2)
        return False

    Watched(shop, "unpack", cancel, 3).run()
    assert shop.job(job.id).state == "running"
    shop.run_for(10)
    assert shop.job(job.id).state == "cancelled"
    assert unpacked(shop) == []
    assert luns.named(shop.store, GROUP).sides[1].state == "inactive"


def test_what_jobs_that_are_over_left_is_removed_by_the_next_one(shop: LunShop) -> None:
    for name in ("job-77", "strange"):
        (shop.context.scratch / name).mkdir(parents=True)
        (shop.context.scratch / name / "disk.raw").write_bytes(IMAGE)
    shop.book()
    shop.run_for(10)
    assert unpacked(shop) == []


def test_damaged_file_makes_the_image_damaged_and_leaves_nothing(shop: LunShop) -> None:
    job = shop.book(qcow2(shop))
    path = shop.tree.root / "mesh/packed/disk.qcow2"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    shop.run_for(10)
    assert shop.job(job.id).state == "failed"
    assert "mesh/packed/disk.qcow2 changed" in shop.job(job.id).note
    assert images.find(shop.store, "mesh/packed@1").state == "damaged"
    assert (unpacked(shop), shop.volumes()) == ([], set())


def test_missing_program_fails_the_job_with_its_package(
    shop: LunShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = shop.book(qcow2(shop))
    monkeypatch.setattr(programs, "_PATH", str(shop.folder))
    shop.run_for(10)
    assert shop.job(job.id).state == "failed"
    assert "apt-get install util-linux coreutils qemu-utils" in shop.job(job.id).note
