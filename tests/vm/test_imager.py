"""The imager really run on what it must refuse; tests/vm/test_imaging.py has it write and start slots."""

import subprocess
from pathlib import Path

import pytest

from tests.helpers.imager import FAILS, NODE, Imaging
from tests.helpers.partitions import root_partition

pytestmark = pytest.mark.vm

MARKER = "SLOT-SEVEN-STARTED"


def empty_disk(folder: Path, mib: int = 512) -> Path:
    path = folder / "disk"
    with path.open("wb") as file:
        file.truncate(mib << 20)
    return path


async def test_disk_of_somebody_else_is_refused_and_not_a_byte_of_it_changes(tmp_path: Path) -> None:
    imaging = Imaging(tmp_path, root_partition(tmp_path / "root.raw", MARKER))
    disk = empty_disk(tmp_path)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", disk], check=True)
    before = disk.read_bytes()
    said = await imaging.run(disk)
    [(word, reason)] = imaging.words
    assert (word, "holds something that is not ours" in reason) == ("failed", True)
    assert f"{FAILS} node={NODE} vda holds something that is not ours" in said
    assert disk.read_bytes() == before


async def test_image_that_is_cut_off_on_its_way_is_never_called_verified(tmp_path: Path) -> None:
    imaging = Imaging(tmp_path, root_partition(tmp_path / "root.raw", MARKER))
    with imaging.stream.open("r+b") as file:
        file.truncate(imaging.stream.stat().st_size // 2)
    await imaging.run(empty_disk(tmp_path))
    assert [word for word, _ in imaging.words] == ["dividing", "joined", "failed"]
    assert imaging.words[-1][1].startswith("files: ")
