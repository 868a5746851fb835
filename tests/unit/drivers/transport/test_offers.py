"""How far single receivers are with what is offered, by a clock in hand."""

import pytest

from bootd.drivers.source import BytesSource, octets_from
from bootd.drivers.transport import Channel, Order, ReceiverStep, SessionStep
from bootd.drivers.transport.offers import Offer

SIZE = 1000


def offer(*nodes: str, rate: int = 8_000_000, size: int = SIZE) -> Offer:
    channel = Channel("239.192.1.1", 9000)
    return Offer(Order("s1", BytesSource(bytes(size)), nodes or ("node1",), channel, rate, 60, 30), 0.0)


def step(offered: Offer, now: float) -> ReceiverStep:
    return offered.status(now).receivers[0].step


def test_all_octets_sent_are_not_all_octets_there() -> None:
    offered = offer()
    offered.begin("node1", 1.0)
    offered.sent("node1", 0, SIZE, 2.0)
    assert step(offered, 2.0) is ReceiverStep.RECEIVING
    assert offered.status(2.0).receivers[0].octets == SIZE - 1
    offered.arrived("node1", 0, SIZE, 3.0)
    assert offered.status(3.0).step is SessionStep.OVER
    assert offered.status(3.0).receivers[0].octets == SIZE


def test_who_asks_for_the_rest_has_what_was_cut_off_or_sent_by_a_bootd_that_was_killed() -> None:
    cut, anew = offer(), offer()
    cut.begin("node1", 1.0)
    cut.sent("node1", 0, 500, 2.0)  # and then the line broke: nobody knows what of it came
    for each in (cut, anew):
        each.begin("node1", 3.0, start=400)
        assert each.status(3.0).receivers[0].octets >= 400
        each.sent("node1", 400, SIZE - 400, 4.0)
        assert step(each, 4.0) is ReceiverStep.RECEIVING
        each.arrived("node1", 400, SIZE - 400, 5.0)
        assert step(each, 5.0) is ReceiverStep.DONE


def test_an_octet_fetched_twice_is_one_octet() -> None:
    offered = offer()
    offered.begin("node1", 1.0)
    for start, count in ((0, 400), (300, 200), (600, 100), (0, 400)):
        offered.sent("node1", start, count, 2.0)
        offered.arrived("node1", start, count, 2.0)
    assert offered.status(2.0).receivers[0].octets == 600
    offered.arrived("node1", 500, 100, 3.0)
    assert step(offered, 3.0) is ReceiverStep.RECEIVING
    offered.arrived("node1", 700, 300, 3.0)
    assert step(offered, 3.0) is ReceiverStep.DONE


@pytest.mark.parametrize(("now", "expected"), [(59.9, ReceiverStep.WAITING), (60, ReceiverStep.FAILED)])
def test_who_does_not_ask_in_time_did_not_join(now: float, expected: ReceiverStep) -> None:
    assert step(offer(), now) is expected


def test_who_is_silent_for_too_long_may_not_come_again() -> None:
    offered = offer()
    offered.begin("node1", 1.0)
    offered.sent("node1", 0, 300, 10.0)
    assert offered.is_open("node1", 39.9)
    assert not offered.is_open("node1", 40.0)
    assert offered.status(40.0).receivers[0].reason == "silent for 30 s after 300 octets"


def test_waiting_for_the_image_is_not_the_receivers_silence_but_has_an_end() -> None:
    offered = offer()
    offered.begin("node1", 1.0)
    offered.reading("node1", 2.0, is_waiting=True)
    assert step(offered, 50.0) is ReceiverStep.RECEIVING
    assert step(offered, 62.0) is ReceiverStep.FAILED
    assert "cannot be read within 60 s" in offered.status(62.0).receivers[0].reason


def test_one_that_fails_takes_nobody_with_it() -> None:
    offered = offer("node1", "node2")
    offered.begin("node2", 1.0)
    offered.fail("it is broken", 2.0, "node1")
    assert offered.status(2.0).nodes(ReceiverStep.FAILED) == ("node1",)
    assert offered.status(2.0).step is SessionStep.SENDING


def test_receivers_share_one_rate_and_a_pause_makes_up_for_little() -> None:
    """8 Mbit/s are a million octets a second, less what frames cost."""
    offered = offer("node1", "node2")
    waits = [offered.pause(10_000, 10.0) for _ in range(20)]
    assert waits == sorted(waits)
    assert 0.14 < waits[-1] < 0.17
    assert offered.pause(10_000, 100.0) == 0.0


@pytest.mark.parametrize("start", [0, 1, 9, 10, 11, 25, 29])
def test_octets_from_anywhere(start: int) -> None:
    octets = bytes(range(30))
    assert b"".join(octets_from(BytesSource(octets, chunk=10), start)) == octets[start:]
