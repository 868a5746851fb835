"""The real sfdisk makes exactly what was planned, for both kinds of table and disks of many sizes."""

from dataclasses import replace
from pathlib import Path

import pytest

from bootd.darkstore.tables import parse_sfdisk, split_device
from bootd.model import SlotScheme
from bootd.services.disklayout import MIB, Part, is_ours, plan
from tests.helpers.divided import divided, divided_with_large_sectors

SMALL = SlotScheme(boot_mib=64, swap_mib=8, spare_mib=8)
TABLES = ("dos", "gpt")


def parts_in(text: str) -> list[tuple[int, int, int, str]]:
    table, mistakes = parse_sfdisk(text, "disk")
    assert mistakes == []
    found = [(split_device(row.device), row) for row in table.rows]
    return [(device[1], row.start, row.size, row.type) for device, row in found if device]


def as_found(parts: list[Part]) -> list[tuple[int, int, int, str]]:
    return [(part.number, part.start, part.size, part.type) for part in parts]


@pytest.mark.parametrize("label", TABLES)
@pytest.mark.parametrize(
    ("scheme", "mib", "odd"),
    [
        (SMALL, 800, 0),  # slots of 32 MiB, the smallest
        (SMALL, 4096, 512),
        (replace(SMALL, last=5), 200, 511 * 512),
        (replace(SMALL, slot_mib=100), 2500, 0),
        (SlotScheme(), 500_000, 1024),
        (SlotScheme(), 2_097_152, 0),  # 2 TiB: where an MBR ends
        (SlotScheme(), 6_000_000, 33 * 512),
    ],
    ids=["small", "odd", "one-slot", "sized-slots", "500-gb", "2-tib", "6-tb"],
)
def test_sfdisk_makes_what_was_planned(
    tmp_path: Path, label: str, scheme: SlotScheme, mib: int, odd: int
) -> None:
    scheme = replace(scheme, label=label)
    text = divided(tmp_path / "disk", scheme, mib, odd_octets=odd)
    planned = plan(scheme, mib * MIB + odd // 512)
    assert parts_in(text) == as_found(planned)
    assert all(is_ours(text, number, label) for number in scheme.numbers)


@pytest.mark.parametrize("mib", [800, 4096, 500_000])
def test_gpt_disk_with_large_sectors_is_divided_as_planned(tmp_path: Path, mib: int) -> None:
    scheme = replace(SMALL, label="gpt")
    text = divided_with_large_sectors(tmp_path / "disk", scheme, mib)
    assert "sector-size: 4096" in text
    assert parts_in(text) == as_found(plan(scheme, (mib << 20) // 4096, 4096))
    assert is_ours(text, 25, "gpt")
