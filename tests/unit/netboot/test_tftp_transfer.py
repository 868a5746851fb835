"""The read transfer: order, windows, loss, time."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netboot.tftp.negotiate import Agreement
from netboot.tftp.transfer import TIMEOUT_MAX, TRIES, Outcome, ReadTransfer
from tests.helpers.tftp import a_pair, a_transfer

SMALL = ("blksize", "8")


def blocks(datagrams: list[bytes]) -> list[int]:
    """Block numbers of DATA packets."""
    assert all(datagram[:2] == b"\0\3" for datagram in datagrams)
    return [int.from_bytes(datagram[2:4], "big") for datagram in datagrams]


def begun(data: bytes, *options: tuple[str, str]) -> tuple[ReadTransfer, list[int]]:
    """A transfer whose OACK is acknowledged, and the first blocks it sent."""
    transfer = a_transfer(data, *options)
    transfer.datagrams_to_send(now=0.0)
    transfer.receive_ack(0, now=0.0)
    return transfer, blocks(transfer.datagrams_to_send(now=0.0))


@pytest.mark.parametrize(
    ("size", "lengths"),
    [
        pytest.param(1300, [512, 512, 276], id="short-last-block"),
        pytest.param(1024, [512, 512, 0], id="empty-last-block"),
        pytest.param(0, [0], id="empty-file"),
    ],
)
def test_blocks_of_a_file(size: int, lengths: list[int]) -> None:
    transfer = a_transfer(bytes(size))
    seen = []
    for block in range(1, len(lengths) + 1):
        (datagram,) = transfer.datagrams_to_send(now=0.0)
        assert datagram[:4] == b"\0\3" + block.to_bytes(2, "big")
        seen.append(len(datagram) - 4)
        assert transfer.outcome is Outcome.RUNNING
        transfer.receive_ack(block, now=0.0)
    assert seen == lengths
    assert transfer.outcome is Outcome.COMPLETED
    assert transfer.octets_acked == size
    assert transfer.deadline is None


def test_the_oack_waits_for_ack_0_before_data() -> None:
    transfer = a_transfer(b"x" * 20, SMALL, ("tsize", "0"))
    assert transfer.datagrams_to_send(now=0.0) == [b"\0\6blksize\x008\0tsize\x0020\0"]
    transfer.receive_ack(1, now=0.0)
    assert transfer.datagrams_to_send(now=0.0) == []
    transfer.receive_ack(0, now=0.0)
    assert blocks(transfer.datagrams_to_send(now=0.0)) == [1]


def test_unknown_options_alone_are_answered_with_data() -> None:
    assert blocks(a_transfer(b"x", ("foo", "bar")).datagrams_to_send(now=0.0)) == [1]


def test_a_late_ack_0_is_ignored() -> None:
    transfer, _ = begun(bytes(100), SMALL)
    transfer.receive_ack(1, now=0.0)
    transfer.datagrams_to_send(now=0.0)
    transfer.receive_ack(0, now=0.0)
    assert transfer.datagrams_to_send(now=0.0) == []


def test_a_duplicate_ack_never_resends_in_lock_step() -> None:
    transfer, _ = begun(bytes(100), SMALL)
    transfer.receive_ack(1, now=0.0)
    assert blocks(transfer.datagrams_to_send(now=0.0)) == [2]
    for _ in range(3):
        transfer.receive_ack(1, now=0.0)
        assert transfer.datagrams_to_send(now=0.0) == []


def test_block_numbers_wrap_past_65535() -> None:
    data = bytes(range(256)) * 2050  # 65,600 blocks
    pair = a_pair(data, SMALL)
    pair.run()
    assert pair.transfer.outcome is Outcome.COMPLETED
    assert pair.client.received == data


def test_block_numbers_wrap_within_a_window() -> None:
    data = bytes(range(256)) * 4100
    pair = a_pair(data, SMALL, ("windowsize", "7"), loss=0.01, seed=4)
    pair.run()
    assert pair.client.received == data


def test_a_window_goes_out_at_once_and_resumes_behind_the_ack() -> None:
    transfer, sent = begun(bytes(200), SMALL, ("windowsize", "4"))
    assert sent == [1, 2, 3, 4]
    transfer.receive_ack(2, now=0.0)
    assert blocks(transfer.datagrams_to_send(now=0.0)) == [3, 4, 5, 6]


def test_an_ack_of_blocks_not_sent_is_ignored() -> None:
    transfer, _ = begun(bytes(200), SMALL, ("windowsize", "4"))
    transfer.receive_ack(5, now=0.0)
    assert transfer.datagrams_to_send(now=0.0) == []


def test_the_loss_of_a_windows_first_block_is_mended_without_waiting() -> None:
    transfer, _ = begun(bytes(200), SMALL, ("windowsize", "4"))
    transfer.receive_ack(4, now=0.0)
    assert blocks(transfer.datagrams_to_send(now=0.0)) == [5, 6, 7, 8]
    transfer.receive_ack(4, now=0.0)
    assert blocks(transfer.datagrams_to_send(now=0.0)) == [5, 6, 7, 8]


def test_echoes_of_a_repeated_window_do_not_repeat_the_next_one() -> None:
    """The Sorcerer's Apprentice with windows: each window would go out twice to the end of the file."""
    transfer, _ = begun(bytes(800), SMALL, ("windowsize", "4"))
    transfer.receive_ack(4, now=0.0)
    transfer.datagrams_to_send(now=0.0)
    transfer.receive_ack(4, now=0.0)  # repeats 5 to 8
    transfer.datagrams_to_send(now=0.0)
    transfer.receive_ack(8, now=0.0)
    assert blocks(transfer.datagrams_to_send(now=0.0)) == [9, 10, 11, 12]
    transfer.receive_ack(8, now=0.0)  # the client's answer to the repetition
    assert transfer.datagrams_to_send(now=0.0) == []
    transfer.receive_ack(12, now=0.0)
    assert blocks(transfer.datagrams_to_send(now=0.0)) == [13, 14, 15, 16]


