"""Sparse files hold what was written, and their zeros take no room."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bootd.drivers.lun import sparse

BLOCK = 65536  # octets, more than any file system's block
PIECES = st.lists(st.tuples(st.sampled_from(b"\0\0ab"), st.integers(1, 2 * BLOCK)), max_size=8)


@settings(deadline=None)
@given(PIECES)
def test_a_copy_reads_as_its_source(pieces: list[tuple[int, int]]) -> None:
    octets = b"".join(bytes([letter]) * length for letter, length in pieces)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        sparse.make(source, len(octets))
        with source.open("r+b") as file:
            for letter, length in pieces:
                sparse.write(file, bytes([letter]) * length)
        assert source.read_bytes() == octets
        target.write_bytes(b"something longer that was there before" * 9)
        sparse.copy(source, target)
        assert target.read_bytes() == octets


def test_what_is_zero_takes_no_room_in_a_copy_either(tmp_path: Path) -> None:
    sparse.make(tmp_path / "a", 64 * BLOCK)
    with (tmp_path / "a").open("r+b") as file:
        sparse.write(file, bytes(10 * BLOCK))
        sparse.write(file, b"x" * BLOCK)
    sparse.copy(tmp_path / "a", tmp_path / "b")
    for name in "ab":
        assert (tmp_path / name).stat().st_size == 64 * BLOCK
        assert (tmp_path / name).stat().st_blocks * 512 <= 4 * BLOCK
