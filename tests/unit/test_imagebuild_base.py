"""Recipes that are based on others, the imager's among them, and the GRUB that it writes."""

import re
import subprocess
from pathlib import Path

import pytest

from bootd.imagebuild import BadRecipe, libraries, recipe, slotcore
from bootd.resources import share

OWN = """\
[image]
description = "for tests"
cmdline = "quiet"
base = "{base}"
[packages]
kernel = "linux-image-amd64"
busybox = "busybox-static"
[kernel]
modules = []
[programs]
zstd = ["usr/bin/zstd"]
"""
IMAGERS = ("imager", "imager-full")


def a_recipe(folder: Path, *, base: str, **files: str) -> Path:
    (folder / "files").mkdir(parents=True)
    (folder / "recipe.toml").write_text(OWN.format(base=base))
    for name, text in files.items():
        (folder / "files" / name).write_text(text)
    return folder


def a_base(folder: Path) -> Path:
    made = a_recipe(folder, base="", motd="base", issue="base")
    text = (made / "recipe.toml").read_text().replace('base = ""\n', "").replace("zstd", "xz")
    (made / "recipe.toml").write_text(text)
    (made / "init").write_text("#!/bin/sh\n")
    return made


def test_recipe_has_what_its_base_has_but_for_its_own(tmp_path: Path) -> None:
    a_base(tmp_path / "base")
    loaded = recipe.load(a_recipe(tmp_path / "own", base="base", motd="own"))
    assert loaded.name == "own"
    assert {name: path.read_text() for name, path in loaded.files.items()} == {"motd": "own", "issue": "base"}
    assert loaded.init == tmp_path / "base/init"
    assert set(loaded.programs) == {"xz", "zstd"}
    (tmp_path / "own/init").write_text("#!/bin/sh\n")
    assert recipe.load(tmp_path / "own").init == tmp_path / "own/init"


@pytest.mark.parametrize(
    ("base", "words"),
    [("own", "name of another"), ("../base", "name of another"), ("none", "cannot be read")],
)
def test_base_that_is_none_is_refused(tmp_path: Path, base: str, words: str) -> None:
    with pytest.raises(BadRecipe, match=words):
        recipe.load(a_recipe(tmp_path / "own", base=base))


def test_recipes_that_are_based_on_each_other_are_refused(tmp_path: Path) -> None:
    a_recipe(tmp_path / "one", base="two")
    with pytest.raises(BadRecipe, match="go round"):
        recipe.load(a_recipe(tmp_path / "two", base="one"))


@pytest.mark.parametrize("name", IMAGERS)
def test_scripts_of_the_imager_can_be_parsed(name: str) -> None:
    loaded = recipe.load(share("images") / name)
    scripts = [loaded.init, *(path for file, path in loaded.files.items() if file.startswith("etc/bootd/"))]
    assert len(scripts) >= 7
    for script in scripts:
        subprocess.run(["busybox", "sh", "-n", script], check=True)


@pytest.mark.parametrize("name", IMAGERS)
def test_what_the_agent_sources_and_calls_is_there(name: str) -> None:
    files = recipe.load(share("images") / name).files
    text = "".join(path.read_text() for file, path in files.items() if file.startswith("etc/bootd/"))
    assert set(re.findall(r"/etc/bootd/(\w+)", text)) <= {Path(file).name for file in files}
    said = re.findall(r"\btold (?:task|permit) ([a-z-]+)", text)
    assert {"identity", "path", "layout"} <= set(said)


def test_core_is_one_that_fits_in_front_of_a_slot_and_differs_by_partition(tmp_path: Path) -> None:
    seven = slotcore.build(tmp_path / "7", 7).read_bytes()
    assert len(seven) < slotcore.ROOM
    assert slotcore.build(tmp_path / "again", 7).read_bytes() == seven
    assert slotcore.build(tmp_path / "8", 8).read_bytes() != seven
    assert slotcore.boot_sector(tmp_path / "boot").read_bytes()[510:] == b"\x55\xaa"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7", "8", "again", "boot"]


# -- libraries ---------------------------------------------------------------------------------


def test_library_that_a_program_asks_for_and_nobody_brings_is_missing() -> None:
    shell = Path("/bin/dash").read_bytes()
    assert list(libraries.needed(shell)) == ["libc.so.6"]
    assert libraries.missing({"bin/dash": shell}) == ["libc.so.6 (for bin/dash)"]
    assert libraries.missing({"bin/dash": shell, "lib/libc.so.6": b"any"}) == []


def test_static_programs_and_scripts_ask_for_nothing() -> None:
    assert list(libraries.needed(Path("/bin/busybox").read_bytes())) == []
    assert list(libraries.needed(b"#!/bin/sh\n")) == []
