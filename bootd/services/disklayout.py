"""How the disk of a mesh node is divided, and whether bootd may touch it at all (pure).

    1       ext2, GRUB with the menu of all slots       3       spare
    2       swap                                        4       extended, holds what follows
    5 …     slots, each with 1 MiB in front of it: its extended boot record, and a GRUB of its own

With GPT, for machines that start by UEFI: 1 is the EFI system partition with GRUB and the menu, there
is no 4, and the slots follow one another.

A disk is divided only if it is empty, or if its host is set to ``repartition=yes``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bootd.darkstore.tables import Row, Table, parse_sfdisk, split_device
from bootd.model import Host, SlotScheme
from bootd.model.places import DOS, FIRST_SLOT, GPT
from netboot.arch import Firmware

SECTOR = 512  # octets
MIB = (1 << 20) // SECTOR  # sectors of that size
GAP = MIB  # in front of each slot of an MBR disk
SMALLEST_SLOT_MIB = 32
_DISK = "disk"  # setting of a host
_BIGGER_SECTOR = 4096  # octets; GPT disks may have such
_LAST_SECTOR = 1 << 32  # what an MBR can name
_GPT_ENTRIES = 128 * 128  # octets at the disk's end, before the last sector: the second table
_EXTENDED = ("5", "f", "85")


@dataclass(frozen=True, slots=True)
class _Types:
    """What kinds of partition are called in a table, and what ours are named there."""

    start: str
    swap: str
    linux: str
    has_names: bool


_TYPES: Mapping[str, _Types] = {
    DOS: _Types("83", "82", "83", has_names=False),
    GPT: _Types(
        "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
        "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
        "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
        has_names=True,
    ),
}


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
    firmware: Firmware | None = None  # by which the node started; None where it does not say


def rule_of(host: Host) -> str:
    """Return what the host's row says of which disk is its own, ``serial:…`` or ``wwn:…``; "": nothing."""
    return host.settings.get(_DISK, "")


class Step(StrEnum):
    """What is to be done with the table."""

    KEEP = "keep"
    DIVIDE = "divide"


