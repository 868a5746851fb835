"""Where the octets of a transfer come from: anything that can be read at an offset.

A retransmission reads again, so nothing has to be kept for it, and a file and a
rendered text look the same.
"""

from typing import Protocol


class Source(Protocol):
    """The content of one transfer; it must not change while it is read."""

    @property
    def size(self) -> int:
        """Octets in all."""

    def read_at(self, offset: int, count: int) -> bytes | memoryview:
        """Return *count* octets at *offset*; fewer only at the end, or where the content shrank."""


class BytesSource:
    """A source held in memory."""

    __slots__ = ("_view", "size")

    def __init__(self, data: bytes) -> None:
        self._view = memoryview(data)
        self.size = len(data)

    def read_at(self, offset: int, count: int) -> memoryview:
        """Return a view, without copying."""
        return self._view[offset : offset + count]


def encode_netascii(data: bytes) -> bytes:
    """Return text in network form: LF becomes CR LF and a bare CR becomes CR NUL (RFC 1350, RFC 764)."""
    return data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")
