"""Copies on their way into the dark store."""

import hashlib
import os
from pathlib import Path

import pytest

from bootd.darkstore import incoming


def test_two_first_copies_may_both_make_the_store(tmp_path: Path) -> None:
    root = tmp_path / "nfs" / "dark"
    incoming.make_root(root)
    incoming.make_root(root)  # the other copy found it missing a moment earlier
    assert root.is_dir()


def silent(octets: int) -> None:
    """Tell nobody."""


def test_linked_file_shares_its_octets_and_is_read_all_the_same(tmp_path: Path) -> None:
    source, told = tmp_path / "volume", list[int]()
    source.write_bytes(b"a slot" * 1000)
    with incoming.incoming(tmp_path) as coming:
        part, digests = coming.copy(source, "x.aa", ["md5"], told.append, linked=True)
        target = coming.place("mesh")
    assert target.joinpath("x.aa").samefile(source)
    assert part.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert digests["md5"] == hashlib.md5(source.read_bytes()).hexdigest()
    assert sum(told) == part.size == 6000


def test_file_system_without_links_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    source = tmp_path / "volume"
    source.write_bytes(b"a slot" * 1000)
    with incoming.incoming(tmp_path) as coming:
        coming.copy(source, "x.aa", [], silent, linked=True)
        target = coming.place("mesh")
    assert not target.joinpath("x.aa").samefile(source)
    assert target.joinpath("x.aa").read_bytes() == source.read_bytes()
