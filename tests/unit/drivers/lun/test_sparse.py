"""Sparse files hold what was written, and their zeros take no room."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
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


def refusing(code: int, after: int) -> Any:
    """Return a copy_file_range that says *code* once it has copied *after* octets."""
    real, left = os.copy_file_range, after

    def copy(source: int, target: int, count: int, *offsets: int) -> int:
        nonlocal left
        if left == 0:
            raise OSError(code, os.strerror(code))
        copied = real(source, target, min(count, left), *offsets)
        left -= copied
        return copied

    return copy


@pytest.mark.parametrize("after", [0, 1000])
def test_what_the_kernel_does_not_copy_is_copied_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    (tmp_path / "a").write_bytes(b"x" * (5 << 20) + b"end")
    monkeypatch.setattr(os, "copy_file_range", refusing(errno.EXDEV, after))
    monkeypatch.setattr(sparse, "_share", lambda reader, writer: False)
    sparse.copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"x" * (5 << 20) + b"end"


def test_no_room_is_not_tried_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"x" * 5000)
    monkeypatch.setattr(os, "copy_file_range", refusing(errno.ENOSPC, 0))
    monkeypatch.setattr(sparse, "_share", lambda reader, writer: False)
    with pytest.raises(OSError, match="No space left"):
        sparse.copy(tmp_path / "a", tmp_path / "b")


def test_nobody_but_the_owner_reads_what_is_made(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"left by somebody")
    (tmp_path / "b").chmod(0o644)
    before = os.umask(0)
    try:
        sparse.make(tmp_path / "a", BLOCK)
        sparse.copy(tmp_path / "a", tmp_path / "b")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o600, 0o600]


# -- what differs


@settings(deadline=None)
@given(PIECES, st.lists(st.tuples(st.integers(0, 8 * BLOCK), st.integers(1, 9000)), max_size=5))
def test_blocks_that_differ_are_counted_once_each(
    pieces: list[tuple[int, int]], writes: list[tuple[int, int]]
) -> None:
    size = 8 * BLOCK
    octets = bytearray(
        b"".join(bytes([letter]) * length for letter, length in pieces)[:size].ljust(size, b"\0")
    )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        sparse.make(source, size)
        with source.open("r+b") as file:
            sparse.write(file, bytes(octets))
        sparse.copy(source, target)
        assert sparse.differing(source, target) == 0
        before = bytes(octets)
        with target.open("r+b") as file:
            for start, length in writes:
                piece = b"w" * min(length, size - start)
                octets[start : start + len(piece)] = piece
                file.seek(start)
                file.write(piece)
        changed = [at for at in range(0, size, 4096) if before[at : at + 4096] != octets[at : at + 4096]]
        assert sparse.differing(source, target) == sparse.differing(target, source) == 4096 * len(changed)


def test_a_copy_bears_its_sources_time_until_it_is_written(tmp_path: Path) -> None:
    sparse.make(tmp_path / "a", BLOCK)
    sparse.copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").stat().st_mtime_ns == (tmp_path / "a").stat().st_mtime_ns
    with (tmp_path / "b").open("r+b") as file:
        file.write(b"x")
    assert (tmp_path / "b").stat().st_mtime_ns > (tmp_path / "a").stat().st_mtime_ns
