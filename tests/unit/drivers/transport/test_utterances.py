"""What udp-sender said, as it was recorded (udpcast 20120424)."""

from bootd.drivers.transport.utterances import Utterances

BANNER = (
    b"Udp-sender 20120424\nUDP sender for (stdin) at 10.79.0.1 on eth0 \n"
    b"Broadcasting control to 239.192.1.5\n"
)
JOINED = b"New connection from 10.79.0.3  (#0) 00000009\nNew connection from 10.79.0.2  (#1) 00000009\n"
STARTED = b"Starting transfer: 00000009\n"
FIRST = b"bytes=      65 520  re-xmits=0000000 (  0.0%) slice=0112 -   0\r"
LATER = b"bytes= 19 960 304  re-xmits=0000012 (  0.0%) slice=0112 -   1\r"
LAST = b"bytes= 20 000 000  re-xmits=0000012 (  0.0%) slice=0112 -   1\r\n"
COMPLETE = b"Transfer complete.\x07\nDisconnecting #0 (10.79.0.3)\nDisconnecting #1 (10.79.0.2)\n\n"
SILENT = (
    b"Timeout notAnswered=[0] notReady=[0] nrAns=1 nrRead=1 nrPart=2 avg=10000\n"
    b"Dropping client #0 because of timeout\nDisconnecting #0 (10.79.0.3)\n"
)


def said(*octets: bytes, size: int = 20_000_000) -> Utterances:
    utterances = Utterances(size)
    for part in octets:
        utterances.take(part)
    return utterances


def test_sender_is_ready_once_it_has_said_where_it_is() -> None:
    assert not said(BANNER[:-2]).ready
    ready = said(BANNER)
    assert (ready.ready, ready.address, ready.started) == (True, "10.79.0.1", False)


def test_a_whole_transfer() -> None:
    whole = said(BANNER, JOINED, STARTED, FIRST, LATER, LAST, COMPLETE)
    assert (whole.complete, whole.octets, whole.sent_again) == (True, 20_000_000, 12)
    assert [(one.address, one.had_all) for one in whole.participants] == [
        ("10.79.0.3", True),
        ("10.79.0.2", True),
    ]
    assert whole.there() == []
    assert whole.last_words == ""


def test_lines_that_come_octet_by_octet_mean_the_same() -> None:
    octets = BANNER + JOINED + STARTED + FIRST + LATER + SILENT + LAST
    apart = said(*(octets[n : n + 1] for n in range(len(octets))))
    assert apart.participants == said(octets).participants
    assert apart.octets == 20_000_000


def test_who_was_silent_had_what_all_had_by_then() -> None:
    one, other = said(BANNER, JOINED, STARTED, LATER, SILENT, LAST).participants
    assert (one.dropped, one.had_all, one.octets) == (True, False, 19_960_304)
    assert other.octets is None


def test_who_is_silent_once_it_has_acknowledged_everything_has_all() -> None:
    """Its last word was lost, and it left: seen with 5 % loss."""
    one, _ = said(BANNER, JOINED, STARTED, LAST, SILENT).participants
    assert (one.dropped, one.had_all) == (True, True)


def test_who_leaves_with_everything_before_the_others_has_all() -> None:
    utterances = said(BANNER, JOINED, STARTED, LAST, b"Disconnecting #1 (10.79.0.2)\n")
    assert [one.had_all for one in utterances.participants] == [False, True]
    assert not utterances.complete


def test_who_leaves_before_the_start_has_nothing_even_of_an_empty_image() -> None:
    utterances = said(BANNER, JOINED, b"Disconnecting #0 (10.79.0.3)\n", size=0)
    assert [one.had_all for one in utterances.participants] == [False, False]


def test_a_number_that_is_given_again_is_another_participant() -> None:
    again = b"Disconnecting #0 (10.79.0.3)\nNew connection from 10.79.0.9  (#0) 00000009\n"
    utterances = said(BANNER, JOINED, again)
    assert [(one.number, one.address) for one in utterances.there()] == [(1, "10.79.0.2"), (0, "10.79.0.9")]


def test_octets_above_a_gigabyte_are_told_in_kibibytes_and_still_mean_all() -> None:
    """udpcast leaves out what is below 1 KiB: 5,000,000,123 octets are told as 4 882 812 K."""
    line = b"bytes=  4 882 812Kre-xmits=0000000 (  0.0%) slice=0112 -   0\r"
    utterances = said(BANNER, JOINED, STARTED, line, size=5_000_000_123)
    assert utterances.octets == 4_882_812 * 1024
    assert utterances.has_all
    assert not said(BANNER, JOINED, STARTED, line, size=5_000_001_000).has_all


def test_octets_never_become_fewer() -> None:
    assert said(BANNER, JOINED, STARTED, LATER, FIRST).octets == 19_960_304


def test_why_it_ended_is_in_its_last_words() -> None:
    utterances = said(b"Udp-sender 20120424\n", b"bind socket to port: Address already in use\n")
    assert utterances.last_words == "bind socket to port: Address already in use"
    assert not utterances.ready
