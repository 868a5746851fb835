"""One partition from its files: joined, decompressed, and written to its place on the disk."""

import re
import signal
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from bootd.darkstore.errors import BadImage, BadStream
from bootd.darkstore.pieces import Stream
from bootd.darkstore.streams import compression_of, parse_partclone
from bootd.darkstore.unpack.errors import ToolFailed
from bootd.darkstore.unpack.order import Order
from bootd.darkstore.unpack.places import DISK
from bootd.darkstore.unpack.programs import Limits, Pipe
from bootd.model import ImagePart

UNPACKERS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "uncomp": (),
        "gz": ("gzip", "-dc"),
        "zst": ("zstd", "-dcq"),
        "xz": ("xz", "-dcq"),
        "lzma": ("xz", "--format=lzma", "-dcq"),
        "bz2": ("bzip2", "-dcq"),
        "lz4": ("lz4", "-dcq"),
        "lzo": ("lzop", "-dcq"),
        "lzip": ("lzip", "-dcq"),
    }
)
_HEAD = 4 << 20  # octets in which every compression has at least its first block
_UNSOUND = re.compile(r"\bCRC error|checksum|[Mm]agic|[Ii]nvalid|read ERROR", re.ASCII)
_COPIED = re.compile(r"^([0-9]+) bytes", re.MULTILINE)


def restore(order: Order, folder: Path, stream: Stream, start: int, size: int, disk_size: int) -> None:
    """Write *stream* to the *size* octets of the disk in *folder* that begin at *start*."""
    parts = [order.part(file) for file in stream.files]
    writer = _Writer(order, folder, stream, parts, Limits(disk_size))
    if stream.tool == "partclone" and stream.file_system:
        writer.check_header(size)
        where = ["-O", DISK, "-E", str(start)]
        writer.write(["partclone.restore", "-C", "-q", "-f", "1", "-L", "partclone.log", "-s", "-", *where])
        return
    copied = writer.write(
        [
            *("dd", f"of={DISK}", f"seek={start}", f"count={size}", "bs=1M"),
            *("conv=notrunc,sparse", "iflag=fullblock,count_bytes", "oflag=seek_bytes"),
        ]
    )
    found = _COPIED.search(copied)
    if found is None or int(found[1]) != size:
        raise order.damaged(f"{parts[0].file}: {found[1] if found else 'no'} octets of the {size} it has")


class _Writer:
    """The files of one partition on their way to it."""

    def __init__(
        self, order: Order, folder: Path, stream: Stream, parts: Sequence[ImagePart], limits: Limits
    ) -> None:
        self._order, self._folder, self._limits = order, folder, limits
        self._parts, self._stream = parts, stream
        compression = stream.compression or compression_of(next(order.peek(parts[0]), b""))
        self._unpacker = UNPACKERS[compression]

    def check_header(self, size: int) -> None:
        """Raise `BadImage` where the file system is larger than its partition: it would overwrite others."""
        try:
            header = parse_partclone(self._beginning())
        except BadStream as error:
            raise self._order.damaged(f"{self._parts[0].file}: {error}") from error
        if header is not None and header.size > size:
            what = f"a file system of {header.size} octets in a partition of {size}"
            raise self._order.damaged(f"{self._parts[0].file}: {what}")

    def _beginning(self) -> bytes:
        """Return the first octets of what is packed; a program whose input just ends complains in vain."""
        packed = b""
        for chunk in chain.from_iterable(map(self._order.peek, self._parts)):
            packed += chunk
            if len(packed) >= _HEAD:
                break
        if not self._unpacker:
            return packed
        with Pipe([self._unpacker], self._folder, Limits(1 << 16), fed=True) as pipe:
            try:
                pipe.feed(packed, self._order.beat)
                pipe.wait(self._order.beat)
            except ToolFailed:
                pass
            return pipe.answer_octets()

    def write(self, command: Sequence[str]) -> str:
        """Send all through the unpacker to *command*; return what that one said."""
        commands = [each for each in (self._unpacker, command) if each]
        try:
            with Pipe(commands, self._folder, self._limits, fed=True) as pipe:
                for part in self._parts:
                    for chunk in self._order.read(part):
                        pipe.feed(chunk, self._order.beat)
                pipe.wait(self._order.beat)
                return pipe.said()
        except ToolFailed as error:
            raise self._judged(error) from error

    def _judged(self, error: ToolFailed) -> BadImage | ToolFailed:
        """Tell an image that is no good, though its digests are right, from a program in trouble."""
        name = self._parts[0].file
        if error.status in (0, -signal.SIGPIPE):
            return self._order.damaged(f"{name}: it goes on after its end")
        is_packing = bool(self._unpacker) and error.tool == self._unpacker[0]
        if error.status > 0 and (is_packing or _UNSOUND.search(error.words)):
            return self._order.damaged(f"{name}: {error}")
        return error
