"""``bootd images`` as a person types it."""

from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from bootd.cli.main import bootd as command
from bootd.units import size_text
from tests.helpers.clonezilla import clonezilla_files, with_sums, write
from tests.helpers.command import Bootd


@pytest.fixture
def site(bootd: Bootd) -> Bootd:
    bootd.good("projects", "add", "mesh", "--owner", "anna")
    return bootd


@pytest.fixture
def saved(tmp_path: Path) -> str:
    return str(write(tmp_path / "saved", with_sums(clonezilla_files())))


def test_an_image_is_added_verified_listed_shown_and_retired(site: Bootd, saved: str) -> None:
    said = site.good("images", "add", "mesh/debian", saved).out
    assert said.startswith("image mesh/debian@1: clonezilla, 16 files, ")
    assert said.endswith("next: bootd images verify mesh/debian@1\n")
    assert site.good("images", "verify").out.startswith("mesh/debian@1: good, 16 files, ")
    listed = site.good("images", "list").out.splitlines()
    assert listed[0].split()[:4] == ["IMAGE", "STATE", "KIND", "SIZE"]
    assert listed[1].split()[:3] == ["mesh/debian@1", "dark", "clonezilla"]
    shown = site.good("images", "show", "mesh/debian").out
    assert "saved     2023-05-17 12:03:45 UTC" in shown
    sizes = [size_text(octets) for octets in (20 << 20, 5 << 10, 8 << 20)]
    assert f"  sda1  ext4  {sizes[0]}, {sizes[1]} used, partclone gz" in shown
    assert f"  sda2  swap  {sizes[2]}, mkswap" in shown
    assert f"in {site.data}/dark/mesh/debian" in shown
    assert "its files stay in" in site.good("images", "retire", "mesh/debian").out
    assert "no images yet" in site.good("images", "list").out
    assert "retired" in site.good("images", "list", "--all").out


def test_no_images_says_how_to_begin(site: Bootd) -> None:
    for words in (["list"], ["list", "mesh"]):
        assert "bootd images add PROJECT/NAME PATH" in site.good("images", *words).out


def test_a_scan_registers_what_lies_there_and_ends_with_1_where_it_refuses(site: Bootd) -> None:
    write(site.data / "dark/mesh/debian", clonezilla_files())
    said = site.good("images", "scan", "--dry-run").out
    assert said == "mesh/debian: new\n1 would be registered; next: bootd images verify\n"
    assert site.good("images", "scan").out.startswith("mesh/debian: new\n1 registered")
    torn = clonezilla_files()
    del torn["sda-mbr"]
    write(site.data / "dark/mesh/torn", torn)
    ended = site("images", "scan")
    assert ended.status == 1
    assert ended.out == "mesh/debian: registered\nmesh/torn: refused\n    sda-mbr is missing\n"


def test_a_store_that_is_away_is_said_and_ends_with_1(site: Bootd, saved: str) -> None:
    site.good("images", "add", "mesh/debian", saved)
    (site.data / "dark").rename(site.data / "unmounted")
    ended = site("images", "scan")
    assert ended.status == 1
    assert f"the dark store {site.data}/dark is not there" in ended.err
    assert site.good("images", "show", "mesh/debian", "--json").json["state"] == "unavailable"
    ended = site("images", "verify")
    assert ended.status == 1
    assert "could not be read, unavailable" in ended.out


def test_a_damaged_image_makes_verify_fail_and_is_shown_with_its_parts(site: Bootd, saved: str) -> None:
    site.good("images", "add", "mesh/debian", saved)
    (site.data / "dark/mesh/debian/sda-mbr").write_bytes(b"m" * 512)
    ended = site("images", "verify", "mesh/debian")
    assert ended.status == 1
    assert "mesh/debian@1: damaged\n    sda-mbr changed: its SHA-256 is " in ended.out
    assert "damage    sda-mbr changed" in site.good("images", "show", "mesh/debian").out


def test_the_configured_folder_is_used_and_must_be_a_mount_where_it_is_said(
    site: Bootd, saved: str, tmp_path: Path
) -> None:
    with site.config.open("a") as writing:
        writing.write(f'[images]\ndark_store = "{tmp_path}/elsewhere"\n')
    site.good("images", "add", "mesh/debian", saved)
    assert (tmp_path / "elsewhere/mesh/debian/disk").exists()
    with site.config.open("a") as writing:
        writing.write("dark_store_mount = true\n")
    ended = site("images", "add", "mesh/debian", saved)
    assert ended.status == 1
    assert "is not mounted (images.dark_store_mount)" in ended.err


def test_json_is_printed_where_data_is(site: Bootd, saved: str) -> None:
    [image] = [site.good("images", "add", "mesh/debian", saved, "--json").json]
    assert (image["image"], image["state"], image["booked_by"]) == ("mesh/debian@1", "registered", [])
    assert all(len(part["sha256"]) == 64 for part in image["parts"])
    assert site.good("images", "verify", "--json").json == [
        {"image": "mesh/debian@1", "state": "dark", "first": False, "problems": []}
    ]
    [listed] = site.good("images", "versions", "mesh/debian", "--json").json
    assert listed["verified_at"] is not None
    assert site.good("images", "list", "--json").json == [listed]
    found = site.good("images", "scan", "--json").json
    assert (found["away"], found["found"][0]["found"]) == (None, "registered")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "mesh/debain"), "did you mean mesh/debian?"),
        (("versions", "mesh/debain"), "did you mean mesh/debian?"),
        (("show", "debian"), "PROJECT/NAME"),
        (("list", "mehs"), "did you mean mesh?"),
        (("add", "mesh/x", "/no/such"), "cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_way_out(
    site: Bootd, saved: str, words: tuple[str, ...], message: str
) -> None:
    site.good("images", "add", "mesh/debian", saved)
    ended = site("images", *words)
    assert (ended.status, ended.out) == (1, "")
    assert message in ended.err


def test_names_are_completed(site: Bootd, saved: str) -> None:
    site.good("images", "add", "mesh/debian", saved)
    shell = ShellComplete(command, {}, "bootd", "_BOOTD_COMPLETE")
    for verb in ("show", "verify", "retire"):
        assert [item.value for item in shell.get_completions(["images", verb], "me")] == ["mesh/debian@1"]


def test_every_verb_that_prints_data_has_json() -> None:
    group = command.get_command(click.Context(command), "images")
    assert isinstance(group, click.Group)
    for verb, each in group.commands.items():
        options = {option for parameter in each.params for option in parameter.opts}
        assert verb == "retire" or "--json" in options, verb
