"""The imager's scripts, run by the busybox that is in it, outside of a machine."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

_FILES = Path(__file__).parents[2] / "images"
_BUSYBOX = "/bin/busybox"  # of busybox-static, as the recipe has it


_PLACES = {  # where the scripts find things, and where those are in a test's folder
    "/run/image": "run",
    "/proc/cmdline": "cmdline",
    "/proc/sys/vm/drop_caches": "drop_caches",
    "/sys/class/block": "block",
    "/sys/block": "block",
    "/mnt": "mnt",
    "/etc/bootd-image": "name",
    "/etc/bootd": ".",
    "/dev/$disk": "dev/$disk",
}


@dataclass(frozen=True)
class Said:
    code: int
    out: bytes
    errors: str


class ImagerShell:
    """The files of the imager as they are, but for where they keep things and read the command line.

    Only what defines functions is sourced: the agent itself restarts machines. Disks are files in the
    folder "dev", what the kernel says of them is in "block".
    """

    def __init__(
        self,
        folder: Path,
        server: str = "",
        *,
        token: str = "",
        sourced: Sequence[str] = ("functions", "talk", "fetch"),
    ) -> None:
        (folder / "run").mkdir(parents=True)
        self._arguments = folder / "cmdline"
        self._arguments.write_text(f"quiet bootd.token={token}\n")
        self._server, self._folder, self._sourced = server, folder, sourced
        self._copy(_FILES / "hello/files/etc/bootd/functions")
        for path in (_FILES / "imager/files/etc/bootd").iterdir():
            self._copy(path)

    async def run(self, command: str) -> Said:
        sourced = "".join(f". {self._folder}/{name}\n" for name in self._sourced)
        program = f"{sourced}server={self._server}\n{command}"
        process = await asyncio.create_subprocess_exec(
            *(_BUSYBOX, "sh", "-c", program),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
        return Said(process.returncode or 0, out, errors.decode())

    def _copy(self, path: Path) -> None:
        text = path.read_text()
        for place, here in _PLACES.items():
            text = text.replace(place, str(self._folder / here))
        # a disk is a file here
        copy = self._folder / path.name
        copy.write_text(re.sub(r"\[ -b ", "[ -f ", re.sub(r"\bsync\b", ":", text)))
        copy.chmod(0o755)


_LEFT = 77  # exit status of an agent that would start its machine anew
# Nothing of this machine is to be touched: neither cards nor names, and it must not start anew.
_HARMLESS = {
    r"\breboot -f\b": f"exit {_LEFT}",
    r"(?m)^hostname .*$": ":",
    r"(?m)^dmesg -n .*$": ":",
    r"\bsync\b": ":",
    r"/mnt\b": "/nowhere",
    r"/dev/\$disk\b": "/nowhere/$disk",
}


class Agent:
    """The agent itself, but for cards, disks and restarts; it ends where it would start its machine anew."""

    def __init__(self, folder: Path, server: str, token: str) -> None:
        self._folder = folder
        (folder / "run").mkdir(parents=True)
        words = f"quiet bootd.node=node1 bootd.report={server}/node/v1/report bootd.token={token}\n"
        (folder / "cmdline").write_text(words)
        for path in (
            _FILES / "hello/files/etc/bootd/functions",
            *(_FILES / "imager/files/etc/bootd").iterdir(),
        ):
            self._copy(path)
        self.append("functions", "connect() { interface=lo address=127.0.0.1/8; }\n")

    def append(self, name: str, text: str) -> None:
        """Have the script *name* end with *text*: what it defines there is what counts."""
        with (self._folder / name).open("a") as file:
            file.write(text)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        argv = (_BUSYBOX, "sh", str(self._folder / "agent"))
        with (self._folder / "console").open("wb") as console:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    @property
    def console(self) -> str:
        return (self._folder / "console").read_text()

    async def left(self, process: asyncio.subprocess.Process) -> bool:
        """Wait for the end; tell whether it would have started its machine anew."""
        return await process.wait() == _LEFT

    def _copy(self, path: Path) -> None:
        text = path.read_text()
        places = {"/run/image": "run", "/proc/cmdline": "cmdline", "/etc/bootd": ".", "/run/stay": "stay"}
        for place, here in places.items():
            text = text.replace(place, str(self._folder / here))
        for what, harmless in _HARMLESS.items():
            text = re.sub(what, harmless, text)
        assert "reboot" not in re.sub(r"(?m)#.*$", "", text), path
        (self._folder / path.name).write_text(text)
