"""What every LUN backend is held to brings with it: a backend without volumes, and machines that log in."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from bootd.drivers.lun import Chap, LunBackend

SIZE = 4 << 20  # octets
IMAGE = bytes(range(256)) * 4096 + bytes(1 << 20) + b"end"
NODE1, NODE2 = (f"iqn.2026-01.org.example:node{n}" for n in (1, 2))
CHAP = Chap("node1", "secret-secret")


class Bench(ABC):
    """A backend without volumes, and an initiator to log in with."""

    luns: LunBackend

    @abstractmethod
    def log_in(self, volume: str, initiator: str, chap: Chap) -> None:
        """Log in and stay; raises any exception if the target says no."""

    @abstractmethod
    def log_out(self, volume: str, initiator: str) -> None:
        """End the session properly."""

    @abstractmethod
    def write(self, volume: str, initiator: str, octets: bytes) -> None:
        """Write whole blocks to the volume's beginning, as the machine that is logged in."""

    def content(self, name: str) -> bytes:
        return b"".join(self.luns.read(name))


@dataclass(frozen=True)
class Liar:
    """An image that is not as long as it says, or cannot be read to its end."""

    size: int
    octets: bytes
    breaks: bool = False

    def chunks(self) -> Iterator[bytes]:
        yield self.octets
        if self.breaks:
            raise OSError(5, "Input/output error")
