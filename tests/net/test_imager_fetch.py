"""How the imager fetches an image by HTTP, with its own shell, from the real server."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from bootd.drivers.source import BytesSource
from bootd.drivers.tools import Tools
from bootd.drivers.transport import Channel, Network, Order, ReceiverStep
from bootd.drivers.transport.http import HttpTransport
from tests.helpers.imagershell import ImagerShell
from tests.helpers.web import MAC, NOON, Site, a_host, a_snapshot, running

IMAGE = os.urandom(3_000_000)
_ENOUGH = 1 << 30


@dataclass
class Line:
    """The way to the server, that breaks after so many octets of each answer."""

    port: int  # of the server
    lengths: list[int]
    then: Callable[[], object]  # called when it is broken
    asked: list[bytes] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self.lock:
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int((re.search(rb"Length: (\d+)", head) or [0, 0])[1]))
            answer, asking = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                asking.write(head + body)
                await self._answer(answer, writer, is_whole=head.startswith(b"POST"))
            finally:
                for each in (asking, writer):
                    each.close()
                    with suppress(ConnectionError):
                        await each.wait_closed()
            if head.startswith(b"GET"):
                self.asked.append(head)
                self.then()

    async def _answer(
        self, answer: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_whole: bool
    ) -> None:
        left = self.lengths.pop(0) if self.lengths and not is_whole else _ENOUGH
        with suppress(ConnectionError):
            while left and (octets := await answer.read(min(left, 65536))):
                left -= len(octets)
                writer.write(octets)
                await writer.drain()

    @property
    def ranges(self) -> list[int]:
        """The octets from which was asked, where it was not from the first."""
        heads = [head.decode().partition("Range: bytes=")[2] for head in self.asked]
        return [int(head.partition("-")[0]) for head in heads if head]


@dataclass
class Desk:
    path: str = ""

    async def task(self, node: str) -> str:
        return f"task write\npath {self.path}\n" if self.path else "task none\n"

    async def permit(self, node: str, form: object) -> str:
        return "permit no\n"


@dataclass
class Stand:
    site: Site
    transport: HttpTransport
    network: Network
    desk: Desk
    folder: Path

    def start(self, image: bytes = IMAGE) -> str:
        self.transport.start(Order("s1", BytesSource(image), ("node1",), Channel("239.192.1.1", 9000), 10**9))
        return self.transport.way("s1", "node1").path

    def start_anew(self, image: bytes = IMAGE[1:]) -> str:
        """As a bootd does that was killed: the same session has the same path."""
        self.transport = HttpTransport(Tools(self.folder / "driver"), self.network)
        return self.start(image)

    def shell(self, port: int) -> ImagerShell:
        token = self.site.parts.tokens.mint(MAC, None, NOON)
        return ImagerShell(self.folder / "shell", f"http://127.0.0.1:{port}", token=token)


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    network, desk, site = Network(), Desk(), Site(a_snapshot(a_host()))
    site.parts = replace(site.parts, offered=network.offers.find, tasks=desk)
    async with running(site):
        yield Stand(site, HttpTransport(Tools(tmp_path / "driver"), network), network, desk, tmp_path)


@asynccontextmanager
async def breaking(
    port: int, *lengths: int, then: Callable[[], object] = lambda: None
) -> AsyncIterator[tuple[int, Line]]:
    line = Line(port, list(lengths), then)
    server = await asyncio.start_server(line.carry, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], line
    async with line.lock:
        pass  # what it carried last is closed


async def test_image_comes_whole_however_often_its_line_is_cut_and_nothing_of_it_twice(stand: Stand) -> None:
    path = stand.start()
    async with breaking(stand.site.port, 1_000_000, 30, 0, 500_000) as (port, line):
        said = await stand.shell(port).run(f"fetch_image {path}")
    assert (said.code, said.errors) == (0, "")
    assert said.out == IMAGE
    first, second, third, last = line.ranges
    assert 990_000 < first == second == third < 1_000_000 < last
    assert [one.step for one in stand.transport.status("s1").receivers] == [ReceiverStep.DONE]


async def test_another_image_in_its_place_is_not_taken_for_the_rest(stand: Stand) -> None:
    path = stand.start()
    async with breaking(stand.site.port, 1_000_000, then=stand.start_anew) as (port, line):
        said = await stand.shell(port).run(f"fetch_image {path}")
    assert said.code == 1
    assert said.errors == f"it is another image now, after {line.ranges[0]} octets\n"
    assert IMAGE.startswith(said.out)


async def test_session_that_is_over_ends_the_receiver_too(stand: Stand) -> None:
    path = stand.start()
    async with breaking(stand.site.port, 1_000_000, then=partial(stand.transport.stop, "s1")) as (port, line):
        said = await stand.shell(port).run(f"fetch_image {path}")
    assert said.code == 1
    assert said.errors == f"bootd does not send it any more, after {line.ranges[0]} octets\n"


async def test_session_that_is_about_to_be_there_again_is_waited_for(stand: Stand) -> None:
    path = stand.start()
    stand.transport.stop("s1")
    stand.desk.path = path
    async with breaking(stand.site.port, then=partial(stand.start_anew, IMAGE)) as (port, _):
        said = await stand.shell(port).run(f"fetch_image {path}")
    assert (said.code, said.errors, said.out) == (0, "", IMAGE)


async def test_receiver_whose_disk_failed_fetches_no_more(stand: Stand) -> None:
    path = stand.start()
    async with breaking(stand.site.port) as (port, line):
        said = await stand.shell(port).run(f"fetch_image {path} | head -c 1000; exit 3")
    assert (said.code, said.errors) == (3, "what was fetched was not taken\n")
    assert (said.out, len(line.asked)) == (IMAGE[:1000], 1)
