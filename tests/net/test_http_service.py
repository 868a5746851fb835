"""Reports, health, the admin's questions and bad input over real sockets."""

import asyncio
import json
import logging
import random
import resource
import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlencode

import pytest

import bootd
from bootd.events import InternalError, NodeReported, NodeReportRefused, PacketDropped
from bootd.http import app as http_app
from bootd.http.admin import AdminParts, make_admin_app
from bootd.http.app import serve, serve_unix
from bootd.http.parts import Transfers, transfers_that_fit
from tests.helpers.web import MAC, NOON, Site, a_host, a_snapshot, ask, raw, running, split_reply

REPORT = "/node/v1/report"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def a_site(**changes):
    return Site(a_snapshot(a_host()), **changes)


async def report(site, **fields):
    return await ask(site.port, REPORT, method="POST", headers=FORM, body=urlencode(fields).encode())


def code_of(reply):
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    return json.loads(reply.body)["error"]["code"]


async def test_a_node_reports_with_the_token_of_its_script():
    async with running(a_site()) as site:
        script = await ask(site.port, "/boot/525400abcd01.ipxe")
        token = script.body.partition(b"bootd.token=")[2].split(maxsplit=1)[0].decode()
        reply = await report(site, token=token, state="running", detail="up in 3 s")
    assert (reply.status, reply.body) == (200, b"noted\n")
    assert site.of_kind(NodeReported) == [
        NodeReported(
            mac=MAC, host="node1", state="running", detail="up in 3 s", given_at=int(NOON.timestamp())
        )
    ]


@pytest.mark.parametrize("state", ["starting", "running", "failed"])
async def test_a_machine_known_by_its_address_needs_no_token(state):
    site = a_site(arp={"127.0.0.1": MAC})
    async with running(site):
        reply = await report(site, state=state, detail="6.1\x1b")
    assert (reply.status, reply.body) == (200, b"noted\n")
    assert site.of_kind(NodeReported) == [NodeReported(mac=MAC, host="node1", state=state, detail="6.1 ")]


async def test_a_machine_behind_a_router_is_known_by_its_address_in_the_host_table():
    """As it is for its script: without that, no root node there could ever say that it runs."""
    site = Site(a_snapshot(replace(a_host(), ip="127.0.0.1")))
    async with running(site):
        assert (await report(site, state="running")).status == 200
    assert site.of_kind(NodeReported) == [NodeReported(mac=MAC, host="node1", state="running")]


@pytest.mark.parametrize(
    ("address", "arp", "fields"),
    [
        ("10.9.0.1", {}, {"state": "running"}),  # another's
        ("127.0.0.1", {"127.0.0.1": "52:54:00:ab:cd:77"}, {"state": "running"}),  # ARP knows better
        ("127.0.0.1", {}, {"state": "verified", "detail": "sha256:1"}),
        ("127.0.0.1", {}, {"state": "running", "token": ""}),
    ],
)
async def test_an_address_in_the_host_table_is_worth_no_more_than_arp_is(address, arp, fields):
    site = Site(a_snapshot(replace(a_host(), ip=address)), arp=arp)
    async with running(site):
        assert (await report(site, **fields)).status == 403
    assert site.of_kind(NodeReported) == []


@pytest.mark.parametrize(
    ("mac", "fields"),
    [
        (MAC, {"state": "verified", "detail": "sha256:1"}),  # what workers believe needs a token
        (MAC, {"state": "joined"}),
        (MAC, {"state": "running", "token": ""}),  # one that lost its token is no image on disk
        (MAC, {"state": "running", "token": "x" * 48}),
        ("52:54:00:ab:cd:77", {"state": "running"}),  # not in the host table
        ("", {"state": "running"}),  # nobody knows the address
    ],
)
async def test_without_a_token_anything_else_is_refused(mac, fields):
    site = a_site(arp={"127.0.0.1": mac} if mac else {})
    async with running(site):
        reply = await report(site, **fields)
    assert reply.status == 403
    assert site.of_kind(NodeReported) == []
    assert len(site.of_kind(NodeReportRefused)) == 1


