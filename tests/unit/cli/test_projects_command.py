"""``bootd projects`` as people type it."""

from tests.helpers.command import Bootd


def test_project_is_registered_listed_and_shown_with_its_history(bootd: Bootd) -> None:
    assert "register one: bootd projects add NAME" in bootd.good("projects", "list").out
    bootd.good("projects", "add", "centmesh", "--owner", "Anna", "--member", "bob", "--max-hours", "8.5")
    bootd.good("projects", "suspend", "centmesh")
    assert bootd.good("projects", "list").out.split()[6:9] == ["centmesh", "suspended", "Anna"]
    shown = bootd.good("projects", "show", "centmesh").out
    assert "members  bob" in shown
    assert "8.5 h" in shown
    assert "projects suspend by" in shown


def test_json_has_one_shape_everywhere(bootd: Bootd) -> None:
    added = bootd.good("projects", "add", "orbit", "--json").json
    assert bootd.good("projects", "list", "--json").json == [added]
    shown = bootd.good("projects", "show", "orbit", "--json").json
    assert added.items() <= shown.items()
    assert [entry["what"] for entry in shown["history"]] == ["projects add"]


def test_refusals_are_one_sentence_and_status_1(bootd: Bootd) -> None:
    bootd.good("projects", "add", "centmesh")
    for words in (
        ("add", "centmesh"),
        ("resume", "centmesh"),
        ("show", "centmes"),
        ("set", "centmesh", "--mail", "x"),
    ):
        ended = bootd("projects", *words)
        assert ended.status == 1
        assert ended.err.startswith("bootd: ")
        assert ended.err.count("\n") == 1
