"""Boot scripts over real sockets, rows H01–H04 and H08–H16 of the HTTP checklist."""

import asyncio
import re
import socket
import subprocess
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from bootd.boot.render import Renderer
from bootd.events import ScriptRefused, ScriptSent
from bootd.http.app import make_app, serve
from netboot.arch import BY_NAME
from netboot.hwaddr import swap_guid
from tests.helpers.web import MAC, RESCUE, UUID, Site, a_host, a_snapshot, ask, raw, running, split_reply

SCRIPT = "/boot/52-54-00-ab-cd-01.ipxe"


def a_site(**changes):
    return Site(a_snapshot(a_host()), **changes)


async def test_a_known_machine_gets_a_script_that_starts_with_the_magic():
    async with running(a_site()) as site:
        reply = await ask(site.port, SCRIPT)
    assert reply.status == 200
    assert reply.body.startswith(b"#!ipxe\n")
    assert b"\r" not in reply.body
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["content-length"] == str(len(reply.body))
    assert reply.headers["cache-control"] == "no-store"


async def test_what_was_sent_is_said_with_the_machine_and_the_rule():
    async with running(a_site()) as site:
        reply = await ask(site.port, SCRIPT)
    assert site.of_kind(ScriptSent) == [
        ScriptSent(
            mac=MAC,
            host="node1",
            client="127.0.0.1",
            dialect="ipxe",
            rule="assigned",
            answer="memory:rescue",
            octets=len(reply.body),
        )
    ]


@pytest.mark.parametrize("target", [SCRIPT, "/nothing", "/boot/525400ffffff.ipxe", "/healthz"])
async def test_a_status_line_has_a_blank_after_its_code(target):
    async with running(a_site()) as site:
        reply = await ask(site.port, target)
    assert re.match(rb"HTTP/1\.1 [0-9]{3} [A-Za-z ]*\r\n", reply.head + b"\r\n")


async def test_header_names_are_in_title_case_and_none_is_empty():
    async with running(a_site()) as site:
        reply = await ask(site.port, SCRIPT)
    for line in reply.head.decode().split("\r\n")[1:]:
        assert re.fullmatch(r"(ETag|[A-Z][a-z]*(-[A-Z][a-z]*)*): \S.*", line), line
    assert b"\r\nContent-Length: " in reply.head


async def test_nothing_is_said_of_our_versions():
    async with running(a_site()) as site:
        replies = [await ask(site.port, target) for target in (SCRIPT, "/nothing", "/readyz")]
    assert all("server" not in reply.headers for reply in replies)


async def test_http_1_0_gets_a_length_no_chunks_and_a_closed_connection():
    async with running(a_site()) as site:
        reply = split_reply(await raw(site.port, f"GET {SCRIPT} HTTP/1.0\r\n\r\n".encode()))
    assert reply.status == 200
    assert reply.headers["content-length"] == str(len(reply.body))
    assert "transfer-encoding" not in reply.headers


@pytest.mark.parametrize("target", [SCRIPT, "/boot/ipxe?mac=" + MAC, "/healthz", "/readyz"])
async def test_head_tells_what_get_tells_without_the_body(target):
    async with running(a_site()) as site:
        get, head = await ask(site.port, target), await ask(site.port, target, method="HEAD")
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


async def test_head_is_no_script_sent():
    async with running(a_site()) as site:
        await ask(site.port, SCRIPT, method="HEAD")
    assert site.of_kind(ScriptSent) == []


async def test_text_is_not_compressed_though_the_client_would_take_it():
    async with running(a_site()) as site:
        reply = await ask(site.port, SCRIPT, headers={"Accept-Encoding": "gzip, deflate"})
    assert "content-encoding" not in reply.headers
    assert reply.body.startswith(b"#!ipxe\n")


