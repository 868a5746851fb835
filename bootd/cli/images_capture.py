"""``bootd images capture``: a slot of a machine becomes an image."""

import json

import click

from bootd.cli import suggest
from bootd.cli.context import Site, is_terminal, pass_site
from bootd.cli.jobs import hear_daemon, watch
from bootd.clock import utc_now
from bootd.darkstore.tree import Tree
from bootd.errors import Refused
from bootd.model import Job
from bootd.services import capture as service
from bootd.services import images
from bootd.services.notify import poke
from bootd.units import count_text, size_text

_SLOT = click.IntRange(min=1)


@click.command()
@click.argument("node", shell_complete=suggest.host)
@click.argument("slot", type=_SLOT, shell_complete=suggest.slot_number)
@click.argument("name", metavar="PROJECT/NAME", shell_complete=suggest.disk_image)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-follow", is_flag=True, help="Leave when it is ordered.")
@click.option("--dry-run", is_flag=True, help="Only say what is against it.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: a line for the order, then one at each change."
)
@pass_site
def capture(
    site: Site, node: str, slot: int, name: str, yes: bool, no_follow: bool, dry_run: bool, as_json: bool
) -> None:
    """Save a slot of NODE as the next version of PROJECT/NAME, as Clonezilla would: 0 when it is, else 1.

    The machine is asked to restart, its slot is read by the imager, and it boots again what it did before.
    It must be free, or reserved by PROJECT.
    """
    wish = service.Wish(node, slot, name)
    _order(site, wish, dry_run=True)  # whatever is against it comes before any question
    if dry_run:
        _tell(None, wish, as_json)
        return
    _ask(wish, yes)
    job = _order(site, wish)
    assert job is not None
    poke(site.data_dir)
    _tell(job, wish, as_json)
    if not no_follow:
        _follow(site, job, as_json)


def _order(site: Site, wish: service.Wish, *, dry_run: bool = False) -> Job | None:
    tree = Tree(site.config.dark_store, site.config["images.dark_store_mount"])
    imager = site.config["imaging.memory_image"]
    with site.open_store(make=not dry_run) as store:
        return service.order(
            store, site.actor, wish, clock=utc_now, tree=tree, imager=imager, dry_run=dry_run
        )


def _ask(wish: service.Wish, yes: bool) -> None:
    """Have a person say yes to the restart."""
    if yes:
        return
    if not is_terminal():
        raise Refused(f"{wish.node} is restarted for it, and nobody can be asked here: add --yes")
    click.echo(f"{wish.node} is restarted now, and once more when slot {wish.slot} is read:")
    click.echo("  what runs there ends, and what was not written to its disk is lost")
    click.confirm("Go on?", abort=True)


def _tell(job: Job | None, wish: service.Wish, as_json: bool) -> None:
    if as_json:
        number = None if job is None else job.id
        row = {"job": number, "node": wish.node, "slot": wish.slot, "image": wish.image}
        click.echo(json.dumps(row))
    elif job is None:
        click.echo(f"slot {wish.slot} of {wish.node} would become the next version of {wish.image}")
    else:
        click.echo(f"capturing slot {wish.slot} of {wish.node}: bootd jobs follow {job.id}")


def _follow(site: Site, job: Job, as_json: bool) -> None:
    hear_daemon(site)
    try:
        with site.open_store() as store:
            ended = watch(store, job.id, as_json=as_json)
            ref = str(ended.facts.get(service.KEPT) or "")
            image = images.find(store, ref) if ref else None
    except KeyboardInterrupt:
        words = f"bootd jobs follow {job.id} shows how far it is, bootd jobs cancel {job.id} takes it back"
        click.echo(f"\nit goes on without you: {words}", err=True)
        raise click.exceptions.Exit(1) from None
    if image is None:
        raise click.exceptions.Exit(1)
    if not as_json:
        files = count_text(len(image.parts), "file")
        click.echo(f"image {image.ref}: {image.kind}, {files}, {size_text(image.size)}")
        click.echo(f"next: bootd images verify {image.ref}")
