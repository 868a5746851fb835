"""Folders that fill up beside their place: what a killed process left goes, what a living one fills stays."""

import fcntl
import os
from pathlib import Path

import pytest

from bootd.folders import clear_leftovers, lock_folder, sync_folder


def test_folder_of_a_living_process_is_left_alone_and_a_killed_ones_goes(tmp_path: Path) -> None:
    for name in ("living", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_bytes(b"x")
    held = lock_folder(tmp_path / "living")
    clear_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["living"]
    os.close(held)
    clear_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files_beside_the_folders_are_nobodys_leftovers(tmp_path: Path) -> None:
    (tmp_path / "note").write_bytes(b"x")
    clear_leftovers(tmp_path)
    assert (tmp_path / "note").exists()


def test_lock_that_must_not_wait_says_so(tmp_path: Path) -> None:
    held = lock_folder(tmp_path)
    with pytest.raises(BlockingIOError):
        lock_folder(tmp_path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(held)
    os.close(lock_folder(tmp_path, fcntl.LOCK_EX | fcntl.LOCK_NB))


def test_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    for ask in (lock_folder, sync_folder):
        with pytest.raises(FileNotFoundError):
            ask(tmp_path / "gone")
