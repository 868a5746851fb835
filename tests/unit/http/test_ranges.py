import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootd.http.ranges import (
    Conditions,
    Span,
    Unsatisfiable,
    conditional_status,
    entity_tag,
    http_date,
    range_still_holds,
    wanted_span,
)

MTIME = 1_767_614_400_123_456_789  # 2026-01-05 12:00:00.12
DATE = "Mon, 05 Jan 2026 12:00:00 GMT"
ETAG = entity_tag(1000, MTIME)


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=0-", Span(0, 1000)),
        ("bytes=999-", Span(999, 1)),
        ("bytes=10-5000", Span(10, 990)),
        ("bytes=-1", Span(999, 1)),
        ("bytes=-5000", Span(0, 1000)),
        ("Bytes = 1 - 2 ", Span(1, 2)),
        ("bytes=1000-", Unsatisfiable()),
        ("bytes=-0", Unsatisfiable()),
        (None, None),
        ("", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=1-2x", None),
        ("bytes=+1-2", None),
        ("bytes=١-٢", None),
    ],
)
def test_what_a_range_header_asks_of_a_thousand_octets(header, span):
    assert wanted_span(header, 1000) == span


def test_nothing_of_an_empty_file_can_be_had():
    assert [wanted_span(header, 0) for header in ("bytes=0-", "bytes=-5")] == [Unsatisfiable()] * 2


@given(st.text("bytes=0123456789-, ", max_size=20) | st.text(max_size=20), st.integers(0, 2**40))
def test_a_span_lies_within_the_file_whatever_is_asked(header, size):
    span = wanted_span(header, size)
    if isinstance(span, Span):
        assert span.start >= 0
        assert span.count > 0
        assert span.start + span.count <= size


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        (None, True),
        (ETAG, True),
        (f"W/{ETAG}", False),
        ('"other"', False),
        (DATE, True),
        ("Mon, 05 Jan 2026 12:00:01 GMT", False),
        ("Mon, 05 Jan 2026 11:59:59 GMT", False),
        ("yesterday", False),
        ("", False),
    ],
)
def test_a_part_belongs_to_the_same_file_by_strong_tag_or_exact_date(value, holds):
    assert range_still_holds(value, ETAG, MTIME) is holds


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (Conditions(), None),
        (Conditions(if_none_match=ETAG), 304),
        (Conditions(if_none_match=f"W/{ETAG}"), 304),
        (Conditions(if_none_match=f'"a", W/"b", {ETAG}'), 304),
        (Conditions(if_none_match="*"), 304),
        (Conditions(if_none_match='"a"'), None),
        (Conditions(if_none_match='"a"', if_modified_since=DATE), None),
        (Conditions(if_modified_since=DATE), 304),
        (Conditions(if_modified_since="Mon, 05 Jan 2026 11:59:59 GMT"), None),
        (Conditions(if_modified_since="junk"), None),
        (Conditions(if_match=ETAG), None),
        (Conditions(if_match="*"), None),
        (Conditions(if_match=f"W/{ETAG}"), 412),
        (Conditions(if_match='"a"', if_none_match=ETAG), 412),
        (Conditions(if_unmodified_since="Mon, 05 Jan 2026 11:59:59 GMT"), 412),
        (Conditions(if_unmodified_since=DATE), None),
    ],
)
def test_conditions_are_weighed_in_the_order_of_rfc_9110(given, status):
    assert conditional_status(given, ETAG, MTIME) == status


def test_dates_are_written_in_the_form_http_wants():
    assert http_date(MTIME) == DATE


@pytest.mark.parametrize("other", [entity_tag(1001, MTIME), entity_tag(1000, MTIME + 1)])
def test_a_tag_changes_with_size_and_time(other):
    assert other != ETAG
