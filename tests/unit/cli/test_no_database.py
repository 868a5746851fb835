"""Commands on a site where nothing was ever written: looking makes nothing."""

from pathlib import Path

import pytest

from tests.helpers.command import Bootd
from tests.helpers.site import a_kernel

MAC = "52:54:00:00:00:01"
DAY = "2100-01-05"  # not over while these tests are of use


@pytest.fixture
def bare(bootd: Bootd) -> Bootd:
    """A site whose data folder is not there either."""
    bootd.data.rmdir()
    return bootd


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status"], "hosts     0, 0 assigned, 0 once"),
        (["hosts", "list"], "no hosts yet"),
        (["hosts", "export"], ""),
        (["memory", "list"], "no memory images yet"),
        (["memory", "verify"], ""),
        (["projects", "list"], "no projects yet"),
        (["images", "list"], ""),
        (["reservations", "list"], "nothing is booked"),
        (["jobs", "list"], "no job is open"),
        (["reservations", "export"], "BEGIN:VCALENDAR"),
        (["explain", MAC], "the host table has 0 hosts"),
        (["trace", MAC], ""),
    ],
    ids=" ".join,
)
def test_looking_finds_nothing_and_makes_nothing(bare: Bootd, words: list[str], said: str) -> None:
    assert said in bare.good(*words).out
    assert not bare.data.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["hosts", "show", "node1"],
        ["memory", "show", "rescue"],
        ["projects", "show", "mesh"],
        ["images", "show", "mesh/debian"],
        ["images", "versions", "mesh/debian"],
        ["reservations", "show", "1"],
        ["reservations", "next-free", "node1", "--hours", "1"],
        ["boot", "node1", "local", "--dry-run"],
        ["hosts", "remove", "node1", "--dry-run"],
        ["reservations", "add", "mesh", "--nodes", "node1", "--start", DAY, "--end", "+1h", "--dry-run"],
        ["reservations", "cancel", "1", "--dry-run"],
        ["trace", MAC, "--follow"],
    ],
    ids=" ".join,
)
def test_what_is_asked_for_by_name_is_not_there_and_is_not_made(bare: Bootd, words: list[str]) -> None:
    ended = bare(*words)
    assert ended.status == 1
    assert ended.err.startswith("bootd: ")
    assert not bare.data.exists()


def test_a_rehearsed_import_says_what_it_would_add_and_makes_nothing(bare: Bootd, tmp_path: Path) -> None:
    table = tmp_path / "hosts.csv"
    table.write_text(f"name,mac\nnode1,{MAC}\n")
    assert "node1" in bare.good("hosts", "import", str(table), "--dry-run").out
    assert "node1" in bare.good("hosts", "diff", str(table)).out
    assert not bare.data.exists()


def test_status_names_the_database_that_is_not_there(bare: Bootd) -> None:
    assert f"database  not there yet: {bare.data}/bootd.db" in bare.good("status").out.splitlines()
    bare.good("hosts", "add", "node1", "--mac", MAC)
    assert "not there yet" not in bare.good("status").out


def test_first_change_makes_the_database(bare: Bootd, tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(a_kernel())
    bare.good("memory", "add", "rescue", "--kernel", str(tmp_path / "vmlinuz"))
    assert (bare.data / "bootd.db").is_file()
    assert "rescue" in bare.good("memory", "list").out


def test_a_database_that_cannot_be_looked_for_is_not_taken_for_an_empty_one(bare: Bootd) -> None:
    bare.data.write_text("no folder")
    ended = bare("hosts", "list")
    assert ended.status == 1
    assert "is not a folder" in ended.err
