"""``bootd config``: is the file right, and what holds in the end?"""

from pathlib import Path

import click

from bootd.cli.context import Site, pass_site, print_json


@click.group()
def config() -> None:
    """Check and show the configuration."""


@config.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@pass_site
def check(site: Site, file: Path | None) -> None:
    """Tell every mistake in FILE, each with its line. Default: the configuration in use."""
    from bootd.config import load

    found = load(file or site.config_file)
    click.echo(f"{found.file or 'no file, all defaults'}: good")


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_site
def show(site: Site, as_json: bool) -> None:
    """Print each effective value and where it came from."""
    from bootd.config import as_toml

    values = site.config.values
    if as_json:
        print_json({name: {"value": v.value, "source": v.source} for name, v in values.items()})
        return
    width = max(map(len, values))
    for name, value in values.items():
        click.echo(f"{name:<{width}}  {as_toml(value.value):<32}  {value.source}")
