"""LUNs and their clones."""

from dataclasses import dataclass
from typing import ClassVar

from bootd.events.base import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class LunsRestored(Event):
    """The target exports these volumes again: it had been restarted, or changed by hand."""

    name: ClassVar[str] = "luns.restored"
    volumes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LunsSwept(Event):
    """Clones that no node may use any more were deleted, or could not be: ``bootd luns gc`` says why."""

    name: ClassVar[str] = "luns.swept"
    removed: int
    left: str  # "" where nothing is
