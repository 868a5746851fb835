"""Files over real sockets: rows H04–H07, H17 and H18 of the HTTP checklist."""

import asyncio
import hashlib
import os
import random
import socket
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from bootd.boot.attempt import Attempt, Attempts
from bootd.boot.files import Refused
from bootd.events import FileSent, InternalError, ProblemCleared, ProblemFound
from bootd.http import files as http_files
from bootd.http.parts import Transfers
from tests.helpers.web import MAC, SECRET, Site, a_host, a_snapshot, ask, running

NAME = "memory/rescue/0123456789abcdef/vmlinuz"
DATA = bytes(range(256)) * 40  # 10240 octets


@pytest.fixture
def site(tmp_path):
    site = Site(a_snapshot(a_host()))
    (tmp_path / "vmlinuz").write_bytes(DATA)
    for name in (NAME, "undionly.kpxe"):
        site.serve_file(name, tmp_path / "vmlinuz")
    return site


async def get(site, *, name=NAME, **headers):
    fields = {key.replace("_", "-"): value for key, value in headers.items()}
    return await ask(site.port, f"/files/{name}", headers=fields)


async def test_a_file_goes_out_whole_and_that_is_said(site):
    async with running(site):
        reply = await get(site)
    assert (reply.status, reply.body) == (200, DATA)
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["content-length"] == str(len(DATA))
    [sent] = site.of_kind(FileSent)
    assert sent == FileSent(
        client="127.0.0.1", path=NAME, octets=len(DATA), seconds=sent.seconds, complete=True
    )


async def test_head_gives_the_length_and_is_no_transfer(site):
    async with running(site):
        head = await ask(site.port, f"/files/{NAME}", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(DATA))
    assert site.of_kind(FileSent) == []


async def test_http_1_0_gets_a_file_with_its_length(site):
    async with running(site):
        reply = await ask(site.port, f"/files/{NAME}", version="1.0")
    assert (reply.status, reply.body) == (200, DATA)
    assert "transfer-encoding" not in reply.headers


@pytest.mark.parametrize(
    ("asked", "said", "part"),
    [
        pytest.param("bytes=512-1023", "bytes 512-1023/10240", DATA[512:1024], id="middle"),
        pytest.param("bytes=10000-", "bytes 10000-10239/10240", DATA[10000:], id="to-the-end"),
        pytest.param("bytes=-240", "bytes 10000-10239/10240", DATA[-240:], id="last"),
        pytest.param("bytes=10200-99999", "bytes 10200-10239/10240", DATA[10200:], id="past-the-end"),
        pytest.param("bytes=0-", "bytes 0-10239/10240", DATA, id="all"),
    ],
)
async def test_a_range_is_answered_with_that_part(site, asked, said, part):
    async with running(site):
        reply = await get(site, Range=asked)
    assert (reply.status, reply.body) == (206, part)
    assert reply.headers["content-range"] == said
    assert [sent.complete for sent in site.of_kind(FileSent)] == [part == DATA]


async def test_a_range_behind_the_end_is_416_with_the_size(site):
    async with running(site):
        reply = await get(site, Range="bytes=10240-")
    assert (reply.status, reply.body) == (416, b"")
    assert reply.headers["content-range"] == "bytes */10240"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=1-2", "bytes=5-2", "bytes=-", "junk"])
async def test_a_range_we_do_not_serve_gets_the_whole_file(site, asked):
    async with running(site):
        reply = await get(site, Range=asked)
    assert (reply.status, reply.body) == (200, DATA)


async def test_a_download_goes_on_while_the_file_is_the_same(site):
    async with running(site):
        first = await get(site)
        by_tag = await get(site, Range="bytes=100-", If_Range=first.headers["etag"])
        by_date = await get(site, Range="bytes=100-", If_Range=first.headers["last-modified"])
    assert (by_tag.status, by_tag.body) == (206, DATA[100:])
    assert by_date.status == 206


async def test_a_download_starts_over_once_the_file_is_another(site):
    async with running(site):
        first = await get(site)
        Path(site.entries[NAME].path).write_bytes(b"new" * 5000)
        os.utime(site.entries[NAME].path, (2_000_000_000, 2_000_000_000))
        by_tag = await get(site, Range="bytes=100-", If_Range=first.headers["etag"])
        by_date = await get(site, Range="bytes=100-", If_Range=first.headers["last-modified"])
    assert (by_tag.status, by_tag.body) == (200, b"new" * 5000)
    assert (by_date.status, by_date.body) == (200, b"new" * 5000)


