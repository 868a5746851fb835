"""The QMP client against a small QEMU of our own that speaks the protocol's first words."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bootd.drivers.power import qmp

GREETING = {"QMP": {"version": {}, "capabilities": []}}


@contextmanager
def a_qemu(path: Path, answers: list[dict[str, Any]], heard: list[dict[str, Any]]) -> Iterator[None]:
    """Serve one connection: greet, answer qmp_capabilities, then send *answers* to the next command."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rwb") as stream:
            for batch in ([GREETING], [{"return": {}}], answers):
                if batch is not answers or answers:
                    for message in batch:
                        stream.write(json.dumps(message).encode() + b"\n")
                    stream.flush()
                if batch is not answers:
                    heard.append(json.loads(stream.readline()))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        server.close()


def test_a_command_is_sent_after_the_handshake_and_events_are_passed_over(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    answers = [{"event": "RESET", "data": {}}, {"return": {"status": "running"}}]
    with a_qemu(tmp_path / "q", answers, heard):
        assert qmp.status(tmp_path / "q") == "running"
    assert [message["execute"] for message in heard] == ["qmp_capabilities", "query-status"]


def test_arguments_travel_with_the_command(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    with a_qemu(tmp_path / "q", [{"return": {}}], heard):
        qmp.execute(tmp_path / "q", "human-monitor-command", **{"command-line": "info pci"})
    assert heard[1]["arguments"] == {"command-line": "info pci"}


def test_a_refusal_is_told_in_qemus_words(tmp_path: Path) -> None:
    answers = [{"error": {"class": "CommandNotFound", "desc": "The command nonsense has not been found"}}]
    with (
        a_qemu(tmp_path / "q", answers, []),
        pytest.raises(qmp.QmpRefused, match="nonsense has not been found"),
    ):
        qmp.execute(tmp_path / "q", "nonsense")


def test_quit_may_hang_up_without_an_answer(tmp_path: Path) -> None:
    with a_qemu(tmp_path / "q", [], []):
        assert qmp.execute(tmp_path / "q", "quit") == {}


def test_a_machine_that_is_off_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(qmp.QmpError, match="no answer from the machine"):
        qmp.status(tmp_path / "none")


def test_a_machine_that_ended_is_not_waited_for(tmp_path: Path) -> None:
    assert not qmp.wait_until_there(tmp_path / "none", lambda: False)


@pytest.mark.parametrize("line", [b"SSH-2.0-OpenSSH\n", b"[]\n", b'{"QMP": \n', b""])
def test_what_is_no_qemu_is_told_as_such(tmp_path: Path, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "q"))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(line)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(qmp.QmpError, match="QEMU"):
            qmp.status(tmp_path / "q")
        thread.join()
