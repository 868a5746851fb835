"""WRITE_SLOT with a qcow2 image: unpacked once, sent as its one partition, gone when the job is over."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from bootd.darkstore.unpack import programs
from bootd.model import DiskImage
from bootd.services import images, jobs
from bootd.services.tasks import task_text
from tests.helpers.imaging import NODES, SIZE, Shop, a_shop, ready
from tests.helpers.unpacking import run

RAW = b"a partition".ljust(SIZE, b".")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return a_shop(tmp_path)


def qcow2(shop: Shop, octets: bytes = RAW) -> DiskImage:
    raw, packed = shop.folder / "new.raw", shop.folder / "new.qcow2"
    raw.write_bytes(octets)
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, packed)
    return images.add(shop.store, "anna", shop.tree, "mesh/packed", packed, clock=shop.clock)


def whole_disk(*kinds: int) -> bytes:
    """Return a disk with partitions of these kinds, each one sector."""
    disk = bytearray(SIZE)
    disk[510:512] = b"\x55\xaa"
    for number, kind in enumerate(kinds):
        at = 446 + 16 * number
        disk[at + 4], disk[at + 8], disk[at + 12] = kind, number + 1, 1
    return bytes(disk)


def left(shop: Shop) -> list[str]:
    root = shop.context.scratch
    return [entry.name for entry in root.iterdir()] if root.is_dir() else []


def told(shop: Shop) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in task_text(shop.store, "node1").splitlines())


def sent(shop: Shop) -> tuple[str, bytes]:
    """Return the name and the octets of the one file in the stream, decompressed."""
    stream = b"".join(shop.transport.order("job1-1").image.chunks())
    with tarfile.open(fileobj=BytesIO(stream)) as archive:
        [member] = archive.getmembers()
        file = archive.extractfile(member)
        assert file is not None
        unpacked = subprocess.run(["zstd", "-dcq"], input=file.read(), capture_output=True, check=True)
    return member.name, unpacked.stdout


def test_nodes_get_the_partition_and_say_that_they_have_the_image(shop: Shop) -> None:
    image = qcow2(shop)
    shop.book(image=image)
    shop.live(until="watch")
    assert sent(shop) == ("partition.zst", RAW)
    task = told(shop)
    assert (task["file"], task["tool"], task["compression"]) == ("partition.zst", "raw", "zst")
    assert int(task["octets"]) < SIZE // 10
    assert task["identity"] == image.identity != task["stream"]
    shop.live()
    assert (shop.job().state, shop.slots()) == ("done", ready(*NODES))
    assert left(shop) == []


def test_of_a_whole_disk_the_one_root_is_sent(shop: Shop) -> None:
    disk = bytearray(whole_disk(0x82, 0x83))
    disk[1024:1536] = b"r" * 512
    shop.book(image=qcow2(shop, bytes(disk)))
    shop.live(until="watch")
    assert sent(shop) == ("partition.zst", b"r" * 512)
    assert "part-start" not in told(shop)
    assert shop.job().facts["sent"]["needs"] == 512  # what a slot must have for it, however small it was made


def test_file_system_in_it_is_told_before_anything_is_written(shop: Shop) -> None:
    disk = bytearray(whole_disk(0x83))
    disk[512:516] = b"XFSB"
    shop.book(image=qcow2(shop, bytes(disk)))
    shop.live(until="watch")
    assert told(shop)["filesystem"] == "xfs"


def test_raw_whole_disk_is_sent_as_it_is_and_its_root_named(shop: Shop) -> None:
    shop.book(image=shop.add_image(whole_disk(0x82, 0x83), "mesh/whole"))
    shop.live(until="watch")
    task = told(shop)
    assert (task["part-start"], task["part-size"], "stream" in task) == ("1024", "512", False)


def test_what_guests_have_sent_stays_when_the_job_that_sends_it_is_taken_back(shop: Shop) -> None:
    image = qcow2(shop)
    shop.asleep.update(NODES)
    shop.book(("node1",), image)
    shop.live(3)
    shop.book(("node2",), image)
    shop.live(3)
    with shop.store.transaction("bootd", "they have fetched the imager") as change:
        for order in change.overrides():
            change.remove_override(order.host, order.id)
    shop.live(7)
    assert shop.transport.order("job1-1").receivers == ("node1", "node2")
    jobs.cancel(shop.store, "anna", 1, clock=shop.clock)
    shop.run()
    assert shop.job(1).state == "cancelled"
    assert sent(shop) == ("partition.zst", RAW)
    shop.live(60)
    assert (shop.job(2).state, left(shop)) == ("done", ["job-1"])
    shop.book(("node3",), image)
    shop.live(3)
    assert left(shop) == ["job-3"]


def test_disk_with_two_roots_ends_the_job_before_any_node_is_switched(shop: Shop) -> None:
    shop.book(image=qcow2(shop, whole_disk(0x83, 0x83)))
    shop.run()
    assert shop.job().state == "failed"
    assert "is a whole disk (dos) with the partitions 1, 2 and a slot takes one" in shop.job().note
    assert (shop.switched(), left(shop)) == ([], [])


def test_what_was_unpacked_and_went_is_made_again(shop: Shop) -> None:
    shop.book(image=qcow2(shop))
    shop.live(until="watch")
    [folder] = shop.context.scratch.iterdir()
    assert [path.name for path in folder.iterdir() if path.suffix == ".raw"] == []
    (folder / "disk.zst").unlink()
    shop.transport.stop("job1-1")
    shop.live(300)
    assert (shop.job().state, shop.slots()) == ("done", ready(*NODES))


def test_without_qemu_img_the_package_is_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    image = qcow2(shop)
    monkeypatch.setattr(programs, "_PATH", "/nowhere")
    shop.book(image=image)
    shop.run()
    assert shop.job().state == "failed"
    assert "qemu-utils" in shop.job().note
