"""Which images come to a LUN, how large it must be, and the way out for those that do not."""

from typing import Any

import pytest

from bootd.darkstore.forlun import disk_size, too_large, why_not
from bootd.model import DiskImage, ImageKind, ImagePart
from tests.helpers.bookings import a_disk_image

PART = {"device": "sda1", "start": 1 << 20, "size": 1 << 30, "tool": "partclone", "compression": "gz"}


def saved(*disks: dict[str, Any], whole: bool = True) -> DiskImage:
    standard = {"name": "sda", "label": "gpt", "sector_size": 512, "size": 2 << 30, "partitions": [PART]}
    listed = [standard | disk for disk in disks]
    return a_disk_image(kind=ImageKind.CLONEZILLA, description={"whole": whole, "disks": listed})


def test_size_is_that_of_the_disk_and_not_of_what_it_is_packed_in() -> None:
    parts = (ImagePart("disk.raw", 4096, ""), ImagePart("SHA256SUMS", 80, ""))
    assert disk_size(a_disk_image(parts=parts, description={"file": "disk.raw"})) == 4096
    assert disk_size(a_disk_image(kind=ImageKind.QCOW2, description={"virtual_size": 7})) == 7
    assert disk_size(a_disk_image(kind=ImageKind.QCOW2)) is None
    assert disk_size(saved({})) == 2 << 30


def test_disk_whose_size_was_not_kept_reaches_to_the_end_of_its_table() -> None:
    end = (1 << 20) + (1 << 30)
    assert disk_size(saved({"size": None, "label": "dos"})) == end
    assert disk_size(saved({"size": None})) == end + 33 * 512
    assert disk_size(saved({"size": 5, "label": "dos"})) == end
    assert disk_size(saved({"size": None, "partitions": []})) is None


def test_lun_that_is_too_small_is_told_with_both_sizes() -> None:
    image = saved({})
    assert too_large(image, 2 << 30, 2 << 30) == too_large(image, None, 1) == ""
    told = "mesh/debian@1 is a disk of 2,147,483,648 octets, the LUN has 2,147,483,647: nothing was written"
    assert too_large(image, 2 << 30, (2 << 30) - 1) == told


def test_whole_disks_with_a_table_that_is_known_are_taken() -> None:
    assert why_not(a_disk_image()) == why_not(saved({})) == why_not(saved({"label": "dos"})) == ""


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (saved({}, whole=False), "holds partitions and no disk: save the whole disk (savedisk)"),
        (saved({}, {"name": "sdb"}), "holds 2 disks (sda, sdb) and a LUN is one: save that one alone"),
        (saved({"sector_size": 4096}), "has sectors of 4096 octets, LUNs have 512"),
        (saved({"label": "mac"}), "has a partition table of the kind 'mac': save a disk with gpt or dos"),
        (saved({"partitions": [PART | {"tool": "ntfsclone"}]}), "has sda1 as ntfsclone saves it"),
        (saved({"partitions": [PART | {"compression": "lrz"}]}), "has sda1 compressed with lrzip"),
    ],
)
def test_others_are_refused_with_the_way_out(image: DiskImage, why: str) -> None:
    told = why_not(image)
    assert told.startswith(f"mesh/debian@1 {why}")
    assert told.endswith("with Clonezilla; bootd images add mesh/debian makes it the next version")