@pytest.mark.parametrize("window", ["1", "4"])
def test_without_loss_each_block_is_sent_once(window: str) -> None:
    pair = a_pair(bytes(801), SMALL, ("windowsize", window))
    pair.run()
    assert pair.packets == 1 + 101


@settings(max_examples=200, deadline=None)
@given(
    data=st.binary(max_size=700),
    block_size=st.integers(8, 64),
    window=st.integers(1, 9),
    loss=st.floats(0, 0.3),
    seed=st.integers(0, 99),
)
def test_what_arrives_is_a_beginning_of_the_file_and_all_of_it_when_confirmed(
    data: bytes, block_size: int, window: int, loss: float, seed: int
) -> None:
    pair = a_pair(data, ("blksize", str(block_size)), ("windowsize", str(window)), loss=loss, seed=seed)
    pair.run()
    assert data.startswith(pair.client.received)
    if pair.transfer.outcome is Outcome.COMPLETED:
        assert pair.client.received == data
        assert pair.client.is_complete
    else:
        assert pair.transfer.outcome in (Outcome.UNCONFIRMED, Outcome.TIMED_OUT)


@pytest.mark.parametrize("seed", range(8))
def test_five_percent_loss_still_delivers(seed: int) -> None:
    data = bytes(range(256)) * 273  # undionly.kpxe is about this long
    pair = a_pair(data, ("blksize", "1432"), ("tsize", "0"), loss=0.05, seed=seed)
    pair.run()
    assert pair.client.received == data
    assert pair.now < 10


def silent_times(transfer: ReadTransfer) -> list[float]:
    """When the packets go out to a client that never answers."""
    now, times = 0.0, []
    while transfer.outcome is Outcome.RUNNING:
        if transfer.datagrams_to_send(now=now):
            times.append(now)
        assert transfer.deadline is not None
        now = transfer.deadline
        transfer.handle_timeout(now=now)
    return times


def test_patience_doubles_up_to_a_cap_and_ends() -> None:
    assert silent_times(a_transfer(bytes(1000), SMALL)) == [0.0, 1.0, 3.0, 7.0, 12.0, 17.0]


def test_an_agreed_timeout_is_kept_exactly() -> None:
    transfer = a_transfer(bytes(1000), ("timeout", "3"))
    assert silent_times(transfer) == [0.0, 3.0, 6.0, 9.0, 12.0, 15.0]
    assert transfer.outcome is Outcome.TIMED_OUT