@pytest.mark.parametrize(
    "spelling",
    [
        "52-54-00-ab-cd-01",
        "52:54:00:ab:cd:01",
        "52%3A54%3a00%3Aab%3Acd%3A01",
        "52-54-00-AB-CD-01",
        "52:54:00:AB:cd:01",
        "525400abcd01",
        "525400ABCD01",
    ],
)
async def test_every_spelling_of_a_mac_is_the_same_host(spelling):
    async with running(a_site()) as site:
        path, query = (
            await ask(site.port, f"/boot/{spelling}.ipxe"),
            await ask(site.port, f"/boot/ipxe?mac={spelling}"),
        )
    assert [event.host for event in site.of_kind(ScriptSent)] == ["node1", "node1"]
    assert (path.status, query.status) == (200, 200)


@pytest.mark.parametrize("uuid", [UUID, swap_guid(UUID), UUID.upper()])
async def test_a_uuid_names_its_host_in_both_byte_orders(uuid):
    site = Site(a_snapshot(a_host(uuid=UUID)))
    async with running(site):
        reply = await ask(site.port, f"/boot/ipxe?uuid={uuid}&mac=52:54:00:00:00:99")
        alone = await ask(site.port, f"/boot/ipxe?uuid={uuid}")
    assert (reply.status, alone.status) == (200, 200)
    assert {(event.mac, event.host) for event in site.of_kind(ScriptSent)} == {(MAC, "node1")}


@pytest.mark.parametrize("uuid", ["", "junk", "00000000-0000-0000-0000-000000000000"])
async def test_a_bad_uuid_does_not_spoil_a_good_mac(uuid):
    async with running(a_site()) as site:
        reply = await ask(site.port, f"/boot/ipxe?mac={MAC}&uuid={uuid}")
    assert reply.status == 200


async def test_a_question_without_a_name_is_refused_with_a_hint():
    async with running(a_site()) as site:
        reply = await ask(site.port, "/boot/ipxe")
    assert reply.status == 400
    assert b"mac=${mac}" in reply.body


@pytest.mark.parametrize("name", ["junk", "52-54", "52-54-00-ab-cd-01-02", "%00", "..%2f..%2fetc%2fpasswd"])
async def test_what_is_no_mac_is_refused(name):
    async with running(a_site()) as site:
        reply = await ask(site.port, f"/boot/{name}.ipxe")
    assert reply.status in (400, 404)
    assert site.asked == []


async def test_an_unknown_machine_gets_404_and_the_reason_not_an_empty_script():
    async with running(a_site()) as site:
        reply = await ask(site.port, "/boot/52-54-00-00-00-99.ipxe")
    assert reply.status == 404
    assert reply.body.startswith(b"unknown-machine: ")
    assert site.of_kind(ScriptRefused) == [
        ScriptRefused(mac="52:54:00:00:00:99", client="127.0.0.1", why="unknown-machine")
    ]


async def test_an_ignored_host_is_told_so():
    site = Site(a_snapshot(a_host(boot="ignore")))
    async with running(site):
        reply = await ask(site.port, SCRIPT)
    assert reply.status == 404
    assert reply.body.startswith(b"host-ignored: ")
    assert [event.host for event in site.of_kind(ScriptRefused)] == ["node1"]


