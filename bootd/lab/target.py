"""The lab's iSCSI target: a tgtd of its own, beside bootd, told what to export by it."""

import socket
import time
from collections.abc import Sequence
from pathlib import Path

from bootd.lab import network
from bootd.lab.errors import LabError
from bootd.lab.process import Process

NAME = "tgtd"
PORTALS = (f"{network.BOOT_ADDRESS}:3260", f"{network.BOOT_ADDRESS}:3261")
# what is booked next is staged at once: nobody waits in a lab
CONFIG = '[luns]\nbackend = "tgt"\nstage_ahead = 1440\n'
_START_S = 30.0


def command(portals: Sequence[str]) -> list[str]:
    listen = ",".join(f"portal={portal}" for portal in portals)
    return ["tgtd", "--foreground", "--iscsi", listen, "--nr_iothreads", "1"]


def environment(folder: Path) -> dict[str, str]:
    """Return what tells tgtd, and whoever gives it orders, where it takes them: not where the host's does."""
    return {"TGT_IPC_SOCKET": str(socket_of(folder))}


def socket_of(folder: Path) -> Path:
    return folder / "tgtd"  # tgtd puts ".0" behind it, the number of its control port


def wait_until_there(process: Process, folder: Path, log: Path) -> None:
    """Return when tgtd takes orders; raises `LabError` with its words otherwise."""
    until = time.monotonic() + _START_S
    while not _answers(socket_of(folder).with_suffix(".0")):
        if not process.alive or time.monotonic() > until:
            raise LabError(f"the lab's tgtd did not start; it said:\n{log.read_text(errors='replace')}")
        time.sleep(0.02)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