async def test_a_file_the_client_has_is_not_sent_again(site):
    async with running(site):
        first = await get(site)
        by_tag = await get(site, If_None_Match=f'"other", {first.headers["etag"]}')
        by_date = await get(site, If_Modified_Since=first.headers["last-modified"])
        must_be_other = await get(site, If_Match='"other"')
    assert [(r.status, r.body) for r in (by_tag, by_date, must_be_other)] == [
        (304, b""),
        (304, b""),
        (412, b""),
    ]
    assert by_tag.headers["etag"] == first.headers["etag"]


async def test_names_with_a_hash_in_them_may_be_kept_for_ever_others_not(site):
    async with running(site):
        addressed, plain = await get(site), await get(site, name="undionly.kpxe")
    assert addressed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert plain.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("snponly.efi", "application/efi"),
        ("SHIM.EFI", "application/efi"),
        ("debian.iso", "application/vnd.efi-iso"),
        ("disk.img", "application/vnd.efi-img"),
        ("initrd.gz", "application/octet-stream"),
    ],
)
async def test_the_media_type_is_what_uefi_http_boot_wants(site, name, content_type):
    site.entries[name] = site.entries[NAME]
    async with running(site):
        reply = await get(site, name=name)
    assert reply.headers["content-type"] == content_type
    assert "content-encoding" not in reply.headers


async def test_a_compressed_twin_beside_a_file_is_not_sent_for_it(site, tmp_path):
    (tmp_path / "vmlinuz.gz").write_bytes(b"not this one")
    async with running(site):
        reply = await get(site, Accept_Encoding="gzip, br")
    assert reply.body == DATA


@pytest.mark.parametrize(
    "target",
    [
        "/files/../secret",
        "/files/..%2fsecret",
        "/files/%2e%2e/secret",
        "/files/%2e%2e%2fsecret",
        "/files/..%5csecret",
        "/files/....//secret",
        "/files//etc/passwd",
        "/files/%2fetc/passwd",
        "/files/memory/../../secret",
        "/files/secret%00.efi",
        "/files/%",
        "/files/%zz",
        "/files/%c0%ae%c0%ae/secret",
        "/files/",
        "/files",
        "//files/secret",
        "/files/secret",
    ],
)
async def test_no_form_of_a_path_leads_outside_the_table(site, tmp_path, target):
    (tmp_path / "secret").write_text("secret")
    async with running(site):
        reply = await ask(site.port, target)
    assert reply.status in (400, 404)
    assert reply.body != b"secret"
    assert site.of_kind(InternalError) == []


async def test_a_name_that_is_refused_says_why(site):
    site.entries["link"] = Refused("outside-root")
    async with running(site):
        reply = await get(site, name="link")
    assert (reply.status, reply.body) == (404, b"not served: outside-root\n")


async def test_a_file_that_vanished_is_404_and_a_problem_until_it_is_back(site, tmp_path):
    topic = f"file:{NAME}"
    async with running(site):
        (tmp_path / "vmlinuz").rename(tmp_path / "away")
        gone = await get(site)
        found = dict(site.problems.all())
        (tmp_path / "away").rename(tmp_path / "vmlinuz")
        back = await get(site)
    assert (gone.status, back.status) == (404, 200)
    assert "No such file" in found[topic]
    assert site.problems.all() == {}
    assert [type(event) for event in site.events[:2]] == [ProblemFound, ProblemCleared]


async def test_a_fetch_names_its_boot_attempt_if_we_wrote_it(site):
    good = Attempts(SECRET).format(Attempt(MAC, 7))
    forged = good[:-1] + ("0" if good[-1] != "0" else "1")
    async with running(site):
        await get(site, name=f"{NAME}?a={good}")
        await get(site, name=f"{NAME}?a={forged}")
    known, unknown = site.of_kind(FileSent)
    assert (known.mac, known.host, known.attempt) == (MAC, "node1", good)
    assert (unknown.mac, unknown.host, unknown.attempt) == ("", "", "")


