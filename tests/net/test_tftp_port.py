"""The TFTP port prodded with bare packets: what it answers, from where, and what it says of it."""

import asyncio
import os
import random
import resource
import socket
from pathlib import Path

import pytest

from bootd.boot.files import Refused
from bootd.events import (
    Event,
    InternalError,
    PacketDropped,
    TftpReadCompleted,
    TftpReadFailed,
    TftpReadStarted,
    TftpRefused,
)
from bootd.listeners.tftp import Capacity, TftpListener
from tests.fuzz.fuzz_tftp import SEEDS
from tests.helpers.tftp_port import Port, Prod, a_port, ack, is_error, rrq

LOADER = random.Random(5).randbytes(5000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    served = tmp_path / "root"
    (served / "pxelinux.cfg").mkdir(parents=True)
    (served / "undionly.kpxe").write_bytes(LOADER)
    (served / "text").write_bytes(b"one\ntwo\r" + b"x" * 510)
    (tmp_path / "secret").write_bytes(b"secret")
    return served


async def is_alive(port: Port) -> bool:
    with Prod() as prod:
        return await prod.read(rrq("undionly.kpxe"), port.number) == LOADER


async def test_a_file_is_read_from_a_port_of_its_own(root: Path) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            packet, tid = await prod.ask(rrq("undionly.kpxe"), port.number)
        assert packet == b"\0\3\0\1" + LOADER[:512]
        assert tid != port.number


async def test_a_complete_read_is_said_with_its_octets(root: Path) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            assert await prod.read(rrq("undionly.kpxe"), port.number) == LOADER
        (done,) = await port.until(TftpReadCompleted)
        assert port.said(TftpReadStarted) == [TftpReadStarted(client="127.0.0.1", filename="undionly.kpxe")]
        assert (done.client, done.filename, done.octets) == ("127.0.0.1", "undionly.kpxe", len(LOADER))
        assert done.confirmed
        assert port.listener.active == 0


async def test_the_oack_names_what_was_asked_and_nothing_else(root: Path) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            packet, _ = await prod.ask(
                rrq("undionly.kpxe", "blksize", "1432", "tsize", "0", "multicast", ""), port.number
            )
        assert packet == b"\0\6blksize\x001432\0tsize\x005000\0"


async def test_the_block_fits_the_frame_of_the_interface(root: Path) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            packet, _ = await prod.ask(rrq("undionly.kpxe", "blksize", "65464"), port.number)
        assert packet == b"\0\6blksize\x0065464\0"  # loopback carries 65,536 octets


async def test_netascii_is_translated_and_has_no_size_beforehand(root: Path) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            request = rrq("text", "tsize", "0", mode="NetASCII")
            content = await prod.read(request, port.number)
        assert content == b"one\r\ntwo\r\0" + b"x" * 510
        (done,) = await port.until(TftpReadCompleted)
        assert done.octets == len(content)


async def test_made_content_has_the_size_that_is_told(root: Path) -> None:
    async with a_port(root, made={"pxelinux.cfg/01-52-54-00-00-00-01": b"DEFAULT x\n"}) as port:
        with Prod() as prod:
            request = rrq("pxelinux.cfg/01-52-54-00-00-00-01", "tsize", "0")
            packet, _ = await prod.ask(request, port.number)
            assert packet == b"\0\6tsize\x0010\0"
        with Prod() as prod:
            assert await prod.read(request, port.number) == b"DEFAULT x\n"


@pytest.mark.parametrize(
    "name",
    [b"/undionly.kpxe", b"//undionly.kpxe", b"\\undionly.kpxe", b"undionly.kpxe\xff", b"./undionly.kpxe"],
)
async def test_the_spellings_of_roms_find_the_file(root: Path, name: bytes) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            assert await prod.read(rrq(name), port.number) == LOADER


@pytest.mark.parametrize(
    ("name", "code", "why"),
    [
        pytest.param("missing", 1, "not-found", id="missing"),
        pytest.param("Undionly.kpxe", 1, "not-found", id="other-case"),
        pytest.param("../secret", 2, "name-dotdot", id="up"),
        pytest.param("..\\secret", 2, "name-dotdot", id="up-with-a-backslash"),
        pytest.param("/../secret", 2, "name-dotdot", id="up-from-the-root"),
        pytest.param("pxelinux.cfg/../../secret", 2, "name-dotdot", id="up-from-below"),
        pytest.param("%2e%2e/secret", 1, "not-found", id="percent"),
        pytest.param("", 2, "name-empty", id="empty"),
        pytest.param("C:\\secret", 2, "name-drive", id="drive"),
        pytest.param("pxelinux.cfg", 2, "folder", id="folder"),
        pytest.param("fifo", 2, "not-a-file", id="fifo"),
        pytest.param("link-out", 2, "outside-root", id="link-that-leaves"),
        pytest.param("device", 2, "outside-root", id="link-to-a-device"),
    ],
)
async def test_what_is_refused_and_how(root: Path, name: str, code: int, why: str) -> None:
    os.mkfifo(root / "fifo")
    (root / "link-out").symlink_to("../secret")
    (root / "device").symlink_to("/dev/zero")
    async with a_port(root) as port:
        with Prod() as prod:
            packet, _ = await prod.ask(rrq(name), port.number)
        assert is_error(packet, code)
        assert str(root).encode() not in packet
        assert [event.why for event in port.said(TftpRefused)] == [why]
        assert port.listener.active == 0


async def test_a_refusal_of_the_lookup_reaches_the_client(root: Path) -> None:
    async with a_port(root, made={"theirs": Refused("unknown-machine")}) as port:
        with Prod() as prod:
            packet, _ = await prod.ask(rrq("theirs"), port.number)
        assert is_error(packet, 2)


@pytest.mark.parametrize("mode", ["mail", "garbage", ""])
async def test_a_mode_nobody_speaks_is_an_illegal_operation(root: Path, mode: str) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            packet, _ = await prod.ask(rrq("undionly.kpxe", mode=mode), port.number)
        assert is_error(packet, 4)


async def test_nothing_is_written(root: Path) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            packet, _ = await prod.ask(b"\0\2new\0octet\0", port.number)
        assert is_error(packet, 2)
        assert not (root / "new").exists()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(b"", "tftp-truncated", id="empty"),
        pytest.param(b"\0", "tftp-truncated", id="one-octet"),
        pytest.param(b"\0\1undionly.kpxe\0octet", "tftp-truncated", id="no-nul"),
        pytest.param(b"\0\x09", "tftp-unknown-opcode", id="opcode-9"),
        pytest.param(b"\0\3\0\1x", "tftp-not-for-servers", id="data"),
        pytest.param(b"\0\4\0\1", "tftp-not-a-request", id="ack"),
        pytest.param(b"\0\5\0\0x\0", "tftp-not-a-request", id="error"),
        pytest.param(b"\0\1" + b"n" * 600 + b"\0octet\0", "tftp-truncated", id="too-long"),
    ],
)
async def test_malformed_packets_are_dropped_and_counted(root: Path, data: bytes, why: str) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            await prod.send(data, port.number)
            (dropped,) = await port.until(PacketDropped)
            assert dropped.reason == f"tftp:{why}"
            with pytest.raises(BlockingIOError):
                prod.sock.recv(100)
        assert await is_alive(port)


