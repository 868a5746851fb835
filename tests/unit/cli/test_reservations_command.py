"""``bootd reservations`` as people type it."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bootd.cli.zone import server_zone
from bootd.errors import BadValue
from bootd.model import DeployedNode, ImageRef, Slot, SlotScheme
from tests.helpers.bookings import furnish
from tests.helpers.command import Bootd

DAY = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%d")
NEXT = (datetime.now(UTC) + timedelta(days=31)).strftime("%Y-%m-%d")


@pytest.fixture(autouse=True)
def furnished(bootd: Bootd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")  # no clock is ever changed there
    with bootd.store() as store:
        furnish(store)


def add(bootd: Bootd, *more: str, start: str = f"{DAY} 09:00") -> str:
    words = ("mesh", "--nodes", "node[2-3]", "--start", start, "--end", "+2h", *more)
    return bootd.good("reservations", "add", *words).out


def test_a_booking_is_told_in_local_time_with_its_zone(bootd: Bootd) -> None:
    said = add(bootd, "--image", "mesh:debian", "--note", "hi")
    assert said == (
        f"booked reservation 1 of mesh  {DAY} 09:00 – 11:00 Asia/Tokyo  node[2-3]  mesh:mesh/debian@2\n"
        "  slot 5 on node[2-3]: copied there\n"
    )
    listed = bootd.good("reservations", "list").out.splitlines()
    assert listed[0].split("  ")[:3] == ["ID", "PROJECT", "START (Asia/Tokyo)"]
    assert re.split(r"\s{2,}", listed[1]) == [
        *("1", "mesh", f"{DAY} 09:00", f"{DAY} 11:00", "node[2-3]", "mesh:mesh/debian@2", "booked", "hi")
    ]
    shown = bootd.good("reservations", "show", "1").out
    assert f"  time     {DAY} 09:00 – 11:00 Asia/Tokyo\n" in shown
    assert "reservations add by " in shown


def test_dry_run_shows_where_the_images_would_go_and_what_for(bootd: Bootd) -> None:
    image, used = ImageRef("mesh", "old", 1), datetime(2020, 11, 3, 12, tzinfo=UTC)
    with bootd.store() as store, store.transaction("anna") as change:
        change.keep(SlotScheme("", "/dev/sda", 7, 7))
        change.keep(Slot("node2", 7, image, "x", "ready", last_used_at=used))
        change.keep(Slot("node3", 7, ImageRef("mesh", "debian", 2), "ref:mesh/debian@2", "ready"))
    said = add(bootd, "--image", "debian", "--nodes", "node[1-3]", "--dry-run")
    assert said.splitlines()[1:] == [
        "  slot 7 on node[2-3]: copied to node2, node3 holds it already;"
        " takes the place of mesh/old@1 (last used 3 Nov 2020)",
        "  LUN pair rack for node1: written to the LUN that is inactive then",
    ]
    assert "nothing is booked" in bootd.good("reservations", "list").out
    [plain] = json.loads(add(bootd, "--image", "debian", "--json"))
    assert [(each["slot"], each["image"]) for each in plain["deployments"]] == [(7, "mesh/debian@2")]
    assert len(plain["plan"]) == 1


def test_show_tells_where_each_image_is_and_how_far_its_nodes_are(bootd: Bootd) -> None:
    add(bootd, "--image", "debian")
    with bootd.store() as store, store.transaction("calendar") as change:
        [made] = store.deployments_of(1)
        change.keep(replace(made, state="hd-ready", note="node3 was left out"))
        change.keep(DeployedNode(made.id, "node3", "failed", note="does not answer"))
    shown = bootd.good("reservations", "show", "1").out
    assert (
        "  mesh  mesh/debian@2  slot 5  hd-ready\n"
        "           node3 was left out\n"
        "    waiting  node2\n"
        "    failed   node3: does not answer\n"
    ) in shown
    [plain] = bootd.good("reservations", "show", "1", "--json").json["deployments"]
    assert [(node["node"], node["state"]) for node in plain["nodes"]] == [
        ("node2", "waiting"),
        ("node3", "failed"),
    ]


def test_path_of_an_image_can_be_read_back(bootd: Bootd) -> None:
    add(bootd, "--image", "debian")
    bootd.good("reservations", "move", "1", "--nodes", "node2")
    with bootd.store() as store:
        [made] = store.deployments_of(1)
        for what, changed in (
            ("job 1", {"state": "deploy-hd", "note": "to one node"}),
            ("job 2", {"state": "deploy-hd", "note": "half way"}),
            ("job 3", {"state": "hd-ready", "note": ""}),
            ("job 4", {"state": "hd-ready", "flipped_at": datetime(2026, 1, 6, tzinfo=UTC)}),
        ):
            with store.transaction("calendar", what) as change:
                change.keep(replace(made, **changed))
    lines = bootd.good("reservations", "show", "1").out.splitlines()
    steps = [re.split(r"\s{2,}", line)[2] for line in lines if "debian@2, slot 5" in line]
    assert steps == [
        "mesh/debian@2, slot 5: sched",
        "mesh/debian@2, slot 5: for node2 now",
        "mesh/debian@2, slot 5: sched → deploy-hd: to one node",
        "mesh/debian@2, slot 5: deploy-hd → hd-ready",
        "mesh/debian@2, slot 5: its nodes boot it from now on",
    ]
    plain = bootd.good("reservations", "show", "1", "--json").json["history"]
    assert [each["state"] for each in plain if each["kind"] == "deployment"] == [
        *("sched", "sched", "deploy-hd", "deploy-hd", "hd-ready", "hd-ready")
    ]


def test_json_has_instants_in_utc(bootd: Bootd) -> None:
    add(bootd)
    [plain] = bootd.good("reservations", "list", "--json").json
    assert (plain["starts_at"], plain["nodes"]) == (f"{DAY}T00:00:00+00:00", ["node2", "node3"])
    assert bootd.good("reservations", "show", "1", "--json").json["history"][0]["what"] == "reservations add"


def test_every_reason_of_a_refusal_is_a_line(bootd: Bootd) -> None:
    add(bootd)
    words = ("mash", "--nodes", "node3", "--start", f"{DAY} 10:00", "--end", "+1h", "--image", "x")
    ended = bootd("reservations", "add", *words)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.splitlines() == [
        "bootd: cannot book for mash:",
        "  - no project 'mash'; did you mean mesh?",
        "  - no image 'mash/x'; bootd images list names them",
        f"  - node3: booked by reservation 1 of mesh, {DAY} 09:00 – 11:00 Asia/Tokyo",
    ]


def test_now_and_hours_from_now_can_be_booked(bootd: Bootd) -> None:
    add(bootd, start="now")
    add(bootd, start="+3h")
    assert len(bootd.good("reservations", "list", "--json").json) == 2


def test_a_series_is_booked_and_cancelled(bootd: Bootd) -> None:
    said = add(bootd, "--repeat", "daily", "--count", "3")
    assert [line[:20] for line in said.splitlines()[:3]] == [f"booked reservation {n}" for n in (1, 2, 3)]
    assert bootd.good("reservations", "cancel", "2").out.startswith("cancelled reservation 2 of mesh")
    gone = bootd.good("reservations", "cancel", "1", "--series").out
    assert len(gone.splitlines()) == 2
    assert "nothing is booked" in bootd.good("reservations", "list").out
    assert len(bootd.good("reservations", "list", "--all", "--json").json) == 3


def test_a_dry_run_changes_nothing(bootd: Bootd) -> None:
    assert add(bootd, "--dry-run").startswith("would book reservation 1")
    assert bootd.good("reservations", "list", "--json").json == []
    add(bootd)
    for words in (("move", "1", "--start", f"{NEXT} 09:00"), ("extend", "1", "--by", "+1h"), ("cancel", "1")):
        assert bootd.good("reservations", *words, "--dry-run").out.startswith("would ")
    [plain] = bootd.good("reservations", "list", "--json").json
    assert (plain["starts_at"], plain["state"]) == (f"{DAY}T00:00:00+00:00", "booked")


def test_moved_extended_and_shortened(bootd: Bootd) -> None:
    add(bootd)
    moved = bootd.good("reservations", "move", "1", "--start", f"{NEXT} 12:00", "--nodes", "node4").out
    assert f"{NEXT} 12:00 – 14:00 Asia/Tokyo  node4" in moved
    assert "12:00 – 13:30" in bootd.good("reservations", "extend", "1", "--by", "-30m").out
    assert "12:00 – 16:00" in bootd.good("reservations", "extend", "1", "--end", "+4h").out


def test_next_free_is_told(bootd: Bootd) -> None:
    add(bootd)
    words = ("reservations", "next-free", "node[2-4]", "--hours", "1", "--after", f"{DAY} 09:30")
    assert bootd.good(*words).out == f"{DAY} 11:00 – 12:00 Asia/Tokyo  node[2-4]\n"
    found = bootd.good(*words, "--count", "1", "--json").json
    assert found == {
        "starts_at": f"{DAY}T09:30:00+09:00".replace("T09:30:00+09:00", "T00:30:00+00:00"),
        "ends_at": f"{DAY}T01:30:00+00:00",
        "nodes": ["node4"],
    }


def test_export_and_import(bootd: Bootd, tmp_path: Path) -> None:
    add(bootd, "--note", "née")
    file = tmp_path / "site.ics"
    assert bootd.good("reservations", "export", str(file)).out == f"1 reservations in {file}\n"
    assert bootd.good("reservations", "export").out.encode() == file.read_bytes()
    assert bootd.good("reservations", "import", str(file)).out == (
        "added 0, changed 0, cancelled 0; unchanged 1, over 0, taken back here 0\n"
    )
    hand = file.read_text().replace("reservation-1-", "x-").replace("node[2-3]", "node4")
    assert "would be added 1" in bootd.good("reservations", "import", "-", "--dry-run", stdin=hand).out
    told = bootd.good("reservations", "import", "-", "--json", stdin=hand).json
    assert (told["added"], told["written"]) == ([2], True)


def test_a_calendar_with_a_mistake_ends_with_1_and_says_which(bootd: Bootd) -> None:
    text = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:h1\nSUMMARY:Holiday\nDTSTART;VALUE=DATE:20990101\nEND:VEVENT\n"
    ended = bootd("reservations", "import", "-", stdin=text + "END:VCALENDAR\n")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("Holiday  [h1]: 2098-12-31 15:00 UTC: neither its summary nor")
    assert "nothing was imported" in ended.err
    assert bootd("reservations", "import", "/nonexistent.ics").err.startswith("bootd: cannot read /nonex")


@pytest.mark.parametrize(
    "words",
    [
        ("add", "mesh", "--nodes", "node2", "--start", "now", "--end", "+1h", "--count", "2"),
        ("move", "1"),
        ("extend", "1"),
        ("extend", "1", "--by", "+1h", "--end", "+2h"),
        ("next-free", "node2"),
        ("add", "mesh"),
    ],
)
def test_wrong_usage_ends_with_2(bootd: Bootd, words: tuple[str, ...]) -> None:
    assert bootd("reservations", *words).status == 2


def test_the_zone_is_that_of_tz_else_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert str(server_zone()) == "Asia/Tokyo"
    monkeypatch.setenv("TZ", "Mars/Base")
    with pytest.raises(BadValue, match="TZ"):
        server_zone()
    monkeypatch.delenv("TZ")
    link = tmp_path / "localtime"
    assert server_zone(link) is UTC
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert str(server_zone(link)) == "Europe/Berlin"
