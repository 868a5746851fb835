"""Tables for people."""

import pytest

from bootd.cli import tables
from bootd.cli.tables import print_table

ROWS = [("node1", "[red]"), ("a-long-name", "")]


def test_a_pipe_gets_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("NAME", "NOTE"), ROWS)
    assert capsys.readouterr().out == "NAME         NOTE\nnode1        [red]\na-long-name\n"


def test_a_terminal_gets_the_same_words_and_no_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "is_terminal", lambda: True)
    print_table(("NAME", "NOTE"), ROWS)
    assert capsys.readouterr().out.split() == ["NAME", "NOTE", "node1", "[red]", "a-long-name"]
