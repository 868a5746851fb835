"""Other people's TFTP clients against our port on loopback: every octet must arrive."""

import asyncio
import hashlib
import random
import shutil
from pathlib import Path

import pytest
import tftpy

from bootd.events import TftpReadCompleted
from bootd.listeners.sockets import Segmentation
from tests.helpers.tftp_port import Port, a_port

PROGRAMS = {"tftp": "tftp-hpa", "atftp": "atftp", "curl": "curl"}  # program -> Debian package
SIZES = [0, 1, 511, 512, 513, 1432, 91_648, 300_001]  # octets; 91,648 is a window of 64 blocks exactly
MANY_BLOCKS = 8 * 65_540 + 3  # octets, at a blksize of 8


def program(name: str) -> str:
    """Return where a client is; its absence is a failure, not a reason to skip."""
    path = shutil.which(name)
    assert path is not None, f"the Debian package {PROGRAMS[name]} is needed by this test"
    return path


async def run(*command: str, cwd: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(120):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")


async def tftp_hpa(port: Port, name: str, out: Path) -> None:
    command = ("-m", "binary", "127.0.0.1", str(port.number), "-c", "get", name, out.name)
    await run(program("tftp"), *command, cwd=out.parent)


async def atftp(port: Port, name: str, out: Path, *options: str) -> None:
    words = [word for option in options for word in ("--option", option)]
    command = (*words, "-g", "-r", name, "-l", str(out), "127.0.0.1", str(port.number))
    await run(program("atftp"), *command, cwd=out.parent)


async def curl(port: Port, name: str, out: Path, *options: str) -> None:
    url = f"tftp://127.0.0.1:{port.number}/{name}"
    await run(program("curl"), "-sS", *options, "-o", str(out), url, cwd=out.parent)
    if not out.exists():  # curl makes no file of nothing
        out.touch()


async def tftpy_client(port: Port, name: str, out: Path, **options: int) -> None:
    client = tftpy.TftpClient("127.0.0.1", port.number, options)
    await asyncio.to_thread(client.download, name, str(out))


CLIENTS = [
    pytest.param(tftp_hpa, (), {}, id="tftp-hpa"),
    pytest.param(atftp, (), {}, id="atftp"),
    pytest.param(atftp, ("blksize 1432",), {}, id="atftp-1432"),
    pytest.param(atftp, ("blksize 8192", "tsize 0", "timeout 3"), {}, id="atftp-8192-tsize-timeout"),
    pytest.param(atftp, ("windowsize 4",), {}, id="atftp-window-4"),
    pytest.param(atftp, ("windowsize 64", "blksize 1432"), {}, id="atftp-window-64-1432"),
    pytest.param(curl, (), {}, id="curl"),
    pytest.param(curl, ("--tftp-blksize", "1432"), {}, id="curl-1432"),
    pytest.param(curl, ("--tftp-no-options",), {}, id="curl-no-options"),
    pytest.param(tftpy_client, (), {}, id="tftpy"),
    pytest.param(tftpy_client, (), {"blksize": 1432}, id="tftpy-1432"),
    pytest.param(tftpy_client, (), {"tsize": 0}, id="tftpy-tsize-only"),
]


def a_file(folder: Path, size: int) -> str:
    """Make a file of *size* octets and return its SHA-256."""
    content = random.Random(size).randbytes(size)
    folder.mkdir(exist_ok=True)
    (folder / "file").write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("client", "options", "keywords"), CLIENTS)
async def test_every_size_arrives(tmp_path: Path, client, options, keywords) -> None:  # type: ignore[no-untyped-def]
    # curl 7.88 fails with "getpeername" on a tsize of 0, whoever the server is: seen with dnsmasq too.
    is_curl_with_options = client is curl and "--tftp-no-options" not in options
    for size in SIZES[1:] if is_curl_with_options else SIZES:
        expected, out = a_file(tmp_path / "root", size), tmp_path / "out"
        out.unlink(missing_ok=True)
        async with a_port(tmp_path / "root") as port:
            await client(port, "file", out, *options, **keywords)
            (done,) = await port.until(TftpReadCompleted)
        assert digest(out) == expected, size
        assert (done.octets, done.confirmed) == (size, True)


@pytest.mark.parametrize(
    ("client", "options"),
    [
        pytest.param(curl, ("--tftp-blksize", "8"), id="curl"),
        pytest.param(atftp, ("blksize 8",), id="atftp"),
        pytest.param(atftp, ("blksize 8", "windowsize 16"), id="atftp-window-16"),
    ],
)
async def test_a_file_of_more_than_65535_blocks_arrives(tmp_path: Path, client, options) -> None:  # type: ignore[no-untyped-def]
    expected, out = a_file(tmp_path / "root", MANY_BLOCKS), tmp_path / "out"
    async with a_port(tmp_path / "root") as port:
        await client(port, "file", out, *options)
    assert digest(out) == expected


async def test_a_file_too_long_to_be_held_in_memory_arrives(tmp_path: Path) -> None:
    expected, out = a_file(tmp_path / "root", 9_000_000), tmp_path / "out"
    async with a_port(tmp_path / "root") as port:
        await atftp(port, "file", out, "blksize 1432", "windowsize 16")
    assert digest(out) == expected


async def test_windows_arrive_without_the_offload_too(tmp_path: Path) -> None:
    expected, out = a_file(tmp_path / "root", 300_001), tmp_path / "out"
    async with a_port(tmp_path / "root", segmentation=Segmentation(enabled=False)) as port:
        await atftp(port, "file", out, "blksize 1432", "windowsize 16")
    assert digest(out) == expected


async def test_many_clients_read_one_file_at_one_time(tmp_path: Path) -> None:
    expected = a_file(tmp_path / "root", 300_001)
    outs = [tmp_path / f"out-{number}" for number in range(24)]
    async with a_port(tmp_path / "root") as port:
        readers = [curl(port, "file", out, "--tftp-blksize", "1432") for out in outs]
        await asyncio.gather(*readers)
        await port.until(TftpReadCompleted, len(outs))
    assert {digest(out) for out in outs} == {expected}
