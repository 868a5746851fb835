"""A recipe becomes one partition for a slot: the same bytes every time, with all that GRUB looks for."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bootd.imagebuild import BuildFailed, disk, partition, recipe, tools
from bootd.imagebuild import build as build_memory_image
from bootd.imagebuild.disk import Words
from bootd.imagebuild.errors import BadRecipe
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
[disk]
root_mb = 8
partition = true
"""
WORDS = Words("mesh/tiny@3", "http://10.0.0.2:8080/node/v1/report")
SHIPPED = Path(__file__).parents[2] / "images/slotroot"
Ask = Callable[[str], str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tiny"
    (made / "root/etc").mkdir(parents=True)
    (made / "files/etc/bootd").mkdir(parents=True)
    (made / "recipe.toml").write_text(RECIPE)
    (made / "init").write_text("#!/bin/sh\n")
    (made / "files/etc/bootd/functions").write_text("connect() { :; }\n")
    (made / "root/etc/inittab").write_text("::sysinit:/start\n")
    (made / "files/etc/inittab").write_text("::respawn:/bin/sh\n")  # of the initramfs, or its base
    return made


def build(folder: Path, name: str, words: Words = WORDS) -> Path:
    of = disk.gather(folder, cache=folder.parent / "cache", progress=lambda _: None, run=FakeApt())
    return partition.write(of, folder.parent / name, words)


@pytest.fixture
def ask(folder: Path, tmp_path: Path) -> Ask:
    """Return what asks debugfs of the partition."""
    made = build(folder, "out")
    return lambda order: tools.run(["debugfs", "-R", order, str(made)], tmp_path)


def test_the_same_inputs_give_the_same_partition(folder: Path) -> None:
    one = build(folder, "one").read_bytes()
    assert build(folder, "two").read_bytes() == one
    assert build(folder, "three", Words("mesh/tiny@4")).read_bytes() != one
    assert len(one) == 8 << 20


def test_menu_and_fstab_name_the_file_system_by_its_own_uuid(ask: Ask) -> None:
    (uuid,) = re.findall(r"Filesystem UUID: +(\S+)", ask("stats"))
    menu = ask("cat /boot/grub/grub.cfg")
    assert f"search --no-floppy --fs-uuid --set=root {uuid}\n" in menu
    assert f"linux /boot/vmlinuz root=UUID={uuid} console=ttyS0 panic=10\n" in menu
    assert "initrd /boot/initrd.gz" in menu
    assert ask("cat /etc/fstab") == f"UUID={uuid} / ext4 defaults,noatime 0 1\n"


def test_the_system_knows_what_its_initramfs_knows_and_where_to_report(ask: Ask) -> None:
    assert ask("cat /etc/bootd/functions") == "connect() { :; }\n"
    assert ask("cat /etc/inittab") == "::sysinit:/start\n"
    assert ask("cat /etc/bootd-image") == "mesh/tiny@3\n"
    assert ask("cat /etc/bootd-report") == f"{WORDS.report}\n"


def test_kernel_and_initramfs_are_in_it(ask: Ask) -> None:
    listed = ask("ls -p /boot")
    assert {name for name in ("vmlinuz", "initrd.gz", "grub") if f"/{name}/" in listed} == {
        "vmlinuz",
        "initrd.gz",
        "grub",
    }


def test_it_is_no_memory_image(folder: Path) -> None:
    with pytest.raises(BuildFailed, match="is the recipe of a disk"):
        build_memory_image(folder, cache=folder.parent / "cache", progress=lambda _: None, run=FakeApt())


def test_partition_is_true_or_false(folder: Path) -> None:
    (folder / "recipe.toml").write_text(RECIPE.replace("partition = true", 'partition = "yes"'))
    with pytest.raises(BadRecipe, match=r"disk\.partition: expected true or false"):
        recipe.load(folder)


def test_the_shipped_recipe_is_one_of_a_partition() -> None:
    shipped = recipe.load(SHIPPED)
    assert shipped.is_partition
    assert (shipped.root / "etc/bootd/start").is_file()
    assert "etc/bootd/functions" in shipped.files
