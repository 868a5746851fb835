"""An image as one stream of octets for those who carry it, each of its files compared on the way.

What is made here fits `bootd.drivers.source.ByteSource`.
"""

import errno
import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bootd.darkstore.errors import BadImage, DarkStoreAway
from bootd.darkstore.tree import DiskFolder, Tree, reachable
from bootd.errors import BootdError, Mistake
from bootd.model import DiskImage, ImageKind, ImagePart

CHUNK = 1 << 20  # octets read at a time
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)


class NotForLun(BootdError):
    """An image that cannot be written to a LUN; the message names the way out."""

    code = "not-for-lun"


class Damaged(OSError):
    """A file of an image is not what was registered; readers refuse the image as any they cannot read."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EILSEQ, reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A raw disk that an image was unpacked to."""

    path: Path
    size: int
    digest: str  # SHA-256


@dataclass(slots=True)
class ImageSource:
    """The octets of an image, the same ones each time; *failure* is why the last reading ended early."""

    size: int
    _pieces: Sequence["_Piece"]
    failure: Damaged | DarkStoreAway | None = field(default=None, init=False)
    digest: str = field(default="", init=False)  # SHA-256 of all octets, after a reading that went well

    def chunks(self) -> Iterator[bytes]:
        """Yield the stream; raises `OSError`: `Damaged`, or what a file server that went away says."""
        self.failure, self.digest = None, ""
        known = self._pieces[0].digest if len(self._pieces) == 1 else ""
        whole = hashlib.sha256()
        for piece in self._pieces:
            for chunk in self._said(piece):
                if not known:  # else it is compared already, and once is slow enough
                    whole.update(chunk)
                yield chunk
        self.digest = known or whole.hexdigest()

    def _said(self, piece: "_Piece") -> Iterator[bytes]:
        try:
            yield from piece.chunks()
        except Damaged as error:
            self.failure = error
            raise
        except OSError as error:
            self.failure = _failure(piece.told, error)
            raise


def _failure(told: str, error: OSError) -> Damaged | DarkStoreAway:
    """A file that is gone since it was looked at lay on a mount that went, as far as we know."""
    if isinstance(error, FileNotFoundError):
        return DarkStoreAway(f"{told} is not in the dark store")
    if isinstance(error, PermissionError):  # says nothing of what is in it
        return DarkStoreAway(f"{told} may not be read by bootd's user: {error.strerror}")
    try:
        with reachable(told):
            raise error
    except DarkStoreAway as away:
        return away
    except OSError:
        return Damaged(f"{told} cannot be read: {error.strerror or error}")


@dataclass(frozen=True, slots=True)
class _Piece:
    """Octets that come before and after a file of an image, and that file."""

    told: str  # its name for people
    before: bytes = b""
    path: Path | None = None
    part: ImagePart | None = None
    after: bytes = b""

    @property
    def digest(self) -> str:
        """What all its octets have, where that is known beforehand and compared on the way."""
        return "" if self.before or self.after or self.part is None else self.part.sha256

    def chunks(self) -> Iterator[bytes]:
        if self.before:
            yield self.before
        if self.path is not None and self.part is not None:
            yield from self._content(self.path, self.part)
        if self.after:
            yield self.after

    def _content(self, path: Path, part: ImagePart) -> Iterator[bytes]:
        """Yield the file; the last octets only when all of it is known to be right."""
        digest, octets, held = hashlib.sha256(), 0, b""
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                octets += len(chunk)
                if octets > part.size:
                    raise Damaged(f"{self.told} has more than the {part.size} octets that were registered")
                digest.update(chunk)
                if held:
                    yield held
                held = chunk
        if octets < part.size:
            raise Damaged(f"{self.told} has {octets} octets, {part.size} when it was registered")
        if part.sha256 and digest.hexdigest() != part.sha256:
            raise Damaged(f"{self.told} changed: its SHA-256 is {digest.hexdigest()}, not {part.sha256}")
        if held:
            yield held


