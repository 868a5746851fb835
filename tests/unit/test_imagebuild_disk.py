"""A recipe becomes a disk: the same bytes every time, and what each firmware looks for is where it looks."""

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bootd.imagebuild import BuildFailed, cpio, disk, filesystems, tools
from bootd.imagebuild import build as build_memory_image
from bootd.imagebuild.disk import SECTOR, Table, Words
from tests.helpers.apt import FakeApt

RECIPE = """\
[image]
description = "for tests"
cmdline = "console=ttyS0 panic=10"
[packages]
kernel = "linux-image-cloud-amd64"
busybox = "busybox-static"
[kernel]
modules = ["virtio-net"]
[programs]
open-iscsi = ["boot/vmlinuz-6.1.0-1-cloud-amd64"]  # any file of the package
[disk]
root_mb = 8
"""
WORDS = Words("lab/tiny@3", "http://10.0.0.2:8080/node/v1/report")
BOOT_START = 2048 * SECTOR
ROOT_START = BOOT_START + (34 << 20)
Build = Callable[..., Path]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    (folder / "root/etc").mkdir(parents=True)
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "init").write_text("#!/bin/sh\n")
    (folder / "root/etc/inittab").write_text("::sysinit:/start\n")
    (folder / "root/start").write_text("#!/bin/sh\n")
    (folder / "root/start").chmod(0o755)
    return folder


@pytest.fixture
def build(tmp_path: Path, recipe: Path) -> Build:
    def build(
        name: str = "out", folder: Path = recipe, words: Words = WORDS, table: Table = Table.GPT
    ) -> Path:
        of = disk.gather(folder, cache=tmp_path / "cache", progress=lambda _: None, run=FakeApt())
        return disk.write(of, tmp_path / name, words, table)

    return build


def partition(path: Path, tmp_path: Path, start: int, size: int) -> Path:
    with path.open("rb") as file:
        file.seek(start)
        (tmp_path / "part").write_bytes(file.read(size))
    return tmp_path / "part"


def root_of(path: Path, tmp_path: Path) -> Callable[[str], str]:
    """Return what asks debugfs of the root file system."""
    part = partition(path, tmp_path, ROOT_START, 8 << 20)
    return lambda order: tools.run(["debugfs", "-R", order, str(part)], tmp_path)


@pytest.mark.parametrize("table", Table)
def test_the_same_inputs_give_the_same_disk(tmp_path: Path, recipe: Path, build: Build, table: Table) -> None:
    one = build("one", table=table).read_bytes()
    shutil.copytree(recipe, tmp_path / "elsewhere/tiny", copy_function=shutil.copyfile)  # other times
    (tmp_path / "elsewhere/tiny/root/start").chmod(0o755)
    assert build("two", folder=tmp_path / "elsewhere/tiny", table=table).read_bytes() == one
    assert build("three", table=table, words=Words("lab/tiny@4")).read_bytes() != one


@pytest.mark.parametrize(("table", "core_at"), [(Table.MBR, 1), (Table.GPT, 34)])
def test_bios_finds_a_boot_sector_that_knows_where_the_rest_is(
    build: Build, table: Table, core_at: int
) -> None:
    whole = build(table=table).read_bytes()
    assert whole[510:512] == b"\x55\xaa"
    assert struct.unpack_from("<Q", whole, 0x5C) == (core_at,)
    core = whole[core_at * SECTOR :]
    following, sectors, segment = struct.unpack_from("<QHH", core, 0x1F4)
    assert following == core_at + 1
    assert 0 < sectors < 2048 - core_at
    assert segment == 0x820
    assert core[: sectors * SECTOR].strip(b"\0")


