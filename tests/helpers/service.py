"""The real ``bootd serve``, started in a namespace of its own, and its commands beside it."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

from tests.helpers.namespace import Namespace

PATIENCE_S = 60.0


class Service:
    """A bootd with its data in *folder*; `serve` starts the daemon."""

    def __init__(self, space: Namespace, folder: Path, extra: str = "") -> None:
        self.space, self.data_dir = space, folder / "data"
        self.data_dir.mkdir(exist_ok=True)
        self.config = folder / "bootd.toml"
        self.config.write_text(
            f'[server]\ninterfaces = ["lo"]\naddress = "{space.address}"\ndata_dir = "{self.data_dir}"\n'
            f'user = ""\n{extra}'
        )

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "bootd", "--config", str(self.config), *words]

    def bootd(self, *words: str, status: int = 0) -> str:
        """Run a command; return what it printed, standard error last."""
        done = subprocess.run(
            self.argv(*words), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def refused_start(self) -> tuple[int, str]:
        """Start the daemon where it cannot; return its exit status and what it said."""
        done = subprocess.run(
            self.space.command(*self.argv("serve")),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return done.returncode, done.stderr

    @contextmanager
    def serve(self, *, environment: dict[str, str] | None = None) -> Iterator["subprocess.Popen[bytes]"]:
        """Run the daemon until the end of the block; it must then end well by SIGTERM."""
        argv = self.space.command(*self.argv("serve"))
        with (self.data_dir.parent / "log").open("ab") as log:
            daemon = subprocess.Popen(argv, env=os.environ | (environment or {}), stdout=log)
        try:
            self.wait_until_ready(daemon)
            yield daemon
        except BaseException:
            daemon.kill()
            raise
        finally:
            if daemon.poll() is None:
                daemon.terminate()
            daemon.wait(PATIENCE_S)
        assert daemon.returncode == 0, f"bootd serve ended with {daemon.returncode}"

    def wait_until_ready(self, daemon: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert daemon.poll() is None, f"bootd serve ended with {daemon.returncode}"
            try:
                self.get("/healthz")
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("bootd serve did not become ready")

    def get(self, path: str, *, port: int = 8080) -> tuple[int, bytes]:
        """GET *path* from inside the namespace; return status and body."""

        def ask() -> tuple[int, bytes]:
            try:
                with urllib.request.urlopen(
                    f"http://{self.space.address}:{port}{path}", timeout=10
                ) as answer:
                    return answer.status, answer.read()
            except HTTPError as error:
                with error:
                    return error.code, error.read()

        return self.space.run(ask)

    @property
    def log(self) -> str:
        return (self.data_dir.parent / "log").read_text()