@dataclass(frozen=True, slots=True)
class Verdict:
    """*refused* says why nothing may be written; else *script*, where there is one, is for sfdisk.

    *note* is what a person should know though it is no reason to refuse, *room* how many octets the
    slot has.
    """

    refused: str = ""
    step: Step = Step.KEEP
    script: str = ""
    note: str = ""
    room: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A partition to be made, in sectors as the disk counts."""

    number: int
    start: int
    size: int
    type: str
    name: str = ""  # with GPT


class DoesNotFit(Exception):
    """The scheme does not fit the disk; the text says how much is missing."""


def judge(disk: DiskFacts, scheme: SlotScheme, slot: int, *, rule: str, repartition: bool) -> Verdict:
    """Say whether *slot* of *disk* may be written, and whether the disk is divided before.

    *rule* is ``serial:…`` or ``wwn:…`` where the host's row names its disk, else "": then it is the
    disk of that name in the scheme. What *repartition* gives up is a layout that is not ours: one that
    is, with this slot, is kept in any case.
    """
    if refused := wrong_disk(disk, scheme, rule) or _wrong_sectors(disk, scheme):
        return Verdict(refused)
    is_kept = bool(disk.table) and is_ours(disk.table, slot, scheme.label)
    if not is_kept and not disk.is_blank and not repartition:
        way_out = "bootd hosts set NODE --set repartition=yes lets it be divided anew"
        return Verdict(f"{disk.name} {_otherwise(disk, scheme, slot)}, nothing was written; {way_out}")
    refused, note = _wrong_firmware(disk, scheme, is_kept=is_kept)
    if refused or is_kept:
        room = _rows(disk.table)[slot].size * disk.sector_size if is_kept else 0
        return Verdict(refused, note=note, room=room)
    try:
        parts = plan(scheme, disk.sectors * SECTOR // disk.sector_size, disk.sector_size)
    except DoesNotFit as error:
        return Verdict(f"{disk.name}: {error}")
    room = sum(part.size for part in parts if part.number == slot) * disk.sector_size
    return Verdict(step=Step.DIVIDE, script=script(parts, scheme.label), room=room)


def _otherwise(disk: DiskFacts, scheme: SlotScheme, slot: int) -> str:
    """Say what is on a disk that is not divided as it would have to be for *slot*."""
    if not disk.table:
        return "holds something that is not ours"
    ours = [n for n in _rows(disk.table) if n >= FIRST_SLOT and is_ours(disk.table, n, scheme.label)]
    if ours:
        return f"has the slots {min(ours)} to {max(ours)} and no slot {slot}"
    return "is divided in another way"


def wrong_disk(disk: DiskFacts, scheme: SlotScheme, rule: str) -> str:
    """Return why *disk* is not the one of the slots, see `judge`; "" where it is."""
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
    return ""


def _wrong_sectors(disk: DiskFacts, scheme: SlotScheme) -> str:
    size = disk.sector_size
    if size == SECTOR or (size == _BIGGER_SECTOR and scheme.label == GPT):
        return ""
    if scheme.label == GPT:
        return f"{disk.name} has sectors of {size} octets; disks with slots have {SECTOR} or {_BIGGER_SECTOR}"
    return f"{disk.name} has sectors of {size} octets; disks with an MBR have {SECTOR}{_way_out(scheme, GPT)}"


def _wrong_firmware(disk: DiskFacts, scheme: SlotScheme, *, is_kept: bool) -> tuple[str, str]:
    """Return why the disk would not start its node, and what is to be said though it would.

    An MBR disk's slots start by UEFI while bootd answers, by themselves they do not: such a disk is
    used where it is there, and none is made.
    """
    if disk.firmware is Firmware.BIOS and scheme.label == GPT:
        return f"this node started by BIOS and its slots are in a GPT{_way_out(scheme, DOS)}", ""
    if disk.firmware is not Firmware.UEFI or scheme.label != DOS:
        return "", ""
    why = "this node started by UEFI and its slots are in an MBR (dos)"
    if is_kept:
        return "", f"{why}: while bootd is away it starts nothing{_way_out(scheme, GPT)}"
    return f"{why}{_way_out(scheme, GPT)}", ""


def _way_out(scheme: SlotScheme, label: str) -> str:
    return f"; bootd slots scheme set {scheme.group or '@all'} --table {label} changes that"


# -- recognising --------------------------------------------------------------------------------


def is_ours(text: str, slot: int, label: str = DOS) -> bool:
    """Tell whether a table has the shape of ours, whatever the sizes, and *slot* is one of its slots."""
    table, mistakes = parse_sfdisk(text, "table")
    rows = _by_number(table)
    if mistakes or table.label != label or not {1, 2, 3}.issubset(rows):
        return False
    slots = {number: row for number, row in rows.items() if number >= FIRST_SLOT}
    if slot not in slots or rows[2].type.upper() != _TYPES[label].swap:
        return False
    return _has_slots_of_mbr(rows, slots) if label == DOS else _has_slots_of_gpt(table, rows, slots)


def _rows(text: str) -> dict[int, Row]:
    return _by_number(parse_sfdisk(text, "table")[0])


def _by_number(table: Table) -> dict[int, Row]:
    return {split[1]: row for row in table.rows if (split := split_device(row.device))}


def _has_slots_of_mbr(rows: Mapping[int, Row], slots: Mapping[int, Row]) -> bool:
    if 4 not in rows or rows[4].type.lower() not in _EXTENDED:
        return False
    return all(_is_within(row, rows[4]) for row in slots.values())


def _is_within(row: Row, extended: Row) -> bool:
    return (
        row.type == _TYPES[DOS].linux
        and extended.start < row.start
        and row.start + row.size <= extended.start + extended.size
    )


def _has_slots_of_gpt(table: Table, rows: Mapping[int, Row], slots: Mapping[int, Row]) -> bool:
    types = _TYPES[GPT]
    if rows[1].type.upper() != types.start or 4 in rows:
        return False
    return all(row.type.upper() == types.linux for row in slots.values())


# -- dividing -----------------------------------------------------------------------------------


def plan(scheme: SlotScheme, sectors: int, sector_size: int = SECTOR) -> list[Part]:
    """Return the partitions of a disk of *sectors*, each of *sector_size*; raises `DoesNotFit`."""
    if scheme.first != FIRST_SLOT:
        raise DoesNotFit(f"slots from {scheme.first} on: disks that bootd divides have them from 5 on")
    mib, types, parts = (1 << 20) // sector_size, _TYPES[scheme.label], []
    at = mib  # the first MiB holds the table, and GRUB behind an MBR
    own = (
        (scheme.boot_mib, types.start, "bootd-start"),
        (scheme.swap_mib, types.swap, "bootd-swap"),
        (scheme.spare_mib, types.linux, "spare"),
    )
    for number, (size, kind, name) in enumerate(own, 1):
        parts.append(Part(number, at, size * mib, kind, name))
        at += size * mib
    if scheme.label == GPT:
        end = (sectors - 1 - _GPT_ENTRIES // sector_size) // mib * mib
        return parts + list(_slots(scheme, at, end, mib, gap=0))
    end = min(sectors // mib * mib, _LAST_SECTOR)
    parts.append(Part(4, at, end - at, _EXTENDED[0]))
    return parts + list(_slots(scheme, at, end, mib, gap=GAP))


def _slots(scheme: SlotScheme, start: int, end: int, mib: int, *, gap: int) -> Iterator[Part]:
    count = len(scheme.numbers)
    share = max(0, end - start) // count // mib * mib - gap
    size = scheme.slot_mib * mib or share
    if size > share or size < SMALLEST_SLOT_MIB * mib:
        least = start + count * (max(scheme.slot_mib, SMALLEST_SLOT_MIB) * mib + gap)
        raise DoesNotFit(f"{count} slots need {least // mib} MiB of it, it has {end // mib}")
    for place, number in enumerate(scheme.numbers):
        at = start + place * (size + gap) + gap
        yield Part(number, at, size, _TYPES[scheme.label].linux, f"slot{number}")


def script(parts: list[Part], label: str = DOS) -> str:
    """Return *parts* as sfdisk reads them."""
    rows = [f"p{part.number} : start={part.start}, size={part.size}, type={part.type}" for part in parts]
    if _TYPES[label].has_names:
        rows = [f'{row}, name="{part.name}"' for row, part in zip(rows, parts, strict=True)]
    else:
        rows[0] += ", bootable"
    return "\n".join([f"label: {label}", "unit: sectors", *rows, ""])
