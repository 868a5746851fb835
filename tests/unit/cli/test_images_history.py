"""``bootd images history`` as people type it."""

import re

import pytest

from tests.helpers.bookings import furnish
from tests.helpers.command import Bootd
from tests.helpers.deeds import a_deployment, a_node, keep, put_in_place


@pytest.fixture(autouse=True)
def life(bootd: Bootd, monkeypatch: pytest.MonkeyPatch) -> None:
    """mesh/debian@1 was booked and runs on node1; on node2 it failed."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    with bootd.store() as store:
        furnish(store)
        put_in_place(store)
        keep(store, a_node("node1", state="running"), a_node("node2", state="failed", note="no disk"))
        keep(store, a_deployment(state="failed", note="node2 is left out"))


def rows(text: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line) for line in text.splitlines()]


def test_the_path_is_a_table_with_local_times(bootd: Bootd) -> None:
    table = rows(bootd.good("images", "history", "mesh/debian@1").out)
    assert table[0] == ["TIME (Asia/Tokyo)", "IMAGE", "STEP", "WHERE", "RESERVATION", "BY", "WHY"]
    assert [row[2] for row in table[1:]] == ["DARK", "HD READY", "FLIP", "failed", "FAILED"]
    assert table[2] == [
        *("2026-01-05 21:00:00", "mesh/debian@1", "HD READY", "slot 7 on node[1-2]", "1", "anna"),
    ]
    assert table[-1][-1] == "node2 is left out"


def test_single_nodes_are_told_when_asked_for(bootd: Bootd) -> None:
    table = rows(bootd.good("images", "history", "mesh/debian@1", "--nodes").out)
    assert [row[2:4] for row in table[1:] if row[2].islower()] == [
        ["ready", "node[1-2]"],
        ["running", "node1"],
        ["failed", "node2"],
    ]


def test_json_has_everything(bootd: Bootd) -> None:
    steps = bootd.good("images", "history", "mesh/debian", "--json").json
    [failed] = [step for step in steps if step["step"] == "failed"]
    assert failed == {
        "at": "2026-01-05T12:00:00+00:00",
        "image": "mesh/debian@1",
        "step": "failed",
        "where": None,
        "nodes": ["node2"],
        "reservation": 1,
        "by": "anna",
        "why": "",
        "note": "no disk",
    }
    assert {step["image"] for step in steps} == {"mesh/debian@1", "mesh/debian@2", "mesh/debian@3"}


def test_an_image_that_is_not_there_is_named(bootd: Bootd) -> None:
    refused = bootd("images", "history", "mesh/debain")
    assert (refused.status, refused.out) == (1, "")
    assert "mesh/debain" in refused.err
