"""``bootd projects``: who shares the testbed."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from bootd.cli import suggest
from bootd.cli.context import Site, pass_site, print_json
from bootd.cli.tables import print_table
from bootd.clock import utc_now
from bootd.lifecycle import DISK_IMAGE
from bootd.model import DiskImage, Project, Reservation
from bootd.services import projects as service
from bootd.services.projects import ProjectEdit
from bootd.units import size_text

_name = click.argument("name", shell_complete=suggest.project)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def projects() -> None:
    """Projects: who keeps images here and books machines."""


def _edit_options(command: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option("--owner", help="Who answers for it (default: you)."),
        click.option("--mail", help="Where to write to; '' takes it away."),
        click.option(
            "--member", "add_members", multiple=True, metavar="PERSON", help="One who belongs to it."
        ),
        click.option("--max-nodes", "nodes", type=int, help="Machines it may book at one time; 0: no limit."),
        click.option("--max-hours", "hours", type=float, help="Hours one booking may last; 0: no limit."),
        click.option("--max-bookings", "bookings", type=int, help="Bookings ahead of now; 0: no limit."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@projects.command()
@click.argument("name")
@_edit_options
@_json
@pass_site
def add(site: Site, /, name: str, as_json: bool, **fields: Any) -> None:
    """Register project NAME."""
    with site.open_store() as store:
        project = service.add(store, site.actor, name, ProjectEdit(**fields), clock=utc_now)
    _told(project, "registered", as_json)


@projects.command("set")
@_name
@_edit_options
@click.option("--remove-member", "remove_members", multiple=True, metavar="PERSON", help="One who leaves it.")
@_json
@pass_site
def set_(site: Site, /, name: str, as_json: bool, **fields: Any) -> None:
    """Change the fields that are given."""
    with site.open_store() as store:
        project = service.set_fields(store, site.actor, name, ProjectEdit(**fields))
    _told(project, "changed", as_json)


@projects.command("list")
@_json
@pass_site
def list_(site: Site, as_json: bool) -> None:
    """List the projects."""
    with site.read_store() as store:
        found = store.every(Project)
        images = store.tally(DiskImage, tuple(DISK_IMAGE.states))
        booked = store.tally(Reservation, service.LIVE)
    if as_json:
        print_json([_plain(each) for each in found])
    elif found:
        rows = [
            (each.name, each.state, each.owner, *_counts(each.name, images, booked), _limits(each))
            for each in found
        ]
        print_table(("NAME", "STATE", "OWNER", "IMAGES", "BOOKED", "LIMITS"), rows)
    else:
        click.echo("no projects yet; register one: bootd projects add NAME")


@projects.command()
@_name
@_json
@pass_site
def show(site: Site, name: str, as_json: bool) -> None:
    """Show a project. Its people, limits, images, bookings, and what was done to it."""
    with site.read_store() as store:
        project = service.named(store, name)
        images = store.images_of(name)
        booked = service.reservations_of(store, name)
        done = service.history(store, name)
    if as_json:
        history = [{"at": e.at, "actor": e.actor, "what": e.what, "action": e.action} for e in done]
        print_json(_plain(project) | {"history": history})
        return
    click.echo(f"{project.name}  {project.state}")
    rows = {
        "owner": project.owner,
        "members": ", ".join(project.members),
        "mail": project.mail,
        "limits": _limits(project),
        "images": ", ".join(f"{image.ref} ({image.state}, {size_text(image.size)})" for image in images),
        "booked": ", ".join(f"{each.id} ({each.state})" for each in booked),
    }
    for label, text in rows.items():
        if text:
            click.echo(f"  {label:<8} {text}")
    for entry in done:
        click.echo(f"  {entry.at:%Y-%m-%d %H:%M} UTC  {entry.what or entry.action} by {entry.actor}")


def _mover(event: str, done: str, help_text: str) -> None:
    """Add the command that moves a project along its lifecycle."""

    @projects.command(event, help=help_text)
    @_name
    @_json
    @pass_site
    def command(site: Site, name: str, as_json: bool) -> None:
        with site.open_store() as store:
            project = service.move(store, site.actor, name, event)
        _told(project, done, as_json)


_mover("suspend", "suspended", "Keep NAME's images, but let it book nothing.")
_mover("resume", "registered again", "Let a suspended project book again.")
_mover("retire", "retired", "Close NAME for good; refused while it has bookings.")


def _told(project: Project, done: str, as_json: bool) -> None:
    if as_json:
        print_json(_plain(project))
    else:
        click.echo(f"project {project.name}: {done}")


def _counts(name: str, *tallies: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(str(tally.get(name, 0)) for tally in tallies)


def _limits(project: Project) -> str:
    limits = project.limits
    words = (
        f"{limits.nodes} nodes" if limits.nodes else "",
        f"{limits.hours:g} h" if limits.hours else "",
        f"{limits.bookings} bookings" if limits.bookings else "",
    )
    return ", ".join(word for word in words if word)


def _plain(project: Project) -> dict[str, Any]:
    return {
        "name": project.name,
        "state": project.state,
        "owner": project.owner,
        "members": list(project.members),
        "mail": project.mail,
        "limits": {
            "nodes": project.limits.nodes,
            "hours": project.limits.hours,
            "bookings": project.limits.bookings,
        },
        "registered_at": project.registered_at.isoformat(),
    }
