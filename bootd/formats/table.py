"""The formats bootd reads and writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bootd.errors import BadValue
from bootd.formats import jsontable, ssitab, tabular
from bootd.formats.fields import Row
from bootd.model import Host


class Parse(Protocol):
    """Returns the rows of *text*, or raises `BadText` with every mistake; nothing else escapes."""

    def __call__(self, text: str, source: str = ...) -> tuple[Row, ...]: ...


class FormatHosts(Protocol):
    """Writes *hosts*, following *layout*, an earlier text in this format, where the format can."""

    def __call__(self, hosts: Sequence[Host], layout: str = ...) -> str: ...


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a host table."""

    name: str
    suffix: str
    parse: Parse
    format_hosts: FormatHosts


FORMATS = {
    row.name: row
    for row in (
        Format("ssitab", ".ssitab", ssitab.parse, ssitab.format_hosts),
        Format("csv", ".csv", tabular.parse, tabular.format_hosts),
        Format("json", ".json", jsontable.parse, jsontable.format_hosts),
    )
}


def find_format(name: str) -> Format:
    """Return the format called *name*; raises `BadValue`."""
    found = FORMATS.get(name)
    if found is None:
        raise BadValue("format", name, "one of " + ", ".join(FORMATS))
    return found


def guess_format(file_name: str) -> Format:
    """Return the format that the ending of *file_name* speaks of; ssitab where it says nothing."""
    matching = (f for f in FORMATS.values() if file_name.lower().endswith(f.suffix))
    return next(matching, FORMATS["ssitab"])
