"""What lies beside the octets of a partition, in a folder as Clonezilla's ``saveparts`` makes it (pure).

After ocs-functions of clonezilla 5.3: task_saveparts, save_part_table_mbr_dm_info. Restoring asks for
``parts``, ``<disk>-pt.sf``, ``-pt.parted`` and ``-mbr``; the other files are for people and their tools.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from bootd.darkstore.tables import Row, Table, parse_sfdisk, split_device
from bootd.units import exact_text

FILE_SYSTEMS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "vfat")  # that partclone knows by these names
RAW = "raw"  # of any other the octets as they are
_DISK = re.compile(r"[a-z][a-z0-9]{1,31}\Z")
_UUID = re.compile(r"[0-9A-Fa-f-]{4,36}\Z")
_MBR = 512  # octets
_TABLE_MAX, _LOG_MAX, _LABEL_MAX = 32 << 10, 8 << 10, 64
FIELDS = ("name", "filesystem", "table", "mbr", "sectors", "uuid", "label", "log")  # of a form
_COLUMNS = "# <Device name>   <File system>   <Size>"
_EXTENDED = ("5", "f", "85")
_HEADS, _SECTORS = 255, 63  # what every BIOS tells of a disk larger than 8 GiB


@dataclass(frozen=True, slots=True)
class Saved:
    """A partition that was saved, and the disk it is on."""

    disk: str  # "vda"
    number: int
    file_system: str  # one of `FILE_SYSTEMS`, or `RAW`
    table: str  # as ``sfdisk -d`` writes it
    mbr: bytes
    sectors: int  # of the disk
    uuid: str = ""
    label: str = ""
    log: str = ""  # of partclone

    @property
    def device(self) -> str:
        """Its name as Linux has it: vda7, nvme0n1p7."""
        return f"{self.disk}{'p' if self.disk[-1].isdigit() else ''}{self.number}"

    @property
    def prefix(self) -> str:
        """What the names of the files with its octets begin with."""
        kind = "dd" if self.file_system == RAW else self.file_system
        return f"{self.device}.{kind}-ptcl-img.zst"


def parse(form: Mapping[str, str], number: int) -> Saved:
    """Return partition *number* as the node it is on describes it in *form*; raises `ValueError`."""
    saved = Saved(
        disk=_checked(_DISK, form.get("name", ""), "the disk's name"),
        number=number,
        file_system=form.get("filesystem", ""),
        table=form.get("table", ""),
        mbr=bytes.fromhex(form.get("mbr", "")),
        sectors=int(form.get("sectors", "")),
        uuid=_checked(_UUID, form.get("uuid", ""), "the file system's UUID", or_none=True),
        label=_plain(form.get("label", ""))[:_LABEL_MAX],
        log="\n".join(map(_plain, form.get("log", "")[-_LOG_MAX:].splitlines())),
    )
    if saved.file_system not in (*FILE_SYSTEMS, RAW):
        raise ValueError(f"no such file system: {saved.file_system[:20]!r}")
    if len(saved.mbr) != _MBR:
        raise ValueError(f"an MBR has {_MBR} octets")
    _check_table(saved)
    return saved


def _check_table(saved: Saved) -> None:
    if len(saved.table) > _TABLE_MAX or any(line != _plain(line) for line in saved.table.splitlines()):
        raise ValueError("its partition table is none of sfdisk's")
    table, mistakes = parse_sfdisk(saved.table, "table")
    if mistakes or not table.label:
        raise ValueError(mistakes[0].message if mistakes else "its partition table has no label")
    if any((split_device(row.device) or ("", 0))[0] != saved.disk for row in table.rows):
        raise ValueError("its partition table is that of another disk")
    if saved.device not in [row.device for row in table.rows]:
        raise ValueError(f"there is no {saved.device} in its partition table")


def _checked(form: re.Pattern[str], text: str, what: str, *, or_none: bool = False) -> str:
    if not form.match(text) and (text or not or_none):
        raise ValueError(f"{what} is none: {text[:40]!r}")
    return text


def _plain(text: str) -> str:
    return "".join(c if " " <= c <= "~" or c == "\t" else "?" for c in text)


# -- the files --------------------------------------------------------------------------------


def texts(saved: Saved, *, at: datetime, words: str) -> dict[str, bytes]:
    """Return file -> content; *words* say who saved what."""
    table, _ = parse_sfdisk(saved.table, "table")
    [row] = [each for each in table.rows if each.device == saved.device]
    system = "" if saved.file_system == RAW else saved.file_system
    log = _log(saved, at)
    found = {
        "parts": f"{saved.device}\n",
        "dev-fs.list": f"{_COLUMNS}\n/dev/{saved.device} {system} {_size(row)}\n",
        "blkdev.list": _blkdev(saved, table),
        "blkid.list": _blkid(saved, system),
        f"{saved.disk}-pt.sf": saved.table.rstrip("\n") + "\n",
        f"{saved.disk}-pt.parted": _parted(saved, table),
        f"{saved.disk}-chs.sf": _geometry(saved),
        "clonezilla-img": log,
        "Info-img-id.txt": f"IMG_ID={hashlib.sha512(log.encode()).hexdigest()}\n",
        "Info-saved-by-cmd.txt": f"{words}\n",
    }
    return {name: text.encode() for name, text in found.items()} | {f"{saved.disk}-mbr": saved.mbr}


def _log(saved: Saved, at: datetime) -> str:
    head = (
        f"This image was saved by bootd at {at:%Y-%m-%d %H:%M:%S} UTC.\nThe log during saving:\n{'-' * 58}\n"
    )
    return f"{head}{saved.log}\n### End of log ###\n### Image created time: {at:%Y-%m%d-%H%M}\n"


def _size(row: Row) -> str:
    return exact_text(row.size * 512)


def _blkdev(saved: Saved, table: Table) -> str:
    rows = ["KNAME NAME SIZE TYPE FSTYPE MOUNTPOINT MODEL", f"{saved.disk} {saved.disk} - disk"]
    for row in table.rows:
        system = saved.file_system if row.device == saved.device and saved.file_system != RAW else ""
        rows.append(f"{row.device} {row.device} {_size(row)} part {system}".rstrip())
    return "\n".join(rows) + "\n"


def _blkid(saved: Saved, system: str) -> str:
    words = {"LABEL": saved.label.replace('"', "?"), "UUID": saved.uuid, "TYPE": system}
    told = " ".join(f'{key}="{value}"' for key, value in words.items() if value)
    return f"/dev/{saved.device}: {told}\n" if told else ""


def _parted(saved: Saved, table: Table) -> str:
    label = {"dos": "msdos"}.get(table.label, table.label)
    head = [
        "Model: unknown (unknown)",
        f"Disk /dev/{saved.disk}: {saved.sectors}s",
        f"Sector size (logical/physical): {table.sector_size or 512}B/512B",
        f"Partition Table: {label}",
        "Disk Flags: ",
        "",
        f"Number  Start  End  Size  {'Type  ' if label == 'msdos' else ''}File system  Name  Flags",
    ]
    return "\n".join([*head, *_parted_rows(saved, table), ""]) + "\n"


def _parted_rows(saved: Saved, table: Table) -> Iterator[str]:
    for row in table.rows:
        split = split_device(row.device)
        number = split[1] if split is not None else 0
        kind = "logical" if number > 4 else "extended" if row.type.lower() in _EXTENDED else "primary"
        system = saved.file_system if row.device == saved.device and saved.file_system != RAW else ""
        words = [kind if table.label == "dos" else "", system]
        place = f" {number}  {row.start}s  {row.start + row.size - 1}s  {row.size}s"
        yield "  ".join([place, *filter(None, words)])


def _geometry(saved: Saved) -> str:
    cylinders = saved.sectors // (_HEADS * _SECTORS)
    return f"cylinders={cylinders}\nheads={_HEADS}\nsectors={_SECTORS}\n"
