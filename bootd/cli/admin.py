"""Asking the running daemon, over its Unix socket."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

_TIMEOUT_S = 5.0


class _OverUnixSocket(http.client.HTTPConnection):
    """HTTP to a socket file."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(str(self._path))


def ask(data_dir: Path, path: str, *, method: str = "GET") -> dict[str, Any] | None:
    """Return the daemon's answer to *method* *path*; None where no daemon listens, or not to us."""
    connection = _OverUnixSocket(data_dir / "admin.sock")
    try:
        connection.request(method, path)
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if response.status == http.client.OK and isinstance(answer, dict) else None
