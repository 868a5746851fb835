"""Partition tables as sfdisk dumps them, and the names of disks and partitions (pure)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bootd.errors import Mistake

_ROW = re.compile(r"/dev/(\S{1,60})\s*:(.*)")
_FIELD = re.compile(r"(start|size|Id|type)=\s*([0-9A-Fa-fx-]{1,36})")
_LABEL = re.compile(r"^label:\s*(\w{1,16})", re.MULTILINE)
_SECTOR = re.compile(r"^sector-size:\s*([0-9]{1,6})\s*$", re.MULTILINE)
_WITH_P = re.compile(r"(.*[0-9])p([1-9][0-9]{0,3})\Z")
_PLAIN = re.compile(r"([A-Za-z/_-]+)([1-9][0-9]{0,3})\Z")


@dataclass(frozen=True, slots=True)
class Row:
    """A partition of the table, in sectors."""

    device: str  # "sda1"
    start: int
    size: int
    type: str  # GUID or the MBR's two digits


@dataclass(frozen=True, slots=True)
class Table:
    """One disk's partitions."""

    label: str  # gpt, dos; "" where an old sfdisk did not say
    sector_size: int | None
    rows: Sequence[Row]


def parse_sfdisk(text: str, file: str) -> tuple[Table, list[Mistake]]:
    """Return the table that ``sfdisk -d`` wrote (before 2.26 too), and what is wrong with it."""
    mistakes: list[Mistake] = []
    rows: list[Row] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("/dev/"):
            continue
        match = _ROW.match(line)
        fields = dict(_FIELD.findall(match[2])) if match else {}
        if match is None or not (_is_number(fields.get("start")) and _is_number(fields.get("size"))):
            mistakes.append(Mistake(0, f"{file}: line {number} is cut off or not sfdisk's: {line[:60]!r}"))
        elif int(fields["size"]):  # an old sfdisk lists unused entries with size 0
            kind = fields.get("type") or fields.get("Id", "")
            rows.append(Row(match[1], int(fields["start"]), int(fields["size"]), kind))
    if not rows and not mistakes:
        mistakes.append(Mistake(0, f"{file}: no partition in it"))
    label, sector = _LABEL.search(text), _SECTOR.search(text)
    return Table(label[1] if label else "", int(sector[1]) if sector else None, rows), mistakes


def _is_number(text: str | None) -> bool:
    return text is not None and text.isascii() and text.isdecimal() and len(text) <= 18


def split_device(name: str, disks: Sequence[str] = ()) -> tuple[str, int] | None:
    """Return (disk, number) of a partition; None for what is a whole disk or a mapped device."""
    if name in disks:
        return None
    match = _WITH_P.match(name) or _PLAIN.match(name)
    return (match[1], int(match[2])) if match else None
