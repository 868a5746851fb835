"""A node sends its slot over a real connection: each piece once, by itself, while its job is open."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootd.darkstore.captured import PIECE
from bootd.events import NodeReportRefused, SlotCaptured
from bootd.http.capture import ROUTE
from bootd.model import Job
from bootd.services import jobs
from bootd.services.capturing import ROUND
from bootd.services.jobs import CALLED_AT
from tests.helpers.capturenode import OTHER_MAC, Node
from tests.helpers.capturing import TWO_PIECES, a_form, pieces_of
from tests.helpers.web import MAC, NOON, Site, a_host, a_snapshot, ask, raw, running


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(tmp_path)
    yield made
    await made.aclose()


# -- as it should go ----------------------------------------------------------------------------


async def test_pieces_and_their_end_are_taken(node: Node) -> None:
    async with running(node.site):
        for piece, content in pieces_of(TWO_PIECES):
            told = await node.post(piece.number, content, read=str(piece.read), used=str(piece.used))
            assert told == (200, f"next {piece.number + 1}\n")
        assert (node.state.read, node.state.used) == (len(TWO_PIECES), len(TWO_PIECES))
        assert await node.end(a_form(TWO_PIECES)) == (200, "kept\n")
    assert (node.upload.folder / "volumes" / "aa").read_bytes() == TWO_PIECES
    assert node.state.end is not None
    assert node.state.end["table"] == a_form()["table"]
    [event] = node.site.of_kind(SlotCaptured)
    assert (event.host, event.job, event.received) == ("node1", 1, len(TWO_PIECES))


async def test_piece_whose_answer_was_lost_is_sent_again_and_counts_once(node: Node) -> None:
    [(_, first), (_, second)] = pieces_of(TWO_PIECES)
    async with running(node.site):
        for number, content, following in ((0, first, 1), (0, first, 1), (1, second, 2), (1, second, 2)):
            assert await node.post(number, content) == (200, f"next {following}\n")
    assert node.state.octets == len(TWO_PIECES)


async def test_daemon_killed_between_two_pieces_goes_on_where_it_was(node: Node) -> None:
    [(_, first), (_, second)] = pieces_of(TWO_PIECES)
    async with running(node.site):
        await node.post(0, first)
    await node.aclose()
    with (node.upload.folder / "volumes" / "aa").open("ab") as file:
        file.write(b"half of the next")
    node.new_site()
    async with running(node.site):
        assert await node.post(0, first) == (200, "next 1\n")
        assert await node.post(1, second) == (200, "next 2\n")
        assert (await node.end(a_form(TWO_PIECES)))[0] == 200
    assert (node.upload.folder / "volumes" / "aa").read_bytes() == TWO_PIECES


async def test_piece_that_was_cut_off_does_not_count(node: Node) -> None:
    content = b"x" * 5000
    query = f"job=1&round=1&piece=0&sha256={hashlib.sha256(content).hexdigest()}"
    head = f"POST {ROUTE}?{query} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer {node.token()}\r\n"
    async with running(node.site) as site:
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(f"{head}Content-Length: 5000\r\n\r\n".encode() + content[:2000])
        await writer.drain()
        async with asyncio.timeout(30):
            while not list(node.upload.folder.glob("coming-*")):
                await asyncio.sleep(0.01)
            writer.close()
            while list(node.upload.folder.glob("coming-*")):
                await asyncio.sleep(0.01)
        assert node.state.pieces == 0
        assert await node.post(0, content) == (200, "next 1\n")


# -- who may not --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "status", "why"),
    [("", 403, "token-malformed"), ("A" * 48, 403, "token-forged")],
    ids=["none", "forged"],
)
async def test_nobody_sends_without_a_token_of_ours(node: Node, token: str, status: int, why: str) -> None:
    async with running(node.site):
        got, text = await node.post(0, b"octets", token=token)
    assert got == status
    assert why in text
    assert [event.why for event in node.site.of_kind(NodeReportRefused)] == [why]
    assert node.state.pieces == 0


async def test_another_machine_s_token_is_not_for_this_job(node: Node) -> None:
    async with running(node.site):
        got, text = await node.post(0, b"octets", token=node.token(OTHER_MAC))
    assert (got, node.state.pieces) == (410, 0)
    assert "not-wanted" in text


async def test_another_machine_on_the_link_with_our_token_is_found_out(tmp_path: Path) -> None:
    node = Node(tmp_path, arp={"127.0.0.1": OTHER_MAC})
    async with running(node.site):
        got, text = await node.post(0, b"octets", token=node.token(MAC))
    await node.aclose()
    assert (got, node.state.pieces) == (403, 0)
    assert "token-other-machine" in text


@pytest.mark.parametrize(
    ("change", "query"),
    [
        ({"state": "cancelled"}, {}),
        ({"step": "keep"}, {}),
        ({"facts": {jobs.SLOT: 7, ROUND: 1, CALLED_AT: NOON.isoformat(), jobs.CANCEL: "anna"}}, {}),
        ({}, {"round": "2"}),
        ({}, {"job": "2"}),
    ],
    ids=["over", "further", "taken-back", "another-round", "another-job"],
)
async def test_nothing_is_taken_that_no_job_waits_for(
    node: Node, change: dict[str, Any], query: dict[str, str]
) -> None:
    with node.store() as store, store.transaction("anna", "test") as transaction:
        job = transaction.find(Job, 1)
        assert job is not None
        transaction.keep(replace(job, **change))
    async with running(node.site):
        got, _ = await node.post(0, b"octets", **query)
        ended, _ = await node.end(a_form(b"octets"), **query)
    assert (got, ended, node.state.pieces) == (410, 410, 0)


async def test_nothing_is_taken_where_nothing_is_captured() -> None:
    site = Site(a_snapshot(a_host()))
    async with running(site):
        head = {"Authorization": f"Bearer {site.parts.tokens.mint(MAC, None, NOON)}"}
        path = f"{ROUTE}?job=1&round=1&piece=0&sha256={'0' * 64}"
        reply = await ask(site.port, path, method="POST", headers=head, body=b"octets")
    assert reply.status == 410


# -- what is not taken --------------------------------------------------------------------------


async def test_piece_that_changed_on_its_way_is_asked_for_again(node: Node) -> None:
    content = b"octets" * 100
    async with running(node.site):
        got, text = await node.post(0, content[:-1] + b"!", sha256=hashlib.sha256(content).hexdigest())
        assert got == 422
        assert "bad-digest" in text
        assert await node.post(0, content) == (200, "next 1\n")
    assert node.refusals() == ["bad-digest"]


async def test_piece_that_says_it_is_too_large_is_refused_before_it_comes(node: Node) -> None:
    head = f"POST {ROUTE}?job=1&round=1&piece=0&sha256={'0' * 64} HTTP/1.1\r\nHost: s\r\n"
    head += f"Authorization: Bearer {node.token()}\r\nContent-Length: {PIECE + 1}\r\n\r\n"
    async with running(node.site) as site:
        answer = await raw(site.port, head.encode())
    assert b" 400 " in answer
    assert b"too-large" in answer
    assert node.state.pieces == 0


async def test_piece_that_does_not_say_its_length_is_refused(node: Node) -> None:
    head = f"POST {ROUTE}?job=1&round=1&piece=0&sha256={'0' * 64} HTTP/1.1\r\nHost: s\r\n"
    head += f"Authorization: Bearer {node.token()}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    async with running(node.site) as site:
        answer = await raw(site.port, head.encode() + b"6\r\noctets\r\n0\r\n\r\n")
    assert b" 411 " in answer
    assert node.state.pieces == 0


async def test_gap_is_refused(node: Node) -> None:
    async with running(node.site):
        got, text = await node.post(1, b"octets")
    assert got == 409
    assert "piece 0 is the next" in text


async def test_another_stream_under_the_same_number_is_refused(node: Node) -> None:
    async with running(node.site):
        await node.post(0, b"octets")
        got, text = await node.post(0, b"others")
    assert got == 409
    assert "other-content" in text


@pytest.mark.parametrize(
    "query",
    [{"job": "../../x"}, {"piece": "-1"}, {"piece": "9" * 30}, {"sha256": "x" * 64}, {"round": ""}],
    ids=str,
)
async def test_query_that_is_none_is_refused(node: Node, query: dict[str, str]) -> None:
    async with running(node.site):
        got, text = await node.post(0, b"octets", **query)
    assert got == 400
    assert "bad-piece" in text
    assert node.state.pieces == 0


@pytest.mark.parametrize(
    "changes",
    [{"table": "nonsense"}, {"name": "../../etc"}, {"octets": "many"}, {"filesystem": "../x"}],
    ids=str,
)
async def test_description_that_is_none_is_refused(node: Node, changes: dict[str, str]) -> None:
    async with running(node.site):
        await node.post(0, b"octets")
        got, text = await node.end(a_form(b"octets"), **changes)
    assert got == 422
    assert "bad-description" in text
    assert node.state.end is None


async def test_end_before_the_last_piece_is_refused(node: Node) -> None:
    async with running(node.site):
        await node.post(0, next(pieces_of(TWO_PIECES))[1])
        got, text = await node.end(a_form(TWO_PIECES))
    assert got == 409
    assert "1 with 16777216 came" in text


async def test_dark_store_that_is_gone_is_said(node: Node) -> None:
    (node.upload.folder / "volumes").rename(node.folder / "elsewhere")
    async with running(node.site):
        got, text = await node.post(0, b"octets")
    assert got == 503
    assert "dark-store-away" in text
