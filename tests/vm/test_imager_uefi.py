"""A machine that starts by UEFI: its disk is divided with GPT, written, and starts with and without us."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.imager import MARKER, SCHEME, SLOT, Imaging, started
from tests.helpers.partitions import clonezilla_part, root_partition

pytestmark = pytest.mark.vm


async def test_uefi_machine_is_imaged_and_starts_its_slot_steered_and_by_itself(tmp_path: Path) -> None:
    source = clonezilla_part(
        tmp_path / "parts", root_partition(tmp_path / "root.raw", MARKER), compression="lzma"
    )
    imaging = Imaging(tmp_path, source, scheme=replace(SCHEME, label="gpt"))
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(512 << 20)
    said = await imaging.run(disk, uefi=True)
    assert [word for word, _ in imaging.words][-1:] == ["leaving"], said
    assert ("verified", imaging.image.identity) in imaging.words
    by_itself = await started(tmp_path, disk, steered=False, uefi=True)
    assert f"bootd: slot {SLOT} (hd0,gpt{SLOT})" in by_itself
    steered = await started(tmp_path, disk, steered=True, uefi=True)
    assert f"bootd: starting slot {SLOT} (hd0,{SLOT})" in steered
