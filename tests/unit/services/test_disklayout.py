"""The guard of disks: what is recognised, what may be divided, and what is left alone."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bootd.model import SlotScheme
from bootd.services.disklayout import (
    GAP,
    MIB,
    DiskFacts,
    DoesNotFit,
    Step,
    is_ours,
    judge,
    plan,
    script,
)

SCHEME = SlotScheme(boot_mib=64, swap_mib=8, spare_mib=8)
DISK = DiskFacts("sda", 4096 * MIB, 512, is_removable=False, serial="QM1", wwn="naa.5", is_blank=True)


def divided(folder: Path, scheme: SlotScheme = SCHEME, mib: int = 4096) -> str:
    """Return what sfdisk says of a disk that was divided by our script."""
    disk = folder / "disk"
    with disk.open("wb") as file:
        file.truncate(mib << 20)
    subprocess.run(["sfdisk", "-q", disk], input=script(plan(scheme, mib * MIB)), text=True, check=True)
    told = subprocess.run(["sfdisk", "-d", disk], capture_output=True, text=True, check=True).stdout
    return told.replace(str(disk), "/dev/sda")


def refusal(disk: DiskFacts, *, rule: str = "", repartition: bool = False, slot: int = 7) -> str:
    return judge(disk, SCHEME, slot, rule=rule, repartition=repartition).refused


# -- dividing ----------------------------------------------------------------------------------


def test_disk_is_divided_into_grub_swap_spare_and_equal_slots() -> None:
    parts = {part.number: part for part in plan(SlotScheme(), 500_000 * MIB)}
    assert sorted(parts) == list(range(1, 26))
    assert [parts[n].size // MIB for n in (1, 2, 3)] == [1024, 4096, 4096]
    assert len({parts[n].size for n in range(5, 26)}) == 1
    last = parts[25]
    assert last.start + last.size <= 500_000 * MIB
    assert 500_000 * MIB - (last.start + last.size) < 22 * MIB  # what equal parts leave over


def test_what_sfdisk_makes_is_what_was_planned_with_a_gap_before_each_slot(tmp_path: Path) -> None:
    text = divided(tmp_path)
    planned = plan(SCHEME, 4096 * MIB)
    for part in planned:
        assert f"start={part.start:>12}, size={part.size:>12}, type={part.type}" in text
    slots = [part for part in planned if part.number >= 5]
    ends = [planned[3].start, *(part.start + part.size for part in slots)]
    assert all(part.start - end >= GAP for part, end in zip(slots, ends, strict=False))


@pytest.mark.parametrize(
    ("scheme", "mib", "words"),
    [
        (SCHEME, 400, "21 slots need 774 MiB of it, it has 400"),
        (replace(SCHEME, slot_mib=1000), 4096, "21 slots need 21102 MiB of it, it has 4096"),
        (replace(SCHEME, boot_mib=5000), 4096, "21 slots need"),
        (replace(SCHEME, first=2), 4096, "they begin at 5"),
    ],
    ids=["small-disk", "large-slots", "large-grub", "no-logical-partitions"],
)
def test_scheme_that_does_not_fit_says_what_is_missing(scheme: SlotScheme, mib: int, words: str) -> None:
    with pytest.raises(DoesNotFit, match=words):
        plan(scheme, mib * MIB)
    assert words in judge(replace(DISK, sectors=mib * MIB), scheme, 7, rule="", repartition=False).refused


def test_slots_end_where_an_mbr_cannot_name_sectors_any_more() -> None:
    last = plan(SlotScheme(), 4_000_000 * MIB)[-1]
    assert last.start + last.size <= 1 << 32


# -- recognising -------------------------------------------------------------------------------


def test_disk_that_is_divided_our_way_is_left_as_it_is(tmp_path: Path) -> None:
    disk = replace(DISK, table=divided(tmp_path), is_blank=False)
    for repartition in (False, True):
        verdict = judge(disk, SCHEME, 7, rule="", repartition=repartition)
        assert (verdict.refused, verdict.step, verdict.script) == ("", Step.KEEP, "")


def test_sizes_of_a_layout_do_not_matter(tmp_path: Path) -> None:
    assert is_ours(divided(tmp_path, replace(SCHEME, slot_mib=40, swap_mib=77)), 7)


def test_slot_that_the_layout_does_not_have_is_refused(tmp_path: Path) -> None:
    disk = replace(DISK, table=divided(tmp_path, replace(SCHEME, last=9)), is_blank=False)
    assert refusal(disk, slot=9) == ""
    assert "divided in another way" in refusal(disk, slot=10)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("label: dos", "label: gpt"),
        ("type=82", "type=83"),
        ("type=5", "type=7"),
        ("/dev/sda6 :", "/dev/sda26 :"),
        ("/dev/sda3 :", "# "),
    ],
)
def test_layout_that_differs_in_kind_is_not_ours(tmp_path: Path, old: str, new: str) -> None:
    text = divided(tmp_path)
    assert old in text
    assert is_ours(text.replace(old, new, 1), 6) is False


# -- which disk --------------------------------------------------------------------------------


def test_empty_disk_of_the_scheme_is_divided() -> None:
    verdict = judge(DISK, SCHEME, 7, rule="", repartition=False)
    assert (verdict.refused, verdict.step) == ("", Step.DIVIDE)
    assert verdict.script.startswith("label: dos\n")


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        ({"is_removable": True}, "", "sda is removable"),
        ({"name": "sdb"}, "", "not the disk of its slots, /dev/sda"),
        ({"sector_size": 4096}, "", "sectors of 4096 octets"),
        ({"is_blank": False}, "", "holds something that is not ours"),
        ({"is_blank": False, "table": "label: dos\n"}, "", "divided in another way"),
        ({}, "serial:QM2", "has the serial QM1, its host is set to QM2"),
        ({"wwn": ""}, "wwn:naa.5", "has the wwn (none)"),
        ({}, "serial:", "its host is set to (none)"),
        ({}, "QM1", "neither serial:… nor wwn:…"),
    ],
)
def test_wrong_disk_is_refused_and_nothing_written(change: dict[str, object], rule: str, words: str) -> None:
    assert words in refusal(replace(DISK, **change), rule=rule)  # type: ignore[arg-type]


def test_disk_that_the_host_names_by_serial_or_wwn_may_have_any_name() -> None:
    other = replace(DISK, name="sdc")
    assert refusal(other, rule="serial:QM1") == ""
    assert refusal(other, rule="wwn:naa.5") == ""


def test_only_a_host_that_is_set_so_has_another_layout_divided_anew() -> None:
    other = replace(DISK, table="label: gpt\n/dev/sda1 : start=2048, size=9, type=83", is_blank=False)
    assert "hosts set NODE --set repartition=yes" in refusal(other)
    assert refusal(other, repartition=True) == ""
    assert "is removable" in refusal(replace(other, is_removable=True), repartition=True)
