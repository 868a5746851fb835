"""udpcast over a network that loses packets, with receivers and senders that die."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootd.drivers.source import BytesSource
from bootd.drivers.tools import Tools
from bootd.drivers.transport import (
    Channel,
    Network,
    Order,
    ReceiverStep,
    SessionMissing,
    SessionStatus,
    SessionStep,
    TransportRefused,
    TransportUnreachable,
)
from bootd.drivers.transport.strays import Strays
from bootd.drivers.transport.udpcast import UdpcastTransport
from tests.helpers.receivers import UdpReceivers
from tests.helpers.segment import SENDER, Segment, segment

pytestmark = pytest.mark.root
NODES = ("node1", "node2", "node3")
IMAGE = os.urandom(4 << 20)
HERE, THERE = Channel("239.192.1.1", 9100), Channel("239.192.1.2", 9102)
RATE = 16_000_000  # the image takes two seconds


@pytest.fixture(scope="module")
def clean() -> Iterator[Segment]:
    with segment(NODES) as network:
        yield network


class Stand:
    """A transport that sends in *network*, and receivers."""

    def __init__(self, network: Segment, folder: Path, interface: str = SENDER) -> None:
        self.network = network
        self.folder = folder / "own"
        self.transport = UdpcastTransport(Tools(self.folder), Network(lambda: interface, network.whose))
        self.receivers = UdpReceivers(network, folder)

    def start(self, order: Order, *, receivers: tuple[str, ...] | None = None) -> None:
        """Start a session from inside; *receivers* are those that come."""
        self.network.sender.run(lambda: self.transport.start(order))
        for node in order.receivers if receivers is None else receivers:
            self.receivers.start(order.id, node, order.channel)

    def until(self, session: str, reached: Callable[[SessionStatus], bool]) -> SessionStatus:
        """Return the first status that is as wanted."""
        deadline = time.monotonic() + 60
        while not reached(status := self.transport.status(session)):
            assert time.monotonic() < deadline, status
            time.sleep(0.02)
            self.receivers.look()
        return status

    def over(self, session: str) -> SessionStatus:
        return self.until(session, lambda status: status.step is SessionStep.OVER)

    def close(self) -> None:
        for session in self.transport.sessions():
            self.transport.stop(session)
        self.receivers.close()


@pytest.fixture
def stand(clean: Segment, tmp_path: Path) -> Iterator[Stand]:
    with closing(Stand(clean, tmp_path)) as made:
        yield made


def an_order(name: str = "s1", *nodes: str, channel: Channel = HERE, rate: int = RATE) -> Order:
    image = BytesSource(IMAGE)
    return Order(name, image, nodes or NODES, channel, rate, join_wait_s=5, drop_after_s=2)


def halfway(status: SessionStatus) -> bool:
    return status.receivers[0].octets > len(IMAGE) // 4


def test_five_percent_loss_on_every_way_does_not_keep_the_image_from_anybody(tmp_path: Path) -> None:
    with segment(NODES, loss=5) as network, closing(Stand(network, tmp_path)) as stand:
        stand.start(an_order())
        last = stand.over("s1")
        assert last.nodes(ReceiverStep.DONE) == NODES, last
        for node in NODES:
            assert stand.receivers.received("s1", node) == IMAGE
        assert stand.transport._find("s1")._standing.said.sent_again > 0


def test_receiver_that_dies_is_dropped_and_the_others_have_the_image(stand: Stand) -> None:
    stand.receivers.dying["node2"] = len(IMAGE) // 4
    stand.start(an_order())
    last = stand.over("s1")
    assert last.nodes(ReceiverStep.DONE) == ("node1", "node3")
    assert last.receivers[1].reason.startswith("silent for 2 s after ")
    assert stand.receivers.received("s1", "node3") == IMAGE


def test_all_receivers_dead_ends_the_session(stand: Stand) -> None:
    stand.receivers.dying.update(dict.fromkeys(NODES, len(IMAGE) // 4))
    stand.start(an_order())
    assert stand.over("s1").nodes(ReceiverStep.FAILED) == NODES


def test_nobody_joins(stand: Stand) -> None:
    stand.start(an_order(), receivers=())
    last = stand.over("s1")
    assert {one.reason for one in last.receivers} == {"did not join within 5 s"}
    assert stand.transport.sessions() == []


def test_stranger_is_neither_waited_for_nor_counted(stand: Stand) -> None:
    """node3 has no part in the session and joins first: two participants, and one who was ordered."""
    stand.start(an_order("s1", "node1", "node2"), receivers=("node3", "node1"))
    joining = stand.until("s1", lambda status: len(stand.transport._find("s1")._standing.said.there()) == 2)
    assert joining.step is SessionStep.JOINING
    stand.receivers.start("s1", "node2", HERE)
    assert stand.over("s1").nodes(ReceiverStep.DONE) == ("node1", "node2")


def test_sender_killed_fails_everybody_and_says_how(stand: Stand) -> None:
    stand.start(an_order())
    stand.until("s1", halfway)
    os.kill(Strays(stand.folder).alive()["s1"].pid, signal.SIGKILL)
    last = stand.over("s1")
    assert {one.reason for one in last.receivers} == {"the sender ended by signal 9"}
    assert all(0 < one.octets < len(IMAGE) for one in last.receivers)


def test_stopped_in_the_middle_leaves_no_process_and_a_free_channel(stand: Stand) -> None:
    stand.start(an_order())
    stand.until("s1", halfway)
    stray = Strays(stand.folder).alive()["s1"]
    stand.transport.stop("s1")
    assert not stray.is_alive
    assert list(stand.folder.iterdir()) == []
    for node in NODES:
        stand.receivers.kill("s1", node)
    stand.start(an_order("s2"))
    assert stand.over("s2").nodes(ReceiverStep.DONE) == NODES


def test_stopped_while_receivers_join(stand: Stand) -> None:
    stand.start(an_order(), receivers=("node1",))
    stand.transport.stop("s1")
    assert {one.reason for one in stand.over("s1").receivers} == {"stopped"}


def test_two_sessions_at_once_each_give_their_own_image(stand: Stand) -> None:
    other = os.urandom(1 << 20)
    stand.start(an_order("s1", "node1", "node2", rate=RATE // 2))
    second = Order("s2", BytesSource(other), ("node3",), THERE, RATE // 2, 5, 2)
    stand.start(second)
    assert stand.transport.sessions() == ["s1", "s2"]
    assert stand.over("s2").nodes(ReceiverStep.DONE) == ("node3",)
    assert stand.transport.sessions() == ["s1"]
    assert stand.over("s1").nodes(ReceiverStep.DONE) == ("node1", "node2")
    assert stand.receivers.received("s2", "node3") == other
    assert stand.receivers.received("s1", "node1") == IMAGE


def test_interface_that_is_not_there_is_no_session_and_may_be_tried_again(
    clean: Segment, tmp_path: Path
) -> None:
    with closing(Stand(clean, tmp_path, interface="eth9")) as stand:
        with pytest.raises(TransportUnreachable, match="udp-sender does not send"):
            stand.start(an_order())
        assert stand.transport.sessions() == []
        with pytest.raises(SessionMissing):
            stand.transport.status("s1")


def test_sender_that_is_not_installed_is_refused_with_its_package(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(TransportRefused, match="udp-sender is not installed: apt-get install udpcast"):
        stand.transport.start(an_order())


@dataclass(frozen=True)
class Held:
    """An image of which half can be read, and the rest when the test says so."""

    gate: threading.Event
    size: int = len(IMAGE)

    def chunks(self) -> Iterator[bytes]:
        yield IMAGE[: self.size // 2]
        self.gate.wait()
        yield IMAGE[self.size // 2 :]


def test_image_that_cannot_be_read_just_now_holds_up_no_other_session_and_no_question(stand: Stand) -> None:
    gate = threading.Event()
    try:
        stand.start(Order("s1", Held(gate), ("node1",), HERE, RATE, 5, 2))
        stand.until("s1", lambda status: status.receivers[0].octets > len(IMAGE) // 3)
        stand.start(an_order("s2", "node2", channel=THERE))
        assert stand.over("s2").nodes(ReceiverStep.DONE) == ("node2",)
    finally:
        gate.set()
    assert stand.over("s1").nodes(ReceiverStep.DONE) == ("node1",)


# -- our process dies -----------------------------------------------------------------------------


@contextmanager
def another_process(stand: Stand, order: Order) -> Iterator["subprocess.Popen[bytes]"]:
    """Have a session run from a process of its own, with the same folder."""
    program = (
        "import sys; from pathlib import Path\n"
        "from bootd.drivers.source import BytesSource; from bootd.drivers.tools import Tools\n"
        "from bootd.drivers.transport import Channel, Network, Order\n"
        "from bootd.drivers.transport.udpcast import UdpcastTransport\n"
        f"transport = UdpcastTransport(Tools(Path({str(stand.folder)!r})), Network(lambda: {SENDER!r}))\n"
        f"order = Order({order.id!r}, BytesSource(b'x' * 999), {order.receivers!r},\n"
        f"              Channel({order.channel.address!r}, {order.channel.port}), {order.rate})\n"
        "transport.start(order); print('there', flush=True); sys.stdin.read()\n"
    )
    argv = stand.network.sender.command(sys.executable, "-c", program)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        try:
            yield process
        finally:
            process.kill()


def test_sender_ends_with_the_process_that_started_it_however_that_ends(stand: Stand) -> None:
    with another_process(stand, an_order()) as process:
        stray = Strays(stand.folder).alive()["s1"]
        process.kill()
        process.wait()
    deadline = time.monotonic() + 10
    while stray.is_alive:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert stand.transport.sessions() == []


def test_sender_left_behind_is_seen_its_channel_is_taken_and_it_can_be_ended(stand: Stand) -> None:
    with another_process(stand, an_order()):
        stray = Strays(stand.folder).alive()["s1"]
        assert stand.transport.sessions() == ["s1"]
        with pytest.raises(SessionMissing):
            stand.transport.status("s1")
        with pytest.raises(TransportRefused, match="its channel collides with session s1"):
            stand.start(an_order("s2"))
        stand.transport.stop("s1")
        assert not stray.is_alive
        assert stand.transport.sessions() == []


def test_session_that_was_left_behind_is_started_anew(stand: Stand) -> None:
    with another_process(stand, an_order()):
        stand.start(an_order())
        assert stand.over("s1").nodes(ReceiverStep.DONE) == NODES
        assert stand.receivers.received("s1", "node1") == IMAGE
