"""``bootd memory`` and ``bootd boot``."""

from pathlib import Path

import pytest

from tests.helpers.command import Bootd
from tests.helpers.site import a_kernel


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    """The options that name an image's files."""
    (tmp_path / "vmlinuz").write_bytes(a_kernel())
    (tmp_path / "initrd.gz").write_bytes(b"initrd")
    return ("--kernel", str(tmp_path / "vmlinuz"), "--initrd", str(tmp_path / "initrd.gz"))


@pytest.fixture
def site(bootd: Bootd, files: tuple[str, ...]) -> Bootd:
    """A site with two hosts and an image."""
    bootd.good("memory", "add", "debian", *files, "--cmdline", "quiet")
    bootd.good("hosts", "add", "node1", "--mac", "52:54:00:00:00:01", "--group", "g")
    bootd.good("hosts", "add", "node2", "--mac", "52:54:00:00:00:02", "--local-boot", "/dev/sda1")
    return bootd


def test_an_image_is_added_listed_shown_and_verified(bootd: Bootd, files: tuple[str, ...]) -> None:
    said = bootd.good("memory", "add", "debian", *files, "--cmdline", "quiet")
    assert said.out == "memory image debian: 2 files, 8.2 kB\nto boot it: bootd boot HOST memory:debian\n"
    assert "vmlinuz, initrd.gz  8.2 kB" in bootd.good("memory", "list").out
    shown = bootd.good("memory", "show", "debian", "--json").json
    assert (shown["cmdline"], shown["kernel"]["size"], shown["used_by"]) == ("quiet", 8192, [])
    assert f"/files/{shown['kernel']['path']}" in bootd.good("memory", "show", "debian").out
    assert bootd.good("memory", "verify").out == "debian: vmlinuz: good\ndebian: initrd.gz: good\n"


def test_no_images_says_how_to_begin(bootd: Bootd) -> None:
    assert "bootd memory add" in bootd.good("memory", "list").out


def test_missing_files_are_all_told(bootd: Bootd) -> None:
    ended = bootd("memory", "add", "x", "--kernel", "/no/kernel", "--initrd", "/no/initrd")
    assert ended.status == 1
    assert ended.err.splitlines() == [
        "memory image x: /no/kernel: No such file or directory",
        "memory image x: /no/initrd: No such file or directory",
    ]


def test_a_damaged_file_makes_verify_fail(site: Bootd) -> None:
    path = site.good("memory", "show", "debian", "--json").json["kernel"]["path"]
    (site.data / "files" / path).write_bytes(b"bit rot")
    ended = site("memory", "verify", "debian")
    assert ended.status == 1
    assert "debian: vmlinuz: changed" in ended.out


def test_an_image_in_use_needs_force(site: Bootd) -> None:
    site.good("boot", "node1", "memory:debian")
    ended = site("memory", "remove", "debian")
    assert ended.status == 1
    assert "node1" in ended.err
    assert "still told to boot it: node1" in site.good("memory", "remove", "debian", "--force").out


def test_boot_says_what_holds_and_what_held(site: Bootd) -> None:
    said = site.good("boot", "node[1-2]", "memory:debian").out
    assert said.splitlines() == [
        "node1: boots memory:debian  (before: nothing: no order)",
        "node2: boots memory:debian  (before: local (host table))",
    ]


def test_once_tells_until_when_and_what_then(site: Bootd) -> None:
    said = site.good("boot", "node2", "memory:debian", "--once", "--expires", "2d").out
    assert said.startswith("node2: boots memory:debian once, until ")
    assert "UTC; then local (host table)  (before: local (host table))" in said


def test_a_dry_run_tells_and_leaves(site: Bootd) -> None:
    said = site.good("boot", "@g", "memory:debian", "--dry-run").out
    assert said == "node1: boots nothing: no order; would boot memory:debian\n"
    assert site.good("hosts", "list", "node1", "--json").json[0]["boots"]["target"] is None


def test_json_of_an_order(site: Bootd) -> None:
    [made] = site.good("boot", "node1", "memory:debian", "--once", "--json").json
    assert made["after"] == {"rule": "once", "target": "memory:debian", "override": 1}
    assert made["later"]["rule"] == "nothing-assigned"
    assert made["expires_at"].endswith("+00:00")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("boot", "node1", "memory:debain"), 1, "did you mean debian?"),
        (("boot", "node1", "disk"), 1, "memory:NAME, local or default"),
        (("boot", "node9", "local"), 1, "no host 'node9'"),
        (("boot", "node1", "local", "--once", "--expires", "soon"), 1, "such as 90s"),
        (("boot", "node1"), 2, "Missing argument"),
    ],
)
def test_an_order_that_cannot_be_given(
    site: Bootd, words: tuple[str, ...], status: int, message: str
) -> None:
    ended = site(*words)
    assert ended.status == status
    assert message in ended.err
