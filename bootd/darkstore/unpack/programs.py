"""Programs run as a pipe of children that never outlive us, with their last words."""

import errno
import fcntl
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO

from bootd.darkstore.unpack.errors import MissingTool, NoRoom, ToolFailed

PACKAGES: Mapping[str, str] = MappingProxyType(  # of Debian
    {
        "qemu-img": "qemu-utils",
        "partclone.restore": "partclone",
        "sfdisk": "fdisk",
        "mkswap": "util-linux",
        "setpriv": "util-linux",
        "prlimit": "util-linux",
        "nice": "coreutils",
        "dd": "coreutils",
        "gzip": "gzip",
        "zstd": "zstd",
        "xz": "xz-utils",
        "bzip2": "bzip2",
        "lz4": "lz4",
        "lzop": "lzop",
        "lzip": "lzip",
    }
)
Beat = Callable[[], None]  # called while we wait; what it raises ends the children

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # a daemon's own has no sbin
_BEAT_S = 0.5
_NICE = "10"  # machines that boot meanwhile come first
_PIPE = 1 << 20  # octets; a pipe's default of 64 KiB wakes us for each
_WORDS = 400  # characters kept of what a program said
_FULL, _OVER_QUOTA = os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)
_NEARLY_FULL = 64 << 20  # octets


def find(tool: str) -> str:
    """Return where *tool* is; raises `MissingTool`."""
    check([tool])
    return shutil.which(tool, path=_PATH) or tool


def check(tools: Iterable[str]) -> None:
    """Raise `MissingTool` with all of *tools* that are not there."""
    lacking = [tool for tool in tools if shutil.which(tool, path=_PATH) is None]
    if lacking:
        are = "is" if len(lacking) == 1 else "are"
        packages = " ".join(dict.fromkeys(PACKAGES[tool] for tool in lacking))
        raise MissingTool(f"{', '.join(lacking)} {are} not installed: apt-get install {packages}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may take at most, in octets."""

    file: int  # of any file it writes
    memory: int = 4 << 30  # addresses


class Pipe:
    """*commands*, each reading what the one before it says; all are ended with the ``with`` block.

    The kernel ends them too where the thread that made them dies (PR_SET_PDEATHSIG), and
    no file of theirs outgrows *limits*. What they say besides goes to logs in *folder*.
    """

    def __init__(
        self, commands: Sequence[Sequence[str]], folder: Path, limits: Limits, *, fed: bool = False
    ) -> None:
        bounds = [f"--fsize={limits.file}", f"--as={limits.memory}", "--core=0", "--"]
        last = ["setpriv", "--pdeathsig", "KILL", "nice", "-n", _NICE, "prlimit", *bounds]
        self._guard = [find(last[0]), *last[1:]]
        self._commands, self._folder, self._fed = commands, folder, fed
        self._answer = folder / "answer"
        self._answer.unlink(missing_ok=True)
        self._children: list[subprocess.Popen[bytes]] = []
        self._input: int | None = None
        self._poll = select.poll()

    def __enter__(self) -> "Pipe":
        try:
            reading: int | IO[bytes] = subprocess.PIPE if self._fed else subprocess.DEVNULL
            for number, command in enumerate(self._commands):
                child = self._start(number, command, reading)
                if not isinstance(reading, int):
                    reading.close()  # its only reader is the child: who writes hears when that one ends
                reading = child.stdout or subprocess.DEVNULL
        except BaseException:
            self._end()
            raise
        if self._fed:
            self._open_input()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _start(
        self, number: int, command: Sequence[str], reading: int | IO[bytes]
    ) -> "subprocess.Popen[bytes]":
        is_last = number == len(self._commands) - 1
        argv = [*self._guard, find(command[0]), *command[1:]]
        with self._log(number).open("wb") as log, self._answer.open("ab") as answer:
            child = subprocess.Popen(
                argv,
                stdin=reading,
                stdout=answer if is_last else subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                env={"PATH": _PATH, "LC_ALL": "C", "TERM": "dumb"},
                start_new_session=True,
            )
        self._children.append(child)
        return child

    def _open_input(self) -> None:
        stdin = self._children[0].stdin
        assert stdin is not None
        self._input = stdin.fileno()
        os.set_blocking(self._input, False)
        self._poll.register(self._input, select.POLLOUT)
        with suppress(OSError):  # the system lets nobody have a larger one; a small one will do
            fcntl.fcntl(self._input, fcntl.F_SETPIPE_SZ, _PIPE)

    def _log(self, number: int) -> Path:
        return self._folder / f"said.{number}"

    # -- while they run ----------------------------------------------------------------------

    def feed(self, chunk: bytes, beat: Beat) -> None:
        """Write *chunk* to the first; raises `ToolFailed` where it reads no more."""
        assert self._input is not None
        left = memoryview(chunk)
        while left:
            if self._poll.poll(_BEAT_S * 1e3):
                try:
                    left = left[os.write(self._input, left) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    self.wait(beat)
                    raise ToolFailed(self._commands[0][0], 0, "it ended before its input did") from None
            beat()

    def wait(self, beat: Beat) -> None:
        """Wait for all to end; raises `NoRoom`, and `ToolFailed` of the one that failed first."""
        if self._input is not None and (stdin := self._children[0].stdin) is not None:
            stdin.close()
            self._input = None
        for child in self._children:
            while True:
                try:
                    child.wait(_BEAT_S)
                    break
                except subprocess.TimeoutExpired:
                    beat()
        self._judge()

    def answer(self, limit: int = 0) -> str:
        """Return what the last program wrote so far, its last *limit* octets (0: all)."""
        return _tail(self._answer, limit).decode("utf-8", "replace")

    def answer_octets(self) -> bytes:
        return self._answer.read_bytes()

    def said(self, number: int = -1) -> str:
        """Return the last words of a program so far."""
        return _tail(self._log(number % len(self._commands)), _WORDS).decode("utf-8", "replace")

    def _judge(self) -> None:
        statuses = [child.returncode for child in self._children]
        words = [" ".join(self.said(number).split()) for number in range(len(statuses))]
        if any(statuses) and self._is_full(words):
            raise NoRoom(f"the file system of {self._folder.parent} is full: make room there")
        # whoever reads no more makes the one before it fail by a broken pipe: that one is not to blame
        for number in sorted(range(len(statuses)), key=lambda n: (statuses[n] == -signal.SIGPIPE, n)):
            if statuses[number]:
                raise ToolFailed(self._commands[number][0], statuses[number], words[number])

    def _is_full(self, words: Sequence[str]) -> bool:
        """sfdisk finds no space left on a device where a table does not fit, so the device is asked too."""
        if any(_OVER_QUOTA in each for each in words):
            return True
        said = any(_FULL in each for each in words)
        return said and shutil.disk_usage(self._folder).free < _NEARLY_FULL

    def _end(self) -> None:
        for child in self._children:
            if child.poll() is None:
                child.kill()
        for child in self._children:
            child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    _close(stream)


def _tail(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - limit) if limit else 0)
        return file.read()


def _close(stream: IO[bytes]) -> None:
    """Close our end; what was not written yet is of no use to anybody."""
    try:
        stream.close()
    except BrokenPipeError:
        return
