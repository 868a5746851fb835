"""``bootd reservations feed``: calendars that Google Calendar, Thunderbird and their like subscribe to."""

import socket
from typing import TYPE_CHECKING

import click

from bootd.cli import suggest
from bootd.cli.context import Site, pass_site, print_json
from bootd.cli.tables import print_table
from bootd.cli.zone import server_zone
from bootd.formats.instants import show_instant
from bootd.model import CalendarFeed
from bootd.services import calendarfeed as service

if TYPE_CHECKING:
    from bootd.config import Config


@click.group()
def feed() -> None:
    """Calendars to subscribe to: a secret address each, for all reservations or a project's."""


@feed.command()
@click.option("--project", default="", shell_complete=suggest.project, help="Only its reservations.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_site
def add(site: Site, project: str, as_json: bool) -> None:
    """Make a feed and print its address, this once: whoever knows the address can read the calendar."""
    with site.open_store() as store:
        made, token = service.add(store, site.actor, project)
    url = _url(site.config, token)
    if as_json:
        print_json({**_plain(made), "url": url})
        return
    click.echo(f"feed {made.id}, {_whose(made)}; it is shown this once:", err=True)
    click.echo(url)


@feed.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_site
def list_(site: Site, as_json: bool) -> None:
    """List the feeds; their addresses are not kept."""
    zone = server_zone()
    with site.read_store() as store:
        feeds = store.every(CalendarFeed)
    if as_json:
        print_json([_plain(each) for each in feeds])
        return
    rows = [
        (str(each.id), each.project or "(all)", show_instant(each.created_at, zone), each.created_by)
        for each in feeds
    ]
    print_table(("FEED", "PROJECT", "MADE", "BY"), rows)


@feed.command()
@click.argument("number", type=int)
@pass_site
def remove(site: Site, number: int) -> None:
    """End a feed: its address is nobody's from now on."""
    with site.open_store(make=False) as store:
        gone = service.remove(store, site.actor, number)
    click.echo(f"removed feed {gone.id}, {_whose(gone)}")


def _whose(made: CalendarFeed) -> str:
    return f"the reservations of {made.project}" if made.project else "all reservations"


def _plain(made: CalendarFeed) -> dict[str, object]:
    return {
        "feed": made.id,
        "project": made.project or None,
        "made_at": made.created_at,
        "made_by": made.created_by,
    }


def _url(config: "Config", token: str) -> str:
    """Return the address as far as we know it: machines may reach us by another name."""
    server = config["server.address"] or socket.getfqdn()
    return f"http://{server}:{config['http.port']}/calendar/{token}.ics"
