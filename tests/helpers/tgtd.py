"""A tgtd of our own: on a free port of loopback unless told another, with a folder of its own."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


class PrivateTgtd:
    """Started with `start`, killed with `kill`: with targets it does not heed SIGTERM."""

    def __init__(self, folder: Path, *, portal: str = "", inside: Sequence[str] = ()) -> None:
        """*inside* is a command that runs what follows it in another namespace."""
        self.socket = folder / "socket"
        self.portal = portal or f"127.0.0.1:{_free_port()}"
        self._inside = inside
        self._log = folder / "tgtd.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def start(self) -> None:
        command = [
            *self._inside,
            "tgtd",
            "--foreground",
            "--control-port",
            "0",
            "--iscsi",
            f"portal={self.portal}",
        ]
        command += ["--nr_iothreads", "1"]
        environment = os.environ | {"TGT_IPC_SOCKET": str(self.socket)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, f"tgtd ended: {self.log}"
            assert time.monotonic() < deadline, f"tgtd does not answer: {self.log}"
            time.sleep(0.005)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(f"{self.socket}.0") == 0


@contextmanager
def private_tgtd(*, portal: str = "", inside: Sequence[str] = ()) -> Iterator[PrivateTgtd]:
    """Run one, see `PrivateTgtd`; fails, and says why, where that cannot be."""
    if os.geteuid() != 0:
        pytest.fail("tgtd takes orders from root alone: run this test as root (make test does, by sudo)")
    if shutil.which("tgtd") is None:
        pytest.fail("tgtd is not installed: make test-packages")
    # Not tmp_path: a socket's path has no more than 107 octets.
    with tempfile.TemporaryDirectory(prefix="bootd-tgtd-") as folder:
        tgtd = PrivateTgtd(Path(folder), portal=portal, inside=inside)
        try:
            tgtd.start()
            yield tgtd
        finally:
            tgtd.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
