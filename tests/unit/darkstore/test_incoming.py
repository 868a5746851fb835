"""Copies on their way into the dark store."""

from pathlib import Path

from bootd.darkstore import incoming


def test_two_first_copies_may_both_make_the_store(tmp_path: Path) -> None:
    root = tmp_path / "nfs" / "dark"
    incoming.make_root(root)
    incoming.make_root(root)  # the other copy found it missing a moment earlier
    assert root.is_dir()