def test_patience_follows_the_round_trip() -> None:
    transfer, _ = begun(bytes(1000), SMALL)
    now = 0.0
    for block in range(1, 20):
        now += 0.5
        transfer.receive_ack(block, now=now)
        transfer.datagrams_to_send(now=now)
    assert transfer.deadline is not None
    assert 0.5 < transfer.deadline - now < 1.0


def test_a_fast_path_keeps_a_floor_under_the_timeout() -> None:
    transfer, _ = begun(bytes(1000), SMALL)
    transfer.receive_ack(1, now=0.001)
    transfer.datagrams_to_send(now=0.001)
    assert transfer.deadline == pytest.approx(0.251)


def test_a_timer_that_fires_early_changes_nothing() -> None:
    transfer, _ = begun(bytes(1000), SMALL)
    transfer.handle_timeout(now=0.1)
    assert transfer.datagrams_to_send(now=0.1) == []


def test_a_missing_last_ack_is_unconfirmed_not_failed() -> None:
    transfer = a_transfer(b"short")
    times = silent_times(transfer)
    assert transfer.outcome is Outcome.UNCONFIRMED
    assert len(times) == TRIES
    assert transfer.all_sent_at == 0.0


def test_a_client_that_goes_away_in_the_middle_times_out() -> None:
    transfer, _ = begun(bytes(1000), SMALL)
    transfer.receive_ack(1, now=0.0)
    silent_times(transfer)
    assert transfer.outcome is Outcome.TIMED_OUT
    assert transfer.octets_acked == 8


def test_edk2_ends_its_size_question_with_an_error() -> None:
    transfer = a_transfer(bytes(1000), ("tsize", "0"), ("blksize", "512"))
    transfer.datagrams_to_send(now=0.0)
    transfer.receive_error(8, now=0.0)
    assert transfer.outcome is Outcome.ABORTED
    assert transfer.datagrams_to_send(now=9.0) == []
    assert transfer.deadline is None


def test_a_file_closed_at_its_end_instead_of_acknowledged_is_unconfirmed() -> None:
    transfer = a_transfer(b"all of it")
    transfer.datagrams_to_send(now=0.0)
    transfer.receive_error(0, now=0.0)
    assert transfer.outcome is Outcome.UNCONFIRMED


def test_a_full_disk_at_the_last_block_is_a_failure() -> None:
    transfer = a_transfer(b"all of it")
    transfer.datagrams_to_send(now=0.0)
    transfer.receive_error(3, now=0.0)
    assert transfer.outcome is Outcome.ABORTED


def test_an_error_after_the_end_changes_nothing() -> None:
    transfer = a_transfer(b"all of it")
    transfer.datagrams_to_send(now=0.0)
    transfer.receive_ack(1, now=0.0)
    transfer.receive_error(0, now=0.0)
    assert transfer.outcome is Outcome.COMPLETED


def test_a_repeated_request_repeats_the_first_packet_only() -> None:
    transfer = a_transfer(bytes(100), SMALL)
    first = transfer.datagrams_to_send(now=0.0)
    transfer.receive_request(now=0.1)
    assert transfer.datagrams_to_send(now=0.1) == first
    transfer.receive_ack(0, now=0.2)
    transfer.datagrams_to_send(now=0.2)
    transfer.receive_request(now=0.3)
    assert transfer.datagrams_to_send(now=0.3) == []


class Shrinking:
    """A source that is shorter than it says from its second read on."""

    size = 100

    def __init__(self) -> None:
        self.reads = 0

    def read_at(self, offset: int, count: int) -> bytes:
        self.reads += 1
        return bytes(count if self.reads == 1 else count - 1)


def test_a_source_that_shrinks_ends_with_an_error_not_with_a_short_file() -> None:
    transfer = ReadTransfer(Shrinking(), Agreement(block_size=8))
    transfer.datagrams_to_send(now=0.0)
    transfer.receive_ack(1, now=0.0)
    (datagram,) = transfer.datagrams_to_send(now=0.0)
    assert datagram.startswith(b"\0\5\0\0")
    assert datagram.endswith(b"\0")
    assert transfer.outcome is Outcome.CHANGED


def test_no_wait_is_longer_than_the_cap() -> None:
    transfer = a_transfer(bytes(1000))
    times = silent_times(transfer)
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) == TIMEOUT_MAX
