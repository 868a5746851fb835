"""``bootd status`` and ``bootd trace``: what machines did, out of the store, with or without a daemon."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bootd.cli.trace import line
from bootd.model import Observation, Override, Sighting, parse_target
from tests.helpers.command import Bootd
from tests.helpers.site import NOON

MAC, STRANGER = "52:54:00:00:00:01", "52:54:00:00:00:99"
ROOT = Path(__file__).parents[3]


def seen(event: str, at: datetime, text: str, octets: int = 0, mac: str = MAC) -> Observation:
    return Observation(at, mac, "node1" if mac == MAC else "", event, text, octets, 0.5 if octets else 0.0)


def a_boot(at: datetime, *, reports: bool = True) -> list[Observation]:
    steps = [
        seen("dhcp.offer_sent", at, "asked"),
        seen("http.script_sent", at + timedelta(seconds=1), "fetched its ipxe script: memory:debian", 900),
        seen("http.file_sent", at + timedelta(seconds=2), "fetched vmlinuz", 14_200_000),
    ]
    return [*steps, seen("node.reported", at + timedelta(seconds=9), "reported running")][: 3 + reports]


def write(bootd: Bootd, *rows: Observation, sightings: tuple[Sighting, ...] = ()) -> None:
    with bootd.store() as store, store.transaction("bootd") as change:
        change.add_observations(rows)
        change.add_sightings(sightings)


@pytest.fixture
def site(bootd: Bootd) -> Bootd:
    bootd.good("hosts", "add", "node1", "--mac", MAC)
    return bootd


@pytest.fixture
def five_boots(site: Bootd) -> Bootd:
    for hour in range(5):
        write(site, *a_boot(NOON + timedelta(hours=hour), reports=hour != 4))
    return site


# -- trace ----------------------------------------------------------------------------------


def headings(said: str) -> list[str]:
    return [row for row in said.splitlines() if not row.startswith(" ")]


def test_boot_is_a_chain_with_times_and_sizes(site: Bootd) -> None:
    write(site, *a_boot(NOON))
    when = NOON.astimezone()
    assert site.good("trace", "node1").out.splitlines() == [
        f"node1  {when:%Y-%m-%d %H:%M:%S}  9.0 s, 14.2 MB, reported in",
        "     0.00 s                      asked",
        "     1.00 s      900 B   0.50 s  fetched its ipxe script: memory:debian",
        "     2.00 s    14.2 MB   0.50 s  fetched vmlinuz",
        "     9.00 s                      reported running",
    ]


def test_last_boots_are_shown_oldest_first(five_boots: Bootd) -> None:
    shown = headings(five_boots.good("trace", "node1", "--last", "2").out)
    assert [row.rpartition(", ")[2] for row in shown] == ["reported in", "no report"]
    assert len(headings(five_boots.good("trace", "node1").out)) == 3
    assert len(headings(five_boots.good("trace", "node1", "--last", "99").out)) == 5


@pytest.mark.parametrize("last", ["0", "-1"])
def test_no_boots_or_fewer_is_wrong_usage(five_boots: Bootd, last: str) -> None:
    ended = five_boots("trace", "node1", "--last", last)
    assert (ended.status, ended.out) == (2, "")
    assert "x>=1" in ended.err


def test_json_is_an_object_a_line_with_the_same_keys_each(five_boots: Bootd) -> None:

    rows = [
        json.loads(row) for row in five_boots.good("trace", MAC, "--json", "--last", "1").out.splitlines()
    ]
    assert [list(row) for row in rows] == [["at", "mac", "host", "event", "text", "octets", "seconds"]] * 3
    assert rows[2]["octets"] == 14_200_000
    assert datetime.fromisoformat(rows[0]["at"]) == NOON + timedelta(hours=4)


def test_host_that_did_nothing_yet_is_said_so_on_standard_error(site: Bootd) -> None:
    ended = site.good("trace", "node1")
    assert (ended.out, ended.err) == ("", "node1 has not been heard of\n")


def test_machine_nobody_registered_is_traced_by_its_address(site: Bootd) -> None:
    write(site, seen("http.script_refused", NOON, "asked for a script and got none", mac=STRANGER))
    assert headings(site.good("trace", "52-54-00-00-00-99").out)[0].startswith(f"{STRANGER}  ")


def test_host_with_a_new_address_keeps_its_history(site: Bootd) -> None:
    write(site, *a_boot(NOON))
    site.good("hosts", "set", "node1", "--mac", "52:54:00:00:00:02")
    assert len(headings(site.good("trace", "node1").out)) == 1


def test_following_goes_on_until_ctrl_c_and_that_is_no_failure(site: Bootd) -> None:
    write(site, *a_boot(NOON, reports=False))
    follower = subprocess.Popen(
        [sys.executable, "-m", "bootd", "trace", "node1", "--follow"],
        cwd=ROOT,
        env=os.environ | {"BOOTD_CONFIG": str(site.config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a suite that runs in the background of a shell has Ctrl-C ignored, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        told = [follower.stdout.readline() for _ in range(4)]
        write(site, seen("node.reported", NOON + timedelta(seconds=9), "reported running"))
        told.append(follower.stdout.readline())
        write(site, seen("dhcp.offer_sent", NOON + timedelta(seconds=60), "asked anew"))
        told += [follower.stdout.readline() for _ in range(2)]
        follower.send_signal(signal.SIGINT)
        assert follower.wait(60) == 0
        assert follower.stderr.read() == ""
    assert told[4].split() == ["9.00", "s", "reported", "running"]
    assert told[5].startswith("node1  ")
    assert told[6].split() == ["0.00", "s", "asked", "anew"]


def test_step_without_octets_or_time_leaves_their_columns_empty() -> None:
    assert line(1.5, seen("x", NOON, "asked")) == "     1.50 s                      asked"


# -- status ---------------------------------------------------------------------------------


def a_sighting(at: datetime) -> Sighting:
    return Sighting(STRANGER, "x64-uefi", at - timedelta(hours=3), at, 7, "unknown-machine")


def test_without_a_daemon_the_store_is_told_all_the_same(site: Bootd) -> None:
    now = datetime.now(UTC)
    rows = a_boot(now - timedelta(days=2, minutes=1))
    write(site, *rows, sightings=(a_sighting(now - timedelta(minutes=5, seconds=1)),))
    said = [" ".join(row.split()) for row in site.good("status").out.splitlines()]
    assert said == [
        "bootd not running here (start it: bootd serve)",
        "hosts 1, 0 assigned, 0 once; 0 memory images",
        "machine node1 2 days ago reported running",
        f"unknown {STRANGER} 5 min ago x64-uefi, asked 7 times",
        "yours? bootd hosts add NAME --mac MAC",
    ]


def test_json_of_status_keeps_its_shape(site: Bootd) -> None:
    write(site, *a_boot(NOON), sightings=(a_sighting(NOON),))
    report = site.good("status", "--json").json
    assert list(report) == [
        "service",
        "hosts",
        "memory_images",
        "assigned",
        "once",
        "lifecycle",
        "machines",
        "unknown_machines",
    ]
    assert report["service"] is None
    assert report["machines"] == [
        {
            "host": "node1",
            "mac": MAC,
            "at": "2026-01-05T12:00:09+00:00",
            "event": "node.reported",
            "text": "reported running",
        }
    ]
    assert report["unknown_machines"] == [
        {
            "mac": STRANGER,
            "architecture": "x64-uefi",
            "first_seen_at": "2026-01-05T09:00:00+00:00",
            "last_seen_at": "2026-01-05T12:00:00+00:00",
            "questions": 7,
            "reason": "unknown-machine",
        }
    ]


def test_orders_that_have_expired_are_not_counted(site: Bootd) -> None:
    local, now = parse_target("local"), datetime.now(UTC)
    site.good("hosts", "add", "node2", "--mac", STRANGER)
    with site.store() as store, store.transaction("bootd") as change:
        change.put_override(Override(1, "node1", local, now - timedelta(hours=2), now - timedelta(hours=1)))
        change.put_override(Override(2, "node2", local, now, now + timedelta(hours=1)))
    assert site.good("status", "--json").json["once"] == 1


def test_long_lists_are_cut_and_say_so(site: Bootd) -> None:
    macs = [f"52:54:00:00:01:{number:02x}" for number in range(20)]
    write(site, *(seen("dhcp.offer_sent", NOON, "asked", mac=mac) for mac in macs))
    said = site.good("status").out
    assert said.count("machine ") == 12
    assert "… and 8 more (--all)" in said
    everything = site.good("status", "--all").out
    assert everything.count("machine ") == 20
    assert "more (--all)" not in everything
