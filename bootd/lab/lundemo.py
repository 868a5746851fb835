"""The demonstration of root nodes: two machines boot their clones, change to the next image, and go back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from bootd.clock import utc_now
from bootd.lab import roots
from bootd.lab.lab import Lab
from bootd.lab.roots import GROUP, NODES, PROJECT, A, B
from bootd.lab.story import Show, Watch, runs, staged

NAMES = tuple(spec.name for spec in NODES)
PATIENCE_S = 300.0  # of each chapter


@dataclass(frozen=True, slots=True)
class Chapter:
    """Nodes told to boot an image, and when each of them said that it runs it."""

    title: str
    image: str
    began_at: datetime
    ran_at: dict[str, datetime | None]

    def seconds(self, node: str) -> float | None:
        at = self.ran_at[node]
        return (at - self.began_at).total_seconds() if at is not None else None


@dataclass(slots=True)
class Told:
    """What was seen."""

    began_at: datetime
    chapters: list[Chapter] = field(default_factory=list)
    staging_s: float | None = None
    clones: list[roots.Clone] = field(default_factory=list)
    is_whole: bool = False  # every chapter came to its end


def tell(lab: Lab, show: Show, say: Callable[[str], None], *, patience_s: float = PATIENCE_S) -> Told:
    """Book, boot, stage the next image, flip and roll back; ends early where a chapter does not end."""
    watch, told = Watch(lab, NAMES, show), Told(utc_now())
    nodes = ",".join(NAMES)

    def order(*words: str) -> datetime:
        say(f"\n$ bootd {' '.join(words)}")
        at = utc_now()
        say(lab.bootd(*words).stdout.rstrip())
        return at

    def chapter(title: str, image: str, *words: str) -> bool:
        began_at = order(*words)
        arrived = watch.until(runs(1, image), patience_s)
        ran_at = {node: watch.reported(node, began_at) for node in NAMES}
        told.chapters.append(Chapter(title, image, began_at, ran_at))
        if arrived:
            say(f"RUN: {nodes} run {image}, by their own word")
        return arrived

    book = ("reservations", "add", PROJECT, "--nodes", nodes)
    if not chapter("booked", A, *book, "--start", "now", "--end", "+2h", "--image", A):
        return told
    began_at = order(*book, "--start", "+2h", "--end", "+1h", "--image", B)
    if not watch.until(staged(GROUP, B), patience_s):
        return told
    told.staging_s = (utc_now() - began_at).total_seconds()
    if chapter("flipped", B, "luns", "flip", GROUP):
        told.is_whole = chapter("rolled back", A, "luns", "rollback", GROUP)
    told.clones = roots.clones(lab)
    return told
