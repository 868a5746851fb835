"""Receivers by name, from what is said of addresses."""

from bootd.drivers.source import BytesSource
from bootd.drivers.transport import Channel, Order, ReceiverStep, SessionStep
from bootd.drivers.transport.standing import Standing
from tests.unit.drivers.transport.test_utterances import (
    BANNER,
    COMPLETE,
    JOINED,
    LAST,
    LATER,
    SILENT,
    STARTED,
)

NAMES = {"10.79.0.3": "node3", "10.79.0.2": "node2"}
SIZE = 20_000_000


def standing(*nodes: str, names: dict[str, str] = NAMES) -> Standing:
    image = BytesSource(bytes(SIZE))
    order = Order("s1", image, nodes or ("node2", "node3"), Channel("239.192.1.5", 9000), 10**6, 7, 9)
    return Standing(order, lambda address: names.get(address, ""), 0.0)


def steps(session: Standing) -> list[ReceiverStep]:
    return [one.step for one in session.status(1.0).receivers]


def test_all_wait_until_the_sender_begins() -> None:
    session = standing()
    session.take(BANNER + JOINED, 1.0)
    assert session.joined().keys() == {"node2", "node3"}
    assert session.status(1.0).step is SessionStep.JOINING
    assert steps(session) == [ReceiverStep.WAITING] * 2


def test_who_is_not_there_at_the_start_has_failed_and_stays_so() -> None:
    session = standing("node2", "node4")
    session.take(BANNER + JOINED + STARTED, 1.0)
    assert steps(session) == [ReceiverStep.RECEIVING, ReceiverStep.FAILED]
    assert session.status(1.0).receivers[1].reason == "did not join within 7 s"


def test_a_name_that_is_known_later_counts_from_then() -> None:
    names: dict[str, str] = {}
    session = standing(names=names)
    session.take(BANNER + JOINED, 1.0)
    assert session.joined() == {}
    names |= NAMES
    assert session.joined().keys() == {"node2", "node3"}


def test_a_receiver_that_came_twice_is_its_latest_self() -> None:
    """It was started again and got another address; its old self falls silent and is dropped."""
    session = standing("node2", "node3", names={**NAMES, "10.79.0.9": "node3"})
    session.take(BANNER + JOINED + b"New connection from 10.79.0.9  (#2) 00000009\n", 1.0)
    session.take(STARTED + LATER + SILENT + LAST, 2.0)
    assert steps(session) == [ReceiverStep.RECEIVING] * 2


def test_done_is_who_was_there_to_the_end() -> None:
    session = standing()
    session.take(BANNER + JOINED + STARTED + LATER + LAST + COMPLETE, 2.0)
    assert steps(session) == [ReceiverStep.DONE] * 2
    assert session.all_final
    assert not session.is_over
    session.end("the sender ended")
    assert session.status(2.0).step is SessionStep.OVER
    assert {one.octets for one in session.status(2.0).receivers} == {SIZE}


def test_nobody_is_done_with_the_last_octet_alone() -> None:
    session = standing()
    session.take(BANNER + JOINED + STARTED + LAST, 2.0)
    assert steps(session) == [ReceiverStep.RECEIVING] * 2
    assert {one.octets for one in session.status(2.0).receivers} == {SIZE - 1}
    session.end("the sender ended by signal 9")
    assert steps(session) == [ReceiverStep.FAILED] * 2


def test_silent_is_told_with_how_long_and_how_much() -> None:
    session = standing()
    session.take(BANNER + JOINED + STARTED + LATER + SILENT, 2.0)
    assert session.status(2.0).receivers[1].reason == "silent for 9 s after 19960304 octets"


def test_rate_is_that_of_the_last_seconds() -> None:
    session = standing()
    session.take(BANNER + JOINED + STARTED, 0.0)
    for second in range(1, 6):
        session.take(b"bytes= %02d 000 000  re-xmits=0000000 (\r" % second, float(second))
    assert {one.rate for one in session.status(5.0).receivers} == {8_000_000}
    assert {one.rate for one in session.status(9.0).receivers} == {0}


def test_what_moves_is_noted_and_silence_is_not() -> None:
    session = standing()
    session.take(BANNER + JOINED + STARTED, 1.0)
    session.take(LATER, 2.0)
    session.take(b"Timeout notAnswered=[0] notReady=[0] nrAns=1\n", 3.0)
    assert session.moved_at == 2.0
    session.take(SILENT, 4.0)
    assert session.moved_at == 4.0


def test_the_first_reason_for_the_end_stands() -> None:
    session = standing()
    session.end("stopped")
    session.end("the sender ended")
    assert {one.reason for one in session.status(1.0).receivers} == {"stopped"}


def test_what_was_acknowledged_without_it_is_not_counted_for_who_was_dropped() -> None:
    session = standing()
    later = b"bytes=     163 072  re-xmits=0000000 (  0.0%) slice=0112 -   0\r"
    session.take(BANNER + JOINED + STARTED + SILENT + later, 2.0)
    assert session.status(2.0).receivers[1].octets == 0
