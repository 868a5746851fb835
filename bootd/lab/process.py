"""Processes another process may have to end, told apart from strangers by their start time."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process as the kernel knew it when we started it; pids are used again, this pair is not."""

    pid: int
    started: int  # clock ticks after boot, field 22 of /proc/PID/stat

    @property
    def alive(self) -> bool:
        """Tell whether that very process still runs; a zombie does not."""
        state = _state(self.pid)
        return state is not None and state[1] == self.started and state[0] not in "ZX"

    def end(self, *, patience_s: float = _PATIENCE_S) -> None:
        """Ask it to stop, then make it; does nothing to a stranger with the same pid."""
        self._signal(signal.SIGTERM)
        if not self.wait(patience_s):
            self._signal(signal.SIGKILL)
            self.wait(_PATIENCE_S)

    def wait(self, patience_s: float) -> bool:
        """Return True once it is gone, False after *patience_s* seconds."""
        until = time.monotonic() + patience_s
        while self.alive:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def _signal(self, number: int) -> None:
        if not self.alive:
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return  # it went by itself in between


def identify(pid: int) -> Process | None:
    """Return the process that has *pid* now, None where there is none."""
    state = _state(pid)
    return Process(pid, state[1]) if state else None


def start(
    argv: Sequence[str], *, log: Path, env: dict[str, str] | None = None
) -> tuple[Process, subprocess.Popen[bytes]]:
    """Start *argv* in a session of its own, both its outputs at the end of *log*.

    The second value is there to be kept and reaped by a caller that lives long enough.
    """
    with log.open("ab") as out:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=env
        )
    process = identify(child.pid)
    assert process is not None  # not reaped yet, so /proc still has it
    return process, child


def _state(pid: int) -> tuple[str, int] | None:
    """Return the state letter and the start time of *pid*."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name in brackets may hold blanks
    return fields[0], int(fields[19])
