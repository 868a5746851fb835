"""Images that cannot go to a slot, told when they are booked."""

from dataclasses import replace

from bootd.model import DiskImage, ImageKind, ImagePart, SlotScheme
from bootd.services import unfit
from tests.helpers.site import NOON

MIB = 1 << 20


def an_image(octets: int) -> DiskImage:
    parts = (ImagePart("disk.raw", octets, "ab" * 32),)
    described = {"file": "disk.raw", "label": ""}
    return DiskImage("mesh", "debian", 1, ImageKind.RAW, "mesh/debian", parts, NOON, description=described)


def test_image_larger_than_the_slots_of_a_scheme_is_refused_for_the_nodes_that_have_it() -> None:
    small, large = SlotScheme("old", slot_mib=100), SlotScheme(slot_mib=200)
    schemes = {"node1": small, "node2": large, "node3": small}
    assert list(unfit.for_slot(an_image(100 * MIB), schemes)) == []
    assert list(unfit.for_slot(an_image(100 * MIB + 1), schemes)) == [
        "node[1,3]: mesh/debian@1 needs 104,857,601 octets, their slots have 104,857,600 (100 MiB);"
        " bootd slots scheme set old --slot-mib says how large they are"
    ]
    both = list(unfit.for_slot(an_image(300 * MIB), schemes))
    assert [reason.split(":")[0] for reason in both] == ["node[1,3]", "node2"]
    assert "bootd slots scheme set @all --slot-mib" in both[1]


def test_slots_as_large_as_their_disks_allow_are_measured_by_their_nodes() -> None:
    assert list(unfit.for_slot(an_image(1 << 50), {"node1": SlotScheme()})) == []


def test_image_that_fits_no_slot_at_all_is_refused_once_for_all() -> None:
    image = replace(an_image(300 * MIB), description={"file": "disk.raw", "label": "gpt"})
    [told] = unfit.for_slot(image, {"node1": SlotScheme(slot_mib=100), "node2": SlotScheme("old")})
    assert told.startswith("node[1-2]: image mesh/debian@1 is a whole disk (gpt)")
