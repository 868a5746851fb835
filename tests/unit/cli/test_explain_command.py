"""``bootd explain``: what a machine would boot, for people and for programs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bootd.model import Booked, DeployedNode, Deployment, ImageRef, LunClone, Project, Reservation, Role
from tests.helpers.command import Bootd
from tests.helpers.places import CLONE
from tests.helpers.site import a_kernel

MAC, STRANGER = "52:54:00:00:00:01", "52:54:00:00:00:99"


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")  # no clock is ever changed there


@pytest.fixture
def site(bootd: Bootd, tmp_path: Path) -> Bootd:
    """A site with a host that boots its disk, an image, a BIOS and a UEFI loader."""
    loaders = tmp_path / "ipxe"
    loaders.mkdir()
    for name in ("undionly.kpxe", "snponly.efi"):
        (loaders / name).write_bytes(b"loader")
    (tmp_path / "vmlinuz").write_bytes(a_kernel())
    with bootd.config.open("a") as file:
        file.write(f'address = "10.0.0.2"\n[tftp]\nloader_dirs = ["{loaders}"]\n')
    bootd.good("memory", "add", "debian", "--kernel", str(tmp_path / "vmlinuz"), "--cmdline", "quiet")
    bootd.good("hosts", "add", "node1", "--mac", MAC, "--local-boot", "/dev/sda1")
    return bootd


def test_people_are_told_rule_facts_answers_and_script(site: Bootd) -> None:
    site.good("boot", "node1", "memory:debian")
    said = site.good("explain", "node1").out
    first, *rest = said.splitlines()
    assert first.startswith(f"node1  {MAC}  x86-bios  at ")
    assert rest[0] == "  rule    assigned: bootd boot said so"
    assert rest[1] == f"  facts   host node1: {MAC}"
    assert "  answer  its firmware asks: undionly.kpxe by TFTP from 10.0.0.2" in rest
    assert any("memory:debian" in line and "/boot/52-54-00-00-00-01.ipxe" in line for line in rest)
    assert "  script  #!ipxe" in rest
    assert "yours?" not in said


def test_json_has_the_same_keys_for_a_host_and_for_a_stranger(site: Bootd) -> None:
    known = site.good("explain", "node1", "--json").json
    strange = site.good("explain", STRANGER, "--json").json
    keys = ["host", "mac", "architecture", "at", "rule", "meaning", "facts", "steps", "script"]
    keys += ["forecast", "reservation"]
    assert list(known) == list(strange) == keys
    assert [list(step) for step in known["steps"]] == [["asks", "stage", "rule", "answer"]] * 2
    assert (known["host"], known["mac"], known["rule"]) == ("node1", MAC, "local-default")
    assert known["script"].startswith("#!ipxe")
    assert datetime.fromisoformat(known["at"]).tzinfo is not None


def test_stranger_is_left_alone_and_told_how_to_be_added(site: Bootd) -> None:
    ended = site.good("explain", "52-54-00-00-00-99")
    assert "unknown-machine" in ended.out
    assert f"  yours?  bootd hosts add NAME --mac {STRANGER}" in ended.out.splitlines()
    found = site.good("explain", STRANGER, "--json").json
    assert (found["host"], found["rule"], found["script"]) == (None, "unknown-machine", None)


def test_address_of_a_host_is_as_good_as_its_name(site: Bootd) -> None:
    by_mac = site.good("explain", "525400000001", "--at", "2099-01-05T09:00").out
    assert by_mac == site.good("explain", "node1", "--at", "2099-01-05T09:00").out


def test_neither_host_nor_address_is_refused(site: Bootd) -> None:
    ended = site("explain", "nobody")
    assert ended.status == 1
    assert "no host 'nobody'" in ended.err


@pytest.mark.parametrize(
    ("firmware", "architecture"),
    [("bios", "x86-bios"), ("uefi", "x64-uefi"), ("http", "x64-uefi-http"), ("arm64-uefi", "arm64-uefi")],
)
def test_firmware_goes_by_a_short_or_a_full_name(site: Bootd, firmware: str, architecture: str) -> None:
    found = site.good("explain", "node1", "--firmware", firmware, "--json").json
    assert found["architecture"] == architecture


def test_firmware_whose_loader_is_not_on_the_disk_is_left_alone_as_the_daemon_would(site: Bootd) -> None:
    assert site.good("explain", "node1", "--firmware", "arm64", "--json").json["rule"] == (
        "no-loader-for-architecture"
    )


def test_unknown_firmware_is_told_the_known_ones(site: Bootd) -> None:
    ended = site("explain", "node1", "--firmware", "amiga")
    assert ended.status == 1
    assert "bios, uefi, http, arm64, or a name of option 93" in ended.err
    near = site("explain", "node1", "--firmware", "x64-uefy")
    assert "did you mean x64-uefi?" in near.err


def test_one_stage_is_one_question(site: Bootd) -> None:
    for stage, steps in (("rom", 1), ("ipxe", 1), ("gpxe", 1)):
        found = site.good("explain", "node1", "--stage", stage, "--json").json
        assert [step["stage"] for step in found["steps"]] == [stage] * steps
    assert site.good("explain", "node1", "--stage", "rom", "--json").json["script"] is None
    assert site("explain", "node1", "--stage", "loader").status == 2


def test_instant_decides_whether_a_one_shot_order_holds(site: Bootd) -> None:
    site.good("boot", "node1", "memory:debian", "--once")
    now = datetime.now(UTC).replace(microsecond=0)

    def rule(at: datetime) -> str:
        found = site.good("explain", "node1", "--at", at.isoformat(), "--json").json
        assert datetime.fromisoformat(found["at"]) == at
        return str(found["rule"])

    assert rule(now + timedelta(minutes=30)) == "once"
    assert rule(now + timedelta(days=365)) == "local-default"


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        pytest.param("2099-01-05T09:00", 0, id="of-this-machine"),
        pytest.param("2099-01-05 09:00", 0, id="without-a-t"),
        pytest.param("2099-01-05 09:00 Europe/Berlin", 8, id="named"),
        pytest.param("2099-01-05 09:00+02:00", 7, id="offset"),
    ],
)
def test_instant_is_in_the_zone_it_names_else_in_this_machines(site: Bootd, text: str, hour: int) -> None:
    found = site.good("explain", "node1", "--at", text, "--json").json
    assert datetime.fromisoformat(found["at"]) == datetime(2099, 1, 5, hour, tzinfo=UTC)


def test_every_time_is_shown_in_this_machines_zone(site: Bootd) -> None:
    [order] = site.good("boot", "node1", "memory:debian", "--once", "--json").json
    until = datetime.fromisoformat(order["expires_at"]).astimezone(ZoneInfo("Asia/Tokyo"))
    said = site.good("explain", "node1", "--at", "2099-01-05 00:00Z").out.splitlines()
    assert said[0].endswith("  at 2099-01-05 09:00 Asia/Tokyo")
    assert f"          once memory:debian, expired at {until:%Y-%m-%d %H:%M} Asia/Tokyo" in said


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01", "", "0001-01-01T00:00+14:00"])
def test_instant_that_is_none_is_refused_with_an_example(site: Bootd, text: str) -> None:
    ended = site("explain", "node1", "--at", text)
    assert ended.status == 1
    assert ended.err.startswith("bootd: --at")
    assert "2026-01-05 09:00" in ended.err


def test_a_host_that_chains_loads_our_ipxe_from_the_server_the_loaders_lie_on(site: Bootd) -> None:
    site.good("hosts", "set", "node1", "--set", "ipxe=chain")
    assert "tftp://10.0.0.2/undionly.kpxe" in site.good("explain", "node1").out
    with site.config.open("a") as file:
        file.write('server = "10.0.0.3"\n')
    said = site.good("explain", "node1").out
    assert "tftp://10.0.0.3/undionly.kpxe" in said
    assert "tftp://10.0.0.2/" not in said


def test_loaders_on_another_server_are_named_there_even_where_no_interface_is_served(site: Bootd) -> None:
    with site.config.open("a") as file:
        file.write('server = "10.0.0.3"\n')
    text = site.config.read_text().replace("[server]\n", '[server]\ninterfaces = ["no-such-interface"]\n')
    site.config.write_text(text)
    [step] = site.good("explain", "node1", "--stage", "rom", "--json").json["steps"]
    assert step["answer"] == "undionly.kpxe by TFTP from 10.0.0.3"


def test_a_daemon_that_runs_is_asked_for_its_address(site: Bootd, monkeypatch: pytest.MonkeyPatch) -> None:
    running = {"interfaces": [{"name": "eth0", "address": "10.99.0.2", "index": 2}]}
    monkeypatch.setattr("bootd.cli.admin.ask", lambda data_dir, path: running)
    site.config.write_text(site.config.read_text().replace('address = "10.0.0.2"\n', ""))
    assert "by TFTP from 10.99.0.2" in site.good("explain", "node1").out


def test_a_name_that_is_nearly_right_is_suggested(site: Bootd) -> None:
    assert site("explain", "nodee1").err == "bootd: no host 'nodee1'; did you mean node1?\n"


def test_nothing_follows_the_last_line_of_the_script(site: Bootd) -> None:
    assert [line for line in site.good("explain", "node1").out.splitlines() if not line.strip()] == []


# -- reservations ------------------------------------------------------------------------------

IMAGE = ImageRef("mesh", "debian", 2)


def book(site: Bootd, *, hours: tuple[float, float], role: Role = Role.MESH, **how: Any) -> datetime:
    """Write down a reservation of node1 from and to so many hours from now, and its deployment."""
    now = datetime.now(UTC).replace(microsecond=0)
    start, end = (now + timedelta(hours=each) for each in hours)
    place = {"slot": 7} if role is Role.MESH else {"group": "rack"}
    deployment = Deployment(1, 1, role, IMAGE, "d", ("node1",), now, **place, **how.pop("deployment", {}))
    reserved = Reservation(
        1,
        "mesh",
        start,
        end,
        ("node1",),
        (Booked(Role.NONE, IMAGE),),
        now,
        "anna",
        **how.pop("reservation", {}),
    )
    store = site.store()
    with store.transaction("anna", "book") as change:
        for record in (Project("mesh", "anna", now), reserved, deployment, *how.pop("records", ())):
            change.keep(record)
    store.close()
    return start


def at(site: Bootd, when: datetime) -> Any:
    return site.good("explain", "node1", "--at", when.isoformat(), "--json").json


def test_coming_booking_is_what_it_will_boot_then_and_not_before_or_after(site: Bootd) -> None:
    start = book(site, hours=(2, 4))
    found = at(site, start)
    assert found["rule"] == "reserved"
    assert found["steps"][-1]["answer"].endswith(": slot 7 (/dev/sda7): mesh/debian@2")
    assert found["forecast"] == "SCHED: staging has not begun"
    assert "/files/loaders/slot7-hd0-pc.0 ||" in found["script"]
    assert found["reservation"] | {"starts_at": 0, "ends_at": 0} == {
        "id": 1,
        "project": "mesh",
        "state": "booked",
        "starts_at": 0,
        "ends_at": 0,
        "image": "mesh/debian@2",
        "deployment": "sched",
        "word": "SCHED",
        "slot": 7,
        "group": None,
        "node": "waiting",
    }
    for other in (start - timedelta(seconds=1), start + timedelta(hours=2)):
        found = at(site, other)
        assert (found["rule"], found["reservation"]) == ("local-default", None)
        assert found["forecast"] == "no reservation has it then; an order of bootd boot may come until then"


def test_people_are_told_the_reservation_its_time_its_place_and_how_sure_that_is(site: Bootd) -> None:
    start = book(site, hours=(2, 4), deployment={"state": "deploy-hd"})
    tokyo = start.astimezone(ZoneInfo("Asia/Tokyo"))
    lines = site.good("explain", "node1", "--at", start.isoformat()).out.splitlines()
    assert lines[1] == "  planned DEPLOY HD: the image is not in its place yet"
    assert any(
        line.strip().startswith(f"reservation 1 of mesh, {tokyo:%Y-%m-%d %H:%M} Asia/Tokyo to")
        for line in lines
    )
    assert (
        "          image mesh/debian@2 for slot 7: DEPLOY HD, being written to a slot of each mesh node"
        in lines
    )
    assert "          node1: waiting, the image is not in its place on it yet" in lines


def test_lun_that_is_not_staged_has_no_script_yet(site: Bootd) -> None:
    found = at(site, book(site, hours=(2, 4), role=Role.ROOT))
    assert found["rule"] == "reserved"
    assert "its clone is made when the image is staged" in found["steps"][-1]["answer"]
    assert found["script"] is None


def test_staged_lun_is_explained_with_its_script_and_without_its_secret(site: Bootd) -> None:
    clone: LunClone = CLONE
    start = book(
        site,
        hours=(2, 4),
        role=Role.ROOT,
        deployment={"state": "lun-ready", "side": 1},
        records=(clone, DeployedNode(1, "node1", "ready", volume=clone.volume)),
    )
    found = at(site, start)
    assert found["forecast"] == "LUN READY: the image is in its place"
    assert "set password not-shown-here\n" in found["script"]
    assert f"sanboot iscsi:10.0.0.5:::1:{clone.target} " in found["script"]
    assert "image mesh/debian@2 for the LUN pair of rack, side b: LUN READY, " in " ".join(found["facts"])


def test_running_reservation_is_explained_now_from_what_is_there(site: Bootd) -> None:
    book(
        site,
        hours=(-1, 1),
        reservation={"state": "active"},
        deployment={"state": "run", "flipped_at": datetime.now(UTC)},
        records=(DeployedNode(1, "node1", "running", device="/dev/sda7"),),
    )
    found = site.good("explain", "node1", "--json").json
    assert (found["rule"], found["forecast"]) == ("reserved", None)
    assert found["reservation"]["word"] == "RUN"
    assert "/files/loaders/slot7" not in found["script"]  # nobody made it here
    assert "node1: running, runs the image, by its own word" in found["facts"]
    after = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    assert at(site, after)["rule"] == "local-default"


def test_failed_image_is_forecast_as_what_its_screen_will_say(site: Bootd) -> None:
    start = book(site, hours=(2, 4), deployment={"state": "failed", "note": "no space"})
    found = at(site, start)
    assert found["rule"] == "reserved-failed"
    assert found["forecast"] == "failed: unless its job is tried again, its screen says why"
    assert "no space" in found["steps"][-1]["answer"]


def test_past_is_not_made_up_from_what_is_true_now(site: Bootd) -> None:
    ended = site("explain", "node1", "--at", "2026-01-05 09:00")
    assert ended.status == 1
    assert "is not now or later: what was is told by bootd trace node1" in ended.err


def test_minute_that_the_clock_shows_is_now(site: Bootd) -> None:
    shown = datetime.now(UTC).replace(second=0, microsecond=0)
    assert at(site, shown)["forecast"] is None
