"""What a folder shows of itself, so that what describes an image needs no files."""

from collections.abc import Mapping
from typing import Protocol

TEXT_MAX = 1 << 20  # octets of a text; the log of a big disk is far shorter


class Folder(Protocol):
    """The plain files of a folder: their sizes, and how each begins and ends."""

    @property
    def sizes(self) -> Mapping[str, int]: ...

    def head(self, name: str, limit: int) -> bytes: ...

    def tail(self, name: str, limit: int) -> bytes: ...


def text_of(folder: Folder, name: str) -> str:
    """Return a text file; "" where there is none."""
    return folder.head(name, TEXT_MAX).decode("utf-8", "replace") if name in folder.sizes else ""
