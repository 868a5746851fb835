"""Sockets on loopback: what is known of a datagram, how an answer leaves, what goes wrong."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.errors import BootdError
from bootd.listeners.sockets import (
    RECEIVE_BUFFER,
    AddressMissing,
    Datagram,
    NotPermitted,
    PortTaken,
    Segmentation,
    UdpEndpoint,
    drain,
    interfaces,
    mtu_of,
    open_reply_socket,
    open_tcp,
    open_udp,
    receive_buffer_of,
    send,
)
from tests.helpers.namespace import need_root

LOOPBACK = socket.if_nametoindex("lo")


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with open_udp("", 0) as sock:
        yield sock


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def test_a_datagram_tells_its_interface_and_the_address_it_was_sent_to(
    server: socket.socket, client: socket.socket
) -> None:
    client.sendto(b"hello", ("127.0.0.2", port_of(server)))
    assert drain(server) == [Datagram(b"hello", client.getsockname(), LOOPBACK, "127.0.0.2", "127.0.0.2")]


def test_a_broadcast_tells_our_own_address_too(server: socket.socket, client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    client.sendto(b"who", ("127.255.255.255", port_of(server)))
    (datagram,) = drain(server)
    assert datagram.destination == "127.255.255.255"
    assert datagram.local == "127.0.0.1"


def test_an_answer_leaves_from_the_address_that_was_asked(
    server: socket.socket, client: socket.socket
) -> None:
    send(server, b"answer", client.getsockname(), interface=LOOPBACK, local="127.0.0.3")
    data, sender = client.recvfrom(100)
    assert data == b"answer"
    assert sender == ("127.0.0.3", port_of(server))


def test_a_transfers_own_socket_answers_from_there_too(client: socket.socket) -> None:
    with open_reply_socket("127.0.0.3", LOOPBACK) as sock:
        sock.sendto(b"x", client.getsockname())
        assert client.recvfrom(100)[1] == ("127.0.0.3", port_of(sock))


def test_one_wake_takes_a_bounded_number(server: socket.socket, client: socket.socket) -> None:
    for number in range(70):
        client.sendto(bytes([number]), ("127.0.0.1", port_of(server)))
    assert [d.data[0] for d in drain(server)] == list(range(64))
    assert [d.data[0] for d in drain(server)] == list(range(64, 70))
    assert drain(server) == []


def test_the_receive_buffer_is_as_large_as_the_system_lets_us_have_it(server: socket.socket) -> None:
    allowed = int(Path("/proc/sys/net/core/rmem_max").read_text())
    expected = RECEIVE_BUFFER if os.geteuid() == 0 else min(RECEIVE_BUFFER, allowed)
    assert receive_buffer_of(server) == expected


@pytest.mark.root
def test_a_thousand_questions_at_one_instant_are_kept(server: socket.socket, client: socket.socket) -> None:
    need_root()  # others get what net.core.rmem_max allows
    for _ in range(1000):
        client.sendto(bytes(300), ("127.0.0.1", port_of(server)))
    assert sum(len(drain(server)) for _ in range(20)) == 1000


def test_a_taken_port_names_the_process_that_has_it(server: socket.socket) -> None:
    with pytest.raises(PortTaken) as caught:
        open_udp("127.0.0.1", port_of(server))
    error: BootdError = caught.value
    assert error.code == "port-taken"
    assert f"(pid {os.getpid()})" in str(error)
    assert str(port_of(server)) in str(error)


def test_a_rival_that_would_share_the_port_is_found_all_the_same() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.1", 0))
        with pytest.raises(PortTaken):
            open_udp("", port_of(rival))


def test_tcp_ports_are_explained_likewise() -> None:
    with open_tcp("127.0.0.1", 0) as first, pytest.raises(PortTaken) as caught:
        open_tcp("", port_of(first))
    assert "TCP port" in str(caught.value)
    assert f"(pid {os.getpid()})" in str(caught.value)


def test_an_address_nobody_has_is_said_with_those_there_are() -> None:
    with pytest.raises(AddressMissing) as caught:
        open_udp("203.0.113.9", 0)
    assert "127.0.0.1 (lo)" in str(caught.value)


def test_no_permission_says_the_ways_out() -> None:
    text = str(NotPermitted("udp", 69))
    assert "UDP port 69" in text
    assert "root" in text
    assert "CAP_NET_BIND_SERVICE" in text


def test_interfaces_and_their_addresses() -> None:
    (loopback,) = [i for i in interfaces() if i.address == "127.0.0.1"]
    assert (loopback.index, loopback.name) == (LOOPBACK, "lo")
    assert loopback.mtu == mtu_of(LOOPBACK)


def test_an_interface_that_is_gone_has_the_mtu_of_ethernet() -> None:
    assert mtu_of(0x7FFFFFF0) == 1500


async def test_an_endpoint_hands_on_each_datagram_and_gives_its_port_back(client: socket.socket) -> None:
    received: asyncio.Queue[Datagram] = asyncio.Queue()
    endpoint = UdpEndpoint(open_udp("127.0.0.1", 0), received.put_nowait)
    port = endpoint.port
    client.sendto(b"1", ("127.0.0.1", port))
    client.sendto(b"2", ("127.0.0.1", port))
    assert [(await received.get()).data, (await received.get()).data] == [b"1", b"2"]
    endpoint.send(b"back", client.getsockname())
    assert client.recv(100) == b"back"
    endpoint.close()
    open_udp("127.0.0.1", port).close()


# --- segmentation ---


class StubbornSocket:
    """Takes datagrams; answers the offload with *error*."""

    def __init__(self, error: int) -> None:
        self.error = error
        self.sent: list[bytes] = []
        self.offloads = 0

    def sendmsg(self, buffers: list[bytes], *_: object) -> int:
        self.offloads += 1
        raise OSError(self.error, os.strerror(self.error))

    def sendto(self, data: bytes, _: object) -> int:
        self.sent.append(data)
        return len(data)


def received(client: socket.socket, count: int) -> list[bytes]:
    return [client.recv(2000) for _ in range(count)]


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("count", [1, 2, 44, 45, 64])
def test_a_window_arrives_as_its_datagrams(client: socket.socket, count: int, enabled: bool) -> None:
    window = [bytes([number]) * 1436 for number in range(count)]
    window[-1] = b"short"
    segmentation = Segmentation(enabled=enabled)
    with open_reply_socket("127.0.0.1", LOOPBACK) as sock:
        segmentation.send(sock, window, client.getsockname())
    assert received(client, count) == window
    assert segmentation.enabled is enabled


def test_datagrams_too_long_to_share_a_call_go_one_by_one(client: socket.socket) -> None:
    window = [bytes(40_000), bytes(40_000), b"end"]
    with open_reply_socket("127.0.0.1", LOOPBACK) as sock:
        Segmentation().send(sock, window, client.getsockname())
    assert [len(client.recv(65_536)) for _ in window] == [40_000, 40_000, 3]


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.EMSGSIZE])
def test_a_card_without_the_offload_gets_them_one_by_one_from_then_on(number: int) -> None:
    sock = StubbornSocket(number)
    segmentation = Segmentation()
    window = [b"aa", b"bb", b"c"]
    segmentation.send(sock, window, ("192.0.2.1", 9))  # type: ignore[arg-type]
    segmentation.send(sock, window, ("192.0.2.1", 9))  # type: ignore[arg-type]
    assert sock.sent == window * 2
    assert sock.offloads == 1
    assert not segmentation.enabled


def test_other_errors_of_the_network_leave_the_offload_alone() -> None:
    segmentation = Segmentation()
    with pytest.raises(OSError, match="unreachable"):
        segmentation.send(StubbornSocket(errno.ENETUNREACH), [b"a", b"b"], ("192.0.2.1", 9))  # type: ignore[arg-type]
    assert segmentation.enabled
