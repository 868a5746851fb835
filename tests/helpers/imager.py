"""A machine that runs the real imager against a boot port on loopback; its store and job are made by hand."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from bootd.boot.places import CORE_BOOT, EFI_MENU, core_file
from bootd.cli.context import cache_dir
from bootd.clock import utc_now
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
from bootd.services import images, jobs, reports, tasks
from bootd.services.payload import UNPACKED, root_of
from bootd.store import Store, open_store
from bootd.workers.slotimage import as_sent
from tests.helpers.deeds import a_deployment, a_reservation
from tests.helpers.lab import PATIENCE_S
from tests.helpers.qemu import SERVER, boot
from tests.helpers.web import MAC, NOON, Site, a_host, a_snapshot, running

NODE, SLOT = "node1", 7
SCHEME = SlotScheme(disk="/dev/vda", last=9, boot_mib=64, swap_mib=8, spare_mib=8)
READY, LEAVES, FAILS = "BOOTD-IMAGER-READY", "Restarting system", "BOOTD-IMAGER-FAILED"
_GAVE_UP = "a shell is on this console"  # said last, when bootd was told why
# An emulated clock that gets no time of a busy host for a moment is a panic to the kernel: "IO-APIC + timer".
_PATIENT = "no_timer_check"
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
        """What the machine said, but for percentages."""
        said = [(each.state, each.detail) for each in self.events if isinstance(each, NodeReported)]
        return [word for word in said if not word[1].isdecimal()]

    def give_up_disks(self) -> None:
        """Call the machine anew, by a job that may divide disks of another layout: ``--repartition``."""
        with self.open_store() as store, store.transaction("anna", "repartition") as change:
            job = change.find(Job, 1)
            assert job is not None
            called = {"called_at": utc_now().isoformat(), jobs.REPARTITION: True}
            change.keep(replace(job, facts={**job.facts, **called}))
            change.put_job_parts([JobPart(1, NODE, "joining", since=utc_now())])

    async def run(self, disk: Path, *, until: str = LEAVES, **machine: Any) -> str:
        """Start the machine, *machine* being for `boot`; return what its console said."""
        async with running(self._site()) as site:
            script = f"http://{SERVER}:{site.port}/boot/{MAC}.ipxe"
            ends = (LEAVES, _GAVE_UP, until)
            return await boot(
                self.folder, script, MAC, until=ends, patience_s=PATIENCE_S, disk=disk, **machine
            )

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
                tasks.WAYS: {NODE: {"transport": "http", "path": "/files/stream.tar"}},
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
