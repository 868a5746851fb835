"""The table of served names, and the walk that fills it."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bootd.boot.files import MISSING, FileTable, Refused, Served, overlay
from bootd.services import filescan
from bootd.services.filescan import FileIndex, Root, scan


def a_file(path: Path, content: bytes = b"content") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def a_served(name: str, path: str = "/r/f") -> Served:
    return Served(name, path, 7, 1)


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# --- the table ---


def test_a_name_is_found_as_it_is_written() -> None:
    table = FileTable({"Boot/BCD": a_served("Boot/BCD")})
    assert table.lookup("Boot/BCD") == a_served("Boot/BCD")
    assert table.lookup("boot/bcd") is MISSING


@pytest.mark.parametrize("name", ["../secret", "/r/f", "", "Boot/../Boot/BCD", "Boot\0"])
def test_no_spelling_but_the_tables_own_finds_anything(name: str) -> None:
    assert FileTable({"Boot/BCD": a_served("Boot/BCD")}).lookup(name) is MISSING


def test_a_table_does_not_follow_the_mapping_it_was_made_of() -> None:
    rows: dict[str, Served | Refused] = {"f": a_served("f")}
    table = FileTable(rows)
    rows.clear()
    assert len(table) == 1


def test_the_earlier_table_wins_with_a_refusal_too() -> None:
    ours = FileTable({"a": a_served("a", "/ours/a"), "b": Refused("broken-link")})
    theirs = FileTable({name: a_served(name, f"/theirs/{name}") for name in "abc"})
    merged = overlay([ours, theirs])
    assert [merged.lookup(name) for name in "abc"] == [
        a_served("a", "/ours/a"),
        Refused("broken-link"),
        a_served("c", "/theirs/c"),
    ]


# --- the walk ---


def test_files_are_named_from_their_root_with_their_size(tmp_path: Path) -> None:
    path = a_file(tmp_path / "pxelinux.cfg" / "default", b"12345")
    found = scan([Root(tmp_path)]).table.lookup("pxelinux.cfg/default")
    status = path.stat()
    assert found == Served("pxelinux.cfg/default", str(path), 5, status.st_mtime_ns)


def test_a_prefix_stands_before_the_names(tmp_path: Path) -> None:
    a_file(tmp_path / "vmlinuz")
    table = scan([Root(tmp_path, "memory")]).table
    assert list(table.entries) == ["memory/vmlinuz"]


def test_what_is_no_plain_file_is_refused_with_its_reason(tmp_path: Path) -> None:
    root, secret = tmp_path / "root", a_file(tmp_path / "secret")
    a_file(root / "folder" / "file")
    os.mkfifo(root / "fifo")
    (root / "leaves").symlink_to(secret)
    (root / "leaves-relatively").symlink_to("../secret")
    (root / "broken").symlink_to("nowhere")
    (root / "circle").symlink_to("circle")
    (root / "device").symlink_to("/dev/null")
    entries = scan([Root(root)]).table.entries
    reasons = {name: answer.reason for name, answer in entries.items() if isinstance(answer, Refused)}
    assert reasons == {
        "folder": "folder",
        "fifo": "not-a-file",
        "leaves": "outside-root",
        "leaves-relatively": "outside-root",
        "broken": "broken-link",
        "circle": "link-loop",
        "device": "outside-root",
    }


def test_a_root_whose_name_begins_like_another_folder_does_not_open_that_one(tmp_path: Path) -> None:
    root = tmp_path / "boot"
    root.mkdir()
    (root / "link").symlink_to(a_file(tmp_path / "boot-secret" / "file"))
    assert scan([Root(root)]).table.lookup("link") == Refused("outside-root")


def test_links_within_the_roots_are_followed_to_folders_too(tmp_path: Path) -> None:
    """Debian's netboot.tar.gz: pxelinux.cfg is a link to a folder further down."""
    ours, loaders = tmp_path / "ours", tmp_path / "loaders"
    default = a_file(ours / "debian-installer" / "pxelinux.cfg" / "default")
    (ours / "pxelinux.cfg").symlink_to("debian-installer/pxelinux.cfg")
    undionly = a_file(loaders / "undionly.kpxe")
    (ours / "ipxe.pxe").symlink_to(undionly)
    table = scan([Root(ours), Root(loaders)]).table
    followed, across = table.lookup("pxelinux.cfg/default"), table.lookup("ipxe.pxe")
    assert isinstance(followed, Served)
    assert followed.path == str(default)
    assert isinstance(across, Served)
    assert across.path == str(undionly)


