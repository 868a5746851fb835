"""A machine that runs the real imager against a boot port on loopback; its store and job are made by hand."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from bootd.boot.places import CORE_BOOT, EFI_MENU, core_file, slot_helper
from bootd.cli.context import cache_dir
from bootd.clock import utc_now
from bootd.darkstore.captured import Upload
from bootd.darkstore.disks import HEAD, describe_raw
from bootd.darkstore.source import ImageSource, open_folder, open_unpacked
from bootd.darkstore.tree import Tree
from bootd.darkstore.unpack.packing import pack
from bootd.darkstore.unpack.unpack import unpack
from bootd.events import Event, NodeReported
from bootd.imagebuild import BuiltImage, build, slotboot, slotcore
from bootd.model import (
    DiskImage,
    ImageFile,
    ImageKind,
    Job,
    JobKind,
    JobPart,
    MemoryImage,
    Project,
    Slot,
    SlotScheme,
)
from bootd.services import capturing, images, jobs, reports, tasks
from bootd.services.capturing import CaptureDesk
from bootd.services.payload import UNPACKED, root_of
from bootd.store import Store, open_store
from bootd.workers.slotimage import as_sent
from netboot.arch import Firmware
from tests.helpers.deeds import a_deployment, a_reservation
from tests.helpers.lab import PATIENCE_S
from tests.helpers.places import a_slot_place
from tests.helpers.qemu import SERVER, Machine, boot, powered
from tests.helpers.web import MAC, NOON, Site, a_host, a_snapshot, running

NODE, SLOT = "node1", 7
SCHEME = SlotScheme(disk="/dev/vda", last=9, boot_mib=64, swap_mib=8, spare_mib=8)
MARKER = "SLOT-SEVEN-STARTED"  # what the menu of the images says
READY, LEAVES, FAILS = "BOOTD-IMAGER-READY", "Restarting system", "BOOTD-IMAGER-FAILED"
_GAVE_UP = "a shell is on this console"  # said last, when bootd was told why
# An emulated clock that gets no time of a busy host for a moment is a panic to the kernel: "IO-APIC + timer".
_PATIENT = "no_timer_check"
_NOBODY = f"http://{SERVER}:1/away.ipxe"  # a server that is away
_LOOK_S = 0.2
_WAY = {"transport": "http", "path": "/files/stream.tar"}
_RECIPES = Path(__file__).parents[2] / "images"


@cache
def built(name: str = "imager") -> BuiltImage:
    return build(_RECIPES / name, cache=cache_dir(), progress=print)


class Imaging:
    """The slot of one machine is to be written with the image at *source*, and the machine is started.

    The job stands where its session runs; *stream* are the octets that the session sends.
    """

    def __init__(
        self,
        folder: Path,
        source: Path,
        settings: Mapping[str, str] | None = None,
        *,
        scheme: SlotScheme = SCHEME,
        imager: str = "imager",
    ) -> None:
        self.folder, self.events, self.scheme, self.imager = folder, list[Event](), scheme, imager
        self._calls = 0
        self.store_url = f"sqlite:///{folder}/bootd.db"
        self.host = replace(a_host(NODE, MAC), ip="127.0.0.1", settings=dict(settings or {}))
        self.tree = Tree(folder / "dark")
        self.stream = folder / "stream.tar"
        with self.open_store() as store:
            self.image = self._furnish(store, source)
        with self.stream.open("wb") as file:
            file.writelines(self._source.chunks())

    def open_store(self) -> Store:
        return open_store(self.store_url, clock=utc_now)

    @property
    def words(self) -> list[tuple[str, str]]:
        """What the machine said, but for percentages, and for what it said again while it lasted."""
        said = [(each.state, each.detail) for each in self.events if isinstance(each, NodeReported)]
        return [word for word, _ in groupby(word for word in said if not word[1].isdecimal())]

    async def heard(self, word: str, count: int = 1) -> str:
        """Wait until the machine has said *word* for the *count*th time; return what it said with it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                details = [detail for said, detail in self.words if said == word]
                if len(details) >= count:
                    return details[count - 1]
                await asyncio.sleep(_LOOK_S)

    def call_again(self, *, repartition: bool = False, **settings: str) -> None:
        """Call the machine once more, for a session of its own; one that runs and waits hears of it.

        With *repartition* its job may divide disks of another layout; *settings* are the host's from now on.
        """
        now = utc_now()
        with self.open_store() as store, store.transaction("anna", "again") as change:
            job = change.find(Job, 1)
            assert job is not None
            self._calls += 1
            way = {**_WAY, "session": str(self._calls)}
            facts = {"called_at": now.isoformat(), tasks.WAYS: {NODE: way}, jobs.REPARTITION: repartition}
            change.keep(replace(job, facts={**job.facts, **facts}))
            change.put_job_parts([JobPart(1, NODE, "joining", since=now)])
            self.host = replace(self.host, settings={**self.host.settings, **settings})
            change.put_hosts([self.host])

    def order_capture(self, slot: int) -> Upload:
        """Have the machine read *slot* as soon as it is done with the other one; return what it sends."""
        upload, now = Upload(self.tree.root, 2), utc_now()
        upload.begin(1)
        job = Job(2, JobKind.CAPTURE, None, None, (NODE,), now, "anna", now, "running", capturing.READ)
        facts = {jobs.SLOT: slot, jobs.IMAGE: "mesh/mine", capturing.ROUND: 1}
        with self.open_store() as store, store.transaction("anna", "capture") as change:
            change.keep(replace(job, facts={**facts, jobs.CALLED_AT: now.isoformat()}))
            change.put_job_parts([JobPart(2, NODE, "reading", since=now)])
        return upload

    @asynccontextmanager
    async def powered(self, disk: Path, **machine: Any) -> AsyncIterator[Machine]:
        """Start the machine, *machine* being for `tests.helpers.qemu.powered`; it is off afterwards."""
        site = self._site()
        site.parts = replace(site.parts, captures=CaptureDesk(self.open_store, self.tree))
        async with running(site):
            script = f"http://{SERVER}:{site.port}/boot/{MAC}.ipxe"
            async with powered(self.folder, script, MAC, disk=disk, **machine) as on:
                yield on
        for desk in (site.parts.tasks, site.parts.captures):
            await desk.aclose()

    async def run(self, disk: Path, *, until: str = LEAVES, **machine: Any) -> str:
        """Start the machine; return what its console said by *until*, or when it leaves or gives up."""
        async with self.powered(disk, **machine) as on:
            return await on.until(LEAVES, _GAVE_UP, until, patience_s=PATIENCE_S)

    def _furnish(self, store: Store, source: Path) -> DiskImage:
        now = utc_now()
        with store.transaction("anna", "furnish") as change:
            change.put_hosts([self.host])
            change.keep(Project("mesh", "anna", now))
            change.keep(self.scheme)
        image = images.add(store, "anna", self.tree, "mesh/debian", source, clock=utc_now)
        facts: dict[str, object] = {}
        self._source = open_folder(self.tree, image)
        if image.kind is ImageKind.QCOW2:
            self._source, facts[tasks.SENT] = self._unpacked(image)
        job = Job(
            *(1, JobKind.WRITE_SLOT, 1, 1, (NODE,), now, "calendar", now, "running", "watch"),
            facts={
                "called_at": now.isoformat(),
                tasks.WAYS: {NODE: _WAY},
                **facts,
            },
        )
        deployment = a_deployment(image=image.ref, digest=image.identity, nodes=(NODE,), slot=SLOT)
        reservation = a_reservation(
            nodes=(NODE,), state="booked", starts_at=now, ends_at=now + timedelta(hours=1)
        )
        with store.transaction("calendar", "job") as change:
            for record in (reservation, replace(deployment, state="deploy-hd"), job):
                change.keep(record)
            change.keep(Slot(NODE, SLOT, image.ref, image.identity, "writing"))
            change.put_job_parts([JobPart(1, NODE, "joining", since=now)])
        return image

    def _unpacked(self, image: DiskImage) -> tuple[ImageSource, object]:
        """Return what is sent in place of a qcow2 image, and the fact of its job, as a worker has it."""
        place = (self.folder / "unpacked", "job-1")
        disk = unpack(self.tree, image, sys.maxsize, *place, lambda _: None)
        with disk.path.open("rb") as file:
            start, size = root_of(image, describe_raw(file.read(HEAD), disk.size))
        packed = pack(*place, start, size or disk.size, lambda: None)
        return open_unpacked(packed, UNPACKED), as_sent(packed, "")

    def _site(self) -> Site:
        files = self._files()
        cmdline = f"{built(self.imager).cmdline} {_PATIENT}"
        image = MemoryImage("imager", files[0], (files[1],), cmdline, NOON)
        site = Site(a_snapshot(self.host, image=image))
        for file, path in zip(files, self._paths(), strict=True):
            site.serve_file(file.path, path)
        site.serve_file("stream.tar", self.stream)
        site.serve_file(CORE_BOOT, slotcore.boot_sector(self.folder / "core-boot"))
        site.serve_file(EFI_MENU, slotboot.build_menu(self.folder / "menu.efi"))
        for partition in (slotcore.MENU, SLOT):
            site.serve_file(core_file(partition), slotcore.build(self.folder / f"core{partition}", partition))
        desk = tasks.TaskDesk(self.open_store)
        site.parts = replace(site.parts, address=SERVER, tasks=desk, emit=self._heard)
        return site

    def _files(self) -> list[ImageFile]:
        return [ImageFile(p.name, f"imager/{p.name}", "0" * 64, p.stat().st_size) for p in self._paths()]

    def _paths(self) -> list[Path]:
        return [built(self.imager).kernel, *built(self.imager).initrds]

    def _heard(self, event: Event) -> None:
        self.events.append(event)
        word = reports.heard_in(event, utc_now(), itself=True)
        if word is not None:
            with self.open_store() as store, store.transaction("bootd", "report") as change:
                reports.heard(change, word)


