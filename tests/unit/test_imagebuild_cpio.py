"""The initramfs archive: fixed bytes, and what cpio itself reads from them."""

import io
import stat
import subprocess
from pathlib import Path

import pytest

from bootd.imagebuild import cpio

ENTRIES = [
    cpio.regular("init", b"#!/bin/sh\n", executable=True),
    cpio.regular("etc/bootd/lease", b"x" * 5),
    cpio.symlink("bin/sh", "busybox"),
    cpio.character_device("dev/console", 5, 1),
    cpio.directory("proc"),
]


def listing(archive: bytes) -> list[str]:
    done = subprocess.run(["cpio", "-itv", "--quiet"], input=archive, capture_output=True, check=True)
    return [" ".join(line.split()) for line in done.stdout.decode().splitlines()]


def test_the_order_of_the_entries_does_not_change_the_bytes() -> None:
    assert cpio.pack(ENTRIES) == cpio.pack(reversed(ENTRIES))


def test_folders_come_before_what_is_in_them_and_are_made_where_nobody_asked() -> None:
    assert names_in(cpio.pack(ENTRIES)) == [
        "bin", "bin/sh", "dev", "dev/console", "etc", "etc/bootd", "etc/bootd/lease", "init", "proc",
    ]  # fmt: skip


def names_in(archive: bytes) -> list[str]:
    """Read the names back with a reader of our own: header fields at fixed places."""
    stream, names = io.BytesIO(archive), []
    while True:
        header = stream.read(110)
        assert header[:6] == b"070701"
        size, length = int(header[54:62], 16), int(header[94:102], 16)
        name = stream.read(length)[:-1].decode()
        stream.seek(-(-stream.tell() // 4) * 4)
        stream.seek(-(-(stream.tell() + size) // 4) * 4)
        if name == "TRAILER!!!":
            return names
        names.append(name)


def test_cpio_unpacks_the_same_files_modes_and_links(tmp_path: Path) -> None:
    entries = [entry for entry in ENTRIES if not stat.S_ISCHR(entry.mode)]  # device nodes take root
    subprocess.run(
        ["cpio", "-id", "--quiet"], input=cpio.pack(entries), cwd=tmp_path, capture_output=True, check=True
    )
    assert (tmp_path / "init").read_bytes() == b"#!/bin/sh\n"
    assert stat.S_IMODE((tmp_path / "init").stat().st_mode) == 0o755
    assert (tmp_path / "etc/bootd/lease").read_bytes() == b"xxxxx"
    assert (tmp_path / "bin/sh").readlink() == Path("busybox")
    assert (tmp_path / "proc").is_dir()


def test_device_nodes_carry_their_numbers_and_owners_are_root() -> None:
    line = next(row for row in listing(cpio.pack(ENTRIES)) if row.endswith("dev/console"))
    assert line.startswith("crw-------")
    assert "root root 5, 1" in line
    assert "1970" in line


def test_the_archive_ends_on_a_block_of_512() -> None:
    assert len(cpio.pack(ENTRIES)) % 512 == 0


@pytest.mark.parametrize("path", ["/init", "a/../b", "", "a//b", "./a", ".."])
def test_a_path_that_could_leave_the_archive_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a plain relative path"):
        cpio.pack([cpio.regular(path, b"")])


def test_a_file_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="given twice"):
        cpio.pack([cpio.regular("init", b"a"), cpio.regular("init", b"b")])


def test_compressed_bytes_hold_no_time_and_no_name() -> None:
    packed = cpio.compress(b"x" * 1000)
    assert packed[:4] == b"\x1f\x8b\x08\x00"  # no flags: no name
    assert packed[4:8] == bytes(4)  # mtime
