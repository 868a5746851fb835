"""CSV and JSON: what they mean, and their mistakes by line."""

import json

import pytest

from bootd.errors import BadText, BadValue
from bootd.formats import find_format, guess_format, jsontable, tabular
from tests.helpers.site import a_host

CSV = """\
name,mac,ip,number,role,local_boot,groups,rack
node1,52:54:00:00:00:01,10.0.0.1,1,mesh,/dev/sda1,"a,b",4
,52:54:00:00:00:02,10.0.0.2,2,,,,
"""
ONE = a_host(1, role="mesh", local_boot="/dev/sda1", groups=("a", "b"), settings={"rack": "4"})


def wrong_csv(text: str) -> list[tuple[int, str]]:
    with pytest.raises(BadText) as caught:
        tabular.parse(text)
    return [(mistake.line, mistake.message) for mistake in caught.value.mistakes]


def wrong_json(text: str) -> list[tuple[int, str]]:
    with pytest.raises(BadText) as caught:
        jsontable.parse(text)
    return [(mistake.line, mistake.message) for mistake in caught.value.mistakes]


def test_csv_columns_that_are_no_fields_are_settings() -> None:
    assert [(row.line, row.host) for row in tabular.parse(CSV)] == [(2, ONE), (3, a_host(2))]


def test_csv_from_a_spreadsheet_with_semicolons() -> None:
    text = "\ufeffname;mac\r\nx;52:54:00:00:00:01\r\n;;\r\n"
    assert [row.host.name for row in tabular.parse(text)] == ["x"]


def test_csv_needs_a_header() -> None:
    assert "must be one of them" in wrong_csv("node1,52:54:00:00:00:01\n")[0][1]
    assert wrong_csv("")[0][0] == 1


def test_csv_mistakes_have_the_line_of_their_row() -> None:
    text = 'name,mac,mac,Rack\na,"52:54:00\n:00:00:01",,\nb,52:54:00:00:00:02,52:54:00:00:00:02,,x\n'
    assert [line for line, _ in wrong_csv(text)] == [1, 1, 2, 4]


def test_csv_that_is_none_says_so() -> None:
    assert "not CSV" in wrong_csv('name,mac\n"open,52:54:00:00:00:01')[-1][1]


def test_json_is_read_with_the_lines_of_its_objects() -> None:
    text = jsontable.format_hosts([ONE, a_host(2)])
    assert [(row.line, row.host) for row in jsontable.parse(text)] == [(2, ONE), (3, a_host(2))]


def test_json_on_one_line_has_its_mistakes_too() -> None:
    twice = json.dumps([{"name": name, "mac": "52:54:00:00:00:01"} for name in ("a", "b")])
    assert wrong_json(twice) == [(1, "MAC address 52:54:00:00:00:01 is already on line 1")]


def test_json_prints_what_python_reads() -> None:
    assert json.loads(jsontable.format_hosts([ONE]))[0]["groups"] == ["a", "b"]
    assert json.loads(jsontable.format_hosts([])) == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "a list of hosts is expected"),
        ("{}", 1, "a list of hosts is expected"),
        ("[\n\n1]", 3, "an object such as"),
        ('[{"name": "x"\n', 2, "not JSON"),
        ('[{"name": "x"}', 1, "',' or ']' expected"),
        ("[]\nmore", 2, "something follows"),
        ("[" * 100_000, 1, "not JSON"),
        ('[{"number": ' + "9" * 5000 + "}]", 1, "not JSON"),
        ('[{"mac": "52:54:00:00:00:01", "mac": "x"}]', 1, "twice in one object"),
        ('[{"mac": "52:54:00:00:00:01", "name": "x", "grups": []}]', 1, "did you mean groups?"),
        ('[{"mac": "52:54:00:00:00:01", "name": "x", "settings": {"a": "\\ud800"}}]', 1, "not text in UTF-8"),
        ('[{"mac": "52:54:00:00:00:01", "name": 5}]', 1, "name: text is expected"),
        ('[{"mac": "52:54:00:00:00:01", "number": true}]', 1, "number: a number is expected"),
        ('[{"mac": "52:54:00:00:00:01", "name": "x", "groups": "a"}]', 1, "groups: a list"),
        ('[{"mac": "52:54:00:00:00:01", "name": "x", "settings": {"a": 1}}]', 1, "settings: an object"),
    ],
)
def test_json_mistakes(text: str, line: int, words: str) -> None:
    found = wrong_json(text)
    assert found[0][0] == line
    assert any(words in message for _, message in found)


def test_a_format_is_found_by_name_and_by_ending() -> None:
    assert find_format("csv").name == "csv"
    assert [guess_format(name).name for name in ("a.CSV", "b.json", "ssitab", "-")] == [
        "csv",
        "json",
        "ssitab",
        "ssitab",
    ]
    with pytest.raises(BadValue, match="one of ssitab, csv, json"):
        find_format("xml")