async def started(folder: Path, disk: Path, *, steered: bool, uefi: bool = False) -> str:
    """Start a machine until the menu in its slot speaks; return what its console said.

    *steered*: bootd answers, and names the slot. Else it is away, and the disk starts what it starts.
    """
    marker = f"{MARKER} in hd0,{'gpt' if uefi else 'msdos'}{SLOT}"
    patient = {"until": [marker], "patience_s": PATIENCE_S, "disk": disk, "uefi": uefi}
    if steered:
        async with running(_steering(folder, Firmware.UEFI if uefi else Firmware.BIOS)) as site:
            said = await boot(folder, f"http://{SERVER}:{site.port}/boot/{MAC}.ipxe", MAC, **patient)
    else:
        said = await boot(folder, _NOBODY, MAC, **patient)
    assert marker in said, said
    return said


def _steering(folder: Path, firmware: Firmware) -> Site:
    """Return a boot port at which the machine is to boot its slot, as a booking has it."""
    place = a_slot_place(slot=SLOT, device=f"/dev/vda{SLOT}")
    site = Site(replace(a_snapshot(replace(a_host(NODE, MAC), ip="127.0.0.1")), places={NODE: place}))
    site.parts = replace(site.parts, address=SERVER)
    program = slotboot.build(folder / "program", firmware, "hd0", SLOT)
    site.serve_file(slot_helper(firmware, "hd0", SLOT), program)
    return site
