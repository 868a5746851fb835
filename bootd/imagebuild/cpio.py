"""Write cpio archives in the "newc" form that Linux unpacks as an initramfs.

The form is in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
Everything that could differ between two runs (inode numbers, owners, times, the
order of the entries) is fixed here, so the same inputs give the same bytes.
"""

import gzip
import io
import stat
from collections.abc import Iterable
from dataclasses import dataclass

_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in the archive; *data* is the content, or the target of a symbolic link."""

    path: str  # relative, "/" between parts
    mode: int  # type and permission bits, as in st_mode
    data: bytes = b""
    rdev: tuple[int, int] = (0, 0)  # major, minor of a device node


def directory(path: str) -> Entry:
    return Entry(path, stat.S_IFDIR | 0o755)


def regular(path: str, data: bytes, *, executable: bool = False) -> Entry:
    return Entry(path, stat.S_IFREG | (0o755 if executable else 0o644), data)


def symlink(path: str, target: str) -> Entry:
    return Entry(path, stat.S_IFLNK | 0o777, target.encode())


def character_device(path: str, major: int, minor: int, permissions: int = 0o600) -> Entry:
    return Entry(path, stat.S_IFCHR | permissions, rdev=(major, minor))


def pack(entries: Iterable[Entry]) -> bytes:
    """Return the archive of *entries* with the folders they need, sorted by name.

    Raises ValueError where a path is absolute, leaves the archive, or is given twice.
    """
    table: dict[str, Entry] = {}
    for entry in entries:
        _check(entry.path)
        if entry.path in table and not stat.S_ISDIR(entry.mode):
            raise ValueError(f"{entry.path}: given twice")
        table[entry.path] = entry
    for path in list(table):
        for parent in _parents(path):
            table.setdefault(parent, directory(parent))
    out = io.BytesIO()
    for inode, path in enumerate(sorted(table), 1):  # a folder sorts before what is in it
        _write(out, table[path], inode)
    _write(out, Entry(_TRAILER, 0), 0)
    out.write(bytes(-out.tell() % 512))
    return out.getvalue()


def compress(archive: bytes) -> bytes:
    """Return *archive* as gzip without a time or a name in it."""
    return gzip.compress(archive, compresslevel=9, mtime=0)


def _check(path: str) -> None:
    if not path or path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"{path!r}: not a plain relative path")


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _write(out: io.BytesIO, entry: Entry, inode: int) -> None:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    major, minor = entry.rdev
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, major, minor, len(name), 0)
    out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name)
    out.write(bytes(-out.tell() % 4))
    out.write(entry.data)
    out.write(bytes(-out.tell() % 4))
