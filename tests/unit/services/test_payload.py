"""Which partition of an image goes into a slot, and images of which none does."""

from typing import Any

import pytest

from bootd.model import DiskImage, ImageKind, ImagePart
from bootd.services.payload import NotForSlot, Payload, payload_of, root_of
from tests.helpers.site import NOON


def an_image(kind: ImageKind, **description: Any) -> DiskImage:
    parts = (ImagePart("disk.raw", 512, "ab" * 32),)
    return DiskImage("mesh", "debian", 1, kind, "mesh/debian", parts, NOON, description=description)


def a_part(device: str = "sda1", **changes: Any) -> dict[str, Any]:
    standard = {"device": device, "file_system": "ext4", "tool": "partclone", "compression": "gz"}
    return standard | {"files": [f"{device}.gz.aa", f"{device}.gz.ab"]} | changes


def saved(*parts: dict[str, Any]) -> DiskImage:
    return an_image(ImageKind.CLONEZILLA, whole=False, disks=[{"name": "sda", "partitions": list(parts)}])


def test_one_saved_partition_goes_into_a_slot_piece_by_piece() -> None:
    assert payload_of(saved(a_part())) == Payload("partclone", "gz", "ext4", ("sda1.gz.aa", "sda1.gz.ab"))


def test_what_dd_saved_is_written_as_it_is() -> None:
    assert payload_of(saved(a_part(tool="dd", compression="zst"))).tool == "raw"


def test_raw_partition_is_its_one_file() -> None:
    image = an_image(ImageKind.RAW, file="disk.raw", label="")
    assert payload_of(image) == Payload("raw", "uncomp", "", ("disk.raw",), needs=512)


def test_esp_and_swap_of_a_saved_disk_stay_behind() -> None:
    swap = a_part("sda2", file_system="swap", tool="mkswap", files=[])
    image = saved(a_part("sda1", file_system="vfat"), swap, a_part("sda3"))
    assert payload_of(image).files == ("sda3.gz.aa", "sda3.gz.ab")


def a_row(number: int, kind: str) -> dict[str, Any]:
    return {"number": number, "start": 2048 * number, "size": 1000, "type": kind}


ESP, LINUX = (
    a_row(1, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
    a_row(2, "0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
)
SWAP = a_row(3, "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F")


def a_disk(label: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"file": "disk.raw", "label": label, "partitions": list(rows)}


@pytest.mark.parametrize(
    "disk",
    [a_disk("gpt", ESP, LINUX, SWAP), a_disk("dos", a_row(2, "83"), a_row(3, "82"))],
    ids=["gpt", "dos"],
)
def test_single_root_of_a_whole_disk_is_cut_out_of_it(disk: dict[str, Any]) -> None:
    found = payload_of(an_image(ImageKind.RAW, **disk))
    assert found == Payload(
        "raw", "uncomp", "", ("disk.raw",), start=4096 * 512, size=1000 * 512, needs=1000 * 512
    )


def test_file_system_of_a_raw_partition_is_known_where_it_was_seen() -> None:
    assert payload_of(an_image(ImageKind.RAW, file="a", label="", file_system="xfs")).file_system == "xfs"


def test_qcow2_is_taken_before_it_is_known_what_is_in_it_and_judged_when_it_is() -> None:
    image = an_image(ImageKind.QCOW2, file="disk.qcow2")
    assert payload_of(image) == Payload("raw", "zst", "", ("partition.zst",))
    assert payload_of(image, {"file_system": "btrfs"}).file_system == "btrfs"
    assert root_of(image, {"label": ""}) == (0, 0)
    assert root_of(image, a_disk("gpt", ESP, LINUX)) == (4096 * 512, 1000 * 512)
    with pytest.raises(NotForSlot, match="with the partitions 2, 2 and a slot takes one"):
        root_of(image, a_disk("gpt", LINUX, LINUX))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (an_image(ImageKind.RAW, file="disk.raw", label="gpt"), "is a whole disk (gpt) and"),
        (an_image(ImageKind.RAW, **a_disk("gpt", ESP, SWAP)), "with the partitions none and"),
        (
            an_image(ImageKind.RAW, **a_disk("dos", a_row(1, "83"), a_row(2, "5"))),
            "the partitions 1, 2 (extended)",
        ),
        (an_image(ImageKind.RAW, **a_disk("dos", a_row(1, "ee"))), "with the partitions none and"),
        (saved(a_part(), a_part("sda5")), "holds the partitions sda1, sda5"),
        (saved(), "holds the partitions none"),
        (saved(a_part(tool="ntfsclone")), "save it with partclone"),
        (saved(a_part(compression="lrz")), "compressed as lrz"),
    ],
)
def test_image_that_is_no_single_partition_is_refused_with_the_way_out(image: DiskImage, words: str) -> None:
    with pytest.raises(NotForSlot, match=words.replace("(", r"\(").replace(")", r"\)")):
        payload_of(image)


@pytest.mark.parametrize(
    ("part", "needs"),
    [
        (a_part(size=9000, needs=7000), 7000),  # a file system need not fill its partition
        (a_part(size=9000), 0),  # described before that was looked at
        (a_part(size=9000, needs=None), 0),
        (a_part(tool="dd", size=9000), 9000),
        (a_part(tool="dd", size=0), 0),
    ],
    ids=["partclone", "of-old", "unknown", "dd", "dd-unknown"],
)
def test_how_large_a_slot_must_be_is_known_where_the_image_says_so(part: dict[str, Any], needs: int) -> None:
    assert payload_of(saved(part)).needs == needs


def test_how_much_a_qcow2_needs_is_known_once_it_is_unpacked() -> None:
    image = an_image(ImageKind.QCOW2, file="disk.qcow2")
    assert [payload_of(image, sent).needs for sent in (None, {}, {"needs": 9000})] == [0, 0, 9000]
