"""Build a memory image: fetch the packages, choose the modules, pack the initramfs."""

import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bootd.imagebuild import cpio, libraries
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

_MOST_LINKS = 8


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
    if recipe.root_mb is not None:
        way_out = f"bootd images build PROJECT/IMAGE --recipe {recipe.name}"
        raise BuildFailed(f"{recipe.name} is the recipe of a disk", way_out)
    parts = gather(recipe, Packages(cache / "packages", progress, run), progress)
    folder = output or cache / "images" / recipe.name
    return BuiltImage(
        kernel=_store(folder / "vmlinuz", parts.kernel),
        initrds=(_store(folder / "initrd.gz", parts.initrd),),
        cmdline=recipe.cmdline,
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """What every image is made of."""

    kernel: bytes
    initrd: bytes
    busybox: bytes


def gather(recipe: Recipe, packages: Packages, progress: Callable[[str], None]) -> Parts:
    """Fetch the packages of *recipe* and pack its initramfs."""
    kernel_package = packages.behind(recipe.kernel_package, PACKAGE)
    packages.ask_for((kernel_package, recipe.busybox_package, *recipe.programs))
    kernel = Kernel(packages.unpacked(kernel_package))
    busybox = _busybox(packages.unpacked(recipe.busybox_package))
    programs = [
        _program(packages.unpacked(package), file)
        for package, files in recipe.programs.items()
        for file in files
    ]
    if lacking := libraries.missing({entry.path: entry.data for entry in programs}):
        text = f"programs of {recipe.name} find no {', '.join(lacking)}"
        raise BuildFailed(text, "add them to [programs] in recipe.toml")
    modules = kernel.modules(recipe.modules)
    progress(f"packing {recipe.name}: kernel {kernel.version}, {len(modules)} modules")
    initrd = cpio.compress(cpio.pack([*contents(recipe, busybox, modules), *programs]))
    return Parts(kernel.image.read_bytes(), initrd, busybox)


def _program(tree: Path, file: str) -> cpio.Entry:
    """Return *file* of an unpacked package as a plain file, executable; a link is followed."""
    path = _followed(tree, tree / file)
    if not path.is_file():
        raise BuildFailed(f"{tree.name} holds no file {file}", "mend [programs] in recipe.toml")
    return cpio.regular(file, path.read_bytes(), executable=True)


def _followed(tree: Path, path: Path) -> Path:
    """Return what a link of the package means where the package is unpacked in *tree*, not at /."""
    for _ in range(_MOST_LINKS):
        if not path.is_symlink():
            break
        target = path.readlink()
        path = tree / target.relative_to("/") if target.is_absolute() else path.parent / target
    return path


def contents(recipe: Recipe, busybox: bytes, modules: list[Module]) -> Iterator[cpio.Entry]:
    """Return what is in the initramfs of *recipe*, but for its programs."""
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
    for name, path in sorted(recipe.files.items()):
        executable = bool(path.stat().st_mode & stat.S_IXUSR)
        yield cpio.regular(name, path.read_bytes(), executable=executable)


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
