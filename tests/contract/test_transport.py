"""What every transport does."""

import http.client
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bootd.drivers.source import BytesSource, FileSource
from bootd.drivers.tools import Tools
from bootd.drivers.transport import (
    Channel,
    Network,
    Offers,
    Order,
    ReceiverStep,
    SessionMissing,
    SessionStatus,
    SessionStep,
    Transport,
    TransportRefused,
    Way,
    allocate,
)
from bootd.drivers.transport.course import Fate
from bootd.drivers.transport.fake import FakeTransport
from bootd.drivers.transport.http import HttpTransport
from bootd.drivers.transport.mixed import MixedTransport
from bootd.drivers.transport.udpcast import UdpcastTransport
from tests.helpers.attended import Attended
from tests.helpers.receivers import UdpReceivers
from tests.helpers.segment import SENDER, Segment, segment
from tests.helpers.site import HandClock
from tests.helpers.web import Site, a_snapshot
from tests.helpers.webserver import in_thread

IMAGE = bytes(range(256)) * 1024
POLLS = 10_000  # more than any session here takes


@dataclass(frozen=True)
class Short:
    """A source that was cut off after half."""

    size: int

    def chunks(self) -> Iterator[bytes]:
        yield IMAGE[: self.size // 2]


class Bench(ABC):
    """A transport without sessions, and receivers that take what is sent to them."""

    transport: Transport

    @abstractmethod
    def order(self, name: str = "s1", *receivers: str) -> Order:
        """Return an order of `IMAGE` with a channel of its own; receivers are node1, node2 unless given."""

    @abstractmethod
    def keep_away(self, node: str) -> None:
        """Let the receiver join no session that starts from now on."""

    @abstractmethod
    def let_die(self, node: str) -> None:
        """Let the receiver fall silent in the middle of the next image."""

    @abstractmethod
    def received(self, session: str, node: str) -> bytes:
        """Return what the receiver has."""

    @abstractmethod
    def let_pass(self) -> None:
        """Let some time pass, a part of what an image takes."""

    def statuses(self, session: str) -> list[SessionStatus]:
        """Return what the session says of itself until it is over."""
        statuses = [self.transport.status(session)]
        while statuses[-1].step is not SessionStep.OVER:
            assert len(statuses) < POLLS
            self.let_pass()
            statuses.append(self.transport.status(session))
        return statuses

    def until_sending(self, session: str) -> None:
        for _ in range(POLLS):
            if any(one.octets for one in self.transport.status(session).receivers):
                return
            self.let_pass()
        raise AssertionError(f"{session} never begins")


class TransportContract:
    """Subclasses give a fixture ``bench``."""

    def test_every_receiver_gets_the_image(self, bench: Bench) -> None:
        bench.transport.start(bench.order())
        last = bench.statuses("s1")[-1]
        assert (last.id, last.size) == ("s1", len(IMAGE))
        assert last.nodes(ReceiverStep.DONE) == ("node1", "node2")
        for node in ("node1", "node2"):
            assert bench.received("s1", node) == IMAGE

    def test_a_session_goes_forward_only(self, bench: Bench) -> None:
        bench.transport.start(bench.order())
        statuses = bench.statuses("s1")
        steps = [list(SessionStep).index(status.step) for status in statuses]
        assert steps == sorted(steps)
        for n in range(2):
            octets = [status.receivers[n].octets for status in statuses]
            assert octets == sorted(octets)
            assert octets[-1] == len(IMAGE)
            assert all(
                one.octets == len(IMAGE)
                for status in statuses
                if (one := status.receivers[n]).step is ReceiverStep.DONE
            )

    def test_starting_again_is_no_second_session(self, bench: Bench) -> None:
        order = bench.order()
        bench.transport.start(order)
        bench.until_sending("s1")
        had = bench.transport.status("s1").receivers[0].octets
        bench.transport.start(order)
        assert bench.transport.sessions() == ["s1"]
        assert bench.transport.status("s1").receivers[0].octets >= had
        last = bench.statuses("s1")[-1]
        bench.transport.start(order)
        assert bench.transport.status("s1") == last
        assert bench.transport.sessions() == []

    def test_an_id_stands_for_one_order(self, bench: Bench) -> None:
        order = bench.order()
        bench.transport.start(order)
        with pytest.raises(TransportRefused, match="session s1: is there") as caught:
            bench.transport.start(replace(order, receivers=("node3",)))
        assert caught.value.is_permanent
        assert [one.node for one in bench.transport.status("s1").receivers] == ["node1", "node2"]

    def test_a_channel_in_use_is_refused_and_free_again_when_its_session_is_over(self, bench: Bench) -> None:
        first = bench.order("s1")
        second = replace(bench.order("s2", "node3"), channel=first.channel)
        bench.transport.start(first)
        with pytest.raises(TransportRefused, match="collides with session s1"):
            bench.transport.start(second)
        assert bench.transport.sessions() == ["s1"]
        bench.statuses("s1")
        bench.transport.start(second)
        assert bench.transport.sessions() == ["s2"]

    def test_two_sessions_at_once_both_finish(self, bench: Bench) -> None:
        bench.transport.start(bench.order("s1", "node1", "node2"))
        bench.transport.start(bench.order("s2", "node3"))
        assert bench.transport.sessions() == ["s1", "s2"]
        for session, nodes in (("s1", ("node1", "node2")), ("s2", ("node3",))):
            assert bench.statuses(session)[-1].nodes(ReceiverStep.DONE) == nodes
        assert bench.transport.sessions() == []

    def test_who_does_not_join_is_left_behind(self, bench: Bench) -> None:
        bench.keep_away("node1")
        bench.transport.start(bench.order())
        last = bench.statuses("s1")[-1]
        assert last.nodes(ReceiverStep.DONE) == ("node2",)
        assert last.nodes(ReceiverStep.FAILED) == ("node1",)
        assert "did not join" in last.receivers[0].reason

    def test_who_is_left_out_is_waited_for_no_longer(self, bench: Bench) -> None:
        bench.keep_away("node1")
        bench.transport.start(replace(bench.order(), join_wait_s=600.0))
        for session, node in (("s1", "node1"), ("s1", "node9"), ("s9", "node1")):
            bench.transport.leave_out(session, node, "its disk is too small")
        last = bench.statuses("s1")[-1]
        assert (last.receivers[0].step, last.receivers[0].reason) == ("failed", "its disk is too small")
        assert last.nodes(ReceiverStep.DONE) == ("node2",)
        bench.transport.leave_out("s1", "node2", "too late")
        assert bench.transport.status("s1") == last

    def test_where_everybody_is_left_out_the_session_is_over(self, bench: Bench) -> None:
        for node in ("node1", "node2"):
            bench.keep_away(node)
        bench.transport.start(replace(bench.order(), join_wait_s=600.0))
        for node in ("node1", "node2"):
            bench.transport.leave_out("s1", node, "no disk")
        assert {one.reason for one in bench.statuses("s1")[-1].receivers} == {"no disk"}
        assert bench.transport.sessions() == []

    def test_who_dies_is_dropped_and_the_others_finish(self, bench: Bench) -> None:
        bench.let_die("node2")
        bench.transport.start(bench.order("s1", "node1", "node2", "node3"))
        last = bench.statuses("s1")[-1]
        assert last.nodes(ReceiverStep.DONE) == ("node1", "node3")
        assert last.nodes(ReceiverStep.FAILED) == ("node2",)
        assert last.receivers[1].octets < len(IMAGE)
        assert last.receivers[1].reason

    def test_each_receiver_is_told_its_way_and_others_none(self, bench: Bench) -> None:
        with pytest.raises(SessionMissing):
            bench.transport.way("s1", "node1")
        bench.transport.start(bench.order())
        way = bench.transport.way("s1", "node1")
        assert way.channel is not None or way.path
        assert bench.transport.way("s1", "node1") == way
        with pytest.raises(TransportRefused, match="node3 is none of its receivers"):
            bench.transport.way("s1", "node3")

    def test_where_nobody_joins_the_session_ends_by_itself(self, bench: Bench) -> None:
        bench.keep_away("node1")
        bench.keep_away("node2")
        bench.transport.start(bench.order())
        last = bench.statuses("s1")[-1]
        assert last.nodes(ReceiverStep.FAILED) == ("node1", "node2")
        assert all("did not join" in one.reason for one in last.receivers)
        assert bench.transport.sessions() == []

    def test_an_image_that_ends_early_is_nobodys(self, bench: Bench) -> None:
        bench.transport.start(replace(bench.order(), image=Short(len(IMAGE))))
        last = bench.statuses("s1")[-1]
        assert last.nodes(ReceiverStep.DONE) == ()
        assert last.nodes(ReceiverStep.FAILED) == ("node1", "node2")

    def test_stopping_fails_those_that_are_not_done_and_may_be_repeated(self, bench: Bench) -> None:
        bench.transport.start(bench.order())
        bench.until_sending("s1")
        bench.transport.stop("s1")
        stopped = bench.transport.status("s1")
        assert stopped.step is SessionStep.OVER
        assert stopped.nodes(ReceiverStep.FAILED) == ("node1", "node2")
        assert {one.reason for one in stopped.receivers} == {"stopped"}
        bench.let_pass()
        bench.transport.stop("s1")
        assert bench.transport.status("s1") == stopped
        assert bench.transport.sessions() == []

    def test_stopping_what_is_over_changes_nothing(self, bench: Bench) -> None:
        bench.transport.start(bench.order())
        last = bench.statuses("s1")[-1]
        bench.transport.stop("s1")
        assert bench.transport.status("s1") == last

    def test_a_session_that_is_not_there_is_missing_and_need_not_be_stopped(self, bench: Bench) -> None:
        bench.transport.stop("s9")
        with pytest.raises(SessionMissing, match="session s9: there is none") as caught:
            bench.transport.status("s9")
        assert caught.value.is_permanent

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"receivers": ()}, id="nobody"),
            pytest.param({"receivers": ("node1", "node1")}, id="twice"),
            pytest.param({"rate": 0}, id="no rate"),
            pytest.param({"join_wait_s": -1.0}, id="no time to join"),
            pytest.param({"channel": Channel("10.0.0.1", 9000)}, id="unicast"),
            pytest.param({"channel": Channel("239.192.0.1", 9001)}, id="odd port"),
            pytest.param({"channel": Channel("nowhere", 9000)}, id="no address"),
        ],
    )
    def test_an_order_without_sense_is_refused(self, bench: Bench, change: dict[str, object]) -> None:
        with pytest.raises(TransportRefused, match="session s1"):
            bench.transport.start(replace(bench.order(), **change))  # type: ignore[arg-type]
        assert bench.transport.sessions() == []

    def test_an_image_that_cannot_be_read_is_refused(self, bench: Bench, tmp_path: Path) -> None:
        missing = FileSource(tmp_path / "missing", 1000)
        with pytest.raises(TransportRefused, match="No such file"):
            bench.transport.start(replace(bench.order(), image=missing))
        assert bench.transport.sessions() == []


