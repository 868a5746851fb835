"""What systemd is told, on a socket of ours in its place."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd import systemd


@pytest.fixture
def supervisor() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        yield sock


def test_without_a_supervisor_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert systemd.notify("READY=1") is False


def test_state_arrives_at_a_socket_file(
    supervisor: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    assert systemd.notify("READY=1") is True
    assert supervisor.recv(64) == b"READY=1"


def test_state_arrives_at_an_abstract_socket(
    supervisor: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"bootd-test-{os.getpid()}"
    supervisor.bind(f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    assert systemd.notify("WATCHDOG=1") is True
    assert supervisor.recv(64) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("/nowhere/notify", id="gone"),
        pytest.param("/" + "x" * 200, id="too-long"),
        pytest.param("vsock:2:1234", id="another-family"),
    ],
)
def test_supervisor_that_does_not_listen_stops_nothing(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert systemd.notify("READY=1") is False


@pytest.mark.parametrize(
    ("microseconds", "pid", "interval"),
    [
        pytest.param("30000000", "", 15.0, id="half-of-what-the-unit-allows"),
        pytest.param("30000000", "own", 15.0, id="for-this-process"),
        pytest.param("30000000", "1", None, id="for-another-process"),
        pytest.param("", "", None, id="no-watchdog"),
        pytest.param("0", "", None, id="zero-would-never-let-go"),
        pytest.param("soon", "", None, id="no-number"),
    ],
)
def test_watchdog_is_fed_twice_as_often_as_it_must_be(
    microseconds: str, pid: str, interval: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert systemd.watchdog_interval() == interval
