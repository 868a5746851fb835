"""Disk images: what researchers bring, kept in the dark store version by version."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from bootd.errors import BadValue
from bootd.model.machines import check_name

_REF = re.compile(r"(?P<project>[^/@]+)/(?P<name>[^/@]+)(?:@(?P<version>[1-9][0-9]{0,5}))?\Z")


class ImageKind(StrEnum):
    """How an image lies in the dark store."""

    CLONEZILLA = "clonezilla"  # a folder as Clonezilla saves it
    RAW = "raw"
    QCOW2 = "qcow2"


@dataclass(frozen=True, slots=True)
class ImagePart:
    """One file of an image."""

    file: str  # below the image's folder
    size: int  # octets
    sha256: str


@dataclass(frozen=True, slots=True)
class ImageRef:
    """``project/name`` or ``project/name@version``; without a version the newest is meant."""

    project: str
    name: str
    version: int | None = None

    def __str__(self) -> str:
        version = f"@{self.version}" if self.version is not None else ""
        return f"{self.project}/{self.name}{version}"


@dataclass(frozen=True, slots=True)
class DiskImage:
    """One version of an image; never changed, only verified, missed and retired."""

    project: str
    name: str
    version: int
    kind: ImageKind
    folder: str  # below the dark store: "project/name" or "project/name@2"
    parts: tuple[ImagePart, ...]
    added_at: datetime
    verified_at: datetime | None = None
    state: str = "registered"  # see lifecycle.tables.DISK_IMAGE
    description: Mapping[str, Any] = field(default_factory=dict)  # partitions, file systems, compression

    @property
    def ref(self) -> ImageRef:
        return ImageRef(self.project, self.name, self.version)

    @property
    def size(self) -> int:
        """Octets in the dark store."""
        return sum(part.size for part in self.parts)

    @property
    def identity(self) -> str:
        """What two places that hold the same have in common: the digest of all digests, sorted by file.

        Before the first verification only the name with its version says what it is.
        """
        if not self.parts or not all(part.sha256 for part in self.parts):
            return f"ref:{self.ref}"
        return identity_of(self.parts)


def identity_of(parts: Sequence[ImagePart]) -> str:
    """Return the digest of the digests of *parts*, sorted by file."""
    rows = sorted(f"{part.sha256}  {part.file}\n" for part in parts)
    return "sha256:" + hashlib.sha256("".join(rows).encode()).hexdigest()


@lru_cache(maxsize=4096)  # a site has thousands of slots with the same few images
def parse_image_ref(text: str) -> ImageRef:
    """Return the image *text* names; raises `BadValue`."""
    match = _REF.match(text)
    if match is None:
        raise BadValue("image", text, "PROJECT/NAME or PROJECT/NAME@VERSION")
    check_name("project", match["project"])
    check_name("image", match["name"])
    return ImageRef(match["project"], match["name"], int(match["version"]) if match["version"] else None)
