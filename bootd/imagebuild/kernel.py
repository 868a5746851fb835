"""A kernel package's files, and its modules in the order in which they must be inserted.

What a module depends on is read from the module itself (its ``.modinfo`` section
holds ``depends=a,b``), so no `depmod` has to run.
"""

import lzma
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bootd.imagebuild.errors import BuildFailed

PACKAGE = r"linux-image-\d\S*"  # the versioned package behind linux-image-amd64 and its kin

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


@dataclass(frozen=True, slots=True)
class Module:
    """A module ready for insmod."""

    name: str  # as the kernel spells it, with "_"
    data: bytes  # not compressed
    depends: tuple[str, ...]


class Kernel:
    """An unpacked linux-image package."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self.image = self._only("boot", "vmlinuz-*")
        folder = self._only("usr/lib/modules" if (tree / "usr/lib/modules").is_dir() else "lib/modules", "*")
        self.version = folder.name
        self._files = {_name(path): path for path in sorted(folder.rglob("*.ko*"))}
        builtin = folder / "modules.builtin"
        lines = builtin.read_text().splitlines() if builtin.exists() else []
        self._builtin = {_name(Path(line)) for line in lines}

    def _only(self, folder: str, pattern: str) -> Path:
        found = sorted((self._tree / folder).glob(pattern))
        if len(found) != 1:
            raise BuildFailed(
                f"{self._tree.name} holds {len(found)} of {folder}/{pattern}, expected one",
                "packages.kernel must name a Debian linux-image package",
            )
        return found[0]

    def modules(self, wanted: Iterable[str]) -> list[Module]:
        """Return *wanted* and what they need, each after what it depends on; built-in ones left out."""
        order: dict[str, Module] = {}
        for name in wanted:
            self._add(_underscored(name), order, ())
        return list(order.values())

    def _add(self, name: str, order: dict[str, Module], asked_by: tuple[str, ...]) -> None:
        if name in order or name in self._builtin:
            return
        path = self._files.get(name)
        if path is None or name in asked_by:
            raise BuildFailed(
                f"kernel {self.version} has no module {name}"
                + (f" (needed by {asked_by[-1]})" if asked_by else ""),
                "take it out of kernel.modules, or choose another packages.kernel",
            )
        module = _read(name, path)
        for other in module.depends:
            self._add(other, order, (*asked_by, name))
        order[name] = module


def _read(name: str, path: Path) -> Module:
    data = path.read_bytes()
    if path.suffix == ".xz":
        data = lzma.decompress(data)
    elif path.suffix != ".ko":
        raise BuildFailed(f"{path.name}: compressed in a way bootd does not read", "known are .ko and .ko.xz")
    found = _DEPENDS.search(data)
    names = found[1].decode("ascii").split(",") if found and found[1] else []
    return Module(name, data, tuple(_underscored(other) for other in names))


def _name(path: Path) -> str:
    return _underscored(path.name.partition(".ko")[0])


def _underscored(name: str) -> str:
    return name.replace("-", "_")
