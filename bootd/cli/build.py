"""``bootd memory build``: a memory image from its recipe."""

from pathlib import Path

import click

from bootd.cli.context import Site, cache_dir, pass_site
from bootd.errors import NotFound
from bootd.resources import share

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("name")
@click.option(
    "--recipe",
    type=click.Path(path_type=Path, file_okay=False),
    help="Recipe folder (default: the shipped one of that name).",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Only write the files there, add nothing.",
)
@pass_site
def build(site: Site, name: str, recipe: Path | None, output: Path | None) -> None:
    """Build the memory image NAME from Debian's packages and add it.

    Packages are downloaded once and kept in ~/.cache/bootd.
    """
    from bootd.imagebuild import build as build_image

    built = build_image(recipe or _shipped(name), cache=cache_dir(), progress=click.echo, output=output)
    if output is not None:
        click.echo(
            f"built {built.kernel} and {', '.join(map(str, built.initrds))}; command line: {built.cmdline}"
        )
        return
    _add(site, name, built.kernel, built.initrds, built.cmdline)


def _add(site: Site, name: str, kernel: Path, initrds: tuple[Path, ...], cmdline: str) -> None:
    from bootd.clock import utc_now
    from bootd.services import memory
    from bootd.services.notify import poke

    with site.open_store() as store:
        recipe = memory.Recipe(name, kernel, initrds, cmdline)
        memory.add(store, site.actor, site.data_dir, recipe, clock=utc_now)
    poke(site.data_dir)
    click.echo(f"memory image {name} is ready; to boot it: bootd boot HOST memory:{name}")


def _shipped(name: str) -> Path:
    there = sorted(path.parent.name for path in share("images").glob("*/recipe.toml"))
    if name not in there:
        raise NotFound("recipe", name, f"shipped recipes: {', '.join(there)}; or give --recipe FOLDER")
    return share("images") / name
