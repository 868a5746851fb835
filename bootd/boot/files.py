"""Which files the network may name, and what lies behind each name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Served:
    """A file that may be read."""

    name: str  # as the network says it: relative, with "/"
    path: str  # absolute, links resolved
    size: int  # octets when it was last looked at
    mtime_ns: int
    via: str = ""  # absolute path of the link it was found by, which may point elsewhere by now; "": none


@dataclass(frozen=True, slots=True)
class Refused:
    """Something has that name and will not be read; *reason* is a stable slug."""

    reason: str  # outside-root | folder | not-a-file | unreadable | broken-link | link-loop


@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing has that name."""


MISSING = Missing()

Answer = Served | Refused | Missing


class FileTable:
    """Names and what they stand for; immutable. Case counts."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[str, Served | Refused] | None = None) -> None:
        self._entries = MappingProxyType(dict(entries or {}))

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> Mapping[str, Served | Refused]:
        """All rows, by name."""
        return self._entries

    def lookup(self, name: str) -> Answer:
        """Return what *name* stands for. It is never joined to a path."""
        return self._entries.get(name, MISSING)


def overlay(tables: Iterable[FileTable]) -> FileTable:
    """Return one table of several: where two have a name, the earlier one wins.

    A refusal wins like a file: a broken link in the operator's root must show,
    not be covered up by the file of that name in a package.
    """
    merged: dict[str, Served | Refused] = {}
    for table in reversed(list(tables)):
        merged.update(table.entries)
    return FileTable(merged)
