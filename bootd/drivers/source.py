"""Where the octets of an image come from, for drivers that carry them somewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CHUNK = 1 << 20  # octets read at a time


class ByteSource(Protocol):
    """An image as a stream that can be started again.

    A source may turn out shorter or longer than it said (a file that was cut off on
    its way): whoever reads it counts, and calls what does not fit no image.
    """

    @property
    def size(self) -> int:
        """Octets, known before the first is read."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the image from its beginning; each call starts anew. May raise `OSError`."""


@dataclass(frozen=True, slots=True)
class BytesSource:
    """An image that is in memory already."""

    octets: bytes
    chunk: int = CHUNK

    @property
    def size(self) -> int:
        return len(self.octets)

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self.octets), self.chunk):
            yield self.octets[start : start + self.chunk]


@dataclass(frozen=True, slots=True)
class FileSource:
    """A raw image file; *size* is asked when it is made."""

    path: Path
    size: int

    @classmethod
    def of(cls, path: Path) -> "FileSource":
        """Return the source *path*; raises `OSError`."""
        return cls(path, path.stat().st_size)

    def chunks(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


def octets_from(source: ByteSource, start: int) -> Iterator[bytes]:
    """Yield *source* from its octet *start* on. Where it is no plain file, what comes before is read too."""
    if isinstance(source, FileSource):
        with source.path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(CHUNK):
                yield chunk
        return
    skip = start
    for chunk in source.chunks():
        if skip < len(chunk):
            yield chunk[skip:]
        skip = max(0, skip - len(chunk))
