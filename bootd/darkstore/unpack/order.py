"""What is to be unpacked for which LUN, and how far it is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bootd.darkstore import forlun
from bootd.darkstore.errors import BadImage, DarkStoreAway
from bootd.darkstore.source import NotForLun, open_part
from bootd.darkstore.tree import Tree
from bootd.errors import Mistake
from bootd.model import DiskImage, ImagePart

# Called with the octets of the image read so far, at least once a second; what it raises ends the
# unpacking, its children too, and reaches the caller.
Progress = Callable[[int], None]


@dataclass(slots=True)
class Order:
    """An image for a LUN of *lun_size* octets."""

    tree: Tree
    image: DiskImage
    lun_size: int
    progress: Progress
    octets: int = field(default=0, init=False)  # read of the image

    def beat(self) -> None:
        """Say that we are still at it."""
        self.progress(self.octets)

    def advance(self, octets: int) -> None:
        """Say that *octets* in all are read."""
        self.octets = max(self.octets, octets)
        self.beat()

    def find(self, file: str) -> ImagePart | None:
        return next((part for part in self.image.parts if part.file == file), None)

    def part(self, file: str) -> ImagePart:
        """Return the record of a file; raises `BadImage`."""
        found = self.find(file)
        if found is None:
            raise self.damaged(f"{file} was not there when it was registered")
        return found

    def read(self, part: ImagePart) -> Iterator[bytes]:
        """Yield a file of the image, its digest compared on the way; raises `DarkStoreAway`, `BadImage`."""
        for chunk in self.peek(part):
            yield chunk
            self.advance(self.octets + len(chunk))

    def peek(self, part: ImagePart) -> Iterator[bytes]:
        """Yield a file as `read` does, which is read again later, when it counts."""
        source = open_part(self.tree, self.image, part)
        try:
            yield from source.chunks()
        except OSError as error:
            if isinstance(source.failure, DarkStoreAway):
                raise source.failure from error
            raise self.damaged(str(getattr(source.failure, "reason", error))) from error

    def damaged(self, why: str) -> BadImage:
        return BadImage(self.image.folder, [Mistake(0, why)])

    def check_size(self, size: int) -> None:
        """Raise `NotForLun` where a disk of *size* octets is more than the LUN holds."""
        if why := forlun.too_large(self.image, size, self.lun_size):
            raise NotForLun(why)
