"""How long an image takes to become a raw disk, against the bare tools that do the work."""

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bootd.darkstore.source import Unpacked
from bootd.darkstore.tree import Tree
from bootd.darkstore.unpack.unpack import unpack
from bootd.model import DiskImage, ImageKind
from tests.bench.figures import Figure, Peer
from tests.helpers.genuine import GenuineDisk
from tests.helpers.unpacking import Unpacking, run

MIB = 1 << 20
SECTORS, DATA = 2 << 21, 512 * MIB  # of a disk of 2 GiB, and what is in its file system
TABLE = f"label: dos\nunit: sectors\n/dev/sda1 : start=2048, size={SECTORS - 2048}, type=83\n"
_DIGESTS = 'import hashlib, sys; [hashlib.file_digest(open(f, "rb"), "sha256") for f in sys.argv[1:]]'
GOAL = "≤ 1.25 × peer"


def measure(rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the figures; in each round bootd and the bare tools follow each other."""
    disk = GenuineDisk(folder / "made", TABLE, SECTORS, {"noise": os.urandom(DATA)})
    saved = Unpacking(folder / "clonezilla")
    disk.save(saved.image_folder, "zst")
    part = saved.image_folder / "sda1.ext4-ptcl-img.zst"
    out = folder / "bare"
    pipe = f"zstd -dcq {part} | partclone.restore -C -q -f 1 -L {folder}/log -s - -O {out} -E 1048576"
    what = "Clonezilla's disk of 2 GiB, 0.5 GiB in use, zstd → raw"
    yield _figure(what, rounds, saved, saved.image(ImageKind.CLONEZILLA), "zstd | partclone", out, pipe)
    packed = Unpacking(folder / "qcow2")
    file = packed.image_folder / "disk.qcow2"
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk.path, file)
    convert = f"qemu-img convert -f qcow2 -O raw {file} {out}"
    image = packed.image(ImageKind.QCOW2)
    yield _figure("the same as qcow2 → raw", rounds, packed, image, "qemu-img convert", out, convert)


def _figure(
    what: str, rounds: int, at: Unpacking, image: DiskImage, peer: str, out: Path, command: str
) -> Figure:
    """The peer works out the same digests: of the image, and of what was made of it."""
    command += f" && sync {out} && {sys.executable} -c '{_DIGESTS}' {at.image_folder}/* {out}"
    names = (f"job-{number}" for number in itertools.count())
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_timed(lambda: _unpack(at.tree, image, at.root, next(names))))
        shutil.rmtree(at.root)
        with out.open("wb") as file:
            file.truncate(SECTORS * 512)
        theirs.append(_timed(lambda: subprocess.run(command, shell=True, check=True, capture_output=True)))
        out.unlink()
    return Figure(what, tuple(ours), "s", GOAL, Peer(f"{peer}; sync; SHA-256", tuple(theirs)))


def _unpack(tree: Tree, image: DiskImage, root: Path, name: str) -> Unpacked:
    return unpack(tree, image, SECTORS * 512, root, name, lambda octets: None)


def _timed(deed: Callable[[], object]) -> float:
    begun = time.perf_counter()
    deed()
    return time.perf_counter() - begun
