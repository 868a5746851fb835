"""Open files: shared, whole, and never a mix of old and new."""

import asyncio
import os
from pathlib import Path

import pytest

from bootd.boot.files import Served
from bootd.listeners.contents import OpenFiles

LARGE = 100  # octets, where whole_max is below


def a_served(path: Path, content: bytes) -> Served:
    path.write_bytes(content)
    return Served(path.name, str(path), len(content), 0)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("whole_max", [0, 4096])
async def test_a_file_is_read_where_asked(tmp_path: Path, whole_max: int) -> None:
    files = OpenFiles(whole_max=whole_max)
    content = await files.open(a_served(tmp_path / "f", b"0123456789"))
    assert content.size == 10
    assert bytes(content.read_at(4, 3)) == b"456"
    assert bytes(content.read_at(8, 9)) == b"89"
    files.release(content)


async def test_readers_of_one_file_share_it_and_the_last_one_closes_it(tmp_path: Path) -> None:
    files, before = OpenFiles(whole_max=0), descriptors()
    served = a_served(tmp_path / "f", b"content")
    first, second = await files.open(served), await files.open(served)
    assert first is second
    assert descriptors() == before + 1
    files.release(first)
    assert bytes(second.read_at(0, 7)) == b"content"
    files.release(second)
    assert descriptors() == before


@pytest.mark.parametrize("whole_max", [0, 4096])
async def test_a_replaced_file_is_new_for_the_next_reader_and_old_for_this_one(
    tmp_path: Path, whole_max: int
) -> None:
    files = OpenFiles(whole_max=whole_max)
    served = a_served(tmp_path / "f", b"old content")
    old = await files.open(served)
    a_served(tmp_path / "g", b"new")
    (tmp_path / "g").rename(tmp_path / "f")
    new = await files.open(served)
    assert bytes(old.read_at(0, 99)) == b"old content"
    assert bytes(new.read_at(0, 99)) == b"new"
    files.release(old)
    files.release(new)


async def test_a_long_file_written_in_place_is_an_error_not_a_mix(tmp_path: Path) -> None:
    files = OpenFiles(whole_max=0)
    content = await files.open(a_served(tmp_path / "f", b"a" * LARGE))
    assert content.read_at(0, 10) == b"a" * 10
    (tmp_path / "f").write_bytes(b"b" * (LARGE + 1))
    with pytest.raises(OSError, match="was written"):
        content.read_at(10, 10)
    files.release(content)


async def test_a_short_file_written_in_place_goes_out_as_it_was(tmp_path: Path) -> None:
    files = OpenFiles()
    content = await files.open(a_served(tmp_path / "f", b"a" * LARGE))
    (tmp_path / "f").write_bytes(b"b" * LARGE)
    assert bytes(content.read_at(0, LARGE)) == b"a" * LARGE
    files.release(content)


async def test_memory_for_whole_files_has_a_bound(tmp_path: Path) -> None:
    files = OpenFiles(whole_max=LARGE, budget=LARGE)
    first = await files.open(a_served(tmp_path / "f", bytes(LARGE)))
    second = await files.open(a_served(tmp_path / "g", bytes(LARGE)))
    assert first.held is not None
    assert second.held is None
    files.release(first)
    third = await files.open(a_served(tmp_path / "h", bytes(LARGE)))
    assert third.held is not None
    files.release(second)
    files.release(third)


async def test_what_is_no_file_any_more_is_an_error(tmp_path: Path) -> None:
    files, before = OpenFiles(), descriptors()
    served = a_served(tmp_path / "f", b"x")
    (tmp_path / "f").unlink()
    with pytest.raises(FileNotFoundError):
        await files.open(served)
    os.mkfifo(tmp_path / "f")
    with pytest.raises(OSError, match="no longer a file"):
        await files.open(served)
    (tmp_path / "f").unlink()
    (tmp_path / "f").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        await files.open(served)
    assert descriptors() == before


async def test_closing_takes_a_file_that_was_just_being_opened(tmp_path: Path) -> None:
    files, before = OpenFiles(whole_max=0), descriptors()
    reader = asyncio.create_task(files.open(a_served(tmp_path / "f", b"x")))
    await asyncio.sleep(0)
    reader.cancel()
    await files.aclose()
    assert descriptors() == before


async def test_a_reader_who_comes_and_goes_at_once_does_not_close_the_file_for_one_being_woken(
    tmp_path: Path,
) -> None:
    files, before = OpenFiles(whole_max=0), descriptors()
    served = a_served(tmp_path / "f", b"content")

    async def come_and_go() -> None:
        while not files._current:
            await asyncio.sleep(0)
        files.release(await files.open(served))

    passer_by = asyncio.create_task(come_and_go())
    content = await files.open(served)
    assert bytes(content.read_at(0, 7)) == b"content"
    files.release(content)
    await passer_by
    assert descriptors() == before
