"""The fake's sessions take the time, and have the ends, that their receivers' fates give them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootd.drivers.faults import Crash, PowerLost, Unreachable
from bootd.drivers.source import BytesSource
from bootd.drivers.tools import Tools
from bootd.drivers.transport import (
    Channel,
    Order,
    ReceiverStatus,
    ReceiverStep,
    SessionStep,
    TransportRefused,
    TransportUnreachable,
    open_transport,
)
from bootd.drivers.transport.course import Course, Fate
from bootd.drivers.transport.fake import FakeTransport
from tests.helpers.site import HandClock

DONE, FAILED, RECEIVING = ReceiverStep.DONE, ReceiverStep.FAILED, ReceiverStep.RECEIVING
ORDER = Order(
    "s1",
    BytesSource(bytes(range(250)) * 4),  # 1000 octets, ten seconds at 800 bit/s
    ("node1", "node2"),
    Channel("239.192.0.1", 9000),
    rate=800,
    join_wait_s=20,
    drop_after_s=5,
)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def fake(tmp_path: Path, clock: HandClock) -> FakeTransport:
    return FakeTransport(Tools(tmp_path, clock, lambda s: clock.move(seconds=s)))


def after(fake: FakeTransport, clock: HandClock, seconds: float) -> dict[str, tuple[Any, ...]]:
    clock.move(seconds=seconds)
    status = fake.status("s1")
    return {one.node: (one.step, one.octets, one.rate) for one in status.receivers}


def test_octets_come_at_the_ordered_rate_once_all_have_joined(fake: FakeTransport, clock: HandClock) -> None:
    fake.fates["node2"] = Fate(joins_after_s=4)
    fake.start(ORDER)
    assert set(after(fake, clock, 3.9).values()) == {(ReceiverStep.WAITING, 0, 0)}
    assert fake.status("s1").step is SessionStep.JOINING
    assert set(after(fake, clock, 5.1).values()) == {(RECEIVING, 500, 800)}
    assert fake.status("s1").step is SessionStep.SENDING
    assert set(after(fake, clock, 5.0).values()) == {(DONE, 1000, 0)}
    assert fake.status("s1").step is SessionStep.OVER


def test_loss_at_one_receiver_slows_all_down(fake: FakeTransport, clock: HandClock) -> None:
    fake.fates["node1"] = Fate(loss=0.5)
    fake.start(ORDER)
    assert set(after(fake, clock, 11).values()) == {(RECEIVING, 500, 400)}
    assert set(after(fake, clock, 10).values()) == {(DONE, 1000, 0)}


def test_a_receiver_that_dies_holds_up_the_others_until_it_is_dropped(
    fake: FakeTransport, clock: HandClock
) -> None:
    fake.fates["node1"] = Fate(loss=0.5, dies_at=400)
    fake.start(ORDER)
    assert after(fake, clock, 1 + 8 + 4.9)["node2"] == (RECEIVING, 400, 0)
    assert after(fake, clock, 0.1) == {"node1": (FAILED, 400, 0), "node2": (RECEIVING, 400, 800)}
    assert after(fake, clock, 6) == {"node1": (FAILED, 400, 0), "node2": (DONE, 1000, 0)}
    assert fake.status("s1").receivers[0].reason == "silent for 5 s after 400 octets"


def test_two_that_die_together_are_waited_for_once(fake: FakeTransport, clock: HandClock) -> None:
    fake.fates = {"node1": Fate(dies_at=500), "node2": Fate(dies_at=500)}
    fake.start(ORDER)
    assert set(after(fake, clock, 1 + 5 + 5).values()) == {(FAILED, 500, 0)}
    assert fake.status("s1").step is SessionStep.OVER


def test_nobody_joins_and_the_session_is_over_after_the_wait(fake: FakeTransport, clock: HandClock) -> None:
    fake.fates = {"node1": Fate(joins_after_s=None), "node2": Fate(joins_after_s=20.1)}
    fake.start(ORDER)
    assert set(after(fake, clock, 20).values()) == {(FAILED, 0, 0)}
    assert fake.sessions() == []


def test_a_sender_that_loses_power_leaves_its_receivers_with_what_they_have(
    fake: FakeTransport, clock: HandClock
) -> None:
    fake.start(ORDER)
    clock.move(seconds=6)
    fake.lose_power("s1")
    clock.move(seconds=60)
    expected = ReceiverStatus("node1", FAILED, 500, 0, "the sender ended")
    assert fake.status("s1").receivers == (expected, replace(expected, node="node2"))
    assert b"".join(fake.received("s1", "node1")) == ORDER.image.octets[:500]  # type: ignore[attr-defined]


def test_a_clock_that_is_set_back_takes_nothing_back(fake: FakeTransport, clock: HandClock) -> None:
    fake.start(ORDER)
    before = after(fake, clock, 6)
    assert after(fake, clock, -3600) == before


def test_an_empty_image_is_there_at_once(fake: FakeTransport, clock: HandClock) -> None:
    fake.start(replace(ORDER, image=BytesSource(b"")))
    assert set(after(fake, clock, 1).values()) == {(DONE, 0, 0)}


def test_a_start_whose_answer_was_lost_is_repeated_without_a_second_session(
    fake: FakeTransport, clock: HandClock
) -> None:
    fake.faults.plant(Unreachable(done=True), "start", "s1")
    with pytest.raises(TransportUnreachable):
        fake.start(ORDER)
    clock.move(seconds=6)
    fake.start(ORDER)
    assert fake.status("s1").receivers[0].octets == 500


def test_power_lost_before_a_start_leaves_no_session(fake: FakeTransport) -> None:
    fake.faults.plant(Crash(), "start")
    with pytest.raises(PowerLost):
        fake.start(ORDER)
    assert fake.sessions() == []


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(ORDER.receivers),
        st.builds(
            Fate,
            st.none() | st.floats(0, 40),
            st.floats(0, 0.99),
            st.none() | st.integers(0, 1200),
        ),
    ),
    st.lists(st.floats(0, 2000), min_size=1).map(sorted),
)
def test_whatever_happens_each_receiver_goes_forward_and_ends(
    fates: dict[str, Fate], times: list[float]
) -> None:
    course = Course(ORDER, fates)
    order = list(ReceiverStep)
    statuses = [course.at(elapsed_s) for elapsed_s in times]
    for node in range(2):
        seen = [status.receivers[node] for status in statuses]
        assert [one.octets for one in seen] == sorted(one.octets for one in seen)
        steps = [min(order.index(one.step), 2) for one in seen]
        assert steps == sorted(steps)
        assert all((one.octets == 1000) is (one.step is DONE) for one in seen)
        assert all(bool(one.reason) is (one.step is FAILED) for one in seen)
        last = course.at(course.end_s).receivers[node]
        assert last.step in (DONE, FAILED)
        assert course.at(course.end_s + 1e6).receivers[node] == last


def test_a_receiver_cannot_lose_everything() -> None:
    with pytest.raises(ValueError, match="loss"):
        Fate(loss=1.0)


def test_a_transport_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    assert isinstance(open_transport("fake", Tools(tmp_path)), FakeTransport)
    with pytest.raises(TransportRefused, match="no transport 'magic'; there are: fake"):
        open_transport("magic", Tools(tmp_path))
