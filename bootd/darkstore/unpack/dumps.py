"""Texts that Clonezilla keeps of a disk, as the programs that bring it back want them (pure)."""

import re
from dataclasses import dataclass

from bootd.darkstore.tables import split_device

_KEPT = ("label-id", "first-lba", "table-length")  # sfdisk finds the last one by the size of the new disk
_HEADER = re.compile(r"([a-z-]+):\s*([0-9A-Za-z-]{1,40})\s*\Z")
_ROW = re.compile(r"/dev/(\S{1,60})\s*:(.*)\Z")
_UNUSED = re.compile(r"size=\s*0\s*(,|\Z)")  # as sfdisk before 2.26 wrote it
_UUID = re.compile(r'^UUID="?([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"?\s*$', re.MULTILINE)
_LABEL = re.compile(r'^LABEL="?([\x20\x21\x23-\x7e]{1,15})"?\s*$', re.MULTILINE)


def table_script(dump: str, label: str) -> str:
    """Return what sfdisk reads to make the table of *dump*, of the kind *label*, on a disk of any size."""
    lines = [f"label: {label}", "unit: sectors"]
    for line in dump.splitlines():
        if (header := _HEADER.match(line)) and header[1] in _KEPT:
            lines.append(f"{header[1]}: {header[2]}")
        elif (row := _ROW.match(line)) and not _UNUSED.search(row[2]) and (split := split_device(row[1])):
            lines.append(f"/dev/disk{split[1]} :{row[2]}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Swap:
    """What tells one swap partition from another; "" where there is none."""

    uuid: str
    label: str


def parse_swap(text: str) -> Swap:
    """Return what ``swappt-sda2.info`` says."""
    uuid, label = _UUID.search(text), _LABEL.search(text)
    return Swap(uuid[1] if uuid else "", label[1] if label else "")