def open_source(tree: Tree, image: DiskImage, unpacked: Unpacked | None = None) -> ImageSource:
    """Return the disk that *image* is, for a LUN; of an image that is not raw, what it was *unpacked* to.

    Raises `NotForLun`, `DarkStoreAway`, and `BadImage` where it is not as it was registered.
    """
    if unpacked is not None:
        part = ImagePart(unpacked.path.name, unpacked.size, unpacked.digest)
        return ImageSource(unpacked.size, [_Piece(str(unpacked.path), path=unpacked.path, part=part)])
    if image.kind is not ImageKind.RAW:
        raise NotForLun(f"{image.ref} is a {image.kind} image and was not unpacked")
    part = disk_part(image)
    return open_part(tree, image, part)


def disk_part(image: DiskImage) -> ImagePart:
    """Return the one file that is the disk, of a raw or a qcow2 image; raises `BadImage`."""
    name = image.description.get("file")
    disks = [part for part in image.parts if part.file == name or name is None]
    if len(disks) != 1:
        raise BadImage(image.folder, [Mistake(0, "which of its files is the disk is not known")])
    return disks[0]


def open_part(tree: Tree, image: DiskImage, part: ImagePart) -> ImageSource:
    """Return one file of *image*; raises `DarkStoreAway` and `BadImage`."""
    return ImageSource(part.size, [_piece(_folder(tree, image, [part]), image, part)])


def open_folder(tree: Tree, image: DiskImage) -> ImageSource:
    """Return all files of *image* as one tar stream (uncompressed, by name), of any kind of image.

    The stream depends on names, sizes and contents alone. Raises as `open_source` does.
    """
    parts = sorted(image.parts, key=lambda part: part.file)
    folder = _folder(tree, image, parts)
    pieces = [_piece(folder, image, part, in_tar=True) for part in parts]
    pieces.append(_Piece("the end", before=_END))
    size = sum(len(piece.before) + len(piece.after) for piece in pieces) + sum(part.size for part in parts)
    return ImageSource(size, pieces)


def open_unpacked(unpacked: Unpacked, name: str) -> ImageSource:
    """Return what an image was unpacked to as a tar stream, its one file called *name*."""
    part = ImagePart(name, unpacked.size, unpacked.digest)
    after = bytes(-unpacked.size % _BLOCK)
    piece = _Piece(str(unpacked.path), before=_header(part), path=unpacked.path, part=part, after=after)
    size = len(piece.before) + part.size + len(after) + len(_END)
    return ImageSource(size, [piece, _Piece("the end", before=_END)])


def _folder(tree: Tree, image: DiskImage, parts: Sequence[ImagePart]) -> DiskFolder:
    """Return the image's folder, every one of *parts* there and of its size."""
    tree.check(expected=1)
    try:
        folder = DiskFolder(tree.path(image.folder), image.folder, within=tree.root.resolve())
    except FileNotFoundError as error:
        raise DarkStoreAway(f"{image.folder} is not in the dark store") from error
    wrong = [
        f"{part.file} is missing"
        if part.file not in folder.sizes
        else f"{part.file} has {folder.sizes[part.file]} octets, {part.size} when it was registered"
        for part in parts
        if folder.sizes.get(part.file) != part.size
    ]
    if wrong:
        raise BadImage(image.folder, [Mistake(0, each) for each in wrong])
    return folder


def _piece(folder: DiskFolder, image: DiskImage, part: ImagePart, *, in_tar: bool = False) -> _Piece:
    return _Piece(
        told=f"{image.folder}/{part.file}",
        before=_header(part) if in_tar else b"",
        path=folder.file(part.file),
        part=part,
        after=bytes(-part.size % _BLOCK) if in_tar else b"",
    )


def _header(part: ImagePart) -> bytes:
    info = tarfile.TarInfo(part.file)
    info.size, info.mode = part.size, 0o444
    # GNU's form: sizes from 8 GiB on and long names that busybox reads too, which passes over pax records
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
