"""A folder as Clonezilla leaves it: recognised, described, and refused with everything that is wrong (pure).

After ocs-functions of drbl 5.2: task_savedisk, task_saveparts, save_part_by_partclone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bootd.darkstore.errors import BadImage, BadStream
from bootd.darkstore.folder import Folder, text_of
from bootd.darkstore.pieces import Stream, find_streams, leftovers, made_by_partimage
from bootd.darkstore.streams import (
    HEAD,
    TAIL,
    Partclone,
    check_end,
    compression_of,
    parse_partclone,
    unpack,
)
from bootd.darkstore.tables import Row, Table, parse_sfdisk, split_device
from bootd.errors import Mistake

_MARKS = ("disk", "parts", "clonezilla-img", "dev-fs.list", "Info-img-id.txt")
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_/-]{0,59}\Z")
_SAVED = re.compile(r"saved by (?:Clonezilla|bootd) at ([0-9][0-9: -]{9,24}[A-Za-z]{0,6})")
_CAPACITY = re.compile(r"^Device size:.* = ([0-9]{1,15}) Blocks", re.MULTILINE)
_SPACE = re.compile(r"^Space in use:.* = ([0-9]{1,15}) Blocks", re.MULTILINE)
_BLOCK = re.compile(r"^Block size: *([0-9]{1,9}) ", re.MULTILINE)
_PARTED_LABEL = re.compile(r"^Partition Table: (\w{1,16})", re.MULTILINE)
_PARTED_SECTOR = re.compile(r"^Sector size \(logical/physical\): ([0-9]{1,6})B", re.MULTILINE)
_PARTED_SIZE = re.compile(r"^Disk /dev/\S+: ([0-9]{1,18})s$", re.MULTILINE)
_MBR = 512  # octets
_UNSUPPORTED = {
    "lvm_vg_dev.list": "LVM volumes",
    "lvm_logv.list": "LVM volumes",
    "luks-dev.list": "encrypted (LUKS) partitions",
}


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition and how it was saved; *files* is empty where nothing of it had to be."""

    number: int
    device: str  # "sda1"
    file_system: str  # "" where it is not known: its bytes were copied as they are
    start: int  # octets from the beginning of the disk
    size: int  # octets
    used: int | None  # octets in use
    tool: str  # partclone, dd, ntfsclone; mkswap: made anew; "": not saved
    compression: str
    files: tuple[str, ...]  # in their order
    needs: int | None = None  # octets that it needs where it is restored, as far as that is known


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that was saved, or of which partitions were."""

    name: str  # "sda"
    label: str  # gpt, dos
    sector_size: int  # octets
    size: int | None  # octets
    partitions: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """What a Clonezilla folder holds."""

    whole: bool  # whole disks (savedisk), not partitions alone (saveparts)
    saved_at: str  # as Clonezilla wrote it: "2023-05-17 12:03:45 UTC"
    disks: tuple[Disk, ...]

    def plain(self) -> dict[str, Any]:
        """Return the description as it is kept with an image."""
        disks = [asdict(disk) for disk in self.disks]
        for disk in disks:
            disk["partitions"] = [{**each, "files": list(each["files"])} for each in disk["partitions"]]
        return {"whole": self.whole, "saved_at": self.saved_at, "disks": disks}


def looks_like(names: Mapping[str, int]) -> bool:
    """Tell whether a folder with these files is, or was to be, Clonezilla's."""
    return any(name in _MARKS or name.endswith("-pt.sf") or "-ptcl-img" in name for name in names)


def describe(folder: Folder, source: str) -> Description:
    """Return what *folder* holds; raises `BadImage` with all that is missing or wrong."""
    reader = _Reader(folder)
    description = reader.read()
    if reader.wrong or description is None:
        raise BadImage(source, [Mistake(0, each) for each in dict.fromkeys(reader.wrong)])
    return description