async def test_a_stranger_is_told_off_and_the_transfer_goes_on(root: Path) -> None:
    async with a_port(root) as port:
        with Prod() as prod, Prod() as stranger:
            _, tid = await prod.ask(rrq("undionly.kpxe"), port.number)
            packet, _ = await stranger.ask(ack(1), tid)
            assert is_error(packet, 5)
            await stranger.send(b"\0\5\0\0x\0", tid)
            await port.until(PacketDropped, 2)
            packet, _ = await prod.ask(ack(1), tid)
            assert packet == b"\0\3\0\2" + LOADER[512:1024]


async def test_garbage_within_a_transfer_does_not_end_it(root: Path) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            _, tid = await prod.ask(rrq("undionly.kpxe"), port.number)
            for seed in (b"", b"\0\4\0", b"\xff" * 900, b"\0\1f\0octet\0"):
                await prod.send(seed, tid)
            packet, _ = await prod.ask(ack(1), tid)
            assert packet[:4] == b"\0\3\0\2"


async def test_edk2_asks_for_the_size_aborts_and_reads_from_the_same_port(root: Path) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            options = ("tsize", "0", "blksize", "1428", "windowsize", "4")
            packet, tid = await prod.ask(rrq("undionly.kpxe", *options), port.number)
            assert packet[:2] == b"\0\6"
            await prod.send(b"\0\5\0\x08User aborted\0", tid)
            (failed,) = await port.until(TftpReadFailed)
            assert (failed.why, failed.octets, failed.level) == ("client-aborted", 0, "debug")
            packet, second = await prod.ask(rrq("undionly.kpxe", *options), port.number)
            assert second != tid
            await prod.send(ack(0), second)
            window = [await prod.receive() for _ in range(4)]
        assert b"".join(packet[4:] for packet, _ in window) == LOADER