async def test_a_fetch_without_an_attempt_is_put_down_to_the_address(site):
    site.clients.heard_address(MAC, "127.0.0.1")
    async with running(site):
        await get(site)
    assert [(sent.mac, sent.host) for sent in site.of_kind(FileSent)] == [(MAC, "node1")]


async def test_a_client_that_leaves_half_way_has_not_fetched_the_file(site, tmp_path):
    (tmp_path / "big").write_bytes(bytes(32 * 1024 * 1024))
    site.serve_file("big", tmp_path / "big")
    async with running(site):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"GET /files/big HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readexactly(1000)
        writer.transport.abort()
        await until(lambda: site.of_kind(FileSent))
    [sent] = site.of_kind(FileSent)
    assert not sent.complete
    assert sent.octets < 32 * 1024 * 1024
    assert site.of_kind(InternalError) == []


async def test_a_client_that_asks_and_leaves_at_once_is_no_error_of_ours(site):
    async with running(site):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", site.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST
                client.sendall(f"GET /files/{NAME} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            await asyncio.sleep(0)
        assert (await get(site)).status == 200
    assert site.of_kind(InternalError) == []


async def test_a_file_cut_short_while_it_goes_out_ends_the_connection(site, tmp_path):
    (tmp_path / "big").write_bytes(bytes(32 * 1024 * 1024))
    site.serve_file("big", tmp_path / "big")
    async with running(site):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
        writer.write(b"GET /files/big HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readexactly(1000)
        os.truncate(tmp_path / "big", 1024 * 1024)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(32 * 1024 * 1024)
        writer.close()
        await until(lambda: site.of_kind(FileSent))
    assert [sent.complete for sent in site.of_kind(FileSent)] == [False]


async def test_a_client_that_takes_nothing_is_dropped(site, tmp_path, monkeypatch):
    monkeypatch.setattr(http_files, "STALL_S", 0.2)
    (tmp_path / "big").write_bytes(bytes(64 * 1024 * 1024))
    site.serve_file("big", tmp_path / "big")
    async with running(site):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
        writer.write(b"GET /files/big HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readexactly(1000)
        await until(lambda: site.of_kind(FileSent))
        writer.close()
    assert [sent.complete for sent in site.of_kind(FileSent)] == [False]
    assert site.parts.transfers.running == 0


async def test_too_many_transfers_are_asked_to_come_back(site):
    site.parts = replace(site.parts, transfers=Transfers(limit=0))
    async with running(site):
        reply = await get(site)
    assert reply.status == 503
    assert reply.headers["retry-after"].isdigit()


async def test_an_empty_file_is_sent_whole(site, tmp_path):
    (tmp_path / "empty").touch()
    site.serve_file("empty", tmp_path / "empty")
    async with running(site):
        reply = await get(site, name="empty")
        part = await get(site, name="empty", Range="bytes=0-")
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "0")
    assert part.status == 416
    assert [sent.complete for sent in site.of_kind(FileSent)] == [True]


async def test_parts_fetched_beside_each_other_make_the_same_file(site, tmp_path):
    data = random.Random(7).randbytes(64 * 1024 * 1024)
    (tmp_path / "image").write_bytes(data)
    site.serve_file("image", tmp_path / "image")
    step = 5_000_011
    async with running(site):
        starts = range(0, len(data), step)
        parts = await asyncio.gather(
            *(get(site, name="image", Range=f"bytes={start}-{start + step - 1}") for start in starts)
        )
    whole = b"".join(part.body for part in parts)
    assert {part.status for part in parts} == {206}
    assert hashlib.sha256(whole).digest() == hashlib.sha256(data).digest()
    assert site.parts.transfers.octets == len(data)


async def test_another_connection_is_answered_while_an_image_goes_out(site, tmp_path):
    (tmp_path / "image").write_bytes(bytes(64 * 1024 * 1024))
    site.serve_file("image", tmp_path / "image")
    async with running(site):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"GET /files/image HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await reader.readexactly(1000)
        health = await ask(site.port, "/healthz")
        still_going = site.parts.transfers.running
        while await reader.read(1 << 20):
            pass
        writer.close()
    assert (health.status, still_going) == (200, 1)
    assert [sent.complete for sent in site.of_kind(FileSent)] == [True]


async def until(said):
    """Let the server run until *said*; the limit is for a server that never says it."""
    async with asyncio.timeout(30):
        while not said():
            await asyncio.sleep(0.01)
