"""The guard of disks: what is recognised, what may be divided, and what is left alone."""

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
)
from netboot.arch import Firmware
from tests.helpers.divided import divided, divided_with_large_sectors

SCHEME = SlotScheme(boot_mib=64, swap_mib=8, spare_mib=8)
GPT_SCHEME = replace(SCHEME, label="gpt")
DISK = DiskFacts("sda", 4096 * MIB, 512, is_removable=False, serial="QM1", wwn="naa.5", is_blank=True)


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


def test_each_slot_of_an_mbr_disk_has_a_gap_before_it() -> None:
    planned = plan(SCHEME, 4096 * MIB)
    slots = [part for part in planned if part.number >= 5]
    ends = [planned[3].start, *(part.start + part.size for part in slots)]
    assert all(part.start - end >= GAP for part, end in zip(slots, ends, strict=False))


def test_gpt_disk_has_an_esp_no_extended_partition_and_slots_one_after_the_other() -> None:
    parts = {part.number: part for part in plan(GPT_SCHEME, 4096 * MIB)}
    assert sorted(parts) == [1, 2, 3, *range(5, 26)]
    assert parts[1].type == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
    assert [parts[n].name for n in (1, 2, 3, 7)] == ["bootd-start", "bootd-swap", "spare", "slot7"]
    assert all(parts[n].start + parts[n].size == parts[n + 1].start for n in range(5, 25))


def test_gpt_disk_may_be_larger_than_an_mbr_can_name() -> None:
    last = plan(replace(SlotScheme(), label="gpt"), 4_000_000 * MIB)[-1]
    assert last.start + last.size > 3_999_000 * MIB


@pytest.mark.parametrize(
    ("scheme", "mib", "words"),
    [
        (SCHEME, 400, "21 slots need 774 MiB of it, it has 400"),
        (replace(SCHEME, slot_mib=1000), 4096, "21 slots need 21102 MiB of it, it has 4096"),
        (replace(SCHEME, boot_mib=5000), 4096, "21 slots need"),
        (replace(SCHEME, first=2), 4096, "have them from 5 on"),
        (replace(SCHEME, label="gpt"), 400, "21 slots need 753 MiB of it, it has 399"),
    ],
    ids=["small-disk", "large-slots", "large-grub", "no-logical-partitions", "small-gpt"],
)
def test_scheme_that_does_not_fit_says_what_is_missing(scheme: SlotScheme, mib: int, words: str) -> None:
    with pytest.raises(DoesNotFit, match=words):
        plan(scheme, mib * MIB)
    assert words in judge(replace(DISK, sectors=mib * MIB), scheme, 7, rule="", repartition=False).refused


def test_slots_end_where_an_mbr_cannot_name_sectors_any_more() -> None:
    last = plan(SlotScheme(), 4_000_000 * MIB)[-1]
    assert last.start + last.size <= 1 << 32


# -- recognising -------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [SCHEME, GPT_SCHEME], ids=["dos", "gpt"])
def test_disk_that_is_divided_our_way_is_left_as_it_is(tmp_path: Path, scheme: SlotScheme) -> None:
    disk = replace(DISK, table=divided(tmp_path / "disk", scheme), is_blank=False)
    for repartition in (False, True):
        verdict = judge(disk, scheme, 7, rule="", repartition=repartition)
        assert (verdict.refused, verdict.step, verdict.script) == ("", Step.KEEP, "")


def test_sizes_of_a_layout_do_not_matter(tmp_path: Path) -> None:
    assert is_ours(divided(tmp_path / "disk", replace(SCHEME, slot_mib=40, swap_mib=77)), 7)


@pytest.mark.parametrize(("has", "wants"), [("dos", "gpt"), ("gpt", "dos")])
def test_layout_of_the_other_kind_is_not_ours(tmp_path: Path, has: str, wants: str) -> None:
    text = divided(tmp_path / "disk", replace(SCHEME, label=has))
    verdict = judge(
        replace(DISK, table=text, is_blank=False), replace(SCHEME, label=wants), 7, rule="", repartition=False
    )
    assert "sda is divided in another way" in verdict.refused


def test_slot_that_the_layout_does_not_have_is_refused(tmp_path: Path) -> None:
    disk = replace(DISK, table=divided(tmp_path / "disk", replace(SCHEME, last=9)), is_blank=False)
    assert refusal(disk, slot=9) == ""
    assert refusal(disk, slot=10).startswith("sda has the slots 5 to 9 and no slot 10, nothing was written; ")


