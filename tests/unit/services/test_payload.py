"""Which partition of an image goes into a slot, and images of which none does."""

from typing import Any

import pytest

from bootd.model import DiskImage, ImageKind, ImagePart
from bootd.services.payload import NotForSlot, Payload, payload_of
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
    assert payload_of(image) == Payload("raw", "uncomp", "", ("disk.raw",))


def test_esp_and_swap_of_a_saved_disk_stay_behind() -> None:
    swap = a_part("sda2", file_system="swap", tool="mkswap", files=[])
    image = saved(a_part("sda1", file_system="vfat"), swap, a_part("sda3"))
    assert payload_of(image).files == ("sda3.gz.aa", "sda3.gz.ab")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (an_image(ImageKind.RAW, file="disk.raw", label="gpt"), "is a whole disk (gpt)"),
        (an_image(ImageKind.QCOW2, file="disk.qcow2"), "qemu-img convert -O raw"),
        (saved(a_part(), a_part("sda5")), "holds the partitions sda1, sda5"),
        (saved(), "holds the partitions none"),
        (saved(a_part(tool="ntfsclone")), "save it with partclone"),
        (saved(a_part(compression="lrz")), "compressed as lrz"),
    ],
)
def test_image_that_is_no_single_partition_is_refused_with_the_way_out(image: DiskImage, words: str) -> None:
    with pytest.raises(NotForSlot, match=words.replace("(", r"\(").replace(")", r"\)")):
        payload_of(image)
