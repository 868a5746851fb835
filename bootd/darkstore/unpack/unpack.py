"""An image unpacked to a raw disk that can be written to a LUN."""

import errno
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from bootd.darkstore import forlun
from bootd.darkstore.source import NotForLun, Unpacked
from bootd.darkstore.tree import Tree
from bootd.darkstore.unpack import clonezilla, qcow2
from bootd.darkstore.unpack.errors import NoRoom
from bootd.darkstore.unpack.order import Order, Progress
from bootd.darkstore.unpack.places import empty, finish, finished, held
from bootd.darkstore.unpack.programs import check
from bootd.model import DiskImage, ImageKind

_HOW: Mapping[ImageKind, Callable[[Order, Path], None]] = MappingProxyType(
    {ImageKind.QCOW2: qcow2.unpack, ImageKind.CLONEZILLA: clonezilla.unpack}
)


def octets_of(image: DiskImage) -> int:
    """Return how many octets are read to unpack *image*."""
    return image.size * qcow2.READS if image.kind is ImageKind.QCOW2 else image.size


def check_image(image: DiskImage, lun_size: int) -> None:
    """Raise `NotForLun` and `MissingTool` where *image* cannot come to a LUN of *lun_size* octets."""
    size = forlun.disk_size(image)
    if why := forlun.why_not(image) or forlun.too_large(image, size, lun_size):
        raise NotForLun(why)
    if image.kind in _HOW:
        check(_tools(image))


def _tools(image: DiskImage) -> list[str]:
    own = qcow2.TOOLS if image.kind is ImageKind.QCOW2 else clonezilla.tools_of(image)
    return ["setpriv", "nice", "prlimit", *own]


def unpack(
    tree: Tree, image: DiskImage, lun_size: int, root: Path, name: str, progress: Progress
) -> Unpacked:
    """Have the disk that *image* is in the folder *name* of *root*; what is there already is taken as it is.

    Holes are zeros; a GPT's second header is at the end of the LUN. Raises `NotForLun`, `MissingTool`,
    `NoRoom`, `ToolFailed`, `Held`, `DarkStoreAway`, `BadImage`, and what *progress* raises.
    """
    check_image(image, lun_size)
    with held(root, name) as folder:
        if (found := finished(folder)) is not None:
            return found
        empty(folder)
        order = Order(tree, image, lun_size, progress)
        try:
            _HOW[image.kind](order, folder)
            return finish(folder, order.beat)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise NoRoom(f"the file system of {root} is full: make room there") from error
