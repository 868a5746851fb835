"""File systems in files, made without mounting anything; the same entries give the same bytes."""

import stat
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from bootd.imagebuild import tools
from bootd.imagebuild.cpio import Entry
from bootd.imagebuild.errors import BuildFailed

_SPACE = uuid.UUID("d2f1f0f4-1c1e-4e58-8a35-6b1f3a6d8a01")  # of the identities of disks and file systems


def identity(*words: str) -> uuid.UUID:
    """Return a UUID that follows from *words*."""
    return uuid.uuid5(_SPACE, "/".join(words))


def fat(path: Path, size: int, label: str, files: Mapping[str, bytes]) -> Path:
    """Write a FAT32 file system of *size* octets (33 MiB at least) with *files*, by their absolute paths."""
    folder = path.parent
    _empty(path, size)
    tools.run(["mkfs.vfat", "--invariant", "-F", "32", "-n", label, path.name], folder)
    folders = sorted({f"{parent}" for name in files for parent in PurePosixPath(name).parents} - {"/"})
    if folders:
        tools.run(["mmd", "-i", path.name, *(f"::{each}" for each in folders)], folder)
    for name in sorted(files):
        content = folder / f"{path.name}.content"
        content.write_bytes(files[name])
        tools.run(["mcopy", "-i", path.name, content.name, f"::{name}"], folder)
        content.unlink()
    return path


def ext4(path: Path, size: int, label: str, entries: Iterable[Entry]) -> Path:
    """Write an ext4 file system of *size* octets with *entries*, all of them root's.

    By debugfs and not by ``mke2fs -d``, which takes over the times of the files it copies.
    """
    folder, own = path.parent, identity("ext4", label)
    _empty(path, size)
    argv = ["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-L", label, "-U", str(own)]
    argv += ["-O", "^metadata_csum_seed", "-E", f"hash_seed={own},lazy_itable_init=0,lazy_journal_init=0"]
    tools.run([*argv, path.name], folder)
    orders: list[str] = []
    contents: list[Path] = []
    for entry in _with_folders(entries):
        content = folder / f"{path.name}.{len(contents)}"
        if stat.S_ISREG(entry.mode):
            content.write_bytes(entry.data)
            contents.append(content)
        orders += _orders(entry, content.name)
    _, complaints = tools.talk(["debugfs", "-w", "-f", "-", path.name], folder, "\n".join([*orders, ""]))
    for content in contents:
        content.unlink()
    for line in complaints.splitlines():
        if not line.startswith("debugfs "):  # its name and version
            raise BuildFailed(f"{label}: {line}", "is disk.root_mb of the recipe large enough?")
    return path


def _empty(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _with_folders(entries: Iterable[Entry]) -> list[Entry]:
    """Return *entries* by name, each after the folders it is in."""
    table = {entry.path: entry for entry in entries}
    for path in list(table):
        for parent in PurePosixPath(path).parents:
            if str(parent) != ".":
                table.setdefault(str(parent), Entry(str(parent), stat.S_IFDIR | 0o755))
    return [table[path] for path in sorted(table)]


def _orders(entry: Entry, content: str) -> list[str]:
    """Return what debugfs is told to have *entry*; it knows the times by itself."""
    path = f'"/{entry.path}"'
    if stat.S_ISDIR(entry.mode):
        made = f"mkdir {path}"
    elif stat.S_ISLNK(entry.mode):
        return [f'symlink {path} "{entry.data.decode()}"']
    elif stat.S_ISREG(entry.mode):
        made = f"write {content} {path}"
    else:
        raise ValueError(f"{entry.path}: only files, folders and links")
    fields = {"mode": oct(entry.mode).replace("0o", "0"), "uid": 0, "gid": 0}
    return [made, *(f"set_inode_field {path} {name} {value}" for name, value in fields.items())]
