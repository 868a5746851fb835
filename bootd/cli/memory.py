"""``bootd memory``: memory images, a kernel with its initramfs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bootd.cli import suggest
from bootd.cli.build import build
from bootd.cli.context import Site, pass_site, print_json
from bootd.cli.tables import print_table
from bootd.clock import utc_now
from bootd.model import MemoryImage
from bootd.services import memory as service
from bootd.services.notify import poke
from bootd.units import count_text, size_text

_PATH = click.Path(path_type=Path)
_BAR_FROM = 8 << 20  # octets; less is copied before a bar is drawn


@click.group()
def memory() -> None:
    """Memory images: kernel and initramfs that machines run without a disk."""


memory.add_command(build)


@memory.command()
@click.argument("name")
@click.option("--kernel", required=True, type=_PATH, help="Kernel: vmlinuz, bzImage, or an EFI program.")
@click.option("--initrd", "initrds", multiple=True, type=_PATH, help="Initramfs; may be given several times.")
@click.option("--cmdline", default="", help="Kernel command line.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_site
def add(site: Site, name: str, kernel: Path, initrds: tuple[Path, ...], cmdline: str, as_json: bool) -> None:
    """Copy the files into the data folder as image NAME. An older one of that name goes."""
    recipe = service.Recipe(name, kernel, initrds, cmdline)
    with site.open_store() as store, _bar([kernel, *initrds]) as progress:
        image = service.add(store, site.actor, site.data_dir, recipe, clock=utc_now, progress=progress)
        used_by = service.users(store, name, utc_now())
    poke(site.data_dir)
    if as_json:
        print_json(_plain(image, used_by))
        return
    click.echo(f"memory image {name}: {count_text(len(image.files), 'file')}, {size_text(_size(image))}")
    if not used_by:
        click.echo(f"to boot it: bootd boot HOST memory:{name}")


@contextmanager
def _bar(paths: list[Path]) -> Iterator[service.Progress]:
    """Show a bar on the terminal's error stream where there is much to copy."""
    total = sum(path.stat().st_size for path in paths if path.is_file())
    if total < _BAR_FROM or not sys.stderr.isatty():
        yield lambda name, done, size: None
        return
    with click.progressbar(length=total, label="copying", file=sys.stderr) as bar:
        copied: dict[str, int] = {}

        def progress(name: str, done: int, size: int) -> None:
            bar.update(done - copied.get(name, 0))
            copied[name] = done

        yield progress


@memory.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_site
def list_(site: Site, as_json: bool) -> None:
    """List the memory images."""
    with site.read_store() as store:
        images = store.memory_images()
        used_by = {image.name: service.users(store, image.name, utc_now()) for image in images}
    if as_json:
        print_json([_plain(image, used_by[image.name]) for image in images])
    elif images:
        headers = ("NAME", "FILES", "SIZE", "ADDED (UTC)", "USED BY")
        print_table(headers, [_cells(image, used_by[image.name]) for image in images])
    else:
        click.echo("no memory images yet: bootd memory add NAME --kernel FILE --initrd FILE")


def _cells(image: MemoryImage, used_by: list[str]) -> tuple[str, ...]:
    hosts = ", ".join(used_by[:3]) + (f" and {len(used_by) - 3} more" if len(used_by) > 3 else "")
    files = ", ".join(file.name for file in image.files)
    return (image.name, files, size_text(_size(image)), f"{image.added_at:%Y-%m-%d %H:%M}", hosts)


def _size(image: MemoryImage) -> int:
    return sum(file.size for file in image.files)


def _plain(image: MemoryImage, used_by: list[str]) -> dict[str, Any]:
    def one(file: Any) -> dict[str, Any]:
        return {"name": file.name, "path": file.path, "sha256": file.sha256, "size": file.size}

    return {
        "name": image.name,
        "kernel": one(image.kernel),
        "initrds": [one(file) for file in image.initrds],
        "cmdline": image.cmdline,
        "added_at": image.added_at.isoformat(),
        "used_by": used_by,
    }


@memory.command()
@click.argument("name", shell_complete=suggest.image)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_site
def show(site: Site, name: str, as_json: bool) -> None:
    """Show an image. Its files with their digests, its command line, who boots it."""
    with site.read_store() as store:
        image = service.find(store, name)
        used_by = service.users(store, name, utc_now())
    if as_json:
        print_json(_plain(image, used_by))
        return
    click.echo(click.style(image.name, bold=True))
    click.echo(f"  cmdline  {image.cmdline or '(empty)'}")
    click.echo(f"  added    {image.added_at:%Y-%m-%d %H:%M:%S} UTC")
    click.echo(f"  used by  {', '.join(used_by) or 'nobody'}")
    for file in image.files:
        click.echo(f"  {file.name}  {size_text(file.size)}  sha256 {file.sha256}\n    /files/{file.path}")


@memory.command()
@click.argument("name", shell_complete=suggest.image)
@click.option("--force", is_flag=True, help="Also where hosts are told to boot it.")
@pass_site
def remove(site: Site, name: str, force: bool) -> None:
    """Remove an image and its files."""
    with site.open_store() as store:
        left = service.remove(store, site.actor, site.data_dir, name, clock=utc_now, force=force)
    poke(site.data_dir)
    click.echo(f"removed memory image {name}")
    if left:
        click.echo(f"these are still told to boot it: {', '.join(left)}")


@memory.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=suggest.image)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_site
def verify(site: Site, names: tuple[str, ...], as_json: bool) -> int:
    """Read the files of images again and compare their digests. Default: all images."""
    with site.read_store() as store:
        chosen = names or tuple(image.name for image in store.memory_images())
        verdicts = {name: service.verify(store, site.data_dir, name) for name in chosen}
    bad = [verdict for each in verdicts.values() for verdict in each if verdict.problem]
    if as_json:
        print_json(
            {n: [{"file": v.file.path, "problem": v.problem} for v in each] for n, each in verdicts.items()}
        )
    else:
        for name, each in verdicts.items():
            for verdict in each:
                click.echo(f"{name}: {verdict.file.name}: {verdict.problem or 'good'}")
    return 1 if bad else 0
