"""An image that nodes cannot read is unpacked before it is sent to slots: a qcow2 file, to a raw disk."""

import sys

from bootd.darkstore.disks import HEAD, describe_raw
from bootd.darkstore.source import Unpacked
from bootd.darkstore.unpack.unpack import check_image, octets_of
from bootd.model import DiskImage, ImageKind, ImagePart
from bootd.model.images import identity_of
from bootd.services.payload import UNPACKED, NotForSlot, payload_of
from bootd.services.tasks import DISK_SENT
from bootd.workers import unpacking
from bootd.workers.rounds import UNPACK, image_of
from bootd.workers.sessions import CALL
from bootd.workers.unpacking import Shown, said
from bootd.workers.work import GivenUp, Work

_ANY_SIZE = sys.maxsize  # octets: whether it fits a slot is said by the node that has it


def is_unpacked_first(image: DiskImage) -> bool:
    return image.kind is ImageKind.QCOW2


def check(image: DiskImage) -> None:
    """Raise `MissingTool` where *image* is to be unpacked and cannot be."""
    if is_unpacked_first(image):
        check_image(image, _ANY_SIZE)


def unpack(work: Work) -> None:
    """Have the raw disk that is sent; one without a single partition for the slot ends the job."""
    image = image_of(work)
    shown = Shown(work, UNPACK, octets_of(image))
    with said(work, image):
        unpacked = unpacking.unpack(work, image, _ANY_SIZE, shown)
    disk = described(unpacked)
    try:
        payload_of(image, disk)
    except NotForSlot as error:
        raise GivenUp(str(error)) from error
    with work.commit(CALL, facts={DISK_SENT: disk}, note=""):
        work.note_parts(shown.done())


def described(unpacked: Unpacked) -> dict[str, object]:
    """Return what a node must know of the disk: its partitions, and by which digest it knows it."""
    with unpacked.path.open("rb") as file:
        disk = describe_raw(file.read(HEAD), unpacked.size)
    parts = (ImagePart(UNPACKED, unpacked.size, unpacked.digest),)
    return disk | {"identity": identity_of(parts)}
