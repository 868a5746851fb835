"""A bounded reader: the one way bytes from the network are read."""

from netboot.errors import WireError


class Reader:
    """Read *data* from *start* up to, never past, *end*.

    Every method raises `WireError` with *reason* when too few octets are left.
    """

    __slots__ = ("_data", "_end", "_position", "_reason")

    def __init__(
        self, data: bytes, *, start: int = 0, end: int | None = None, reason: str = "truncated"
    ) -> None:
        self._data = data
        self._end = len(data) if end is None else min(end, len(data))
        self._position = start
        self._reason = reason

    @property
    def position(self) -> int:
        """Octets from the start of the datagram."""
        return self._position

    @property
    def remaining(self) -> int:
        return self._end - self._position

    def take(self, count: int) -> bytes:
        """Return the next *count* octets."""
        start = self._position
        stop = start + count
        if count < 0 or stop > self._end:
            raise WireError(self._reason, f"{count} octets wanted at {start}, {self._end - start} left")
        self._position = stop
        return self._data[start:stop]

    def rest(self) -> bytes:
        """Return what is left, possibly nothing."""
        return self.take(self.remaining)

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        """Two octets, network order."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """Four octets, network order."""
        return int.from_bytes(self.take(4), "big")

    def until_nul(self) -> bytes:
        """Return the octets before the next NUL and step over it."""
        stop = self._data.find(b"\0", self._position, self._end)
        if stop < 0:
            raise WireError(self._reason, f"no NUL after {self._position}")
        text = self._data[self._position : stop]
        self._position = stop + 1
        return text
