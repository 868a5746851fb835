"""Read an image's recipe: ``images/<name>/recipe.toml`` with ``init`` and ``files/`` beside it."""

import tomllib
from dataclasses import dataclass
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

    @property
    def init(self) -> Path:
        return self.folder / "init"

    @property
    def files(self) -> Path:
        return self.folder / "files"


_KEYS = {
    ("image", "description"): str,
    ("image", "cmdline"): str,
    ("packages", "kernel"): str,
    ("packages", "busybox"): str,
    ("kernel", "modules"): list,
}


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
    )


def _unknown(document: dict[str, Any]) -> list[str]:
    tables = {table for table, _ in _KEYS}
    found = []
    for table, value in document.items():
        if table not in tables or not isinstance(value, dict):
            found.append(f"[{table}]: no such table; known: {', '.join(sorted(tables))}")
        else:
            found += [f"{table}.{key}: no such key" for key in value if (table, key) not in _KEYS]
    return found


def _wrong(document: dict[str, Any]) -> list[str]:
    found = []
    for (table, key), kind in _KEYS.items():
        held = document.get(table)
        value = held.get(key) if isinstance(held, dict) else None
        if kind is str and not isinstance(value, str):
            found.append(f"{table}.{key}: expected a text in quotes")
        if kind is list and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            found.append(f"{table}.{key}: expected a list of module names")
    return found
