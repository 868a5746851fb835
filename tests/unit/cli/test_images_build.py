"""``bootd images build`` as a person types it: the disk is in the dark store, or it is said why not."""

from pathlib import Path

import pytest

from tests.helpers.apt import a_kernel_tree
from tests.helpers.command import Bootd

RECIPE = """\
[image]
description = "for tests"
cmdline = "console=ttyS0"
[packages]
kernel = "linux-image-0-nowhere"
busybox = "busybox-nowhere"
[kernel]
modules = []
[disk]
root_mb = 8
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a recipe whose packages are in the cache and known to no apt."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    packages = tmp_path / "cache/bootd/packages"
    kernel, busybox = packages / "linux-image-0-nowhere_1", packages / "busybox-nowhere_1"
    kernel.mkdir(parents=True)
    a_kernel_tree(kernel)
    (busybox / "bin").mkdir(parents=True)
    (busybox / "bin/busybox").write_bytes(b"\x7fELF static")
    for tree in (kernel, busybox):
        (tree / ".unpacked").touch()
    folder = tmp_path / "recipes/tiny"
    (folder / "root").mkdir(parents=True)
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "init").write_text("#!/bin/sh\n")
    return folder


@pytest.fixture
def site(bootd: Bootd) -> Bootd:
    bootd.good("projects", "add", "lab", "--owner", "anna")
    return bootd


def the_file(site: Bootd, ref: str) -> Path:
    shown = site.good("images", "show", ref, "--json").json
    return site.data / "dark" / str(shown["folder"]) / str(shown["parts"][0]["file"])


def test_a_disk_is_built_and_is_the_next_version(site: Bootd, recipe: Path) -> None:
    words = ("images", "build", "lab/root", "--recipe", str(recipe))
    said = site.good(*words).out
    assert "image lab/root@1: raw, " in said
    assert "next: bootd reservations add PROJECT" in said
    assert "image lab/root@2: raw, " in site.good(*words, "--table", "mbr").out
    one, two = (the_file(site, f"lab/root@{n}") for n in (1, 2))
    assert one.read_bytes()[510:512] == two.read_bytes()[510:512] == b"\x55\xaa"
    assert one.stat().st_size > two.stat().st_size  # it has a second copy of its table
    assert site.good("images", "verify", "lab/root").out.startswith("lab/root@2: good, ")


def test_what_the_image_is_told_is_in_it(site: Bootd, recipe: Path) -> None:
    url = "http://10.0.0.2:8080/node/v1/report"
    site.good("images", "build", "lab/root", "--recipe", str(recipe), "--label", "blue", "--report", url)
    whole = the_file(site, "lab/root@1").read_bytes()
    assert b"blue\n" in whole
    assert f"{url}\n".encode() in whole


def test_a_recipe_that_is_no_disks_or_not_there_is_refused_with_those_there_are(site: Bootd) -> None:
    for name in ("hello", "nosuch"):
        done = site("images", "build", "lab/root", "--recipe", name)
        assert done.status != 0
        assert "shipped recipes of disks: rootdisk" in done.err


def test_a_project_that_is_not_there_is_said_before_anything_is_built(site: Bootd, recipe: Path) -> None:
    done = site("images", "build", "nosuch/root", "--recipe", str(recipe))
    assert done.status != 0
    assert "nosuch" in done.err
    assert "packing" not in done.out