class FakeBench(Bench):
    def __init__(self, folder: Path) -> None:
        self.clock = HandClock()
        self.fake = FakeTransport(Tools(folder, self.clock, lambda s: self.clock.move(seconds=s)))
        self.transport = self.fake
        self.channels: list[Channel] = []

    def order(self, name: str = "s1", *receivers: str) -> Order:
        self.channels.append(allocate(self.channels))
        image = BytesSource(IMAGE, chunk=10_000)
        return Order(name, image, receivers or ("node1", "node2"), self.channels[-1], rate=1_000_000)

    def keep_away(self, node: str) -> None:
        self.fake.fates[node] = Fate(joins_after_s=None)

    def let_die(self, node: str) -> None:
        self.fake.fates[node] = Fate(dies_at=len(IMAGE) // 2)

    def received(self, session: str, node: str) -> bytes:
        return b"".join(self.fake.received(session, node))

    def let_pass(self) -> None:
        self.clock.move(seconds=0.5)


class TestFake(TransportContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return FakeBench(tmp_path)


NODES = ("node1", "node2", "node3")
LOOK_S = 0.02  # between two looks at what really runs


@pytest.fixture(scope="module")
def network() -> Iterator[Segment]:
    with segment(NODES) as made:
        yield made


class RealBench(Bench):
    """What udpcast and HTTP have in common here: time passes by itself."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.away: set[str] = set()

    def order(self, name: str = "s1", *receivers: str) -> Order:
        self.channels.append(allocate(self.channels))
        image = BytesSource(IMAGE, chunk=10_000)
        nodes, channel = receivers or ("node1", "node2"), self.channels[-1]
        return Order(name, image, nodes, channel, rate=4_000_000, join_wait_s=2, drop_after_s=1)

    def keep_away(self, node: str) -> None:
        self.away.add(node)

    def let_pass(self) -> None:
        time.sleep(LOOK_S)


class UdpcastBench(RealBench):
    def __init__(self, network: Segment, folder: Path) -> None:
        super().__init__()
        self.receivers = UdpReceivers(network, folder)
        self.udpcast = UdpcastTransport(Tools(folder / "own"), Network(lambda: SENDER, network.whose))
        self.transport = Attended(self.udpcast, self._come, lambda order: self._inside(network, order))

    def _inside(self, network: Segment, order: Order) -> None:
        """Start it from a thread in the sender's namespace, where its own threads then are too."""
        network.sender.run(lambda: self.udpcast.start(order))

    def _come(self, session: str, node: str, way: Way) -> None:
        if node not in self.away:
            assert way.transport == "udpcast"
            assert way.channel is not None
            self.receivers.start(session, node, way.channel)

    def let_die(self, node: str) -> None:
        self.receivers.dying[node] = 1

    def received(self, session: str, node: str) -> bytes:
        return self.receivers.received(session, node)

    def let_pass(self) -> None:
        super().let_pass()
        self.receivers.look()

    def close(self) -> None:
        for session in self.udpcast.sessions():
            self.udpcast.stop(session)
        self.receivers.close()


@pytest.mark.root
class TestUdpcast(TransportContract):
    @pytest.fixture
    def bench(self, network: Segment, tmp_path: Path) -> Iterator[Bench]:
        with closing(UdpcastBench(network, tmp_path)) as bench:
            yield bench


class HttpBench(RealBench):
    """Receivers are threads that fetch with the standard library's client."""

    def __init__(self, folder: Path, port: int, network: Network) -> None:
        super().__init__()
        self._port, self._dying = port, set[str]()
        self._got: dict[tuple[str, str], bytearray] = {}
        self._threads: dict[tuple[str, str], threading.Thread] = {}
        self.transport = Attended(HttpTransport(Tools(folder), network), self.come)

    def let_die(self, node: str) -> None:
        self._dying.add(node)

    def received(self, session: str, node: str) -> bytes:
        self._threads[session, node].join()  # done is what its machine has; it reads that yet
        return bytes(self._got[session, node])

    def close(self) -> None:
        for session in self.transport.sessions():
            self.transport.stop(session)
        for thread in self._threads.values():
            thread.join()

    def come(self, session: str, node: str, way: Way) -> None:
        if node in self.away or (session, node) in self._got:
            return
        assert way.transport == "http"
        got = self._got[session, node] = bytearray()
        thread = threading.Thread(target=self._fetch, args=(way.path, got, node))
        self._threads[session, node] = thread
        thread.start()

    def _fetch(self, path: str, got: bytearray, node: str) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self._port)
        try:
            line.request("GET", path)
            answer = line.getresponse()
            while octets := answer.read1(4096):
                got += octets
                if node in self._dying and len(got) > len(IMAGE) // 2:
                    return
        except OSError:
            return  # the session ended
        finally:
            line.close()


@contextmanager
def serving(offers: Offers) -> Iterator[int]:
    site = Site(a_snapshot())
    site.parts = replace(site.parts, offered=offers.find)
    with in_thread(site) as port:
        yield port


class TestHttp(TransportContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        network = Network()
        with serving(network.offers) as port, closing(HttpBench(tmp_path, port, network)) as bench:
            yield bench


class MixedBench(UdpcastBench):
    """Receivers that come by the way they are told."""

    def __init__(self, network: Segment, folder: Path, port: int, offers: Offers) -> None:
        super().__init__(network, folder)
        told = Network(lambda: SENDER, network.whose, offers)
        self.mixed = MixedTransport(Tools(folder / "own"), told)
        self.udpcast = self.mixed.together
        self.web = HttpBench(folder / "web", port, told)
        self.transport = Attended(self.mixed, self._come, lambda order: self._all_inside(network, order))

    def _all_inside(self, network: Segment, order: Order) -> None:
        network.sender.run(lambda: self.mixed.start(order))

    def _come(self, session: str, node: str, way: Way) -> None:
        if way.transport == "http" and node not in self.away:
            self.web.come(session, node, way)
        elif way.transport != "http":
            super()._come(session, node, way)

    def let_die(self, node: str) -> None:
        super().let_die(node)
        self.web.let_die(node)

    def received(self, session: str, node: str) -> bytes:
        singly = self.transport.way(session, node).transport == "http"
        return self.web.received(session, node) if singly else super().received(session, node)

    def close(self) -> None:
        for session in self.mixed.sessions():
            self.mixed.stop(session)
        self.web.close()
        super().close()


@pytest.mark.root
class TestMixed(TransportContract):
    @pytest.fixture
    def bench(self, network: Segment, tmp_path: Path) -> Iterator[MixedBench]:
        offers = Offers()
        with serving(offers) as port, closing(MixedBench(network, tmp_path, port, offers)) as bench:
            yield bench

    def test_one_receiver_fetches_and_so_do_those_whom_multicast_failed(self, bench: MixedBench) -> None:
        bench.transport.start(bench.order("s1", "node1"))
        bench.transport.start(replace(bench.order("s2", "node2", "node3"), singly=True))
        assert bench.transport.way("s1", "node1").transport == "http"
        for session, nodes in (("s1", ("node1",)), ("s2", ("node2", "node3"))):
            assert bench.statuses(session)[-1].nodes(ReceiverStep.DONE) == nodes
            assert [bench.received(session, node) == IMAGE for node in nodes] == [True] * len(nodes)

    def test_several_are_sent_to_together(self, bench: MixedBench) -> None:
        bench.transport.start(bench.order())
        assert bench.transport.way("s1", "node2").transport == "udpcast"