def test_uefi_finds_its_program_and_it_finds_kernel_and_initramfs(tmp_path: Path, build: Build) -> None:
    part = partition(build(), tmp_path, BOOT_START, 34 << 20)

    def read(name: str) -> bytes:
        tools.run(["mcopy", "-n", "-i", str(part), f"::{name}", str(tmp_path / "file")], tmp_path)
        data = (tmp_path / "file").read_bytes()
        (tmp_path / "file").unlink()
        return data

    assert read("/EFI/BOOT/BOOTX64.EFI").startswith(b"MZ")
    assert read("/vmlinuz") == b"kernel"
    assert read("/initrd.gz").startswith(b"\x1f\x8b")
    assert b"linux ($root)/vmlinuz console=ttyS0 panic=10\n" in read("/grub/grub.cfg")


@pytest.mark.parametrize(
    ("table", "kinds"),
    [(Table.MBR, ["ef", "83"]), (Table.GPT, ["c12a7328", "4f68bce3", "21686148"])],
)
def test_partitions_are_of_the_kinds_that_firmware_looks_for(
    tmp_path: Path, build: Build, table: Table, kinds: list[str]
) -> None:
    said = tools.run(["sfdisk", "-d", str(build(table=table))], tmp_path).lower()
    found = [line.partition("type=")[2] for line in said.splitlines() if "type=" in line]
    assert len(found) == len(kinds)
    assert set(found) == {kind for kind in found if kind.startswith(tuple(kinds))}


def test_the_root_file_system_is_sound_and_has_what_the_recipe_says(tmp_path: Path, build: Build) -> None:
    ask = root_of(build(), tmp_path)
    tools.run(["e2fsck", "-fn", str(tmp_path / "part")], tmp_path)
    assert ask("cat /etc/bootd-image") == "lab/tiny@3\n"
    assert ask("cat /etc/bootd-report") == "http://10.0.0.2:8080/node/v1/report\n"
    assert ask("cat /etc/inittab") == "::sysinit:/start\n"
    assert "Mode:  0755" in ask("stat /start")
    assert "Mode:  0644" in ask("stat /etc/inittab")
    assert 'Fast link dest: "../bin/busybox"' in ask("stat /sbin/init")
    assert "01-Jan-2026" in ask("ls -l /etc").replace(" 1-Jan", "01-Jan")


def test_a_file_system_that_is_too_small_is_said_and_leaves_nothing(
    tmp_path: Path, recipe: Path, build: Build
) -> None:
    (recipe / "root/big").write_bytes(b"x" * (9 << 20))
    with pytest.raises(BuildFailed, match=r"is disk\.root_mb of the recipe large enough"):
        build()
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".disk-*"))


def test_a_recipe_of_the_other_kind_is_refused_with_the_right_command(
    tmp_path: Path, recipe: Path, build: Build
) -> None:
    with pytest.raises(BuildFailed, match="bootd images build PROJECT/IMAGE --recipe tiny"):
        build_memory_image(recipe, cache=tmp_path / "c", progress=lambda _: None, run=FakeApt())
    text = (recipe / "recipe.toml").read_text()
    (recipe / "recipe.toml").write_text(text.partition("[disk]")[0])
    with pytest.raises(BuildFailed, match="bootd memory build tiny"):
        build()


def test_a_program_that_its_package_lacks_is_named(tmp_path: Path, recipe: Path, build: Build) -> None:
    text = (recipe / "recipe.toml").read_text()
    (recipe / "recipe.toml").write_text(text.replace("boot/vmlinuz", "sbin/iscsistart"))
    with pytest.raises(BuildFailed, match=r"open-iscsi_1%3a2\.0-1 holds no file sbin/iscsistart"):
        build()


def test_a_missing_tool_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*args: object, **kwargs: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(subprocess, "run", gone)
    with pytest.raises(BuildFailed, match=r"'mkfs\.vfat' is missing; apt-get install dosfstools"):
        filesystems.fat(tmp_path / "x", 34 << 20, "X", {})
    with pytest.raises(BuildFailed, match="'mke2fs' is missing; apt-get install e2fsprogs"):
        filesystems.ext4(tmp_path / "y", 8 << 20, "y", [])


def test_a_device_node_is_no_part_of_a_root_file_system(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="only files, folders and links"):
        filesystems.ext4(tmp_path / "x", 8 << 20, "x", [cpio.character_device("dev/console", 5, 1)])