async def test_the_same_request_again_is_answered_from_the_same_port(root: Path) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            request = rrq("undionly.kpxe", "tsize", "0")
            first = await prod.ask(request, port.number)
            assert await prod.ask(request, port.number) == first
        assert len(port.said(TftpReadStarted)) == 1


async def test_the_same_request_twice_at_one_instant_is_one_transfer(root: Path) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            await prod.send(rrq("undionly.kpxe"), port.number)
            assert await prod.read(rrq("undionly.kpxe"), port.number) == LOADER
        assert len(port.said(TftpReadStarted)) == 1


async def test_another_request_from_the_same_port_replaces_the_transfer(root: Path) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            await prod.ask(rrq("text"), port.number)
            assert await prod.read(rrq("undionly.kpxe"), port.number) == LOADER
        assert [event.why for event in port.said(TftpReadFailed)] == ["restarted"]


async def test_a_file_replaced_during_its_transfer_is_read_as_it_was(root: Path) -> None:
    async with a_port(root) as port:
        with Prod() as prod:
            _, tid = await prod.ask(rrq("undionly.kpxe"), port.number)
            (root / "new").write_bytes(b"new" * 9000)
            (root / "new").rename(root / "undionly.kpxe")
            packet, _ = await prod.ask(ack(1), tid)
            assert packet[4:] == LOADER[512:1024]


async def test_a_long_file_cut_during_its_transfer_ends_with_an_error(root: Path) -> None:
    with (root / "image").open("wb") as file:
        file.truncate(6 << 20)
    async with a_port(root) as port:
        with Prod() as prod:
            _, tid = await prod.ask(rrq("image"), port.number)
            os.truncate(root / "image", 100)
            packet, _ = await prod.ask(ack(1), tid)
            assert is_error(packet, 0)
        assert [event.why for event in await port.until(TftpReadFailed)] == ["unreadable"]


async def test_a_file_of_a_broken_lookup_is_a_refusal_and_a_bug_report(root: Path) -> None:
    class Broken:
        def __contains__(self, name: str) -> bool:
            raise KeyError("broken")

    async with a_port(root, made=Broken()) as port:  # type: ignore[arg-type]
        with Prod() as prod:
            packet, _ = await prod.ask(rrq("x"), port.number)
        assert is_error(packet, 0)
        assert len(port.said(InternalError)) == 1


async def test_a_new_file_needs_no_restart(root: Path) -> None:
    async with a_port(root) as port:
        (root / "late").write_bytes(b"late")
        with Prod() as prod:
            packet, _ = await prod.ask(rrq("late"), port.number)
            while is_error(packet, 1):  # a walk is at most a second away
                packet, _ = await prod.ask(rrq("late"), port.number)
        assert packet == b"\0\3\0\1late"