async def test_address_that_only_a_dhcp_packet_spoke_of_is_not_believed():
    """Anybody can send one in another's name; the kernel's ARP table is another matter."""
    site = a_site(arp={"127.0.0.1": "52:54:00:ab:cd:77"})
    site.clients.heard_address(MAC, "127.0.0.1")
    async with running(site):
        assert (await report(site, state="running")).status == 403
    assert site.of_kind(NodeReported) == []


async def test_running_uses_the_token_up_other_states_do_not():
    async with running(a_site()) as site:
        token = site.parts.tokens.mint(MAC, 7, NOON)
        states = ["starting", "starting", "running", "running", "failed"]
        replies = [await report(site, token=token, state=state) for state in states]
    assert [reply.status for reply in replies] == [200, 200, 200, 409, 409]
    assert code_of(replies[-1]) == "token-used"
    assert [event.override for event in site.of_kind(NodeReported)] == [7, 7, 7]


@pytest.mark.parametrize(
    ("token", "reason"), [("", "token-malformed"), ("x" * 48, "token-forged"), ("é" * 10, "token-malformed")]
)
async def test_a_token_that_is_not_ours_is_refused_and_counted(token, reason):
    async with running(a_site()) as site:
        reply = await report(site, token=token, state="running")
    assert (reply.status, code_of(reply)) == (403, reason)
    assert site.of_kind(NodeReportRefused) == [NodeReportRefused(client="127.0.0.1", why=reason)]


async def test_an_old_token_is_refused():
    async with running(a_site()) as site:
        token = site.parts.tokens.mint(MAC, None, NOON - timedelta(days=1))
        reply = await report(site, token=token, state="running")
    assert (reply.status, code_of(reply)) == (403, "token-expired")


@pytest.mark.parametrize("state", ["", "Running", "two words", "x" * 40, "a\nb"])
async def test_a_state_is_a_word(state):
    async with running(a_site()) as site:
        reply = await report(site, token=site.parts.tokens.mint(MAC, None, NOON), state=state)
    assert (reply.status, code_of(reply)) == (400, "bad-state")
    assert site.of_kind(NodeReported) == []


async def test_a_detail_is_kept_short_and_printable():
    async with running(a_site()) as site:
        token = site.parts.tokens.mint(MAC, None, NOON)
        await report(site, token=token, state="failed", detail="a\x1b[2J\n" + "b" * 500)
    [event] = site.of_kind(NodeReported)
    assert event.detail.startswith("a [2J bbb")
    assert len(event.detail) == 200


async def test_a_huge_form_is_refused():
    async with running(a_site()) as site:
        reply = await report(site, token="x" * 100_000, state="running")
    assert reply.status == 413


@pytest.mark.parametrize("target", [REPORT, "/boot/ipxe", "/boot/525400abcd01.ipxe"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=a", b"no boundary"),
        ("multipart/form-data", b"--a\r\n"),
        ("multipart/form-data; boundary=a", b"--a\r\nContent-Transfer-Encoding: nope\r\n\r\nx\r\n--a--\r\n"),
        ("application/x-www-form-urlencoded; charset=nope", b"state=running"),
        ("application/x-www-form-urlencoded", b"\xff=running"),
    ],
)
async def test_a_body_that_is_no_form_is_refused_and_counted(target, kind, body):
    async with running(a_site()) as site:
        reply = await ask(site.port, target, method="POST", headers={"Content-Type": kind}, body=body)
    assert (reply.status, code_of(reply)) == (400, "bad-form")
    assert site.events == [PacketDropped(protocol="http", why="bad-form", source="127.0.0.1")]


