"""Read an image's recipe: ``images/<name>/recipe.toml`` with ``init`` and ``files/`` beside it.

A recipe with a table ``[disk]`` is that of a disk: its kernel and initramfs come to the first
partition, what is in ``root/`` to the second.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bootd.errors import Mistake
from bootd.imagebuild.errors import BadRecipe

FILE = "recipe.toml"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What goes into an image."""

    name: str
    folder: Path
    description: str
    cmdline: str
    kernel_package: str  # a metapackage is followed to the kernel it depends on
    busybox_package: str
    modules: tuple[str, ...]  # as `modprobe` names them; what they depend on comes by itself
    programs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # package -> files of it
    root_mb: int | None = None  # MiB of a disk's root file system; None where this is no disk

    @property
    def init(self) -> Path:
        return self.folder / "init"

    @property
    def files(self) -> Path:
        return self.folder / "files"

    @property
    def root(self) -> Path:
        return self.folder / "root"


_KEYS = {
    ("image", "description"): str,
    ("image", "cmdline"): str,
    ("packages", "kernel"): str,
    ("packages", "busybox"): str,
    ("kernel", "modules"): list,
}
_PROGRAMS = "programs"  # a table whose keys are packages
_MAY_BE = {("disk", "root_mb"): int}
_ROOT_MB = range(8, 65536)


def load(folder: Path) -> Recipe:
    """Return the recipe in *folder*; raises `BadRecipe` with every mistake."""
    path = folder / FILE
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadRecipe(str(path), [Mistake(0, f"cannot be read: {error.strerror}")]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRecipe(str(path), [Mistake(0, f"not TOML: {error}")]) from error
    mistakes = [Mistake(0, text) for text in (*_unknown(document), *_wrong(document))]
    if not (folder / "init").is_file():
        mistakes.append(Mistake(0, f"{folder / 'init'} is missing: the script the kernel starts"))
    if mistakes:
        raise BadRecipe(str(path), mistakes)
    return Recipe(
        name=folder.name,
        folder=folder,
        description=document["image"]["description"],
        cmdline=document["image"]["cmdline"],
        kernel_package=document["packages"]["kernel"],
        busybox_package=document["packages"]["busybox"],
        modules=tuple(document["kernel"]["modules"]),
        programs={package: tuple(files) for package, files in document.get(_PROGRAMS, {}).items()},
        root_mb=document["disk"]["root_mb"] if "disk" in document else None,
    )


def _unknown(document: dict[str, Any]) -> list[str]:
    keys = {*_KEYS, *_MAY_BE}
    tables = {table for table, _ in keys} | {_PROGRAMS}
    found = []
    for table, value in document.items():
        if table not in tables or not isinstance(value, dict):
            found.append(f"[{table}]: no such table; known: {', '.join(sorted(tables))}")
        elif table != _PROGRAMS:
            found += [f"{table}.{key}: no such key" for key in value if (table, key) not in keys]
    return found


def _wrong(document: dict[str, Any]) -> list[str]:
    found = []
    for (table, key), kind in _KEYS.items():
        held = document.get(table)
        value = held.get(key) if isinstance(held, dict) else None
        if kind is str and not isinstance(value, str):
            found.append(f"{table}.{key}: expected a text in quotes")
        if kind is list and not _is_list_of_texts(value):
            found.append(f"{table}.{key}: expected a list of module names")
    programs, disk = document.get(_PROGRAMS), document.get("disk")
    for package, files in programs.items() if isinstance(programs, dict) else ():
        if not _is_list_of_texts(files):
            found.append(f"{_PROGRAMS}.{package}: expected a list of paths in that package")
    if isinstance(disk, dict) and (type(disk.get("root_mb")) is not int or disk["root_mb"] not in _ROOT_MB):
        found.append(f"disk.root_mb: expected MiB from {_ROOT_MB.start} to {_ROOT_MB.stop - 1}")
    return found


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
