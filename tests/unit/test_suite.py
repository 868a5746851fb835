"""What the suite takes of a machine: no more than is there."""

from pathlib import Path

import pytest

from tests.helpers import suite
from tests.helpers.suite import GIB


@pytest.mark.parametrize(
    ("cores", "memory", "want"), [(2, 20 * GIB, 2), (16, 20 * GIB, 5), (8, 6 * GIB, 1), (2, GIB, 1)]
)
def test_as_many_labs_at_once_as_there_are_cores_and_memory_for(cores: int, memory: int, want: int) -> None:
    assert suite.workers(cores, memory) == want


def test_memory_that_programs_can_have_is_read_in_octets() -> None:
    assert suite.available("MemTotal: 9 kB\nMemAvailable:   2048 kB\nHugePages_Total:  0\n") == 2 << 20


def test_scratch_is_in_memory_where_there_is_room_and_nobody_named_another(tmp_path: Path) -> None:
    assert suite.scratch({}, 20 * GIB, tmp_path, free=lambda _: 9 * GIB) == tmp_path
    assert suite.scratch({}, 20 * GIB, tmp_path, free=lambda _: GIB) is None
    assert suite.scratch({"TMPDIR": "/scratch"}, 20 * GIB, tmp_path) is None
    assert suite.scratch({}, 2 * GIB, tmp_path) is None
    assert suite.scratch({}, 20 * GIB, tmp_path / "none") is None


def test_what_takes_long_begins_first() -> None:
    folders = ("fuzz", "unit/cli", "unit/workers", "net", "vm")
    paths = [Path("tests", each, "test_a.py") for each in folders]
    assert sorted(paths, key=lambda path: suite.rank(path, Path("tests"))) == paths[::-1]
