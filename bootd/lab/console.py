"""A machine's serial console: its log as clean, timed lines, and a terminal on it."""

import os
import re
import select
import socket
import sys
import termios
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bootd.lab.errors import LabError, NotArrived

ESCAPE = b"\x1d"  # Ctrl-]

_POLL_S = 0.1
# CSI sequences, OSC titles, and the two-character ones firmware uses (ESC c resets the terminal)
_ANSI = re.compile(r"\x1b(?:\[[0-9;?=]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\^_a-z])")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the console, without its terminal commands."""

    seconds: float  # after power-on, when we read it
    text: str


def clean(text: str) -> str:
    """Return *text* without terminal commands, carriage returns and trailing blanks."""
    bare = _ANSI.sub("", text).replace("\r", "").replace("\0", "")
    return bare.rstrip()


def read_log(path: Path) -> str:
    """Return what the console's log holds, clean.

    Lines end at line feeds alone: SeaBIOS returns the carriage within a word, to set the cursor anew.
    """
    octets = path.read_bytes() if path.exists() else b""
    return "\n".join(clean(line) for line in octets.decode("utf-8", "replace").split("\n"))


class ConsoleLog:
    """The log QEMU writes at *path*, read on from the machine's last power-on at each `poll`."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._offset = 0
        self._rest = ""
        self._since = clock()
        self.lines: list[Line] = []

    def restart(self) -> None:
        """Forget what was; the machine is powered on now."""
        self._offset = self._path.stat().st_size if self._path.exists() else 0
        self._rest, self._since, self.lines = "", self._clock(), []

    def poll(self) -> list[Line]:
        """Return the lines that came since the last call; a last line without an end is among `text` only."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            data = stream.read()
        self._offset += len(data)
        *whole, self._rest = (self._rest + data.decode("utf-8", "replace")).split("\n")
        now = self._clock() - self._since
        new = [Line(now, text) for text in map(clean, whole) if text.strip()]
        self.lines += new
        return new

    @property
    def text(self) -> str:
        """Everything so far, the unfinished line too."""
        return "\n".join([*(line.text for line in self.lines), clean(self._rest)])

    def tail(self, count: int = 25) -> str:
        """Return the last lines with their times, for people."""
        rows = [f"{line.seconds:7.1f} s  {line.text}" for line in self.lines[-count:]]
        rest = clean(self._rest)
        return "\n".join([*rows, f"           {rest}"] if rest else rows)


def wait_for(
    log: ConsoleLog, node: str, pattern: str, timeout_s: float, is_on: Callable[[], bool]
) -> re.Match[str]:
    """Return the first match of *pattern* since power-on.

    Raises `NotArrived` after *timeout_s*, or as soon as the machine is off without it.
    """
    wanted = re.compile(pattern)
    begun = time.monotonic()
    while True:
        can_go_on = is_on() and time.monotonic() < begun + timeout_s  # asked first: last words count
        log.poll()
        found = wanted.search(log.text)
        if found:
            return found
        if not can_go_on:
            raise NotArrived(node, pattern, time.monotonic() - begun, log.tail())
        time.sleep(_POLL_S)


def attach(path: Path) -> None:
    """Join this terminal to the console behind the socket *path* until Ctrl-]."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(str(path))
        except OSError as error:
            raise LabError(f"no console behind {path}: {error.strerror}; is the machine on?") from error
        keyboard = sys.stdin.fileno()
        saved = termios.tcgetattr(keyboard) if os.isatty(keyboard) else None
        try:
            if saved is not None:
                tty.setraw(keyboard)
            _pump(sock, keyboard, sys.stdout.fileno())
        finally:
            if saved is not None:
                termios.tcsetattr(keyboard, termios.TCSADRAIN, saved)
                os.write(sys.stdout.fileno(), b"\n")  # the shell's prompt gets a line of its own


def _pump(sock: socket.socket, keyboard: int, screen: int) -> None:
    """Carry bytes both ways until Ctrl-], the end of the input, or the machine's power-off."""
    while True:
        readable, _, _ = select.select([sock.fileno(), keyboard], [], [])
        if sock.fileno() in readable:
            data = sock.recv(65536)
            if not data:
                return
            os.write(screen, data)
        if keyboard in readable:
            keys = os.read(keyboard, 4096)
            before, escape, _ = keys.partition(ESCAPE)
            sock.sendall(before)
            if escape or not keys:
                return
