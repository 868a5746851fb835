"""A site to test with: hosts, images, a clock that is moved by hand, a store in memory."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bootd.model import Host, ImageFile, MemoryImage
from bootd.store import Store, open_store

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class HandClock:
    """Stands still until it is moved."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def move(self, **how: float) -> None:
        self.at += timedelta(**how)


def a_host(n: int = 1, /, **fields: Any) -> Host:
    """Return host ``node<n>`` with the addresses that go with it."""
    standard: dict[str, Any] = {
        "name": f"node{n}",
        "mac": f"52:54:00:00:{n >> 8:02x}:{n & 255:02x}",
        "ip": f"10.0.{n >> 8}.{n & 255}",
        "number": n,
    }
    return Host(**standard | fields)


def an_image(name: str = "debian", *, digest: str = "ab") -> MemoryImage:
    """Return an image of which there are no files."""
    sha256 = (digest * 64)[:64]
    folder = f"memory/{name}/{sha256[:16]}"
    return MemoryImage(
        name=name,
        kernel=ImageFile("vmlinuz", f"{folder}/vmlinuz", sha256, 100),
        initrds=(ImageFile("initrd.gz", f"{folder}/initrd.gz", sha256, 200),),
        cmdline="quiet",
        added_at=NOON,
    )


def memory_store(clock: HandClock | None = None) -> Store:
    return open_store("sqlite://", clock=clock or HandClock())


def file_store(folder: Path, **how: Any) -> Store:
    return open_store(f"sqlite:///{folder}/bootd.db", clock=how.pop("clock", HandClock()), **how)


def a_kernel(fill: bytes = b"k", size: int = 8192) -> bytes:
    """Return octets that pass for a bzImage."""
    octets = bytearray(fill * size)
    octets[0x202:0x206] = b"HdrS"
    return bytes(octets)
