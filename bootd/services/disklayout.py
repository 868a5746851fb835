"""How the disk of a mesh node is divided, and whether bootd may touch it at all (pure).

    1       ext4, GRUB with the menu of all slots       3       spare
    2       swap                                        4       extended, holds what follows
    5 …     slots, each with 1 MiB in front of it: its extended boot record, and a GRUB of its own

A disk is divided only if it is empty, or if its host is set to ``repartition=yes``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from bootd.darkstore.tables import Row, parse_sfdisk, split_device
from bootd.model import SlotScheme
from bootd.model.places import FIRST_SLOT

SECTOR = 512  # octets
MIB = (1 << 20) // SECTOR  # sectors
GAP = MIB  # in front of each slot
SMALLEST_SLOT = 32 * MIB
_LAST_SECTOR = 1 << 32  # what an MBR can name
_LINUX, _SWAP = "83", "82"
_EXTENDED = ("5", "f", "85")


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """What a node says of the disk it is about to write to."""

    name: str  # "sda"
    sectors: int  # of 512 octets
    sector_size: int  # octets, as the disk counts
    is_removable: bool
    serial: str = ""
    wwn: str = ""
    table: str = ""  # as ``sfdisk -d`` writes it; "" where there is none
    is_blank: bool = False  # neither a table nor a file system, nor anything in its first MiB


class Step(StrEnum):
    """What is to be done with the table."""

    KEEP = "keep"
    DIVIDE = "divide"


@dataclass(frozen=True, slots=True)
class Verdict:
    """*refused* says why nothing may be written; else *script*, where there is one, is for sfdisk."""

    refused: str = ""
    step: Step = Step.KEEP
    script: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A partition to be made, in sectors."""

    number: int
    start: int
    size: int
    type: str


class DoesNotFit(Exception):
    """The scheme does not fit the disk; the text says how much is missing."""


def judge(disk: DiskFacts, scheme: SlotScheme, slot: int, *, rule: str, repartition: bool) -> Verdict:
    """Say whether *slot* of *disk* may be written, and whether the disk is divided before.

    *rule* is ``serial:…`` or ``wwn:…`` where the host's row names its disk, else "": then it is the
    disk of that name in the scheme. What *repartition* gives up is a layout that is not ours: one that
    is, with this slot, is kept in any case.
    """
    if refused := _wrong_disk(disk, scheme, rule):
        return Verdict(refused)
    if disk.table and is_ours(disk.table, slot):
        return Verdict()
    if not disk.is_blank and not repartition:
        what = "is divided in another way" if disk.table else "holds something that is not ours"
        way_out = "bootd hosts set NODE --set repartition=yes lets it be divided anew"
        return Verdict(f"{disk.name} {what}, nothing was written; {way_out}")
    try:
        return Verdict(step=Step.DIVIDE, script=script(plan(scheme, disk.sectors)))
    except DoesNotFit as error:
        return Verdict(f"{disk.name}: {error}")


def _wrong_disk(disk: DiskFacts, scheme: SlotScheme, rule: str) -> str:
    kind, _, value = rule.partition(":")
    has = {"serial": disk.serial, "wwn": disk.wwn}
    if kind in has and (not value or has[kind] != value):
        return f"{disk.name} has the {kind} {has[kind] or '(none)'}, its host is set to {value or '(none)'}"
    if kind and kind not in has:
        return f"the host's setting disk={rule} is neither serial:… nor wwn:…"
    if not kind and f"/dev/{disk.name}" != scheme.disk:
        return f"{disk.name} is not the disk of its slots, {scheme.disk}"
    if disk.is_removable:
        return f"{disk.name} is removable"
    if disk.sector_size != SECTOR:
        return f"{disk.name} has sectors of {disk.sector_size} octets; disks with an MBR have {SECTOR}"
    return ""


# -- recognising --------------------------------------------------------------------------------


def is_ours(text: str, slot: int) -> bool:
    """Tell whether a table has the shape of ours, whatever the sizes, and *slot* is one of its slots."""
    table, mistakes = parse_sfdisk(text, "table")
    rows = {split[1]: row for row in table.rows if (split := split_device(row.device))}
    if mistakes or table.label != "dos" or not {1, 2, 3, 4}.issubset(rows):
        return False
    if rows[2].type != _SWAP or rows[4].type.lower() not in _EXTENDED:
        return False
    numbers = [number for number in rows if number >= FIRST_SLOT]
    return slot in numbers and all(_is_within(rows[number], rows[4]) for number in numbers)


def _is_within(row: Row, extended: Row) -> bool:
    return (
        row.type == _LINUX
        and extended.start < row.start
        and row.start + row.size <= extended.start + extended.size
    )


# -- dividing -----------------------------------------------------------------------------------


def plan(scheme: SlotScheme, sectors: int) -> list[Part]:
    """Return the partitions of a disk of *sectors*; raises `DoesNotFit`."""
    if scheme.first != FIRST_SLOT:
        raise DoesNotFit(f"slots from {scheme.first} on are no partitions of an MBR disk; they begin at 5")
    parts, at = [], MIB
    for number, mib, kind in ((1, scheme.boot_mib, _LINUX), (2, scheme.swap_mib, _SWAP)):
        parts.append(Part(number, at, mib * MIB, kind))
        at += mib * MIB
    parts.append(Part(3, at, scheme.spare_mib * MIB, _LINUX))
    at += scheme.spare_mib * MIB
    end = min(sectors // MIB * MIB, _LAST_SECTOR)
    parts.append(Part(4, at, end - at, _EXTENDED[0]))
    return parts + list(_slots(scheme, at, end))


def _slots(scheme: SlotScheme, start: int, end: int) -> Iterator[Part]:
    count = len(scheme.numbers)
    share = max(0, end - start) // count // MIB * MIB - GAP
    size = scheme.slot_mib * MIB or share
    if size > share or size < SMALLEST_SLOT:
        least = start + count * (max(scheme.slot_mib * MIB, SMALLEST_SLOT) + GAP)
        raise DoesNotFit(f"{count} slots need {least // MIB} MiB of it, it has {end // MIB}")
    for place, number in enumerate(scheme.numbers):
        yield Part(number, start + place * (size + GAP) + GAP, size, _LINUX)


def script(parts: list[Part]) -> str:
    """Return *parts* as sfdisk reads them."""
    rows = [f"start={part.start}, size={part.size}, type={part.type}" for part in parts]
    rows[0] += ", bootable"
    return "\n".join(["label: dos", "unit: sectors", *rows, ""])
