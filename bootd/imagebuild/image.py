"""Build a memory image: fetch the packages, choose the modules, pack the initramfs."""

import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bootd.imagebuild import cpio
from bootd.imagebuild import recipe as recipes
from bootd.imagebuild.debian import Packages, Run, run_tool
from bootd.imagebuild.errors import BuildFailed
from bootd.imagebuild.kernel import PACKAGE, Kernel, Module
from bootd.imagebuild.recipe import Recipe

_EMPTY_FOLDERS = (
    "dev",
    "etc",
    "mnt",
    "proc",
    "root",
    "run",
    "sbin",
    "sys",
    "tmp",
    "usr/bin",
    "usr/sbin",
    "var",
)


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """Where the finished image lies, ready for ``bootd memory add``."""

    kernel: Path
    initrds: tuple[Path, ...]
    cmdline: str


def build(
    recipe_dir: Path,
    *,
    cache: Path,
    progress: Callable[[str], None],
    output: Path | None = None,
    run: Run = run_tool,
) -> BuiltImage:
    """Build the recipe in *recipe_dir*; the same recipe and packages give the same bytes.

    Packages stay in *cache*; the image goes to *output*, else to ``CACHE/images/NAME``.
    Raises `BadRecipe` or `BuildFailed`.
    """
    recipe = recipes.load(recipe_dir)
    packages = Packages(cache / "packages", progress, run)
    kernel = Kernel(packages.unpacked(packages.behind(recipe.kernel_package, PACKAGE)))
    busybox = _busybox(packages.unpacked(recipe.busybox_package))
    modules = kernel.modules(recipe.modules)
    progress(f"packing {recipe.name}: kernel {kernel.version}, {len(modules)} modules")
    initrd = cpio.compress(cpio.pack(contents(recipe, busybox, modules)))
    folder = output or cache / "images" / recipe.name
    return BuiltImage(
        kernel=_store(folder / "vmlinuz", kernel.image.read_bytes()),
        initrds=(_store(folder / "initrd.gz", initrd),),
        cmdline=recipe.cmdline,
    )


def contents(recipe: Recipe, busybox: bytes, modules: list[Module]) -> Iterator[cpio.Entry]:
    """Return everything that is in the initramfs of *recipe*."""
    yield from map(cpio.directory, _EMPTY_FOLDERS)
    # without it the kernel has no console to give to init, and the first messages are lost
    yield cpio.character_device("dev/console", 5, 1)
    yield cpio.regular("bin/busybox", busybox, executable=True)
    yield cpio.symlink("bin/sh", "busybox")  # init makes the other names
    yield cpio.regular("init", recipe.init.read_bytes(), executable=True)
    yield cpio.regular("etc/bootd-image", f"{recipe.name}\n".encode())
    for module in modules:
        yield cpio.regular(f"lib/modules/{module.name}.ko", module.data)
    yield cpio.regular("lib/modules/order", "".join(f"{m.name}.ko\n" for m in modules).encode())
    for path in sorted(recipe.files.rglob("*")):
        if path.is_file():
            executable = bool(path.stat().st_mode & stat.S_IXUSR)
            yield cpio.regular(
                path.relative_to(recipe.files).as_posix(), path.read_bytes(), executable=executable
            )


def _busybox(tree: Path) -> bytes:
    for name in ("bin/busybox", "usr/bin/busybox"):
        if (tree / name).is_file():
            data = (tree / name).read_bytes()
            if b"/lib64/ld-linux" in data[:4096]:
                raise BuildFailed(
                    f"{tree.name}: busybox is not static", "packages.busybox = 'busybox-static'"
                )
            return data
    raise BuildFailed(f"{tree.name} holds no busybox", "packages.busybox = 'busybox-static'")


def _store(path: Path, data: bytes) -> Path:
    """Write *data* so that a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as scratch:
        scratch.write(data)
    Path(scratch.name).chmod(0o644)
    return Path(scratch.name).replace(path)
