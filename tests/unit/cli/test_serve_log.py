"""The daemon's log: a JSON object a line for programs, a readable line for people."""

import json
import logging

from bootd.cli.serve import AsJson, ForPeople
from bootd.events import LoopSuspected, ServiceStarted, ServiceStopped
from bootd.telemetry import as_json

LOOPS = LoopSuspected(mac="52:54:00:00:00:01", host="node1", answer="memory:debian", repeats=3)


def record(text: str, level: int = logging.WARNING) -> logging.LogRecord:
    made = logging.LogRecord("bootd", level, __file__, 1, "%s", (text,), None)
    made.created = 1767614400.5
    return made


def test_line_for_programs_is_one_object_with_time_and_level_first() -> None:
    line = AsJson().format(record(as_json(LOOPS)))
    found = json.loads(line)
    assert list(found)[:3] == ["at", "level", "event"]
    assert (found["at"], found["level"], found["repeats"]) == (1767614400.5, "warning", 3)
    assert "\n" not in line


def test_line_for_people_names_the_host_before_its_address() -> None:
    line = ForPeople().format(record(as_json(LOOPS)))
    assert line.split()[1:] == ["boot.loop_suspected", "node1", "answer=memory:debian", "repeats=3"]


def test_line_for_people_of_nobody_has_no_gap_for_a_name() -> None:
    line = ForPeople().format(record(as_json(ServiceStopped(why="SIGTERM")), logging.INFO))
    assert line.split()[1:] == ["service.stopped", "why=SIGTERM"]


def test_line_for_people_has_seconds_in_thousandths() -> None:
    line = ForPeople().format(
        record(as_json(ServiceStarted(listening="HTTP 8080", seconds=0.0468879369991555)))
    )
    assert line.endswith("  seconds=0.047")
