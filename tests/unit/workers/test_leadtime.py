"""How long before a start its image must be on the way, by what is known of the site and by its past."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootd.model import JobKind
from bootd.workers.leadtime import LONGEST, Pace, Past, guess_s, lead_time, learned
from tests.helpers.deeds import a_job
from tests.helpers.site import NOON

STAGE, WRITE = JobKind.STAGE_LUN, JobKind.WRITE_SLOT
GB = 10**9

octets = st.integers(0, 10**13)
nodes = st.integers(0, 10_000)
past_jobs = st.builds(Past, st.sampled_from([STAGE, WRITE]), octets, nodes, st.floats(0, 1e7))


def minutes(lead: timedelta) -> float:
    return lead / timedelta(minutes=1)


def took(kind: JobKind, factor: float, size: int = 10 * GB, count: int = 20) -> Past:
    """Return a job that took *factor* times its guess."""
    return Past(kind, size, count, factor * guess_s(kind, size, count, Pace()))


def test_without_a_past_there_is_room_for_a_job_that_takes_twice_its_guess() -> None:
    guess = guess_s(WRITE, 10 * GB, 20, Pace())
    assert guess > 1000
    assert lead_time(WRITE, 10 * GB, 20).total_seconds() == pytest.approx(2 * guess, abs=1)


def test_small_images_have_their_floor() -> None:
    assert minutes(lead_time(STAGE, 4096, 1)) == 5
    assert minutes(lead_time(WRITE, 4096, 1)) == 15


def test_slow_line_and_small_windows_take_longer() -> None:
    usual = lead_time(WRITE, 10 * GB, 64)
    assert lead_time(WRITE, 10 * GB, 64, pace=Pace(rate=10_000_000)) > 5 * usual
    assert lead_time(WRITE, 10 * GB, 64, pace=Pace(window=1)) > usual
    assert lead_time(WRITE, 10 * GB, 64, pace=Pace(window=0)) == lead_time(
        WRITE, 10 * GB, 64, pace=Pace(window=1)
    )


def test_a_site_that_is_slower_than_guessed_begins_earlier() -> None:
    slow, quick = (lead_time(STAGE, 100 * GB, 4, [took(STAGE, f)] * 5) for f in (3, 0.5))
    assert slow.total_seconds() == pytest.approx(6 * quick.total_seconds(), rel=0.01)


def test_the_slower_of_the_past_jobs_count_and_not_their_mean() -> None:
    past = [took(STAGE, f) for f in (1, 1, 1, 1, 1, 1, 1, 1, 4, 4)]
    assert lead_time(STAGE, 100 * GB, 4, past) == lead_time(STAGE, 100 * GB, 4, [took(STAGE, 4)])


def test_one_job_that_hung_among_many_does_not_count() -> None:
    past = [took(STAGE, 1)] * 9 + [took(STAGE, 100)]
    assert lead_time(STAGE, 100 * GB, 4, past) == lead_time(STAGE, 100 * GB, 4, [took(STAGE, 1)])


def test_jobs_of_the_other_kind_and_those_that_copied_nothing_teach_nothing() -> None:
    unknown = lead_time(STAGE, 100 * GB, 4)
    assert lead_time(STAGE, 100 * GB, 4, [took(WRITE, 9)]) == unknown
    assert lead_time(STAGE, 100 * GB, 4, [took(STAGE, 0.001), Past(STAGE, 0, 4, 900.0)]) == unknown


def test_old_times_are_forgotten() -> None:
    recent = [took(STAGE, 1)] * 20
    assert lead_time(STAGE, 100 * GB, 4, [*recent, *[took(STAGE, 9)] * 20]) == lead_time(
        STAGE, 100 * GB, 4, recent
    )


def test_nothing_begins_more_than_a_day_ahead() -> None:
    assert lead_time(WRITE, 10**15, 10_000) == LONGEST


def test_a_site_may_have_luns_staged_earlier_and_slots_not() -> None:
    eager = Pace(stage_ahead_s=7200.0)
    assert minutes(lead_time(STAGE, 4096, 1, pace=eager)) == 120
    assert lead_time(STAGE, 10**12, 4, pace=eager) == lead_time(STAGE, 10**12, 4)  # longer anyway
    assert lead_time(WRITE, 4096, 1, pace=eager) == lead_time(WRITE, 4096, 1)


@given(octets, nodes, st.lists(past_jobs, max_size=30))
def test_whatever_the_past_the_lead_time_is_between_its_floor_and_a_day(
    size: int, count: int, past: list[Past]
) -> None:
    for kind, floor in ((STAGE, 5), (WRITE, 15)):
        assert timedelta(minutes=floor) <= lead_time(kind, size, count, past) <= LONGEST


@given(octets, octets, nodes, nodes, st.lists(past_jobs, max_size=10))
def test_more_octets_or_nodes_never_take_less_time(
    size: int, more: int, count: int, others: int, past: list[Past]
) -> None:
    for kind in (STAGE, WRITE):
        assert lead_time(kind, size + more, count + others, past) >= lead_time(kind, size, count, past)


def test_ended_jobs_are_what_is_learned_from() -> None:
    good = a_job(state="done", began_at=NOON, ended_at=NOON + timedelta(minutes=9), facts={"octets": 4096})
    others = [
        replace(good, state="failed"),
        replace(good, facts={}),
        replace(good, facts={"octets": "many"}),
        replace(good, began_at=None),
        replace(good, ended_at=None),
    ]
    partly = replace(good, state="partly")
    assert learned([good, *others, partly]) == [Past(WRITE, 4096, 2, 540.0)] * 2
