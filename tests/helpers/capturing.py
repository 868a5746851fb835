"""A workshop in which slots of nodes are captured, and a node that sends what a test gives it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bootd.darkstore.captured import PIECE, Piece, State, Upload
from bootd.drivers.power import PowerState
from bootd.model import Job, JobKind, Project, Slot
from bootd.services import capture
from bootd.services.capture import Wish
from bootd.workers.capture import Capture
from tests.helpers.deeds import IMAGE
from tests.helpers.site import NOON, an_image
from tests.helpers.workshop import Workshop

ZST = b"\x28\xb5\x2f\xfd"  # what such a stream begins with
OCTETS = ZST + bytes(range(256)) * 9000
TWO_PIECES = ZST + b"a slot" * (PIECE // 5)
WISH = Wish("node1", 7, "mesh/mine")
TABLE = """\
label: dos
label-id: 0x7f3e51a2
device: /dev/sda
unit: sectors
sector-size: 512

/dev/sda1 : start=        2048, size=      131072, type=83, bootable
/dev/sda2 : start=      133120, size=       16384, type=82
/dev/sda3 : start=      149504, size=       16384, type=83
/dev/sda4 : start=      165888, size=      800000, type=5
/dev/sda7 : start=      167936, size=       65536, type=83
"""


def a_form(octets: bytes = OCTETS, **changes: str) -> dict[str, str]:
    """Return what a node says at the end of slot 7, of which it has sent *octets*."""
    form = {
        "name": "sda",
        "filesystem": "ext4",
        "table": TABLE,
        "mbr": "00" * 510 + "55aa",
        "sectors": "1000000",
        "uuid": "3f1c7e0a-5d64-4c29-9b41-0c5f8e2f7a10",
        "label": "root",
        "log": "Starting to clone device (/dev/sda7) to image (-)\n"
        "Space in use:   8.4 MB = 2048 Blocks\nBlock size: 4096 Byte\n",
        "note": "",
        "pieces": str(-(-len(octets) // PIECE)),
        "octets": str(len(octets)),
        "sha256": hashlib.sha256(octets).hexdigest(),
    }
    return form | changes


def pieces_of(octets: bytes) -> Iterator[tuple[Piece, bytes]]:
    for number, at in enumerate(range(0, len(octets), PIECE)):
        content = octets[at : at + PIECE]
        read = min(len(octets), at + PIECE)
        yield Piece(number, hashlib.sha256(content).hexdigest(), read, len(octets)), content


def put(upload: Upload, piece: Piece, content: bytes, round_: int = 1) -> State:
    came = upload.receive()
    try:
        for at in range(0, len(content), 1 << 20):
            came.take(content[at : at + (1 << 20)])
        return upload.put(piece, round_, came)
    finally:
        came.discard()


class Studio(Workshop):
    """node1 holds an image in slot 7, which project mesh may have."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.number = 1
        self.power.states = {f"node{n}": PowerState.ON for n in range(1, 5)}
        with self.store.transaction("anna", "furnish") as change:
            change.keep(Project("mesh", "anna", NOON))
            change.keep(Project("other", "bob", NOON))
            change.put_memory_image(an_image("imager"))
            change.keep(Slot("node1", 7, IMAGE, "sha256:1", "ready"))

    @property
    def now(self) -> Job:
        """The job ordered last."""
        return self.job(self.number)

    @property
    def upload(self) -> Upload:
        return Upload(self.tree.root, self.number)

    @property
    def left(self) -> list[str]:
        """What lies in the dark store besides images."""
        return sorted(path.name for path in self.tree.root.glob(".capturing/*"))

    def order(self, wish: Wish = WISH, **options: Any) -> Job:
        job = capture.order(
            self.store, "anna", wish, clock=self.clock, tree=self.tree, imager="imager", **options
        )
        assert job is not None
        self.number = job.id
        return job

    def until(self, step: str, seconds: int = 2000) -> None:
        """Let time go by until the job is at *step*, or over."""
        for _ in range(seconds):
            self.run()
            if self.now.step == step or self.now.ended_at is not None:
                return
            self.clock.move(seconds=1)
        raise AssertionError(f"job stays at {self.now.step}: {self.now.note}")

    def starts(self) -> None:
        """Let the node be restarted and say that it reads."""
        self.until("switch")
        self.run_for(3)
        self.say("node1", "capturing", job=self.number)
        self.until("read")

    def sends(self, octets: bytes = OCTETS, **changes: str) -> None:
        """Let the node send all of its slot."""
        round_ = int(self.now.facts["round"])
        for piece, content in pieces_of(octets):
            put(self.upload, piece, content, round_)
        form: dict[str, Any] = a_form(octets, **changes)
        self.upload.end(round_, form | {key: int(form[key]) for key in ("pieces", "octets")})
        self.say("node1", "captured", job=self.number)

    def ends(self) -> None:
        self.until("over")
        assert self.now.ended_at is not None


def a_studio(folder: Path, **fields: Any) -> Studio:
    return Studio({JobKind.CAPTURE: Capture()}, folder, **fields)
