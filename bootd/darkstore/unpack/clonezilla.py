"""A whole disk as Clonezilla saved it: table, boot code, what lies hidden behind it, partitions, swap.

The order is that of ocs-functions of drbl 5.2 (task_restoredisk), but on a sparse file: no block
devices are needed, and no rights but to the folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bootd.darkstore import forlun
from bootd.darkstore.pieces import Stream, find_streams
from bootd.darkstore.unpack.dumps import parse_swap, table_script
from bootd.darkstore.unpack.order import Order
from bootd.darkstore.unpack.places import DISK, check_room
from bootd.darkstore.unpack.programs import Limits, Pipe
from bootd.darkstore.unpack.streams import UNPACKERS, restore
from bootd.model import DiskImage

_CODE = {"dos": 446, "gpt": 440}  # octets of the first sector that are no table (and on GPT no disk id)
_SECTOR = forlun.SECTOR
_SWAP = "swap"
_SWAP_HEADER = 4096  # octets: a page of the machines that x86 and ARM kernels run on
_TEXT_MAX = 64 << 20  # octets of a file that is read into memory


def tools_of(image: DiskImage) -> list[str]:
    """Return the programs that bring *image* back."""
    tools = {"sfdisk"}
    for part in _disk(image)["partitions"]:
        if part["files"]:
            is_raw = _is_raw(part["files"][0]) or part["tool"] == "dd"
            tools |= {"dd" if is_raw else "partclone.restore", *UNPACKERS[part["compression"]][:1]}
        elif part["tool"] == "mkswap":
            tools.add("mkswap")
    return sorted(tools)


def _disk(image: DiskImage) -> Mapping[str, Any]:
    disk: Mapping[str, Any] = image.description["disks"][0]
    return disk


def _is_raw(file: str) -> bool:
    return any(stream.file_system == "" for stream in find_streams({file: 1})[0])


def unpack(order: Order, folder: Path) -> None:
    """Have the disk in *folder*; raises what `bootd.darkstore.unpack.unpack` does."""
    _Restoring(order, folder).run()


class _Restoring:
    """One disk on its way back."""

    def __init__(self, order: Order, folder: Path) -> None:
        self._order, self._folder, self._disk = order, folder, _disk(order.image)
        self._base = str(self._disk["name"]).replace("/", "-")
        self._label = str(self._disk["label"])
        size = forlun.disk_size(order.image) or 0
        # a GPT ends with the disk, so the disk is as large as the LUN
        self._size = order.lun_size if self._label == "gpt" else size

    def run(self) -> None:
        order, partitions = self._order, self._disk["partitions"]
        saved = [part for part in partitions if part["files"]]
        check_room(
            self._folder, sum(part["size"] if part["used"] is None else part["used"] for part in saved)
        )
        with (self._folder / DISK).open("xb") as disk:
            disk.truncate(self._size)
        self._table()
        self._code()
        streams = self._streams()
        for part in saved:
            stream = streams[str(part["device"]).replace("/", "-")]
            restore(order, self._folder, stream, part["start"], part["size"], self._size)
        for part in partitions:
            if part["tool"] == "mkswap":
                self._swap(part)
        order.advance(order.image.size)

    def _streams(self) -> Mapping[str, Stream]:
        sizes = {part.file: part.size for part in self._order.image.parts}
        return {stream.part: stream for stream in find_streams(sizes)[0]}

    def _table(self) -> None:
        script = table_script(self._text(f"{self._base}-pt.sf"), self._label)
        still = ("--no-reread", "--no-tell-kernel", "--wipe", "never", "--wipe-partitions", "never")
        self._do("sfdisk", "-q", *still, DISK, given=script.encode())

    def _code(self) -> None:
        """Write the boot code; on MBR disks what hides between the table and the first partition too.

        On GPT disks that is the GPT.
        """
        code = self._octets(f"{self._base}-mbr")[: _CODE[self._label]]
        self._write(0, code)
        if self._label != "dos":
            return
        first = min((part["start"] for part in self._disk["partitions"]), default=_SECTOR)
        self._write(_SECTOR, self._octets(f"{self._base}-hidden-data-after-mbr")[: max(0, first - _SECTOR)])
        for part in self._disk["partitions"]:
            device = str(part["device"]).replace("/", "-")
            self._write(part["start"], self._octets(f"{device}-ebr")[: _CODE["dos"]])

    def _swap(self, part: Mapping[str, Any]) -> None:
        device = str(part["device"]).replace("/", "-")
        swap = parse_swap(self._text(f"swappt-{device}.info"))
        path = self._folder / _SWAP
        with path.open("wb") as file:
            file.truncate(part["size"])
        named = [
            word for flag, value in (("-U", swap.uuid), ("-L", swap.label)) if value for word in (flag, value)
        ]
        self._do("mkswap", "-q", "-p", str(_SWAP_HEADER), *named, _SWAP)
        with path.open("rb") as file:
            self._write(part["start"], file.read(_SWAP_HEADER))
        path.unlink()

    # -- tools -------------------------------------------------------------------------------

    def _do(self, *command: str, given: bytes = b"") -> None:
        with Pipe([command], self._folder, Limits(max(self._size, 1 << 20)), fed=True) as pipe:
            pipe.feed(given, self._order.beat)
            pipe.wait(self._order.beat)

    def _octets(self, file: str) -> bytes:
        """Return a small file of the image; nothing where there is none."""
        part = self._order.find(file)
        if part is not None and part.size > _TEXT_MAX:
            raise self._order.damaged(f"{file}: {part.size} octets are more than it can have")
        return b"" if part is None else b"".join(self._order.read(part))

    def _text(self, file: str) -> str:
        return self._octets(file).decode("utf-8", "replace")

    def _write(self, start: int, octets: bytes) -> None:
        with (self._folder / DISK).open("r+b") as disk:
            disk.seek(start)
            disk.write(octets)