async def test_beyond_its_capacity_the_port_is_silent_and_says_so(root: Path) -> None:
    async with a_port(root, capacity=Capacity(transfers=9, per_client=2)) as port:
        with Prod() as first, Prod() as second, Prod() as third:
            _, tid = await first.ask(rrq("undionly.kpxe"), port.number)
            await second.ask(rrq("undionly.kpxe"), port.number)
            await third.send(rrq("undionly.kpxe"), port.number)
            (refused,) = await port.until(TftpRefused)
            assert refused.why == "too-many-transfers"
            await first.send(b"\0\5\0\0bye\0", tid)
            await port.until(TftpReadFailed)
            packet, _ = await third.ask(rrq("undionly.kpxe"), port.number)
            assert packet[:4] == b"\0\3\0\1"


async def test_a_request_to_a_broadcast_address_is_not_answered(root: Path) -> None:
    """On a socket of all addresses, as the daemon has it."""
    events: list[Event] = []
    listener = TftpListener(lookup=lambda name, asker: b"x", emit=events.append, port=0)
    with Prod() as prod:
        prod.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        await prod.send(rrq("f"), listener.port, "127.255.255.255")
        assert await prod.read(rrq("f"), listener.port) == b"x"
    assert [event.reason for event in events if isinstance(event, PacketDropped)] == ["tftp:tftp-broadcast"]
    await listener.aclose()


async def test_an_interface_that_is_not_served_is_left_alone(root: Path) -> None:
    events: list[Event] = []
    loopback = socket.if_nametoindex("lo")
    served = {loopback: False}
    listener = TftpListener(
        lookup=lambda name, asker: b"x", emit=events.append, port=0, serves=lambda index: served[index]
    )
    with Prod() as prod:
        await prod.send(rrq("f"), listener.port)
        async with asyncio.timeout(20):
            while not events:
                await asyncio.sleep(0.001)
        served[loopback] = True
        assert await prod.read(rrq("f"), listener.port) == b"x"
    assert events[0].reason == "tftp:tftp-other-interface"
    await listener.aclose()


async def test_without_a_descriptor_left_the_client_is_left_to_ask_again(root: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with a_port(root, made={"made": b"x"}) as port:
        with Prod() as prod, Prod() as other:
            with Path("/dev/null").open() as file:
                lowest_free = file.fileno()
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
            try:
                await prod.send(rrq("undionly.kpxe"), port.number)
                await other.send(rrq("made"), port.number)
                refused = await port.until(TftpRefused, 2)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert {event.why for event in refused} == {"no-descriptor"}
        assert not port.said(InternalError)
        assert await is_alive(port)


async def test_the_answer_comes_from_the_address_that_was_asked(root: Path) -> None:
    listener = TftpListener(lookup=lambda name, asker: b"x", emit=lambda event: None, port=0)
    with Prod() as prod:
        await prod.send(rrq("f"), listener.port, "127.0.0.9")
        packet, sender = await prod.receive()
    assert packet == b"\0\3\0\1x"
    assert sender[0] == "127.0.0.9"
    await listener.aclose()


async def test_stopping_tells_the_clients_and_gives_everything_back(root: Path) -> None:
    def open_descriptors() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    with Prod() as prod:
        before = open_descriptors()
        async with a_port(root) as port:
            await prod.ask(rrq("undionly.kpxe"), port.number)
        packet, _ = await prod.receive()
        assert is_error(packet, 0)
        assert [event.why for event in port.said(TftpReadFailed)] == ["shutdown"]
        assert open_descriptors() == before


async def test_ten_thousand_mutants_leave_the_port_alive(root: Path) -> None:
    chance = random.Random(11)
    async with a_port(root) as port:
        with Prod() as prod:
            for number in range(10_000):
                data = bytearray(chance.choice(SEEDS))
                for _ in range(chance.randrange(4)):
                    data[chance.randrange(len(data))] = chance.randrange(256)
                await prod.send(bytes(data), port.number)
                if number % 100 == 0:
                    await port.until(PacketDropped)
            assert not port.said(InternalError)
        assert await is_alive(port)
