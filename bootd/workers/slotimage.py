"""An image that nodes cannot read is unpacked before it is sent to slots: of a qcow2 file, its partition."""

import sys
from pathlib import Path
from typing import Any

from bootd.darkstore.disks import HEAD, describe_raw
from bootd.darkstore.source import Unpacked
from bootd.darkstore.unpack import packing, programs
from bootd.darkstore.unpack.unpack import check_image, octets_of
from bootd.model import DiskImage, ImageKind, ImagePart
from bootd.model.images import identity_of
from bootd.services.payload import UNPACKED, NotForSlot, root_of
from bootd.services.tasks import SENT
from bootd.workers import unpacking
from bootd.workers.errand import UNPACK, image_of
from bootd.workers.sessions import CALL
from bootd.workers.unpacking import Shown, said
from bootd.workers.work import GivenUp, Work

ANY_SIZE = sys.maxsize  # octets: whether it fits a slot is said by the node that has it


def is_unpacked_first(image: DiskImage) -> bool:
    return image.kind is ImageKind.QCOW2


def check(image: DiskImage) -> None:
    """Raise `MissingTool` where *image* is to be unpacked and cannot be."""
    if is_unpacked_first(image):
        check_image(image, ANY_SIZE)
        programs.check(packing.TOOLS)


def unpack(work: Work) -> None:
    """Have what is sent; a disk without a single partition for the slot ends the job."""
    image = image_of(work)
    shown = Shown(work, UNPACK, octets_of(image))
    with said(work, image):
        disk = unpacking.unpack(work, image, ANY_SIZE, shown)
        try:
            start, size = root_of(image, _described(disk.path, 0, disk.size))
        except NotForSlot as error:
            raise GivenUp(str(error)) from error
        size = size or disk.size
        file_system = str(_described(disk.path, start, size).get("file_system", ""))
        packed = unpacking.pack(work, start, size, shown)
    with work.commit(CALL, facts={SENT: as_sent(packed, file_system, size)}, note=""):
        work.note_parts(shown.done())


def as_sent(packed: Unpacked, file_system: str, needs: int = 0) -> dict[str, Any]:
    """Return what is told of it to nodes, which know it by its own digest, and to whoever sends it later."""
    parts = (ImagePart(UNPACKED, packed.size, packed.digest),)
    known = {"size": packed.size, "sha256": packed.digest, "identity": identity_of(parts)}
    return known | {"file_system": file_system, "needs": needs}


def _described(disk: Path, start: int, size: int) -> dict[str, Any]:
    with disk.open("rb") as file:
        file.seek(start)
        return describe_raw(file.read(HEAD), size)
