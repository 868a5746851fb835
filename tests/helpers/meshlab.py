"""A lab of mesh nodes with blank disks and an image whose menu says that it was started."""

import json
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from bootd.cli.context import cache_dir
from bootd.lab import Kind, Lab
from bootd.lab.demo import add_image, store_opener
from bootd.lab.story import Show, Watch
from bootd.model import Job, JobKind, JobPart, Slot
from bootd.store import Reads
from tests.helpers.lab import plug_in
from tests.helpers.partitions import clonezilla_part, root_partition

T = TypeVar("T")
SCHEME = ["--disk", "/dev/vda", "--last", "9", "--boot-mib", "64", "--swap-mib", "8", "--spare-mib", "8"]
SLOT = 5  # the first one that a booking is given
_GPT = "gpt-nodes"  # group of the machines that start by UEFI
_CONFIG = """
[imaging]
transport = "{transport}"
rate_mbit = {rate_mbit}
join_timeout = {join_s}
[calendar]
window = {window}
window_pause = {pause_s}
"""


@dataclass
class MeshLab:
    """*nodes* are plugged in and stand before their firmware; `book` has them imaged."""

    lab: Lab
    folder: Path
    nodes: Sequence[str]
    _seen: dict[str, str] = field(default_factory=dict)

    def up(
        self,
        *,
        transport: str = "mixed",
        rate_mbit: int = 80,
        join_s: int = 60,
        window: int = 8,
        pause_s: int = 1,
        disks_mib: Mapping[str, int] = MappingProxyType({}),
        uefi: Collection[str] = (),
        foreign: Collection[str] = (),
    ) -> "MeshLab":
        """Have it all there. Of the nodes, *uefi* start by UEFI, and *foreign* hold a file system already."""
        values = {"transport": transport, "rate_mbit": rate_mbit, "join_s": join_s}
        self.lab.up(config_extra=_CONFIG.format(**values, window=window, pause_s=pause_s))
        add_image(self.lab, "imager", cache=cache_dir(), say=print)
        self.lab.bootd("slots", "scheme", "set", "@all", *SCHEME)
        for name in self.nodes:
            disk = self.disk(name, mib=disks_mib.get(name, 512), is_blank=name not in foreign)
            self.plug_in(name, Kind.UEFI if name in uefi else Kind.BIOS, disk)
        if uefi:
            self.lab.bootd("slots", "scheme", "set", _GPT, *SCHEME, "--table", "gpt")
        self.lab.bootd("projects", "add", "mesh", "--owner", "anna")
        return self

    def disk(self, name: str, *, mib: int, is_blank: bool = True) -> Path:
        disk = self.folder / f"{name}.disk"
        with disk.open("wb") as file:
            file.truncate(mib << 20)
        if not is_blank:
            subprocess.run(["mke2fs", "-q", "-t", "ext4", disk], check=True)
        return disk

    def plug_in(self, name: str, kind: Kind, disk: Path) -> None:
        """Add a machine; bootd presses its button."""
        plug_in(self.lab, name, kind, disk=disk)
        group = ("--group", _GPT) if kind.firmware == "uefi" else ()
        self.lab.bootd("hosts", "set", name, "--role", "mesh", *group)
        self.lab.power_on(name, is_held=True)

    def add_image(self, name: str, marker: str, *, ballast: int = 4) -> str:
        """Put a Clonezilla image into the dark store whose menu says *marker*; return its reference."""
        root = root_partition(self.folder / f"{name}.root", marker, mib=max(24, 2 * ballast), ballast=ballast)
        parts = clonezilla_part(self.folder / f"{name}.parts", root)
        self.lab.bootd("images", "add", f"mesh/{name}", str(parts))
        return f"mesh/{name}@1"

    def book(self, image: str, nodes: Iterable[str] = (), *, hours: int = 2) -> int:
        """Book *nodes* from now on, with *image*; return the reservation's number."""
        names = ",".join(nodes or self.nodes)
        order = ("--start", "now", "--end", f"+{hours}h", "--image", image, "--json")
        made = self.lab.bootd("reservations", "add", "mesh", "--nodes", names, *order).stdout
        return int(json.loads(made)[0]["id"])

    # -- what bootd says of it -------------------------------------------------------------------

    def watch(self, show: Show = lambda line: print(f"{line.at:%T.%f} {line.who:6} {line.text}")) -> Watch:
        return Watch(self.lab, list(self.nodes), show)

    def ask(self, question: Callable[[Reads], T]) -> T:
        with store_opener(self.lab)() as store:
            return question(store)

    def job(self, reservation: int, kind: JobKind = JobKind.WRITE_SLOT) -> Job | None:
        return self.ask(lambda reads: job_of(reads, reservation, kind))

    def parts(self, job: Job) -> dict[str, JobPart]:
        return self.ask(lambda reads: {part.node: part for part in reads.job_parts(job.id) if part.node})

    def slots(self, number: int = SLOT) -> dict[str, str]:
        found = self.ask(lambda reads: reads.every(Slot))
        return {slot.host: slot.state for slot in found if slot.number == number}


def job_of(reads: Reads, reservation: int, kind: JobKind = JobKind.WRITE_SLOT) -> Job | None:
    return next((job for job in reads.jobs(kind=kind, reservation=reservation)), None)
