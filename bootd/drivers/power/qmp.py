"""A small client of QEMU's machine protocol (QMP).

One connection a call: orders come from different processes, and QEMU serves one
client at a time.
"""

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bootd.errors import BootdError

TIMEOUT_S = 10.0


class QmpError(BootdError):
    """QEMU does not answer, or not in its protocol."""

    code = "qmp"


class QmpRefused(QmpError):
    """QEMU understood the command and says no."""

    code = "qmp-refused"


def execute(path: Path, command: str, **arguments: Any) -> Any:
    """Send one *command* to the machine behind the socket *path* and return its answer.

    Raises `QmpRefused`, or `QmpError`. Events that arrive meanwhile are passed over.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT_S)
        try:
            sock.connect(str(path))
            stream = sock.makefile("rwb")
            _receive(stream, "QMP")  # the greeting
            _send(stream, "qmp_capabilities", {})
            _receive(stream, "return")
            _send(stream, command, arguments)
            return _receive(stream, "return")
        except OSError as error:
            raise QmpError(f"no answer from the machine behind {path}: {error.strerror or error}") from error


def wait_until_there(path: Path, alive: Callable[[], bool]) -> bool:
    """Return True once QEMU listens at *path*, False if it ended or is too slow."""
    until = time.monotonic() + TIMEOUT_S
    while not path.is_socket() or not _connects(path):
        if not alive() or time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        return sock.connect_ex(str(path)) == 0


def status(path: Path) -> str:
    """Return QEMU's word for the machine: ``running``, ``paused``, ``shutdown`` …"""
    return str(execute(path, "query-status")["status"])


def _send(stream: Any, command: str, arguments: dict[str, Any]) -> None:
    message: dict[str, Any] = {"execute": command}
    if arguments:
        message["arguments"] = arguments
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def _receive(stream: Any, wanted: str) -> Any:
    """Return the value of *wanted* from the next message that has it."""
    while line := stream.readline():
        message = _message(line)
        if wanted in message:
            return message[wanted]
        if "error" in message:
            error = message["error"]
            raise QmpRefused(
                f"QEMU refuses: {error.get('desc', error) if isinstance(error, dict) else error}"
            )
    if wanted == "return":
        return {}  # `quit` may close the connection before it answers
    raise QmpError("QEMU closed the connection without a word")


def _message(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError as error:
        raise QmpError(f"no QEMU, or one cut off: {line[:80]!r}") from error
    if not isinstance(message, dict):
        raise QmpError(f"no QEMU: {line[:80]!r}")
    return message
