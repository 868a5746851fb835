"""Memory images: kernel and initrds copied into the data folder, hashed, known by a name."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bootd.clock import Clock
from bootd.errors import BadText, BadValue, Mistake, NotFound, Refused
from bootd.formats.fields import nearest
from bootd.model import ImageFile, MemoryImage, Target, TargetKind, check_name
from bootd.services.shelf import Shelf, Source
from bootd.store import Reads, Store

# octets; COMMAND_LINE_SIZE of x86 with its NUL, less what bootd adds: node, image, token, initrds
MAX_CMDLINE = 2047 - 400
_HEAD = 4096

Progress = Callable[[str, int, int], None]  # file name, octets done, octets in all


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a person gave for an image."""

    name: str
    kernel: Path
    initrds: Sequence[Path] = ()
    cmdline: str = ""


def add(
    store: Store,
    actor: str,
    data_dir: Path,
    recipe: Recipe,
    *,
    clock: Clock,
    progress: Progress = lambda name, done, total: None,
) -> MemoryImage:
    """Copy the files of *recipe* and keep the image, in place of one of the same name.

    Until the last step nothing of it can be seen. Raises `BadText` with everything that is
    wrong with the files, `BadValue`, `Refused` where the disk is full or not ours.
    """
    check_name("memory image", recipe.name)
    _check_cmdline(recipe.cmdline)
    sources = _check_files(recipe)
    shelf = Shelf(data_dir, recipe.name)
    with shelf.filling() as filling:
        kept = [filling.copy(source, progress) for source in sources]
        image = MemoryImage(recipe.name, kept[0], tuple(kept[1:]), recipe.cmdline, clock())
        with filling.placed(), store.transaction(actor, "memory add") as change:
            replaced = change.memory_image(recipe.name)
            change.put_memory_image(image)
        filling.sweep(image, replaced, image.added_at)
    return image


def _check_cmdline(text: str) -> None:
    if any(ord(c) < 0x20 or ord(c) == 0x7F or 0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise BadValue("command line", text, "UTF-8 text without control characters")
    if len(text.encode()) > MAX_CMDLINE:
        raise BadValue("command line", text[:40] + "…", f"at most {MAX_CMDLINE} octets")


def _check_files(recipe: Recipe) -> list[Source]:
    """Return the files with the names nodes will see; raises `BadText` with every one that will not do."""
    mistakes: list[Mistake] = []
    sources: list[Source] = []
    for path in (recipe.kernel, *recipe.initrds):
        try:
            size = path.stat().st_size
            if not path.is_file():
                mistakes.append(Mistake(0, f"{path}: not a file"))  # a FIFO would keep us waiting
                continue
            with path.open("rb") as file:
                head = file.read(_HEAD)
        except OSError as error:
            mistakes.append(Mistake(0, f"{path}: {error.strerror}"))
            continue
        if not head:
            mistakes.append(Mistake(0, f"{path}: the file is empty"))
        elif path == recipe.kernel and (problem := kernel_problem(head)):
            mistakes.append(Mistake(0, f"{path}: {problem}"))
        sources.append(Source(path, _node_name(path.name, [s.name for s in sources]), size))
    if mistakes:
        raise BadText(f"memory image {recipe.name}", mistakes)
    return sources


def _node_name(name: str, taken: Sequence[str]) -> str:
    """Return *name* without what a boot script or a URL cannot carry, and unlike those *taken*."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name).lstrip(".-")
    base = plain or "file"
    names = (base if n == 1 else f"{n}-{base}" for n in range(1, len(taken) + 2))
    return next(each for each in names if each not in taken)


def kernel_problem(head: bytes) -> str:
    """Return why what starts with *head* cannot be a kernel that a loader starts, "" where it can."""
    if head[0x202:0x206] == b"HdrS":  # x86 boot protocol 2.00 and later
        return ""
    if head[0x38:0x3C] in (b"ARM\x64", b"RSC\x05"):  # arm64 and riscv Image
        return ""
    if head[:2] == b"MZ":
        at = int.from_bytes(head[0x3C:0x40], "little")
        if head[at : at + 4] == b"PE\0\0":  # an EFI program
            return ""
    what = {b"\x7fELF": "an ELF file, such as vmlinux", b"\x1f\x8b": "compressed with gzip"}
    found = next((words for magic, words in what.items() if head.startswith(magic)), "")
    expected = "a Linux kernel image (vmlinuz, bzImage) or an EFI program"
    return f"not {expected}" + (f": it is {found}" if found else "")


def find(store: Reads, name: str) -> MemoryImage:
    """Return the image called *name*; raises `NotFound` with the nearest name."""
    image = store.memory_image(name)
    if image is None:
        known = [each.name for each in store.memory_images()]
        hint = nearest(name, known).removeprefix("; ") or (
            "known: " + ", ".join(known) if known else f"bootd memory add {name} --kernel FILE makes it"
        )
        raise NotFound("memory image", name, hint)
    return image


def users(store: Reads, name: str, at: datetime) -> list[str]:
    """Return the hosts that are told at *at* to boot *name*, for good or once."""
    target = Target(TargetKind.MEMORY, name)
    assigned = {each.host for each in store.assignments() if each.target == target}
    return sorted(assigned | {each.host for each in store.overrides(at) if each.target == target})


def remove(
    store: Store, actor: str, data_dir: Path, name: str, *, clock: Clock, force: bool = False
) -> list[str]:
    """Remove an image and its files; return the hosts it was meant for, who now get a diagnosis.

    Raises `Refused` where there are any, unless *force*.
    """
    find(store, name)
    with Shelf(data_dir, name).locked() as shelf:
        with store.transaction(actor, "memory remove") as change:
            find(change, name)
            hosts = users(change, name, clock())
            if hosts and not force:
                boot = "boots" if len(hosts) == 1 else "boot"
                raise Refused(
                    f"memory image {name!r} is what {', '.join(hosts)} {boot}: "
                    "give them something else first, or use --force"
                )
            change.remove_memory_image(name)
        shelf.empty()
    return hosts


@dataclass(frozen=True, slots=True)
class Verdict:
    """A file of an image, and what is wrong with it; "" where it is as it was added."""

    file: ImageFile
    problem: str


def verify(store: Reads, data_dir: Path, name: str) -> list[Verdict]:
    """Read each file of an image again and compare its digest."""
    return [Verdict(file, _problem(data_dir, file)) for file in find(store, name).files]


def _problem(data_dir: Path, file: ImageFile) -> str:
    try:
        with (data_dir / "files" / file.path).open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if digest == file.sha256 else f"changed: its SHA-256 is {digest}"