class _Reader:
    """One look at a folder; *wrong* collects sentences."""

    def __init__(self, folder: Folder) -> None:
        self._folder, self._sizes = folder, folder.sizes
        self.wrong: list[str] = []
        self._log = text_of(folder, "clonezilla-img")
        self._systems = _file_systems(text_of(folder, "dev-fs.list"))

    def read(self) -> Description | None:
        self._check_kind()
        disks = self._names("disk") if "disk" in self._sizes else []
        parts = self._names("parts")
        of_disk = self._by_disk(parts, disks)
        streams, wrong = find_streams(self._sizes)
        self.wrong += wrong
        by_part = self._one_each(streams, parts)
        described = [self._disk(disk, of_disk[disk], by_part) for disk in of_disk]
        saved = _SAVED.search(self._log)
        return Description("disk" in self._sizes, saved[1].strip() if saved else "", tuple(described))

    def _check_kind(self) -> None:
        for file, what in _UNSUPPORTED.items():
            if self._sizes.get(file):
                self.wrong.append(f"{file}: {what} are not supported; save plain partitions")
        for name in made_by_partimage(self._sizes):
            self.wrong.append(f"{name}: saved with partimage, which is not supported; save it with partclone")
        for name in leftovers(self._sizes):
            self.wrong.append(f"{name} is left over from a copy: half copied")

    def _names(self, file: str) -> list[str]:
        """Return the devices that `disk` or `parts` names."""
        if file not in self._sizes:
            self.wrong.append(f"{file} is missing: half copied, or saving did not end")
            return []
        names = text_of(self._folder, file).split()
        if not names:
            self.wrong.append(f"{file} is empty")
        for name in [name for name in names if not _DEVICE.match(name)]:
            self.wrong.append(f"{file}: {name[:60]!r} is no device")
        return list(dict.fromkeys(filter(_DEVICE.match, names)))

    def _by_disk(self, parts: Sequence[str], disks: Sequence[str]) -> dict[str, list[str]]:
        of_disk: dict[str, list[str]] = {disk: [] for disk in disks}
        for part in parts:
            split = split_device(part, disks)
            if split is None or (disks and split[0] not in of_disk):
                self.wrong.append(f"parts: {part}: not a partition of {' or '.join(disks) or 'a disk'}")
            else:
                of_disk.setdefault(split[0], []).append(part)
        return of_disk

    def _one_each(self, streams: Sequence[Stream], parts: Sequence[str]) -> dict[str, Stream]:
        by_part: dict[str, Stream] = {}
        for stream in streams:
            if stream.part in by_part:
                self.wrong.append(f"{stream.files[0]}: a second copy of {stream.part}")
            by_part.setdefault(stream.part, stream)
        named = {_file_name(part) for part in parts}
        if named:
            self.wrong += [
                f"{stream.files[0]}: {part} is not in parts"
                for part, stream in by_part.items()
                if part not in named
            ]
        return by_part

    def _disk(self, disk: str, parts: Sequence[str], by_part: Mapping[str, Stream]) -> Disk:
        base = _file_name(disk)
        parted = text_of(self._folder, f"{base}-pt.parted")
        table = self._table(base)
        self._check_mbr(base, table)
        sector = table.sector_size or _number(_PARTED_SECTOR, parted) or 512
        label = table.label or _label(parted)
        rows = {row.device.rpartition("/dev/")[2]: row for row in table.rows}
        for part in parts:
            if rows and part not in rows:
                self.wrong.append(f"parts: {part} is not in {base}-pt.sf")
        saved = [part for part in parts if part in rows or not rows]
        partitions = [self._partition(each, rows.get(each), sector, by_part) for each in saved]
        partitions += [self._unsaved(row, sector) for device, row in rows.items() if device not in saved]
        partitions.sort(key=lambda each: each.number)
        size = _number(_PARTED_SIZE, parted)
        return Disk(disk, label, sector, size * sector if size else None, tuple(partitions))

    def _table(self, base: str) -> Table:
        file = f"{base}-pt.sf"
        if not self._sizes.get(file):
            self.wrong.append(f"{file} is {'empty' if file in self._sizes else 'missing'}")
            return Table("", None, ())
        table, mistakes = parse_sfdisk(text_of(self._folder, file), file)
        self.wrong += [mistake.message for mistake in mistakes]
        return table

    def _check_mbr(self, base: str, table: Table) -> None:
        size = self._sizes.get(f"{base}-mbr")
        if size is None:
            self.wrong.append(f"{base}-mbr is missing")
        elif size < _MBR:
            self.wrong.append(f"{base}-mbr is {'cut short' if size else 'empty'}: {size} octets of {_MBR}")

    def _partition(
        self, device: str, row: Row | None, sector: int, by_part: Mapping[str, Stream]
    ) -> Partition:
        stream = by_part.get(_file_name(device))
        if stream is None:
            return self._no_stream(device, row, sector)
        compression, header = self._examine(stream)
        name = stream.file_system or self._systems.get(device, "")
        used = header.used if header else self._by_log(device, _SPACE)
        if row is not None and header is not None and header.size > row.size * sector:
            self.wrong.append(
                f"{stream.files[0]}: a file system of {header.size} octets, larger than {device}"
            )
        found = _partition(device, row, sector, name, used, stream.tool, compression, stream.files)
        needs = header.size if header else self._by_log(device, _CAPACITY)
        return replace(found, needs=needs if stream.tool == "partclone" else found.size or None)

    def _no_stream(self, device: str, row: Row | None, sector: int) -> Partition:
        if f"swappt-{_file_name(device)}.info" not in self._sizes:
            system = self._systems.get(device)
            self.wrong.append(f"{device}{f' ({system})' if system else ''}: its image is missing")
        return _partition(device, row, sector, self._systems.get(device, ""), None, "mkswap", "", ())

    def _unsaved(self, row: Row, sector: int) -> Partition:
        """Describe a partition that has no data to keep: swap, the box around logical ones."""
        swap = f"swappt-{_file_name(row.device)}.info" in self._sizes
        system = "swap" if swap else self._systems.get(row.device, "")
        return _partition(row.device, row, sector, system, None, "mkswap" if swap else "", "", ())

    def _examine(self, stream: Stream) -> tuple[str, Partclone | None]:
        """Return the compression and the header of a stream, having looked at both its ends."""
        first, last = stream.files[0], stream.files[-1]
        if not stream.begins or not self._sizes[first] or not self._sizes[last]:
            return stream.compression, None  # told already
        head = self._folder.head(first, HEAD)
        compression = stream.compression or compression_of(head)
        header: Partclone | None = None
        name = first
        try:
            content = unpack(head, compression)
            if stream.tool == "partclone" and stream.file_system and content is not None:
                header = parse_partclone(content)
            name = last
            stored = sum(self._sizes[file] for file in stream.files)
            check_end(self._folder.tail(last, TAIL), compression, stored, header)
        except BadStream as error:
            self.wrong.append(f"{name}: {error}")
        return compression, header

    def _by_log(self, device: str, pattern: re.Pattern[str]) -> int | None:
        """Return the octets of *pattern*, which counts blocks, that partclone told in Clonezilla's log."""
        for chapter in self._log.split("Starting to clone device (")[1:]:
            if chapter.startswith(f"/dev/{device})"):
                blocks, block = _number(pattern, chapter), _number(_BLOCK, chapter)
                return blocks * block if blocks is not None and block is not None else None
        return None


def _partition(
    device: str,
    row: Row | None,
    sector: int,
    system: str,
    used: int | None,
    tool: str,
    compression: str,
    files: tuple[str, ...],
) -> Partition:
    split = split_device(device)
    start, size = (row.start * sector, row.size * sector) if row else (0, 0)
    return Partition(split[1] if split else 0, device, system, start, size, used, tool, compression, files)


def _file_systems(text: str) -> dict[str, str]:
    """Return device -> file system of `dev-fs.list`: ``/dev/sda1 ext4 20G``."""
    rows = [line.split() for line in text.splitlines() if line.startswith("/dev/")]
    return {row[0].removeprefix("/dev/"): row[1][:20] for row in rows if len(row) >= 3}


def _file_name(device: str) -> str:
    """Return *device* as Clonezilla writes it into file names: ``cciss/c0d0`` is ``cciss-c0d0``."""
    return device.replace("/", "-")


def _label(parted: str) -> str:
    match = _PARTED_LABEL.search(parted)
    word = match[1] if match else ""
    return {"msdos": "dos"}.get(word, word)


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.search(text)
    return int(match[1]) if match else None
