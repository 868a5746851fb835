"""Read an image's recipe: ``images/<name>/recipe.toml`` with ``init`` and ``files/`` beside it.

A recipe with a table ``[disk]`` is that of a disk: its kernel and initramfs come to the first
partition, what is in ``root/`` to the second; with ``partition = true`` all of it comes to one.
``image.base`` names a recipe beside it whose init, files and programs it has too.
"""

import re
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
    is_partition: bool = False  # it is no disk after all: the one partition that comes into a slot
    base: "Recipe | None" = None  # whose init, files and programs it has too, but for those of its own

    @property
    def init(self) -> Path:
        own = self.folder / "init"
        return self.base.init if self.base is not None and not own.is_file() else own

    @property
    def files(self) -> Mapping[str, Path]:
        """What is copied into the initramfs: names in it -> where they lie."""
        own = self.folder / "files"
        found = {path.relative_to(own).as_posix(): path for path in own.rglob("*") if path.is_file()}
        return {**(self.base.files if self.base is not None else {}), **found}

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
_MAY_BE = {("disk", "root_mb"): int, ("disk", "partition"): bool, ("image", "base"): str}
_ROOT_MB = range(8, 65536)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*\Z")


def load(folder: Path, *, asked_by: tuple[str, ...] = ()) -> Recipe:
    """Return the recipe in *folder*; raises `BadRecipe` with every mistake.

    *asked_by* are the recipes that are based on it.
    """
    path = folder / FILE
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadRecipe(str(path), [Mistake(0, f"cannot be read: {error.strerror}")]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRecipe(str(path), [Mistake(0, f"not TOML: {error}")]) from error
    mistakes = [Mistake(0, text) for text in (*_unknown(document), *_wrong(document))]
    base = _base(folder, document, mistakes, (*asked_by, folder.name))
    if base is None and not (folder / "init").is_file():
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
        programs={**(base.programs if base else {}), **_programs(document)},
        base=base,
        root_mb=document["disk"]["root_mb"] if "disk" in document else None,
        is_partition=document.get("disk", {}).get("partition", False),
    )


def _base(
    folder: Path, document: dict[str, Any], mistakes: list[Mistake], asked_by: tuple[str, ...]
) -> Recipe | None:
    """Return the recipe beside *folder* on which it is based; what is wrong with it is a mistake of ours."""
    name = document["image"].get("base") if isinstance(document.get("image"), dict) else None
    if name is None:
        return None
    if not isinstance(name, str) or not _NAME.match(name) or name == folder.name:
        mistakes.append(Mistake(0, "image.base: expected the name of another recipe"))
        return None
    if name in asked_by:
        mistakes.append(Mistake(0, f"image.base: {' and '.join(asked_by)} go round in a circle"))
        return None
    try:
        return load(folder.parent / name, asked_by=asked_by)
    except BadRecipe as error:
        mistakes += error.mistakes
        return None


def _programs(document: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {package: tuple(files) for package, files in document.get(_PROGRAMS, {}).items()}


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
    if isinstance(disk, dict) and not isinstance(disk.get("partition", False), bool):
        found.append("disk.partition: expected true or false")
    return found


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
