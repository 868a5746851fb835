"""A boot as steps and as one row."""

from datetime import UTC, datetime, timedelta

from bootd.lab.chain import Summary, format_step, summarise
from bootd.model import Observation

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def seen(
    event: str, after_s: float, octets: int = 0, *, host: str = "n1", seconds: float = 0.0
) -> Observation:
    at = START + timedelta(seconds=after_s)
    return Observation(at, "52:54:00:00:00:01", host, event, "words", octets, seconds)


def test_a_boot_adds_up_to_one_row() -> None:
    steps = [
        seen("dhcp.offer_sent", 1, 300),
        seen("tftp.read_completed", 2, 70_000),
        seen("http.script_sent", 3, 500),
        seen("http.file_sent", 4, 14_000_000),
        seen("http.file_sent", 4, 99, host="other"),
        seen("node.reported", 9.5),
    ]
    assert summarise("n1", START, steps) == Summary("n1", 9.5, 70_000, 14_000_500)


def test_a_machine_that_never_reported_has_not_arrived() -> None:
    row = summarise("n1", START, [seen("http.script_sent", 3, 500)])
    assert row.seconds is None
    assert not row.arrived


def test_a_step_is_told_with_its_time_size_and_length() -> None:
    step = seen("http.file_sent", 2.34, 14_186_432, seconds=0.42)
    assert format_step(step, START, 5) == "   2.3 s  n1     words  14.2 MB  in 0.42 s"
    assert format_step(seen("node.reported", 9), START, 2) == "   9.0 s  n1  words"