async def test_healthz_says_ok_whatever_is_wrong():
    site = a_site()
    site.problems.found("tftp", "port 69 is taken by dnsmasq (pid 7)")
    async with running(site):
        reply = await ask(site.port, "/healthz")
    assert (reply.status, reply.body) == (200, b"ok\n")


async def test_readyz_lists_what_is_wrong_until_it_is_mended():
    async with running(a_site()) as site:
        fine = await ask(site.port, "/readyz")
        site.problems.found("tftp", "port 69 is taken by dnsmasq (pid 7)")
        wrong = await ask(site.port, "/readyz")
    assert (fine.status, json.loads(fine.body)) == (200, {"ready": True, "problems": {}})
    assert wrong.status == 503
    assert json.loads(wrong.body) == {
        "ready": False,
        "problems": {"tftp": "port 69 is taken by dnsmasq (pid 7)"},
    }


async def test_a_bug_is_an_event_for_us_and_one_sentence_for_the_client(caplog):
    site = a_site()

    def broken(name):
        raise ZeroDivisionError("secret detail")

    object.__setattr__(site.parts, "lookup", broken)
    with caplog.at_level(logging.DEBUG):
        async with running(site):
            reply = await ask(site.port, "/files/x")
            after = await ask(site.port, "/healthz")
    assert (reply.status, code_of(reply)) == (500, "internal")
    assert b"secret detail" not in reply.body
    assert [event.where for event in site.of_kind(InternalError)] == ["http GET /files/x"]
    assert after.status == 200
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_dropped_and_counted_without_a_traceback(octets, caplog):
    with caplog.at_level(logging.DEBUG):
        async with running(a_site()) as site:
            answer = await raw(site.port, octets)
            after = await ask(site.port, "/healthz")
    assert split_reply(answer).status == 400
    assert b"Traceback" not in answer
    assert site.of_kind(PacketDropped) == [
        PacketDropped(protocol="http", why="bad-request", source="127.0.0.1")
    ]
    assert after.status == 200
    assert caplog.text == ""


@pytest.mark.parametrize(
    "octets", [b"", b"GET / HT", b"POST /boot/ipxe HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na"]
)
async def test_a_client_that_never_ends_its_request_is_dropped(octets, monkeypatch):
    monkeypatch.setattr(http_app, "KEEP_ALIVE_S", 0.2)
    monkeypatch.setattr(http_app, "BODY_S", 0.2)
    async with running(a_site()) as site:
        answer = await raw(site.port, octets)
    assert answer == b"" or split_reply(answer).status == 408
    assert site.of_kind(InternalError) == []


async def test_no_request_target_leads_to_an_error_of_ours():
    """Four hundred addresses of the characters that parsers stumble over, on one server."""
    chance = random.Random(11)
    pieces = [
        "/",
        "//",
        "boot",
        "files",
        ".ipxe",
        "%",
        "%00",
        "%2f",
        "%ff",
        "..",
        "?",
        "&",
        "=",
        "a=",
        "mac=",
    ]
    pieces += ["#", "\\", "@", ":", "[", "]", "http://x", "*", "\xe9", "{", "}", "525400abcd01", "+", ";"]
    async with running(a_site()) as site:
        statuses = set()
        for _ in range(400):
            target = chance.choice(["/", "/boot/", "/files/", ""]) + "".join(chance.choices(pieces, k=6))
            method = chance.choice(["GET", "HEAD", "POST"])
            statuses.add((await ask(site.port, target, method=method)).status)
    assert site.of_kind(InternalError) == []
    assert statuses <= {200, 400, 404, 405}
    assert {200, 400, 404} & statuses


@pytest.mark.parametrize(("soft", "fit"), [(100, 16), (300, 50), (1024, 412), (65536, 4000)])
def test_transfers_leave_room_among_the_open_files(soft, fit, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft, 1 << 20))
    assert transfers_that_fit() == fit


