"""Images that single machines fetch, over real sockets."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bootd.drivers.source import ByteSource, BytesSource, FileSource
from bootd.drivers.tools import Tools
from bootd.drivers.transport import Channel, Network, Order, ReceiverStep, SessionStep
from bootd.drivers.transport.http import HttpTransport
from bootd.events import FileSent
from tests.helpers.web import Site, a_snapshot, ask, running

IMAGE = os.urandom(300_000)


@dataclass
class Stand:
    site: Site
    network: Network
    transport: HttpTransport

    def start(
        self, image: ByteSource | None = None, *nodes: str, rate: int = 10**9, drop_s: float = 30
    ) -> str:
        """Start session s1; return the path of its first receiver."""
        receivers, source = nodes or ("node1",), image or BytesSource(IMAGE, chunk=70_000)
        order = Order("s1", source, receivers, Channel("239.192.1.1", 9000), rate, 30, drop_s)
        self.transport.start(order)
        return self.transport.way("s1", receivers[0]).path

    def steps(self) -> list[ReceiverStep]:
        return [one.step for one in self.transport.status("s1").receivers]


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    site, network = Site(a_snapshot()), Network()
    site.parts = replace(site.parts, offered=network.offers.find)
    async with running(site):
        yield Stand(site, network, HttpTransport(Tools(tmp_path), network))


async def test_image_goes_out_whole_and_then_it_is_offered_no_more(stand: Stand) -> None:
    path = stand.start()
    reply = await ask(stand.site.port, path)
    assert (reply.status, reply.body) == (200, IMAGE)
    assert reply.headers["content-length"] == str(len(IMAGE))
    while stand.transport.status("s1").step is not SessionStep.OVER:
        await asyncio.sleep(0.01)
    assert stand.steps() == [ReceiverStep.DONE]
    assert (await ask(stand.site.port, path)).status == 404
    [sent] = stand.site.of_kind(FileSent)
    assert (sent.host, sent.path, sent.octets, sent.complete) == ("node1", "session s1", len(IMAGE), True)


async def test_a_path_is_one_receivers_and_cannot_be_guessed(stand: Stand) -> None:
    first = stand.start(None, "node1", "node2")
    second = stand.transport.way("s1", "node2").path
    assert first != second
    assert len(first.removeprefix("/image/")) == 32
    assert (await ask(stand.site.port, first[:-1] + "x")).status == 404
    await ask(stand.site.port, second)
    assert stand.steps()[0] is ReceiverStep.WAITING


async def test_head_gives_the_length_and_joins_nobody(stand: Stand) -> None:
    path = stand.start()
    head = await ask(stand.site.port, path, method="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(IMAGE)))
    assert stand.steps() == [ReceiverStep.WAITING]


async def test_receiver_that_was_cut_off_goes_on_where_it_was(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(IMAGE)
    path = stand.start(FileSource.of(tmp_path / "image"))
    head = await ask(stand.site.port, path, headers={"Range": "bytes=0-99999"})
    assert (head.status, head.body) == (206, IMAGE[:100_000])
    assert stand.transport.status("s1").receivers[0].octets == 100_000
    rest = await ask(
        stand.site.port, path, headers={"Range": "bytes=100000-", "If-Range": head.headers["etag"]}
    )
    assert (rest.status, rest.body) == (206, IMAGE[100_000:])
    assert rest.headers["content-range"] == f"bytes 100000-299999/{len(IMAGE)}"
    assert stand.steps() == [ReceiverStep.DONE]


async def test_range_of_an_image_that_cannot_be_sought_in_is_the_same_octets(stand: Stand) -> None:
    reply = await ask(stand.site.port, stand.start(), headers={"Range": "bytes=150001-150010"})
    assert reply.body == IMAGE[150_001:150_011]


async def test_another_tag_is_another_image_and_a_range_behind_the_end_none(stand: Stand) -> None:
    path = stand.start()
    behind = await ask(stand.site.port, path, headers={"Range": "bytes=300000-"})
    assert (behind.status, behind.headers["content-range"]) == (416, f"bytes */{len(IMAGE)}")
    whole = await ask(stand.site.port, path, headers={"Range": "bytes=5-", "If-Range": '"other"'})
    assert (whole.status, whole.body) == (200, IMAGE)


@dataclass(frozen=True)
class Wrong:
    """An image that says another length than it has."""

    size: int

    def chunks(self) -> Iterator[bytes]:
        yield IMAGE[:200_000]
        yield IMAGE[200_000:]


@pytest.mark.parametrize(
    ("size", "why"), [(len(IMAGE) - 1, "longer than it said"), (len(IMAGE) + 1, "ends 1 octets early")]
)
async def test_image_of_another_length_fails_and_is_never_sent_as_if_whole(
    stand: Stand, size: int, why: str
) -> None:
    path = stand.start(Wrong(size))
    reply = await ask(stand.site.port, path)
    assert len(reply.body) < int(reply.headers["content-length"])
    [one] = stand.transport.status("s1").receivers
    assert one.step is ReceiverStep.FAILED
    assert why in one.reason


async def test_receiver_that_takes_nothing_is_given_up(stand: Stand) -> None:
    path = stand.start(BytesSource(os.urandom(20 << 20)), drop_s=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.site.port, limit=1024)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: s\r\n\r\n".encode())
    while stand.transport.status("s1").step is not SessionStep.OVER:
        await asyncio.sleep(0.02)
    [one] = stand.transport.status("s1").receivers
    assert "silent for 0.3 s" in one.reason
    writer.transport.abort()
    assert reader.exception() is None


@dataclass(frozen=True)
class Slow:
    """An image whose second half is read once it may be."""

    may: threading.Event
    size: int = len(IMAGE)

    def chunks(self) -> Iterator[bytes]:
        yield IMAGE[:200_000]
        self.may.wait()
        yield IMAGE[200_000:]


async def test_receiver_that_goes_while_the_image_is_read_is_silent_and_no_reader_is_blamed(
    stand: Stand,
) -> None:
    may = threading.Event()
    path = stand.start(Slow(may), drop_s=0.3)
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", stand.site.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: s\r\n\r\n".encode())
        while not stand.transport.status("s1").receivers[0].octets:
            await asyncio.sleep(0.02)
        writer.transport.abort()
        while stand.transport.status("s1").step is not SessionStep.OVER:
            await asyncio.sleep(0.02)
    finally:
        may.set()
    assert "silent for 0.3 s" in stand.transport.status("s1").receivers[0].reason


async def test_session_of_a_bootd_that_was_started_again_has_the_same_paths(
    stand: Stand, tmp_path: Path
) -> None:
    path = stand.start()
    network = Network()
    again = HttpTransport(Tools(tmp_path), network)
    order = Order("s1", BytesSource(IMAGE), ("node1",), Channel("239.192.1.1", 9000), 10**9)
    again.start(order)
    assert again.way("s1", "node1").path == path
    assert network.offers.find(path.removeprefix("/image/")) is not None
    assert (tmp_path / "http.secret").stat().st_mode & 0o777 == 0o600
