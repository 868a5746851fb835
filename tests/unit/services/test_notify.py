"""The poke after a commit."""

import socket
from pathlib import Path

from bootd.services.notify import SOCKET, poke


def test_a_listening_daemon_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / SOCKET))
        assert poke(tmp_path) is True
        assert daemon.recv(64)


def test_without_a_daemon_nothing_happens(tmp_path: Path) -> None:
    assert poke(tmp_path) is False


def test_a_socket_that_a_killed_daemon_left_does_no_harm(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / SOCKET))
    assert poke(tmp_path) is False


def test_a_daemon_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / SOCKET))
        answers = {poke(tmp_path) for _ in range(10_000)}
    assert answers == {True, False}


def test_a_path_too_long_for_a_socket_does_no_harm(tmp_path: Path) -> None:
    assert poke(tmp_path / ("x" * 200)) is False