async def test_connections_beyond_the_bound_are_ended_and_counted(monkeypatch):
    monkeypatch.setattr(http_app, "connections_that_fit", lambda: 1)
    async with running(a_site()) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"ok\n")  # answered, so it is counted
        assert await raw(site.port, b"") == b""
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(30):  # until the server has noticed
            while not await raw(site.port, b"GET /healthz HTTP/1.0\r\n\r\n"):
                pass
    assert set(site.events) == {
        PacketDropped(protocol="http", why="too-many-connections", source="127.0.0.1")
    }


async def test_other_methods_are_refused():
    async with running(a_site()) as site:
        replies = [
            await ask(site.port, path, method="PUT") for path in ("/files/x", "/boot/ipxe", "/healthz")
        ]
    assert [reply.status for reply in replies] == [405, 405, 405]


def admin_parts(events, refreshed=None):
    async def refresh():
        (refreshed if refreshed is not None else []).append("again")

    site = a_site()
    site.problems.found("template:ipxe/memory.j2", "line 2")
    return AdminParts(
        emit=events.append,
        problems=site.problems,
        started_at=NOON,
        interfaces=lambda: [{"name": "eth1", "address": "10.0.0.2"}],
        counts=lambda: {"http.script_sent": {"": 3}},
        generation=lambda: 42,
        transfers=Transfers(finished=2, octets=99),
        refresh=refresh,
    )


@asynccontextmanager
async def admin_on_tcp(token):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        runner = await serve(make_admin_app(admin_parts([]), token=token), [sock], [].append)
        try:
            yield sock.getsockname()[1]
        finally:
            await runner.cleanup()


async def test_status_answers_on_a_unix_socket(tmp_path):
    path = str(tmp_path / "admin.sock")
    runner = await serve_unix(make_admin_app(admin_parts([])), path, [].append)
    try:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET /api/v1/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        reply = split_reply(await reader.read())
        writer.close()
    finally:
        await runner.cleanup()
    body = json.loads(reply.body)
    assert body.pop("pid") > 0
    assert body == {
        "version": bootd.__version__,
        "started_at": "2026-01-05T12:00:00+00:00",
        "interfaces": [{"name": "eth1", "address": "10.0.0.2"}],
        "snapshot": {"generation": 42},
        "counts": {"http.script_sent": {"": 3}},
        "problems": {"template:ipxe/memory.j2": "line 2"},
        "transfers": {"running": 0, "finished": 2, "octets": 99},
    }


@pytest.mark.parametrize(
    "given", [None, "Bearer wrong", "Bearer ", "Basic dG9r", "bearer tok", "Bearer t\xf6k"]
)
async def test_a_listener_with_a_token_answers_nobody_without_it(given):
    async with admin_on_tcp("tok") as port:
        headers = {} if given is None else {"Authorization": given}
        reply = await ask(port, "/api/v1/status", headers=headers)
    assert (reply.status, code_of(reply)) == (401, "not-authorized")
    assert reply.headers["www-authenticate"] == "Bearer"


async def test_the_right_token_opens_the_listener():
    async with admin_on_tcp("tok") as port:
        reply = await ask(port, "/api/v1/status", headers={"Authorization": "Bearer tok"})
    assert reply.status == 200


async def test_errors_of_the_admin_api_have_one_shape():
    async with admin_on_tcp(None) as port:
        replies = [
            await ask(port, "/api/v1/nothing"),
            await ask(port, "/api/v1/status", method="DELETE"),
        ]
    assert [(reply.status, code_of(reply)) for reply in replies] == [
        (404, "no-such-route"),
        (405, "wrong-method"),
    ]


async def test_a_refresh_is_carried_out_before_it_is_answered():
    refreshed = []
    app = make_admin_app(admin_parts([], refreshed))
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        runner = await serve(app, [sock], [].append)
        reply = await ask(sock.getsockname()[1], "/api/v1/refresh", method="POST")
        await runner.cleanup()
    assert (reply.status, refreshed) == (200, ["again"])
    assert json.loads(reply.body)["generation"] == 42
