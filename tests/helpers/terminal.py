"""A bootd command on a terminal of its own, and what a person would have read there."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from bootd.lab import servers
from bootd.lab.console import clean
from bootd.lab.lab import Lab

_ROWS, _COLUMNS = 40, 140


class Terminal:
    """*words* are what is typed behind ``bootd``."""

    def __init__(self, lab: Lab, words: Sequence[str]) -> None:
        self._screen, keyboard = pty.openpty()
        fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self._octets = b""
        self._process = subprocess.Popen(
            servers.bootd_command(lab.config, *words),
            env=servers.bootd_environment() | {"TERM": "xterm"},
            stdin=keyboard,
            stdout=keyboard,
            stderr=keyboard,
        )
        os.close(keyboard)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                octets = os.read(self._screen, 1 << 16)
            except OSError:  # Linux says EIO where the other side is closed
                return
            if not octets:
                return
            self._octets += octets

    @property
    def raw(self) -> str:
        return self._octets.decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        """Every line that was ever drawn, without the terminal's commands."""
        return [clean(line) for line in self.raw.splitlines()]

    def end(self, patience_s: float) -> int:
        """Return the command's status once it has ended by itself."""
        status = self._process.wait(patience_s)
        self._reader.join()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._screen)
