"""Asking the daemon over its socket: the answer, or None; never an error of the daemon taken for one."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bootd import __version__
from bootd.cli.admin import ask
from bootd.http.admin import AdminParts, make_admin_app
from bootd.http.app import serve_unix
from bootd.http.parts import Transfers
from bootd.telemetry import Problems, Telemetry
from tests.helpers.site import NOON


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Path]:
    """The real admin API on a socket; the folder it is in."""
    telemetry = Telemetry(level="error")

    async def refresh() -> None:
        raise RuntimeError("a bug")

    parts = AdminParts(
        emit=telemetry.emit,
        problems=Problems(telemetry.emit),
        started_at=NOON,
        interfaces=list,
        counts=telemetry.by_name,
        generation=lambda: 7,
        transfers=Transfers(),
        refresh=refresh,
    )
    runner = await serve_unix(make_admin_app(parts), str(tmp_path / "admin.sock"), telemetry.emit)
    yield tmp_path
    await runner.cleanup()


async def test_status_of_a_running_daemon_is_its_answer(daemon: Path) -> None:
    answer = await asyncio.to_thread(ask, daemon, "/api/v1/status")
    assert answer is not None
    assert answer["version"] == __version__
    assert answer["snapshot"] == {"generation": 7}


@pytest.mark.parametrize(
    ("path", "method"),
    [
        pytest.param("/api/v1/no-such-route", "GET", id="not-found"),
        pytest.param("/api/v1/refresh", "POST", id="bug-in-the-daemon"),
    ],
)
async def test_error_of_the_daemon_is_no_answer(daemon: Path, path: str, method: str) -> None:
    assert await asyncio.to_thread(lambda: ask(daemon, path, method=method)) is None


def test_no_socket_is_no_answer(tmp_path: Path) -> None:
    assert ask(tmp_path, "/api/v1/status") is None


def test_socket_that_nobody_listens_on_any_more_is_no_answer(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left_over:
        left_over.bind(str(tmp_path / "admin.sock"))
    assert ask(tmp_path, "/api/v1/status") is None
