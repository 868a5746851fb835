"""Images put into a dark store, and unpacked as for a LUN."""

import hashlib
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bootd.darkstore.source import Unpacked
from bootd.darkstore.tree import Tree
from bootd.darkstore.unpack.unpack import unpack
from bootd.model import DiskImage, ImageKind, ImagePart
from tests.helpers.bookings import a_disk_image

PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "MTOOLS_SKIP_CHECK": "1"}
LUN = 256 << 20  # octets


def run(*argv: str | Path, text: str | None = None, ok: Sequence[int] = (0,)) -> str:
    """Run a program; return what it says, or raise `RuntimeError` with it."""
    done = subprocess.run(
        list(map(str, argv)), input=text, capture_output=True, text=True, env=PATH, check=False
    )
    said: str = done.stdout + done.stderr
    if done.returncode not in ok:
        raise RuntimeError(f"{' '.join(map(str, argv))}: status {done.returncode}: {said}")
    return said


@dataclass
class Unpacking:
    """A dark store in *folder* and a work folder beside it."""

    folder: Path
    seen: list[int] = field(default_factory=list)  # progress
    step: Callable[[int], None] = lambda octets: None

    def __post_init__(self) -> None:
        self.tree, self.root = Tree(self.folder / "dark"), self.folder / "unpacked"

    @property
    def image_folder(self) -> Path:
        """Where the one image lies."""
        folder = self.tree.root / "mesh" / "debian"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def image(self, kind: ImageKind, *, digests: bool = True, **fields: Any) -> DiskImage:
        """Return the image that the files in `image_folder` are; described unless *fields* say."""
        parts = []
        for path in sorted(self.image_folder.iterdir()):
            octets = path.read_bytes()
            digest = hashlib.sha256(octets).hexdigest() if digests else ""
            parts.append(ImagePart(path.name, len(octets), digest))
        if "description" not in fields:
            found = self.tree.inspect("mesh/debian")
            assert found.kind is kind
            fields["description"] = found.description
        return a_disk_image(kind=kind, folder="mesh/debian", parts=tuple(parts), **fields)

    def unpack(self, image: DiskImage, lun: int = LUN, name: str = "job-1") -> Unpacked:
        def progress(octets: int) -> None:
            self.seen.append(octets)
            self.step(octets)

        return unpack(self.tree, image, lun, self.root, name, progress)
