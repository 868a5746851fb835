"""iCalendar: what we write others read, and what people keep by hand is read whole or told."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar

from bootd.errors import BadText, BadValue
from bootd.formats import bookingtext, ical
from bootd.formats.ical import Event
from bootd.formats.instants import parse_instant
from tests.fuzz.mutate import mutant
from tests.helpers.site import NOON

BERLIN = ZoneInfo("Europe/Berlin")


def calendar(*events: str) -> str:
    inside = "".join(f"BEGIN:VEVENT\n{event}\nEND:VEVENT\n" for event in events)
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{inside}END:VCALENDAR\n"


def read(*events: str, days: int = 60) -> ical.Events:
    return ical.parse_events(calendar(*events), zone=BERLIN, after=NOON, until=NOON + timedelta(days=days))


def starts(*events: str, days: int = 60) -> list[str]:
    found = read(*events, days=days)
    assert found.unread == ()
    return [f"{event.starts_at:%m-%d %H:%M}" for event in found.events]


EVENT = Event(
    uid="reservation-1@bootd",
    starts_at=NOON,
    ends_at=NOON + timedelta(hours=2),
    summary="mesh: node[1-3,7]; näch\\ste " + "ü" * 80,
    description="project: mesh\nnodes: node[1-3,7]",
    categories=("mesh",),
    sequence=3,
    stamp_at=NOON,
)


def test_what_is_written_another_library_reads_the_same() -> None:
    text = ical.format_events([EVENT, Event("b", NOON, NOON + timedelta(1), cancelled=True)], "bootd; lab")
    [first, second] = Calendar.from_ical(text).walk("VEVENT")
    assert (first.errors, second.errors) == ([], [])
    assert first["DTSTART"].dt == NOON
    assert first["DTEND"].dt == EVENT.ends_at
    assert [str(first[name]) for name in ("UID", "SUMMARY", "DESCRIPTION", "STATUS")] == [
        EVENT.uid,
        EVENT.summary,
        EVENT.description,
        "CONFIRMED",
    ]
    assert (first["SEQUENCE"], first["CATEGORIES"].cats) == (3, ["mesh"])
    assert second["STATUS"] == "CANCELLED"


def test_lines_end_with_crlf_and_none_is_longer_than_75_octets() -> None:
    octets = ical.format_events([EVENT], "bootd").encode()
    assert octets.endswith(b"END:VCALENDAR\r\n")
    assert octets.count(b"\n") == octets.count(b"\r\n")
    assert max(map(len, octets.split(b"\r\n"))) <= 75
    for line in octets.split(b"\r\n"):
        line.decode()  # no character is cut through


def test_what_is_written_is_read_back() -> None:
    [event] = ical.parse_events(
        ical.format_events([EVENT], "x"), zone=UTC, after=NOON, until=NOON + timedelta(1)
    ).events
    assert (event.uid, event.summary, event.description) == (EVENT.uid, EVENT.summary, EVENT.description)
    assert (event.starts_at, event.ends_at) == (EVENT.starts_at, EVENT.ends_at)


@pytest.mark.parametrize(
    ("times", "start", "end"),
    [
        ("DTSTART:20260106T090000Z\nDTEND:20260106T100000Z", "01-06 09:00", "01-06 10:00"),
        ("DTSTART:20260106T090000\nDURATION:PT90M", "01-06 08:00", "01-06 09:30"),
        (
            "DTSTART;TZID=America/New_York:20260106T090000\nDTEND:20260106T150000Z",
            "01-06 14:00",
            "01-06 15:00",
        ),
        ("DTSTART;VALUE=DATE:20260106", "01-05 23:00", "01-06 23:00"),
        ("DTSTART;VALUE=DATE:20260106\nDTEND;VALUE=DATE:20260108", "01-05 23:00", "01-07 23:00"),
        ("DTSTART:20260329T023000\nDTEND:20260329T040000", "03-29 01:30", "03-29 02:00"),
    ],
    ids=["utc", "floating", "zone", "day", "days", "left-out-hour"],
)
def test_times_are_read_in_their_zone(times: str, start: str, end: str) -> None:
    [event] = read(f"UID:a\n{times}").events
    assert (f"{event.starts_at:%m-%d %H:%M}", f"{event.ends_at:%m-%d %H:%M}") == (start, end)


BASE = "UID:a\nDTSTART;TZID=Europe/Berlin:20260316T090000\nDTEND;TZID=Europe/Berlin:20260316T100000\n"


def test_a_rule_keeps_the_local_hour_and_leaves_out_what_is_left_out() -> None:
    rule = BASE + "RRULE:FREQ=WEEKLY;COUNT=4\nEXDATE;TZID=Europe/Berlin:20260323T090000"
    assert starts(rule, days=100) == ["03-16 08:00", "03-30 07:00", "04-06 07:00"]
    assert [event.uid for event in read(rule, days=100).events][:1] == ["a#20260316T080000Z"]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("FREQ=DAILY;UNTIL=20260318T080000Z", ["03-16 08:00", "03-17 08:00", "03-18 08:00"]),
        ("FREQ=DAILY;UNTIL=20260317", ["03-16 08:00", "03-17 08:00"]),
        ("FREQ=WEEKLY;BYDAY=MO,WE;COUNT=3", ["03-16 08:00", "03-18 08:00", "03-23 08:00"]),
        ("FREQ=MONTHLY;BYDAY=3MO;COUNT=2", ["03-16 08:00", "04-20 07:00"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", ["03-16 08:00"]),
    ],
)
def test_rules_are_spelled_out(rule: str, found: list[str]) -> None:
    assert starts(f"{BASE}RRULE:{rule}", days=110) == found


def test_a_rule_without_an_end_goes_to_the_bound_and_begins_now() -> None:
    old = BASE.replace("2026", "2020") + "RRULE:FREQ=WEEKLY"
    assert starts(old, days=15) == ["01-12 08:00", "01-19 08:00"]


def test_dates_of_their_own_are_added() -> None:
    assert starts(BASE + "RDATE:20260401T100000Z,20260402T100000Z", days=100) == [
        "03-16 08:00",
        "04-01 10:00",
        "04-02 10:00",
    ]


def test_a_changed_occurrence_stands_in_the_place_of_the_one_the_rule_gives() -> None:
    changed = "UID:a\nRECURRENCE-ID:20260323T080000Z\nDTSTART:20260324T100000Z\nDURATION:PT1H\nSUMMARY:late"
    found = read(changed, BASE + "RRULE:FREQ=WEEKLY;COUNT=2", days=100)
    assert [(event.uid[-16:], event.summary, event.series) for event in found.events] == [
        ("20260316T080000Z", "", "a"),
        ("20260323T080000Z", "late", "a"),
    ]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("SUMMARY:x\nDTSTART:20260106T090000Z\nDURATION:PT1H", "no UID"),
        ("UID:a\nDTEND:20260106T090000Z", "no start"),
        ("UID:a\nDTSTART:20260106T090000Z", "its end is not after its start"),
        ("UID:a\nDTSTART:tomorrow", "DTSTART: "),
        ("UID:a\nDTSTART;TZID=Mars/Base:20260106T090000\nDURATION:PT1H", "'Mars/Base' is not known"),
        ("UID:a\nDTSTART:02260106T090000Z\nDURATION:PT1H", "the year 226"),
        (BASE + "RRULE:FREQ=SECONDLY", "not one of DAILY"),
        (BASE + "RRULE:FREQ=DAILY;INTERVAL=0", "interval 0"),
        (BASE + "RRULE:FREQ=DAILY;BYHOUR=1,2", "BYHOUR"),
        (BASE + "RRULE:FREQ=SOMETIMES", "RRULE: "),
        (BASE + "RRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY", "two rules"),
        (BASE.replace("2026", "2025") + "RRULE:FREQ=DAILY", "at most 1000"),
        ("UID:a\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260106T090000Z\nDTSTART:20260106T090000Z\nDURATION:PT1H",
         "RANGE"),
    ],
)  # fmt: skip
def test_an_event_that_cannot_be_taken_is_told_and_the_others_are_read(event: str, reason: str) -> None:
    found = read(event, "UID:good\nDTSTART:20260106T090000Z\nDURATION:PT1H", days=3000)
    assert [each.uid for each in found.events] == ["good"]
    [unread] = found.unread
    assert reason in unread.reason


def test_two_events_of_one_uid_are_told() -> None:
    one = "UID:a\nSUMMARY:twice\nDTSTART:20260106T090000Z\nDURATION:PT1H"
    [unread] = read(one, one).unread
    assert (unread.summary, unread.uid) == ("twice", "a")


@pytest.mark.parametrize(
    "text", ["", "name,mac\n", "BEGIN:VCALENDAR", "BEGIN:VEVENT\nEND:VEVENT", "\0", "x" * 999]
)
def test_what_is_no_calendar_is_refused(text: str) -> None:
    with pytest.raises(BadText, match="no iCalendar file"):
        ical.parse_events(text, zone=UTC, after=NOON, until=NOON)


def test_a_zone_that_is_a_folder_of_zones_is_refused() -> None:
    with pytest.raises(BadText, match="one of its time zones is none"):
        read("UID:a\nDTSTART;TZID=Europe/:20260316T090000\nDURATION:PT1H")


def test_only_bad_text_escapes_whatever_is_read() -> None:
    rule = BASE + "RRULE:FREQ=MONTHLY;BYDAY=3MO;COUNT=2\nEXDATE:20260420T070000Z\nRDATE:20260401T100000Z"
    seeds = [calendar(rule).encode(), ical.format_events([EVENT], "x").encode()]
    rng = random.Random(5)
    good = 0
    for _ in range(400):
        text = mutant(seeds, rng).decode("utf-8", "replace")
        try:
            good += len(ical.parse_events(text, zone=BERLIN, after=NOON, until=NOON + timedelta(99)).events)
        except BadText:
            continue
    assert good > 0


@pytest.mark.parametrize(
    "description",
    [
        "Project: mesh\nnodes : node1, node2\nIMAGE: root:a, mesh:b\nnote: hi",
        "hello<br>project: mesh<br/><b>nodes:</b>&nbsp;node1 node2<p>images: root:a</p>"
        "<p>image: mesh:b</p>note: hi",
    ],
)
def test_lines_of_a_description_say_what_is_booked(description: str) -> None:
    found = bookingtext.read_fields("Meeting", description)
    assert found is not None
    nodes = found.nodes.replace(" ", "")
    assert (found.project, nodes, found.images, found.note) == (
        "mesh",
        "node1,node2",
        ("root:a", "mesh:b"),
        "hi",
    )


def test_a_summary_says_it_by_its_pattern_and_lines_go_before_it() -> None:
    pattern = bookingtext.make_pattern(r"(?P<project>\w+) on (?P<nodes>\S+)(?: with (?P<image>\S+))?")
    found = bookingtext.read_fields("mesh on node[1-3] with debian", "nodes: node9", pattern)
    assert found == bookingtext.Fields("mesh", "node9", ("debian",), "mesh on node[1-3] with debian")
    assert bookingtext.read_fields("Holiday", "see you", pattern) is None


@pytest.mark.parametrize("text", ["(", "(?P<project>x)(?P<what>y)", "x"])
def test_a_pattern_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        bookingtext.make_pattern(text)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-06 09:00", "2026-01-06T08:00:00+00:00"),
        ("2026-07-06T09:00:30", "2026-07-06T07:00:30+00:00"),
        ("2026-01-06", "2026-01-05T23:00:00+00:00"),
        ("2026-01-06 09:00Z", "2026-01-06T09:00:00+00:00"),
        ("2026-01-06T09:00+05:30", "2026-01-06T03:30:00+00:00"),
        ("2026-01-06 09:00 America/New_York", "2026-01-06T14:00:00+00:00"),
        ("2026-10-25 02:30+01:00", "2026-10-25T01:30:00+00:00"),
        ("now", "2026-01-05T12:00:00+00:00"),
        ("+90m", "2026-01-05T13:30:00+00:00"),
    ],
)
def test_an_instant_is_read_in_the_zone_it_names(text: str, instant: str) -> None:
    assert parse_instant(text, BERLIN, base=NOON).astimezone(UTC) == datetime.fromisoformat(instant)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-10-25 02:30", r"shows? it twice; write 2026-10-25T02:30\+02:00 or 2026-10-25T02:30\+01:00"),
        ("2026-03-29 02:30", r"go forward over it; write 2026-03-29T03:30\+02:00 or 2026-03-29T01:30\+01:00"),
        ("2026-01-06 09:00 Mars/Base", "not a time zone"),
        ("2026-01-06 09:00 Europe", "not a time zone"),
        ("2026-02-30", "a time such as"),
        ("0001-01-01 00:00", "a time such as"),
        ("tomorrow", "a time such as"),
        ("+99999d", "a time such as"),
    ],
)
def test_a_time_that_is_none_or_two_is_refused(text: str, told: str) -> None:
    with pytest.raises(BadValue, match=told):
        parse_instant(text, BERLIN, base=NOON)
