"""``bootd hosts import|export|diff|edit``."""

import sys
from pathlib import Path

import pytest

from bootd.services import hosts
from tests.helpers.command import Bootd

TABLE = """\
# ours
52:54:00:00:00:01 10.0.0.1 1 no   # first
52:54:00:00:00:02 10.0.0.2 2 no
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "ssitab"
    path.write_text(TABLE)
    return path


@pytest.fixture
def drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where texts under edit lie."""
    folder = tmp_path / "drafts"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Editor":
    return Editor(tmp_path, monkeypatch)


class Editor:
    """An editor that runs one line of Python on *text* a time it is opened, and notes what it saw."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch

    def will(self, *steps: str) -> None:
        program = self.folder / "editor.py"
        program.write_text(
            "import pathlib, sys\n"
            f"folder = pathlib.Path({str(self.folder)!r})\n"
            "turn = len(list(folder.glob('saw-*')))\n"
            "text = pathlib.Path(sys.argv[1]).read_text()\n"
            "(folder / f'saw-{turn}').write_text(text)\n"
            f"exec({list(steps)!r}[turn])\n"
            "pathlib.Path(sys.argv[1]).write_text(text)\n"
        )
        self._monkeypatch.delenv("VISUAL", raising=False)
        self._monkeypatch.setenv("EDITOR", f"{sys.executable} {program}")

    def saw(self, turn: int) -> str:
        return (self.folder / f"saw-{turn}").read_text()


def test_import_says_what_changed_and_export_gives_the_text_back(bootd: Bootd, table: Path) -> None:
    said = bootd.good("hosts", "import", str(table))
    assert said.out.splitlines() == [
        "+ node1  52:54:00:00:00:01  10.0.0.1",
        "+ node2  52:54:00:00:00:02  10.0.0.2",
        "2 added, 0 changed, 0 removed, 0 unchanged",
    ]
    assert bootd.good("hosts", "export").out == TABLE


def test_all_mistakes_are_told_as_file_and_line(bootd: Bootd, table: Path) -> None:
    table.write_text(TABLE + "one\ntwo\n52:54:00:00:00:01 10.0.0.9 9 no\n")
    ended = bootd("hosts", "import", str(table))
    assert ended.status == 1
    told = [line.split(": ")[0] for line in ended.err.splitlines()]
    assert told == [f"{table}:{line}" for line in (4, 4, 4, 5, 5, 5, 6)]
    assert bootd.good("hosts", "list", "--json").json == []


def test_a_file_that_is_no_text_names_the_line(bootd: Bootd, table: Path) -> None:
    table.write_bytes(b"# fine\n# \xff\n")
    ended = bootd("hosts", "import", str(table))
    assert (ended.status, ended.err) == (1, f"{table}:2: not UTF-8 text\n")


def test_import_reads_standard_input(bootd: Bootd) -> None:
    assert "2 added" in bootd.good("hosts", "import", "-", stdin=TABLE).out


def test_a_dry_run_writes_nothing(bootd: Bootd, table: Path) -> None:
    said = bootd.good("hosts", "import", str(table), "--dry-run", "--json").json
    assert said == {
        "added": ["node1", "node2"],
        "changed": [],
        "removed": [],
        "unchanged": 0,
        "dry_run": True,
    }
    assert bootd.good("hosts", "list", "--json").json == []


def test_replace_removes_the_hosts_that_are_not_in_the_file(bootd: Bootd, table: Path) -> None:
    bootd.good("hosts", "add", "x", "--mac", "52:54:00:00:00:09")
    bootd.good("hosts", "import", str(table), "--replace")
    assert [host["name"] for host in bootd.good("hosts", "list", "--json").json] == ["node1", "node2"]


@pytest.mark.parametrize("name", ["ssitab", "csv", "json"])
def test_a_table_goes_through_each_format_by_the_files_ending(
    bootd: Bootd, table: Path, tmp_path: Path, name: str
) -> None:
    bootd.good("hosts", "import", str(table))
    before = bootd.good("hosts", "list", "--json").json
    written = tmp_path / f"out.{name}"
    bootd.good("hosts", "export", "--output", str(written))
    bootd.good("hosts", "remove", "@all", "--yes")
    bootd.good("hosts", "import", str(written))
    assert bootd.good("hosts", "list", "--json").json == before


def test_diff_shows_what_a_file_would_do(bootd: Bootd, table: Path) -> None:
    bootd.good("hosts", "import", str(table))
    assert bootd.good("hosts", "diff", str(table)).out == "no difference\n"
    table.write_text(TABLE.replace("10.0.0.2", "10.0.0.22"))
    assert bootd.good("hosts", "diff", str(table)).out == "~ node2  ip 10.0.0.2 → 10.0.0.22\n"
    assert bootd.good("hosts", "diff", str(table), "--json").json["changed"][0]["name"] == "node2"


def test_edit_shows_the_difference_asks_and_writes(
    bootd: Bootd, table: Path, drafts: Path, editor: Editor
) -> None:
    bootd.good("hosts", "import", str(table))
    editor.will("text = text.replace('10.0.0.2', '10.0.0.22') + '# thought of later\\n'")
    said = bootd.good("hosts", "edit", stdin="y\n")
    assert "~ node2  ip 10.0.0.2 → 10.0.0.22\nWrite this? [y/N]: y" in said.out
    assert editor.saw(0) == TABLE
    assert (
        bootd.good("hosts", "export").out == TABLE.replace("10.0.0.2", "10.0.0.22") + "# thought of later\n"
    )
    assert list(drafts.iterdir()) == []


def test_an_edit_that_is_not_confirmed_is_kept_as_a_file(
    bootd: Bootd, table: Path, drafts: Path, editor: Editor
) -> None:
    bootd.good("hosts", "import", str(table))
    editor.will("text = text.replace('10.0.0.2', '10.0.0.22')")
    ended = bootd("hosts", "edit", stdin="n\n")
    [draft] = drafts.iterdir()
    assert ended.status == 1
    assert f"your text is kept: {draft}" in ended.err
    assert "10.0.0.22" in draft.read_text()
    assert bootd.good("hosts", "export").out == TABLE


def test_an_edit_with_mistakes_comes_back_with_them_at_the_top(
    bootd: Bootd, table: Path, drafts: Path, editor: Editor
) -> None:
    bootd.good("hosts", "import", str(table))
    editor.will("text = text.replace('10.0.0.2', '10.0.0.x')", "text = text.replace('0.x', '0.3')")
    bootd.good("hosts", "edit", stdin="y\ny\n")
    lines = editor.saw(1).splitlines()
    assert lines[1] == "#!! line 5: IP address: '10.0.0.x' is not an IPv4 address such as 10.0.0.7"
    assert "10.0.0.x" in lines[4]
    assert bootd.good("hosts", "export").out == TABLE.replace("10.0.0.2", "10.0.0.3")
    assert list(drafts.iterdir()) == []


def test_an_edit_without_a_change_does_nothing(
    bootd: Bootd, table: Path, drafts: Path, editor: Editor
) -> None:
    bootd.good("hosts", "import", str(table))
    editor.will("pass")
    assert bootd.good("hosts", "edit").out == "nothing was changed\n"
    assert list(drafts.iterdir()) == []


def test_a_table_changed_by_another_meanwhile_is_left_and_the_text_kept(
    bootd: Bootd, table: Path, drafts: Path, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootd.good("hosts", "import", str(table))
    editor.will("text = text.replace('10.0.0.2', '10.0.0.22')")
    difference = hosts.difference

    def somebody_else_first(*arguments: object) -> object:
        with bootd.store() as store, store.transaction("ben") as change:
            change.remove_host("node1")
        return difference(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(hosts, "difference", somebody_else_first)
    ended = bootd("hosts", "edit", "--yes")
    assert ended.status == 1
    assert "changed by somebody else meanwhile" in ended.err
    assert "10.0.0.22" in next(drafts.iterdir()).read_text()
    assert [host["name"] for host in bootd.good("hosts", "list", "--json").json] == ["node2"]


def test_an_editor_that_fails_changes_nothing(
    bootd: Bootd, drafts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program, words in (("false", "ended with status 1"), ("/no/such/editor", "set $EDITOR")):
        monkeypatch.setenv("VISUAL", program)
        ended = bootd("hosts", "edit")
        assert ended.status == 1
        assert words in ended.err
    assert list(drafts.iterdir()) == []


def test_editor_that_takes_the_draft_away_is_a_sentence(
    bootd: Bootd, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootd.good("hosts", "add", "node1", "--mac", "52:54:00:00:00:01")
    monkeypatch.setenv("EDITOR", "rm")
    ended = bootd("hosts", "edit")
    assert ended.status == 1
    assert "cannot be read" in ended.err
    assert "Traceback" not in ended.err