@pytest.mark.parametrize("scheme", [SCHEME, GPT_SCHEME], ids=["dos", "gpt"])
def test_room_of_a_slot_is_known_before_and_after_its_disk_is_divided(
    tmp_path: Path, scheme: SlotScheme
) -> None:
    before = judge(DISK, scheme, 7, rule="", repartition=False)
    [slot] = [part for part in plan(scheme, 4096 * MIB) if part.number == 7]
    assert (before.step, before.room) == (Step.DIVIDE, slot.size * 512)
    larger = replace(scheme, slot_mib=100)
    there = replace(DISK, table=divided(tmp_path / "disk", larger), is_blank=False)
    after = judge(there, scheme, 7, rule="", repartition=False)
    assert (after.step, after.room) == (Step.KEEP, 100 << 20)


def test_room_is_counted_in_the_sectors_of_the_disk(tmp_path: Path) -> None:
    scheme = replace(GPT_SCHEME, slot_mib=40)
    blank = replace(DISK, sector_size=4096)
    assert judge(blank, scheme, 7, rule="", repartition=False).room == 40 << 20
    table = divided_with_large_sectors(tmp_path / "disk", scheme, 4096)
    there = replace(blank, table=table, is_blank=False)
    assert judge(there, GPT_SCHEME, 7, rule="", repartition=False).room == 40 << 20


@pytest.mark.parametrize(
    ("scheme", "old", "new"),
    [
        (SCHEME, "label: dos", "label: gpt"),
        (SCHEME, "type=82", "type=83"),
        (SCHEME, "type=5", "type=7"),
        (SCHEME, "/dev/sda6 :", "/dev/sda26 :"),
        (SCHEME, "/dev/sda3 :", "# "),
        (GPT_SCHEME, "type=C12A", "type=C12B"),
        (GPT_SCHEME, "type=0657", "type=0658"),
        (GPT_SCHEME, "/dev/sda9 :", "/dev/sda4 :"),
    ],
)
def test_layout_that_differs_in_kind_is_not_ours(
    tmp_path: Path, scheme: SlotScheme, old: str, new: str
) -> None:
    text = divided(tmp_path / "disk", scheme)
    assert old in text
    assert is_ours(text, 6, scheme.label) is True
    assert is_ours(text.replace(old, new, 1), 6, scheme.label) is False


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


def test_disk_with_large_sectors_is_divided_with_gpt_alone() -> None:
    large = replace(DISK, sector_size=4096)
    assert "--table gpt changes that" in refusal(large)
    verdict = judge(large, GPT_SCHEME, 7, rule="", repartition=False)
    assert (verdict.refused, verdict.step) == ("", Step.DIVIDE)
    assert "p1 : start=256, size=16384," in verdict.script
    odd = judge(replace(DISK, sector_size=520), GPT_SCHEME, 7, rule="", repartition=False)
    assert "sectors of 520 octets" in odd.refused


@pytest.mark.parametrize(
    ("firmware", "scheme", "words"),
    [
        (Firmware.UEFI, SCHEME, "this node started by UEFI and its slots are in an MBR (dos); bootd slots "),
        (Firmware.BIOS, GPT_SCHEME, "this node started by BIOS and its slots are in a GPT; bootd slots "),
        (Firmware.UEFI, GPT_SCHEME, ""),
        (Firmware.BIOS, SCHEME, ""),
        (None, GPT_SCHEME, ""),
    ],
)
def test_no_disk_is_divided_in_a_way_that_its_node_cannot_start_from(
    firmware: Firmware | None, scheme: SlotScheme, words: str
) -> None:
    verdict = judge(replace(DISK, firmware=firmware), scheme, 7, rule="", repartition=False)
    assert verdict.refused.startswith(words)
    assert bool(verdict.refused) == bool(words)


def test_mbr_disk_that_is_there_serves_a_uefi_node_and_what_it_lacks_is_said(tmp_path: Path) -> None:
    disk = replace(DISK, table=divided(tmp_path / "disk", SCHEME), is_blank=False, firmware=Firmware.UEFI)
    verdict = judge(disk, replace(SCHEME, group="rack"), 7, rule="", repartition=False)
    assert (verdict.refused, verdict.step) == ("", Step.KEEP)
    assert "while bootd is away it starts nothing; bootd slots scheme set rack --table gpt" in verdict.note


def test_gpt_disk_that_is_there_does_not_start_a_bios_node(tmp_path: Path) -> None:
    text = divided(tmp_path / "disk", GPT_SCHEME)
    disk = replace(DISK, table=text, is_blank=False, firmware=Firmware.BIOS)
    assert "--table dos changes that" in judge(disk, GPT_SCHEME, 7, rule="", repartition=True).refused


def test_only_a_host_that_is_set_so_has_another_layout_divided_anew() -> None:
    other = replace(DISK, table="label: gpt\n/dev/sda1 : start=2048, size=9, type=83", is_blank=False)
    assert "hosts set NODE --set repartition=yes" in refusal(other)
    assert refusal(other, repartition=True) == ""
    assert "is removable" in refusal(replace(other, is_removable=True), repartition=True)
