"""A qcow2 file made a raw disk by qemu-img, which is never shown a file that it could read others through.

qemu-img opens what the header names: a backing file, a data file. So the image is copied first, its
digest compared on the way, into a folder that nobody else writes to; that copy's own header is looked
at; and qemu-img is told the driver and that there is no backing file.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bootd.darkstore import disks
from bootd.darkstore.errors import BadImage
from bootd.darkstore.source import disk_part
from bootd.darkstore.tree import DiskFolder
from bootd.darkstore.unpack.errors import ToolFailed
from bootd.darkstore.unpack.order import Order
from bootd.darkstore.unpack.places import DISK, check_room
from bootd.darkstore.unpack.programs import Limits, Pipe
from bootd.errors import Mistake
from bootd.model import ImageKind

TOOLS = ("qemu-img",)
READS = 2  # times that the file is read: once to copy and compare it, once to convert it
_COPY = "image.qcow2"
_MEMORY = 2 << 30  # octets: a forged header must not eat the machine
_ANSWER = 1 << 20
_LEAKS = 3  # what qemu-img check ends with for room that is lost and nothing else
_TAIL = 64  # octets that hold the last percentage
_PERCENT = re.compile(r"\(([0-9]{1,3}\.[0-9]{2})/100%\)")


def unpack(order: Order, folder: Path) -> None:
    """Have the disk in *folder*; raises what `bootd.darkstore.unpack.unpack` does."""
    part = disk_part(order.image)
    check_room(folder, part.size)
    with (folder / _COPY).open("xb") as copy:
        for chunk in order.read(part):
            copy.write(chunk)
    size = _checked_size(order, folder)
    order.check_size(size)
    check_room(folder, min(size, _ask(order, folder, ["measure", "-O", "qcow2"]).get("required", size)))
    _convert(order, folder, size, part.size)
    (folder / _COPY).unlink()


def _checked_size(order: Order, folder: Path) -> int:
    """Return the disk's size; raises `BadImage` for what reads other files, by our own look and by QEMU's."""
    source = order.image.folder
    kind, found = disks.describe(DiskFolder(folder / _COPY, source), _COPY, source)
    if kind is not ImageKind.QCOW2:
        raise BadImage(source, [Mistake(0, f"registered as qcow2, it is {kind}")])
    info = _ask(order, folder, ["info"])
    data = info.get("format-specific", {}).get("data", {})
    foreign: list[str] = [key for key in ("backing-filename", "full-backing-filename") if key in info]
    foreign += [key for key in ("data-file", "encrypt") if key in data]
    if foreign or info.get("encrypted") or info.get("virtual-size") != found["virtual_size"]:
        what = ", ".join(foreign) or "encryption, or another size"
        raise BadImage(source, [Mistake(0, f"qemu-img finds what its header does not say: {what}")])
    _check_tables(order, folder)
    return int(found["virtual_size"])


def _check_tables(order: Order, folder: Path) -> None:
    """Raise `BadImage` where clusters are not where the tables say: converting reads zeros there."""
    with Pipe([["qemu-img", "check", "-q", _name(folder)]], folder, Limits(_ANSWER, _MEMORY)) as pipe:
        try:
            pipe.wait(order.beat)
        except ToolFailed as error:
            if error.status < 0:
                raise
            if error.status != _LEAKS:
                raise order.damaged(f"qemu-img check finds it corrupt: {error.words}") from error


def _name(folder: Path) -> str:
    file = {"driver": "file", "filename": str(folder / _COPY)}
    return "json:" + json.dumps({"driver": "qcow2", "backing": None, "file": file})


def _ask(order: Order, folder: Path, words: list[str]) -> dict[str, Any]:
    """Return what qemu-img answers to a question about the copy."""
    command = ["qemu-img", words[0], "--output=json", *words[1:], _name(folder)]
    with Pipe([command], folder, Limits(_ANSWER, _MEMORY)) as pipe:
        _wait(order, pipe, order.beat)
        answer = json.loads(pipe.answer())
    assert isinstance(answer, dict)
    return answer


def _convert(order: Order, folder: Path, size: int, stored: int) -> None:
    """Write the raw disk, zeros as holes; what qemu-img has done in percent is octets of the file read."""
    command = ["qemu-img", "convert", "-p", "-O", "raw", _name(folder), str(folder / DISK)]

    def show() -> None:
        said = _PERCENT.findall(pipe.answer(_TAIL))
        order.advance(stored + int(stored * float(said[-1]) / 100) if said else stored)

    with Pipe([command], folder, Limits(max(size, _ANSWER), _MEMORY)) as pipe:
        _wait(order, pipe, show)
    order.advance(READS * stored)


def _wait(order: Order, pipe: Pipe, beat: Callable[[], None]) -> None:
    """A copy that qemu-img cannot read is a damaged image: its digest is the one that was registered."""
    try:
        pipe.wait(beat)
    except ToolFailed as error:
        if error.status < 0:
            raise
        raise order.damaged(str(error)) from error
