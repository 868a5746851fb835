"""Functions of the imager, run by the busybox that is in it, outside of a machine."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_FILES = Path(__file__).parents[2] / "images"
_BUSYBOX = "/bin/busybox"  # of busybox-static, as the recipe has it


@dataclass(frozen=True)
class Said:
    code: int
    out: bytes
    errors: str


class ImagerShell:
    """The files of the imager as they are, but for where they keep things and read the command line.

    Only what defines functions is sourced: the agent itself restarts machines.
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
        for name in sourced:
            self._copy("hello" if name == "functions" else "imager", name)

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

    def _copy(self, image: str, name: str) -> None:
        text = (_FILES / image / "files/etc/bootd" / name).read_text()
        here = {"/run/image": f"{self._folder}/run", "/proc/cmdline": str(self._arguments)}
        here |= {"/mnt": f"{self._folder}/mnt", "/etc/bootd-image": f"{self._folder}/name"}
        for place, other in here.items():
            text = text.replace(place, other)
        (self._folder / name).write_text(text)
