"""One machine on QEMU's own little network, without namespaces: it reaches our loopback as 10.0.2.2."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootd.lab.console import read_log
from bootd.lab.machines import OVMF_CODE, OVMF_VARS, QEMU

SERVER = "10.0.2.2"  # we, as the machine sees us
_LOOK_S = 0.2
VIRTIO = ("-device", "virtio-blk-pci,drive=disk0,bootindex=2")
SATA = ("-device", "ahci,id=ahci", "-device", "ide-hd,drive=disk0,bus=ahci.0,bootindex=2")
NVME = ("-device", "nvme,drive=disk0,serial=NVME1,bootindex=2")
_BIOS = ("-machine", "pc,graphics=off", "-m", "768")  # graphics=off: the screen is written to the serial port


@dataclass(frozen=True)
class Machine:
    """A machine that is on, or was; its serial port writes a log and is a socket beside it."""

    folder: Path
    process: asyncio.subprocess.Process

    @property
    def said(self) -> str:
        """What its console has said since power-on."""
        return read_log(self.folder / "console")

    async def until(self, *marks: str, patience_s: float) -> str:
        """Return what its console said when one of *marks* is on it, it is off, or *patience_s* are over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while self.process.returncode is None and not any(mark in self.said for mark in marks):
                    await asyncio.sleep(_LOOK_S)
        return self.said

    async def ask(self, line: str, answer: str, *, patience_s: float) -> None:
        """Type *line* on its console, and stay there until *answer* comes; raises TimeoutError."""
        reader, writer = await asyncio.open_unix_connection(self.folder / "keys")
        writer.write(f"{line}\n".encode())
        came = b""
        try:
            async with asyncio.timeout(patience_s):
                while answer.encode() not in came:
                    octets = await reader.read(4096)
                    if not octets:
                        raise TimeoutError("it is off")
                    came += octets
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def powered(
    folder: Path,
    script: str,
    mac: str,
    *,
    uefi: bool = False,
    disk: Path | None = None,
    first: Sequence[str] = (),
    card: str = "virtio-net-pci",
    drive: Sequence[str] = VIRTIO,
) -> AsyncIterator[Machine]:
    """Power a machine on whose ROM, an iPXE, is told to load *script*; it is off afterwards.

    *first* are words for QEMU, in front of those for card and disk: a device among them is the first that
    the system finds. *drive* is the device behind which the disk is.
    """
    console = folder / "console"
    console.unlink(missing_ok=True)
    argv = [QEMU, "-accel", "tcg", "-cpu", "qemu64", "-nodefaults", "-display", "none", "-no-reboot"]
    argv += ["-chardev", f"socket,id=serial0,path={folder}/keys,server=on,wait=off,logfile={console}"]
    argv += [*first, "-serial", "chardev:serial0", "-netdev", f"user,id=net0,bootfile={script}"]
    argv += ["-device", f"{card},netdev=net0,mac={mac},bootindex=1"]
    argv += _uefi(folder) if uefi else _BIOS
    if disk is not None:
        argv += ["-drive", f"file={disk},format=raw,if=none,id=disk0"]
        argv += drive
    process = await asyncio.create_subprocess_exec(*argv)
    try:
        yield Machine(folder, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def boot(
    folder: Path, script: str, mac: str, *, until: Sequence[str], patience_s: float, **machine: Any
) -> str:
    """Power a machine on, *machine* being for `powered`, until one of *until* is on its console."""
    async with powered(folder, script, mac, **machine) as on:
        return await on.until(*until, patience_s=patience_s)


def _uefi(folder: Path) -> list[str]:
    variables = folder / "vars.fd"
    variables.write_bytes(Path(OVMF_VARS).read_bytes())
    argv = ["-machine", "q35,graphics=off", "-m", "1024"]
    argv += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}"]
    argv += ["-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
    argv += ["-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng0"]
    for name in ("IPv6Support", "IPv6PXESupport"):  # each is a minute of waiting
        argv += ["-fw_cfg", f"name=opt/org.tianocore/{name},string=n"]
    return argv
