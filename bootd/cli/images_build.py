"""``bootd images build``: a disk image from its recipe."""

import tempfile
from pathlib import Path

import click

from bootd.cli import suggest
from bootd.cli.context import Site, cache_dir, pass_site, print_json
from bootd.clock import utc_now
from bootd.darkstore.tree import Tree
from bootd.errors import NotFound
from bootd.resources import share
from bootd.services import images as service
from bootd.services.notify import poke
from bootd.units import size_text

_TABLES = ("gpt", "mbr")


@click.command()
@click.argument("name", metavar="PROJECT/NAME", shell_complete=suggest.disk_image)
@click.option(
    "--recipe", default="rootdisk", show_default=True, help="A shipped recipe, or a recipe's folder."
)
@click.option("--table", type=click.Choice(_TABLES), default="gpt", show_default=True,
              help="Its partition table; both firmwares start either.")  # fmt: skip
@click.option("--label", default="", help="What it calls itself (default: PROJECT/NAME).")
@click.option("--report", default="", metavar="URL",
              help="Where it says that it runs: http://ADDRESS:8080/node/v1/report.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_site
def build(site: Site, name: str, recipe: str, table: str, label: str, report: str, as_json: bool) -> None:
    """Build a disk from Debian's packages and add it as the next version of PROJECT/NAME.

    It boots from a LUN on BIOS and on UEFI, with its root file system on that LUN; slotroot is one
    partition, for slots of mesh nodes. Packages are downloaded once and kept in ~/.cache/bootd.
    """
    from bootd.imagebuild import disk, partition

    with site.read_store() as store:
        service.check_new(store, name)
    folder = Path(recipe) if "/" in recipe else _shipped(recipe)
    tree = Tree(site.config.dark_store, site.config["images.dark_store_mount"])
    words = disk.Words(label or name, report)
    of = disk.gather(folder, cache=cache_dir(), progress=_say)
    _say("making a partition of it" if of.recipe.is_partition else f"making a disk of it ({table})")
    with tempfile.TemporaryDirectory(prefix="bootd-disk-") as scratch:
        output = Path(scratch) / f"{folder.name}.raw"
        if of.recipe.is_partition:
            partition.write(of, output, words)
        else:
            disk.write(of, output, words, disk.Table(table))
        with site.open_store() as store:
            image = service.add(store, site.actor, tree, name, output, clock=utc_now)
    poke(site.data_dir)
    if as_json:
        print_json({"image": str(image.ref), "kind": str(image.kind), "size": image.size})
        return
    click.echo(f"image {image.ref}: {image.kind}, {size_text(image.size)}")
    click.echo(
        f"next: bootd reservations add PROJECT --nodes NODESET --start now --end +4h --image {image.ref}"
    )


def _say(text: str) -> None:
    click.echo(text, err=True)


def _shipped(name: str) -> Path:
    there = {path.parent.name: path.parent for path in share("images").glob("*/recipe.toml")}
    disks = sorted(each for each, folder in there.items() if (folder / "root").is_dir())
    if name not in disks:
        raise NotFound("recipe", name, f"shipped recipes of disks: {', '.join(disks)}; or give a folder")
    return there[name]
