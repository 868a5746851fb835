"""Who holds a port, as /proc tells it."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.listeners.rivals import Rival, find_rival

HEAD = "  sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …\n"
ROW = (
    "  1: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 2 0 0\n"
)


class FakeProc:
    """A /proc of our own making."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "net").mkdir()

    def socket(self, table: str, local: str, inode: int, state: str = "07") -> None:
        file = self.path / "net" / table
        text = file.read_text() if file.exists() else HEAD
        file.write_text(text + ROW.format(local=local, state=state, inode=inode))

    def process(self, pid: int, name: str, inode: int) -> None:
        folder = self.path / str(pid)
        (folder / "fd").mkdir(parents=True)
        (folder / "fd" / "3").symlink_to(f"socket:[{inode}]")
        (folder / "comm").write_text(f"{name}\n")


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


LOOPBACK_69 = f"{int.from_bytes(socket.inet_aton('127.0.0.1'), 'little'):08X}:0045"


def test_the_holder_of_a_port_has_a_name(proc: FakeProc) -> None:
    proc.socket("udp", "00000000:0045", 77)
    proc.process(12, "bash", 1)
    proc.process(4711, "dnsmasq", 77)
    rival = find_rival("udp", "", 69, proc=proc.path)
    assert rival == Rival(4711, "dnsmasq")
    assert str(rival) == "dnsmasq (pid 4711)"


def test_a_socket_on_another_address_does_not_collide(proc: FakeProc) -> None:
    proc.socket("udp", LOOPBACK_69, 77)
    assert find_rival("udp", "10.0.0.1", 69, proc=proc.path) is None
    assert find_rival("udp", "127.0.0.1", 69, proc=proc.path) is not None
    assert find_rival("udp", "", 69, proc=proc.path) is not None


def test_a_dual_stack_socket_collides(proc: FakeProc) -> None:
    proc.socket("udp6", f"{'0' * 32}:0045", 5)
    proc.process(9, "smee", 5)
    assert find_rival("udp", "10.0.0.1", 69, proc=proc.path) == Rival(9, "smee")


def test_a_tcp_connection_is_no_listener(proc: FakeProc) -> None:
    proc.socket("tcp", "00000000:1F90", 5, state="01")
    assert find_rival("tcp", "", 8080, proc=proc.path) is None
    proc.socket("tcp", "00000000:1F90", 6, state="0A")
    assert find_rival("tcp", "", 8080, proc=proc.path) is not None


def test_a_holder_we_may_not_see_is_said_so(proc: FakeProc) -> None:
    proc.socket("udp", "00000000:0045", 77)
    rival = find_rival("udp", "", 69, proc=proc.path)
    assert rival == Rival(None, "")
    assert "as root" in str(rival)


def test_nobody_holds_a_free_port(proc: FakeProc) -> None:
    proc.socket("udp", "00000000:0045", 77)
    assert find_rival("udp", "", 70, proc=proc.path) is None


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def test_the_real_proc_names_this_very_process(bound: socket.socket) -> None:
    rival = find_rival("udp", "127.0.0.1", bound.getsockname()[1])
    assert rival is not None
    assert rival.pid == os.getpid()