async def test_params_of_ipxe_are_read_like_a_query():
    async with running(a_site()) as site:
        form = urlencode({"mac": MAC, "arch": "x86_64", "platform": "efi"}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = await ask(site.port, "/boot/ipxe", method="POST", headers=headers, body=form)
    assert reply.status == 200
    assert site.asked[0][0].arch.name == "x64-uefi"


async def test_two_questions_sent_at_once_are_answered_in_order():
    async with running(a_site()) as site:
        octets = await raw(
            site.port,
            b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
            b"GET /boot/525400abcd01.ipxe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
    first, _, second = octets.partition(b"ok\n")
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"#!ipxe\n" in second


async def test_file_addresses_name_the_server_as_the_machine_reached_it():
    async with running(a_site()) as site:
        reply = await ask(site.port, SCRIPT, headers={"Host": "somewhere-else:1"})
    assert f"http://127.0.0.1:{site.port}/files/memory/rescue/".encode() in reply.body
    assert b"somewhere-else" not in reply.body


async def test_an_ipv4_machine_on_a_socket_for_both_families_is_answered_in_ipv4():
    """Bound to ::, the kernel calls 10.0.0.2 ::ffff:10.0.0.2, and no loader takes that in a URL."""
    site = a_site()
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as sock:
        runner = await serve(make_app(site.parts), [sock], site.events.append)
        port = sock.getsockname()[1]
        reply = await ask(port, SCRIPT)
        await runner.cleanup()
    assert f"http://127.0.0.1:{port}/files/".encode() in reply.body
    assert [event.client for event in site.of_kind(ScriptSent)] == ["127.0.0.1"]


async def test_a_configured_address_names_the_server_instead():
    site = a_site()
    site.parts = replace(site.parts, address="10.0.0.2")
    async with running(site):
        reply = await ask(site.port, SCRIPT)
    assert f"http://10.0.0.2:{site.port}/files/".encode() in reply.body


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("arch=7", "x64-uefi"),
        ("arch=0x0b", "arm64-uefi"),
        ("arch=x86_64", "x64-uefi"),
        ("arch=x86_64&platform=pcbios", "x86-bios"),
        ("arch=i386", "x86-bios"),
        ("arch=i386&platform=efi", "x86-uefi"),
        ("arch=arm64-uefi", "arm64-uefi"),
        ("arch=junk", "x64-uefi-http"),
        ("", "x64-uefi-http"),
    ],
)
async def test_architecture_is_what_the_client_says_else_what_dhcp_heard(query, expected):
    site = a_site()
    site.clients.heard_architecture(MAC, BY_NAME["x64-uefi-http"])
    async with running(site):
        await ask(site.port, f"{SCRIPT}?{query}")
    assert site.asked[0][0].arch.name == expected


async def test_a_machine_nobody_heard_of_counts_as_bios():
    async with running(a_site()) as site:
        await ask(site.port, SCRIPT)
    assert site.asked[0][0].arch.name == "x86-bios"


async def test_a_machine_back_from_its_diagnosis_says_that_it_waited():
    async with running(a_site()) as site:
        await ask(site.port, SCRIPT)
        await ask(site.port, SCRIPT + "?retry=1")
    assert [waited for _, waited in site.asked] == [False, True]


async def test_every_dialect_has_its_own_script():
    async with running(a_site()) as site:
        bodies = [
            (await ask(site.port, f"/boot/{MAC}.{dialect}")).body
            for dialect in ("ipxe", "gpxe", "grub", "pxelinux")
        ]
        other = await ask(site.port, f"/boot/{MAC}.lua")
    assert [body.split(maxsplit=1)[0] for body in bodies] == [b"#!ipxe", b"#!gpxe", b"echo", b"DEFAULT"]
    assert other.status == 404


async def test_a_value_that_cannot_be_written_becomes_a_diagnosis_with_status_200():
    bad = replace(RESCUE, cmdline="quiet || shell")
    site = Site(a_snapshot(a_host(), image=bad))
    async with running(site):
        reply = await ask(site.port, SCRIPT)
    assert reply.status == 200
    assert b"kernel" not in reply.body
    assert b"node1 is not booted" in reply.body


async def test_a_broken_override_is_not_used_and_readyz_says_so(tmp_path):
    (tmp_path / "ipxe").mkdir()
    (tmp_path / "ipxe" / "memory.j2").write_text("#!ipxe\necho {{ host.name }}\n")
    site = a_site(renderer=Renderer([tmp_path]))
    async with running(site):
        script, ready = await ask(site.port, SCRIPT), await ask(site.port, "/readyz")
        (tmp_path / "ipxe" / "memory.j2").unlink()
        site.renderer.reload()
        mended = await ask(site.port, "/readyz")
    assert script.body.startswith(b"#!ipxe\necho bootd: node1 boots memory:rescue\n")
    assert ready.status == 503
    assert b"ipxe/memory.j2:2: a value goes out unquoted" in ready.body
    assert mended.status == 200


async def test_curl_is_content():
    async with running(a_site()) as site:
        url = f"http://127.0.0.1:{site.port}{SCRIPT}"
        process = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--fail", "--max-time", "20", "-D", "-", url, stdout=subprocess.PIPE
        )
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert b"\r\n\r\n#!ipxe\n" in out
