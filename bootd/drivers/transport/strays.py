"""The senders that run, noted on disk: whoever comes after us finds those that we left behind.

A sender is told to die with the thread that started it. What is noted is for the moment
in which that cannot be: our process killed while it was about to start one.
"""

import json
import os
import select
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bootd.drivers.transport.channels import Channel

_SUFFIX = ".sender"
_START = 19  # of /proc/PID/stat behind the name, field 22 of proc(5): ticks since the machine started
PROGRAM = "udp-sender"
LAUNCHER = ("setpriv", "--pdeathsig", "KILL")  # becomes the sender, which then ends with who started it


@dataclass(frozen=True, slots=True)
class Stray:
    """A sender of ours."""

    session: str
    pid: int
    started: int  # ticks; with the pid it is one process and no other
    channel: Channel

    @property
    def is_alive(self) -> bool:
        """Whether it runs, and is what it was noted as."""
        words = _words(self.pid)
        return (
            _started(self.pid) == self.started
            and Path(words[0]).name in (PROGRAM, *LAUNCHER[:1])
            and {self.channel.address, str(self.channel.port)}.issubset(words)
        )


class Strays:
    """One file a sender, in *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, session: str, pid: int, channel: Channel) -> None:
        """Note that the process *pid*, which runs, is the sender of *session*."""
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(
            {
                "session": session,
                "pid": pid,
                "started": _started(pid),
                "address": channel.address,
                "port": channel.port,
            }
        )
        path = self._path(session)
        fresh = path.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)

    def forget(self, session: str) -> None:
        self._path(session).unlink(missing_ok=True)

    def alive(self) -> dict[str, Stray]:
        """Return those that run, by session; what was noted of others is removed."""
        found = {}
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            stray = _read(path)
            if stray is not None and stray.is_alive:
                found[stray.session] = stray
            else:
                path.unlink(missing_ok=True)
        return found

    def end(self, stray: Stray) -> None:
        """Kill it and nobody else, and wait until it is gone."""
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(stray.pid)
            try:
                if stray.is_alive:  # the handle is that process's, whoever has its number later
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    _await(handle)
            finally:
                os.close(handle)
        self.forget(stray.session)

    def _path(self, session: str) -> Path:
        return self._folder / f"{quote(session, safe='')}{_SUFFIX}"


def _await(handle: int, seconds: float = 5.0) -> None:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.poll(seconds * 1000)


def _read(path: Path) -> Stray | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        channel = Channel(str(fields["address"]), int(fields["port"]))
        return Stray(str(fields["session"]), int(fields["pid"]), int(fields["started"]), channel)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # cut off as it was written, so the sender was not started yet or is not ours to end


def _started(pid: int) -> int | None:
    """Return when the process was started; None where there is none, or it is dead already."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[_START])


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    except OSError:
        return [""]
