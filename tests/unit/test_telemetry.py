"""Telemetry: each event is counted, passed on, and logged where its level asks for it."""

import json
import logging

import pytest

from bootd.events import (
    Event,
    FileSent,
    LoopSuspected,
    PacketDropped,
    ProblemCleared,
    ProblemFound,
    ServiceStopped,
    UnknownMachine,
)
from bootd.telemetry import IN_S, LINES, Problems, Telemetry, as_json

MAC = "52:54:00:00:00:01"
DROPPED = PacketDropped(protocol="dhcp", why="short", source="10.0.0.9")  # debug
STOPPED = ServiceStopped(why="SIGTERM")  # info
LOOPS = LoopSuspected(mac=MAC, host="node1", answer="local", repeats=3)  # warning


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("debug", ["packet.dropped", "service.stopped", "boot.loop_suspected"]),
        ("info", ["service.stopped", "boot.loop_suspected"]),
        ("warning", ["boot.loop_suspected"]),
        ("error", []),
    ],
)
def test_level_chooses_what_is_logged_and_not_what_is_counted(
    level: str, logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "bootd")
    telemetry = Telemetry(level=level)
    for event in (DROPPED, STOPPED, LOOPS):
        telemetry.emit(event)
    assert [json.loads(record.message)["event"] for record in caplog.records] == logged
    assert sum(telemetry.counts.values()) == 3


def test_flood_of_strangers_is_counted_and_mostly_left_out_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "bootd")
    now = [0.0]
    telemetry = Telemetry(monotonic=lambda: now[0])
    for number in range(10_000):
        telemetry.emit(UnknownMachine(mac=number.to_bytes(6, "big").hex(":"), arch="x86-bios"))
    telemetry.emit(STOPPED)
    assert len(caplog.records) == LINES + 1
    now[0] = IN_S
    telemetry.emit(UnknownMachine(mac=MAC, arch="x86-bios"))
    assert [json.loads(record.message) for record in caplog.records[-2:]] == [
        {"event": "service.lines_left_out", "kind": "dhcp.unknown_machine", "lines": 10_000 - LINES},
        {"event": "dhcp.unknown_machine", "mac": MAC, "arch": "x86-bios", "why": "unknown-machine"},
    ]
    assert telemetry.counts["dhcp.unknown_machine", "unknown-machine"] == 10_001


def test_counts_are_kept_by_name_and_reason() -> None:
    telemetry = Telemetry(level="error")
    for why in ("short", "short", "cookie"):
        telemetry.emit(PacketDropped(protocol="dhcp", why=why, source="10.0.0.9"))
    telemetry.emit(STOPPED)
    assert telemetry.by_name() == {
        "packet.dropped": {"dhcp:cookie": 1, "dhcp:short": 2},
        "service.stopped": {"": 1},
    }


def test_every_listener_hears_every_event_in_order() -> None:
    telemetry = Telemetry(level="error")
    heard: list[tuple[str, Event]] = []
    telemetry.listen(lambda event: heard.append(("first", event)))
    telemetry.listen(lambda event: heard.append(("second", event)))
    telemetry.emit(DROPPED)
    assert heard == [("first", DROPPED), ("second", DROPPED)]


def test_listener_may_emit_what_it_concludes() -> None:
    telemetry = Telemetry(level="error")
    telemetry.listen(lambda event: telemetry.emit(LOOPS) if event is STOPPED else None)
    telemetry.emit(STOPPED)
    assert telemetry.by_name() == {"boot.loop_suspected": {"": 1}, "service.stopped": {"": 1}}


def test_line_names_the_event_first_and_leaves_empty_fields_out() -> None:
    assert as_json(UnknownMachine(mac=MAC, arch="x64-uefi", why="")) == (
        f'{{"event": "dhcp.unknown_machine", "mac": "{MAC}", "arch": "x64-uefi"}}'
    )


def test_zero_and_false_are_said() -> None:
    sent = FileSent(client="10.0.0.9", path="a", octets=0, seconds=0.0, complete=False)
    assert json.loads(as_json(sent)) == {
        "event": "http.file_sent",
        "client": "10.0.0.9",
        "path": "a",
        "octets": 0,
        "seconds": 0.0,
        "complete": False,
    }


def test_hostile_text_stays_on_its_line() -> None:
    line = as_json(PacketDropped(protocol="tftp", why="a\nb\x1b[2J", source="\u2028"))
    assert line.isascii()
    assert line.isprintable()


@pytest.fixture
def said() -> list[Event]:
    return []


def test_problem_is_said_once_until_its_text_changes(said: list[Event]) -> None:
    problems = Problems(said.append)
    for text in ("disk full", "disk full", "disk broken"):
        problems.found("store", text)
    assert said == [
        ProblemFound(topic="store", text="disk full"),
        ProblemFound(topic="store", text="disk broken"),
    ]
    assert problems.all() == {"store": "disk broken"}


def test_problem_is_cleared_once_and_may_come_back(said: list[Event]) -> None:
    problems = Problems(said.append)
    problems.cleared("store")
    problems.found("store", "disk full")
    problems.cleared("store")
    problems.cleared("store")
    assert problems.all() == {}
    problems.found("store", "disk full")
    assert [type(event) for event in said] == [ProblemFound, ProblemCleared, ProblemFound]


def test_list_of_problems_is_a_copy(said: list[Event]) -> None:
    problems = Problems(said.append)
    problems.found("store", "disk full")
    problems.all().clear()
    assert problems.all() == {"store": "disk full"}
