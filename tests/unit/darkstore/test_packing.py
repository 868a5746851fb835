"""A part of an unpacked disk made small: the same file every time, with nothing of the rest in it."""

import hashlib
import random
import subprocess
from pathlib import Path

import pytest

from bootd.darkstore.unpack import programs
from bootd.darkstore.unpack.errors import MissingTool, ToolFailed
from bootd.darkstore.unpack.packing import pack, packed

MIB = 1 << 20
NOISE = random.Random(1).randbytes(MIB)


def a_disk(root: Path, name: str = "job-1") -> None:
    """Have a disk of 8 MiB with a MiB of noise in the middle."""
    (root / name).mkdir(parents=True)
    (root / name / "disk.raw").write_bytes(bytes(4 * MIB) + NOISE + bytes(3 * MIB))


def unpacked(path: Path) -> bytes:
    return subprocess.run(["zstd", "-dcq", path], capture_output=True, check=True).stdout


def test_part_is_the_same_file_every_time_and_the_disk_is_gone(tmp_path: Path) -> None:
    beats: list[int] = []
    made = []
    for name in ("job-1", "job-2"):
        a_disk(tmp_path, name)
        made.append(pack(tmp_path, name, 4 * MIB - 512, MIB + 1024, lambda: beats.append(1)))
    assert made[0].digest == made[1].digest == hashlib.sha256(made[0].path.read_bytes()).hexdigest()
    assert unpacked(made[0].path) == bytes(512) + NOISE + bytes(512)
    assert [path.name for path in (tmp_path / "job-1").iterdir() if path.suffix == ".raw"] == []
    assert beats


def test_zeros_take_no_room(tmp_path: Path) -> None:
    a_disk(tmp_path)
    assert pack(tmp_path, "job-1", 0, 4 * MIB, lambda: None).size < 1000


def test_what_was_packed_is_found_as_long_as_it_is_that(tmp_path: Path) -> None:
    a_disk(tmp_path)
    made = pack(tmp_path, "job-1", 0, 8 * MIB, lambda: None)
    assert packed(tmp_path, "job-1", made.size, made.digest) == made
    assert packed(tmp_path, "job-1", made.size + 1, made.digest) is None
    assert packed(tmp_path, "job-2", made.size, made.digest) is None


def test_disk_that_is_gone_is_not_packed_as_nothing(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="dd"):
        pack(tmp_path, "job-1", 0, MIB, lambda: None)


def test_missing_program_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_disk(tmp_path)
    monkeypatch.setattr(programs, "_PATH", "/nowhere")
    with pytest.raises(MissingTool):
        pack(tmp_path, "job-1", 0, MIB, lambda: None)
