"""Boot programs of our own that GRUB's tools make: what starts a machine's disk, and the slots of mesh nodes.

They are made once and lie among the files. Making one takes a tenth of a second, and all of a site's half
a minute: what a machine is to boot next is made first.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bootd.boot.places import CORE_BOOT, EFI_MENU, HELPERS, core_file, grub_disk, slot_helper
from bootd.boot.snapshot import Snapshot
from bootd.errors import BootdError
from bootd.imagebuild import efilocal, grubimage, slotboot, slotcore
from bootd.imagebuild.version import version
from bootd.model import Role
from bootd.model.places import STANDARD_SCHEME
from bootd.services.filescan import FileIndex
from netboot.arch import Firmware

HELPER = f"{HELPERS}/{efilocal.NAME}"  # as named under /files/
CORES, HELPING = "slot-cores", "slot-programs"  # topics
_PROGRAMS = (efilocal.NAME, "slot*-pc.0", "slot*-x64.efi", "core*-pc.img", "menu-x64.efi")
_MADE_BY = "programs.made"  # in the data folder
_TROUBLE = {
    CORES: "images written to slots do not start",
    HELPING: "mesh nodes start the default of their disk instead of their slot",
}

Slots = list[tuple[str, int]]  # GRUB's disk, partition number


@dataclass(frozen=True, slots=True)
class _Program:
    topic: str
    name: str  # under /files/
    make: Callable[[Path], Path]
    needs: str  # programs that need the same packages can be made, or not, together
    is_awaited: bool  # a machine is to boot it


class Programs:
    """Makes what is missing below *data_dir*, and has *files* find it."""

    def __init__(self, data_dir: Path, files: FileIndex) -> None:
        self._data_dir, self._folder, self._files = data_dir, data_dir / "files", files

    def make_helper(self) -> str:
        """Build the program that starts a UEFI machine's own disk, once; return what is wrong, or ""."""
        path = self._folder / HELPER
        try:
            self._forget_old()
            if path.exists():
                return ""
            path.parent.mkdir(mode=0o755, exist_ok=True)
            efilocal.build(path)
        except (BootdError, OSError) as error:
            return f"UEFI machines reach their own disk only after a minute: {error}"
        return ""

    def _forget_old(self) -> None:
        """Have those programs made anew that another version of bootd made otherwise, if they can be."""
        note = self._data_dir / _MADE_BY
        if (note.exists() and note.read_text() == version()) or shutil.which(grubimage.TOOL) is None:
            return
        for name in _PROGRAMS:
            for path in (self._folder / HELPERS).glob(name):
                path.unlink()
        note.write_text(version())

    async def make_for_slots(self, snapshot: Callable[[], Snapshot]) -> dict[str, str]:
        """Build what starts slots and is not there; return what is wrong by topic, "" for nothing.

        One at a time, so that a daemon that stops waits for one at most, and what is booked meanwhile
        comes before what is not. A site without mesh nodes needs none.
        """
        wrong: dict[tuple[str, str], str] = {}
        tried: set[str] = set()
        is_unfound = False
        while (program := self._next(snapshot(), [needs for _, needs in wrong], tried)) is not None:
            tried.add(program.name)
            try:
                await asyncio.to_thread(program.make, self._folder / program.name)
            except (BootdError, OSError) as error:
                wrong[program.topic, program.needs] = str(error)
                continue
            is_unfound = not program.is_awaited
            if program.is_awaited:
                await self._files.refresh()
        if is_unfound:
            await self._files.refresh()
        return {topic: _said(topic, wrong) for topic in _TROUBLE}

    def _next(self, snapshot: Snapshot, given_up: list[str], tried: set[str]) -> _Program | None:
        for each in _programs(snapshot):
            is_due = each.needs not in given_up and each.name not in tried
            if is_due and not (self._folder / each.name).exists():
                return each
        return None


def _said(topic: str, wrong: dict[tuple[str, str], str]) -> str:
    reasons = dict.fromkeys(text for (of, _), text in wrong.items() if of == topic)
    return f"{_TROUBLE[topic]}: {'; '.join(reasons)}" if reasons else ""


def awaited_slots(snapshot: Snapshot) -> Slots:
    """Return the slots that machines are to boot."""
    places = [place for place in snapshot.places.values() if place.slot is not None]
    return sorted({(grub_disk(place.device), place.slot or 0) for place in places})


def other_slots(snapshot: Snapshot) -> Slots:
    """Return the slots that machines may be told to boot some day."""
    if not any(host.role is Role.MESH for host in snapshot.hosts.values()):
        return []
    return [(grub_disk(STANDARD_SCHEME.device(n)), n) for n in STANDARD_SCHEME.numbers]


def _programs(snapshot: Snapshot) -> Iterator[_Program]:
    """Yield every program that the machines of *snapshot* may need, the most urgent first."""
    awaited, others = awaited_slots(snapshot), other_slots(snapshot)
    if awaited or others:
        menu = partial(slotcore.build, partition=slotcore.MENU)
        yield _Program(CORES, CORE_BOOT, slotcore.boot_sector, CORES, bool(awaited))
        yield _Program(CORES, core_file(slotcore.MENU), menu, CORES, bool(awaited))
        yield _Program(CORES, EFI_MENU, slotboot.build_menu, CORES, bool(awaited))
    for slots in (awaited, others):
        for disk, slot in slots:
            core = partial(slotcore.build, partition=slot)
            yield _Program(CORES, core_file(slot), core, CORES, slots is awaited)
            for firmware in (Firmware.BIOS, Firmware.UEFI):
                starts = partial(slotboot.build, firmware=firmware, disk=disk, slot=slot)
                yield _Program(HELPING, slot_helper(firmware, disk, slot), starts, firmware, slots is awaited)
