"""One machine on QEMU's own little network, without namespaces: it reaches our loopback as 10.0.2.2."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bootd.lab.console import read_log
from bootd.lab.machines import OVMF_CODE, OVMF_VARS, QEMU

SERVER = "10.0.2.2"  # we, as the machine sees us
_LOOK_S = 0.2
VIRTIO = ("-device", "virtio-blk-pci,drive=disk0,bootindex=2")
SATA = ("-device", "ahci,id=ahci", "-device", "ide-hd,drive=disk0,bus=ahci.0,bootindex=2")
NVME = ("-device", "nvme,drive=disk0,serial=NVME1,bootindex=2")
_BIOS = ("-machine", "pc,graphics=off", "-m", "768")  # graphics=off: the screen is written to the serial port


async def boot(
    folder: Path,
    script: str,
    mac: str,
    *,
    until: Sequence[str],
    patience_s: float,
    uefi: bool = False,
    disk: Path | None = None,
    first: Sequence[str] = (),
    card: str = "virtio-net-pci",
    drive: Sequence[str] = VIRTIO,
) -> str:
    """Power a machine on whose ROM, an iPXE, is told to load *script*; return what its console said.

    Ends when one of *until* is on the console, or after *patience_s*. *first* are words for QEMU, in
    front of those for card and disk: a device among them is the first that the system finds. *drive*
    is the device behind which the disk is.
    """
    console = folder / "console"
    console.unlink(missing_ok=True)
    argv = [QEMU, "-accel", "tcg", "-cpu", "qemu64", "-nodefaults", "-display", "none", "-no-reboot"]
    argv += [*first, "-serial", f"file:{console}", "-netdev", f"user,id=net0,bootfile={script}"]
    argv += ["-device", f"{card},netdev=net0,mac={mac},bootindex=1"]
    argv += _uefi(folder) if uefi else _BIOS
    if disk is not None:
        argv += ["-drive", f"file={disk},format=raw,if=none,id=disk0"]
        argv += drive
    process = await asyncio.create_subprocess_exec(*argv)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while process.returncode is None and not _has(console, until):
                    await asyncio.sleep(_LOOK_S)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return read_log(console)


def _has(console: Path, until: Sequence[str]) -> bool:
    text = read_log(console)
    return any(each in text for each in until)


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