def test_a_folder_that_contains_itself_ends_the_walk(tmp_path: Path) -> None:
    a_file(tmp_path / "a" / "file")
    (tmp_path / "a" / "again").symlink_to("../a")
    entries = scan([Root(tmp_path)]).table.entries
    assert entries["a/again"] == Refused("link-loop")
    assert "a/file" in entries


@contextmanager
def an_ordinary_user(tmp_path: Path) -> Iterator[None]:
    """Root reads everything: be nobody for a while. An ordinary user is one already."""
    if os.geteuid() != 0:
        yield
        return
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_we_may_not_read_is_refused(tmp_path: Path) -> None:
    a_file(tmp_path / "locked").chmod(0)
    a_file(tmp_path / "open").chmod(0o644)
    with an_ordinary_user(tmp_path):
        table = scan([Root(tmp_path)]).table
    assert table.lookup("locked") == Refused("unreadable")
    assert isinstance(table.lookup("open"), Served)


def test_a_name_that_is_not_utf_8_is_kept(tmp_path: Path) -> None:
    a_file(tmp_path / os.fsdecode(b"caf\xe9"))
    assert isinstance(scan([Root(tmp_path)]).table.lookup("caf\udce9"), Served)


def test_a_root_that_is_not_there_is_said(tmp_path: Path) -> None:
    found = scan([Root(tmp_path / "absent"), Root(tmp_path)])
    assert found.problems == (f"the folder {tmp_path / 'absent'} does not exist",)


def test_a_root_without_end_is_cut_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filescan, "ENTRIES_MAX", 3)
    for number in range(5):
        a_file(tmp_path / f"f{number}")
    found = scan([Root(tmp_path)])
    assert len(found.table) == 3
    assert "more than 3 names" in found.problems[0]


# --- the index ---


async def test_a_new_file_is_found_without_a_restart(tmp_path: Path) -> None:
    clock = HandClock()
    index = FileIndex([Root(tmp_path)], clock=clock)
    a_file(tmp_path / "late")
    clock.now += 1000
    assert isinstance(await index.find("late"), Served)


async def test_misses_do_not_walk_the_roots_again_and_again(tmp_path: Path) -> None:
    clock = HandClock()
    index = FileIndex([Root(tmp_path)], clock=clock)
    a_file(tmp_path / "late")
    assert await index.find("late") is MISSING
    clock.now += filescan.RESCAN_AFTER
    assert isinstance(await index.find("late"), Served)


async def test_misses_at_one_time_share_a_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, walks = HandClock(), []
    index = FileIndex([Root(tmp_path)], clock=clock)
    real = filescan.scan
    monkeypatch.setattr(filescan, "scan", lambda roots: (walks.append(1), real(roots))[1])
    clock.now += 1000
    await asyncio.gather(*(index.find(f"missing-{number}") for number in range(20)))
    assert walks == [1]


async def test_a_link_is_looked_at_anew_on_each_question(tmp_path: Path) -> None:
    """Operators switch versions by turning a link."""
    old, new = a_file(tmp_path / "v1"), a_file(tmp_path / "v2")
    link = tmp_path / "current"
    link.symlink_to(old)
    index = FileIndex([Root(tmp_path)], clock=HandClock())
    link.unlink()
    link.symlink_to(new)
    found = await index.find("current")
    assert isinstance(found, Served)
    assert found.path == str(new)


async def test_a_link_turned_outwards_is_refused_at_once(tmp_path: Path) -> None:
    root = tmp_path / "root"
    link = root / "current"
    target = a_file(root / "v1")
    link.symlink_to(target)
    index = FileIndex([Root(root)], clock=HandClock())
    link.unlink()
    link.symlink_to(a_file(tmp_path / "secret"))
    assert await index.find("current") == Refused("outside-root")


async def test_refresh_sees_what_was_changed_before_it(tmp_path: Path) -> None:
    index = FileIndex([Root(tmp_path)], clock=HandClock())
    a_file(tmp_path / "new")
    await index.refresh()
    assert isinstance(index.lookup("new"), Served)
    await index.aclose()
