"""``bootd reservations``: who has which machines, when, and with which image."""

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta, tzinfo
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bootd.cli import suggest
from bootd.cli.context import Site, pass_site, print_json
from bootd.cli.reservations_calendar import export, import_
from bootd.cli.reservations_feed import feed
from bootd.cli.reservations_places import (
    deployment_plain,
    entry_plain,
    entry_text,
    plan_plain,
    tell_deployment,
    tell_plan,
)
from bootd.cli.tables import print_table
from bootd.cli.zone import server_zone
from bootd.clock import utc_now
from bootd.errors import BadValue
from bootd.formats.instants import parse_instant, show_instant, show_span, zone_name
from bootd.model import Reservation
from bootd.services import nodeset
from bootd.services import reservations as service
from bootd.services.booking import Draft
from bootd.services.deployments import node_states
from bootd.services.notify import poke

if TYPE_CHECKING:
    from bootd.services.reservations import Moved

F = TypeVar("F", bound=Callable[..., Any])
_BY = re.compile(r"([+-])([1-9][0-9]{0,4})([mhd])\Z")
TIMES = (
    "TIME: '2026-01-05 09:00' (this machine's zone), '2026-01-05 09:00+01:00', "
    "'2026-01-05 09:00 Europe/Berlin', now, or +2h (for an end: from the start). "
)


def _json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def _dry_run(command: F) -> F:
    return click.option("--dry-run", is_flag=True, help="Only say what would be done.")(command)


_number = click.argument("number", type=int, shell_complete=suggest.reservation)


@click.group(epilog=TIMES + suggest.NODESET_HELP)
def reservations() -> None:
    """Reservations: who has which machines, when, and with which image."""


@reservations.command(epilog=TIMES + suggest.NODESET_HELP)
@click.argument("project", shell_complete=suggest.project)
@click.option("--nodes", required=True, metavar="NODESET", shell_complete=suggest.node_set, help="Machines.")
@click.option("--start", required=True, metavar="TIME", help="When it begins.")
@click.option("--end", required=True, metavar="TIME", help="When it ends; +4h counts from the start.")
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="[ROLE:]IMAGE",
    shell_complete=suggest.disk_image,
    help="Image for all nodes, or one each for root: and mesh: nodes; the newest version, or IMAGE@N.",
)
@click.option("--note", default="", help="A line for people.")
@click.option("--repeat", type=click.Choice(["daily", "weekly"]), help="Book it again, all dates or none.")
@click.option("--count", type=int, help="With --repeat: how many in all.")
@click.option("--until", metavar="DATE", help="With --repeat: the last day on which one may start.")
@_dry_run
@_json
@pass_site
def add(
    site: Site,
    project: str,
    nodes: str,
    start: str,
    end: str,
    images: tuple[str, ...],
    note: str,
    repeat: str | None,
    count: int | None,
    until: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Book machines for PROJECT; refused with every reason at once."""
    if repeat is None and (count is not None or until is not None):
        raise click.UsageError("--count and --until go with --repeat")
    zone, now = server_zone(), _this_minute()
    starts_at = parse_instant(start, zone, base=now, field="--start")
    ends_at = parse_instant(end, zone, base=starts_at, field="--end")
    again = service.Repeat(repeat, count, _day(until)) if repeat else None
    wish = service.Wish(Draft(project, nodes, images, note), starts_at, ends_at, again)
    with site.open_store(make=not dry_run) as store:
        made = service.add(store, site.actor, wish, clock=utc_now, zone=zone, dry_run=dry_run)
    poke(site.data_dir)
    if as_json:
        print_json([plain(each.reservation) | plan_plain(each.plan) for each in made])
        return
    for each in made:
        click.echo(f"{'would book' if dry_run else 'booked'} {_line(each.reservation, zone)}")
        tell_plan(each.plan)
    if not images:
        click.echo("without an image: the machines boot what they are told to boot")


def _this_minute() -> datetime:
    """Times that are given from now on are whole minutes; the service takes the running one for now."""
    return utc_now().replace(second=0, microsecond=0)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise BadValue("--until", text or "", "a date such as 2026-01-31") from None


@reservations.command("list")
@click.option("--project", shell_complete=suggest.project, help="Only those of this project.")
@click.option(
    "--nodes", metavar="NODESET", shell_complete=suggest.node_set, help="Only those with any of these."
)
@click.option("--all", "over", is_flag=True, help="Also those that are over or were taken back.")
@_json
@pass_site
def list_(site: Site, project: str | None, nodes: str | None, over: bool, as_json: bool) -> None:
    """List the reservations by their start."""
    zone = server_zone()
    with site.read_store() as store:
        found = service.select(store, project=project, nodes=nodes, over=over)
    if as_json:
        print_json([plain(each) for each in found])
    elif found:
        fold = cache(nodeset.fold)  # the same machines are booked again and again
        print_table(
            ("ID", "PROJECT", f"START ({zone_name(zone)})", "END", "NODES", "IMAGES", "STATE", "NOTE"),
            [_cells(each, fold(each.nodes), zone) for each in found],
        )
    else:
        click.echo("nothing is booked; book: bootd reservations add PROJECT --nodes … --start … --end …")


def _cells(each: Reservation, nodes: str, zone: tzinfo) -> tuple[str, ...]:
    times = (show_instant(each.starts_at, zone), show_instant(each.ends_at, zone))
    return (str(each.id), each.project, *times, nodes, " ".join(_images(each)), each.state, each.note)


def _images(each: Reservation) -> list[str]:
    return [f"{b.role}:{b.image}" if b.role else str(b.image) for b in each.images]


def _line(each: Reservation, zone: tzinfo) -> str:
    span = show_span(each.starts_at, each.ends_at, zone)
    words = [f"reservation {each.id} of {each.project}", span, nodeset.fold(each.nodes), *_images(each)]
    return "  ".join(words)


def plain(each: Reservation) -> dict[str, Any]:
    """Return a reservation as every ``--json`` shows it."""
    return {
        "id": each.id,
        "project": each.project,
        "starts_at": each.starts_at,
        "ends_at": each.ends_at,
        "nodes": list(each.nodes),
        "images": [{"role": str(b.role) or None, "image": str(b.image)} for b in each.images],
        "state": each.state,
        "note": each.note,
        "series": each.series or None,
        "uid": each.uid or None,
        "created_at": each.created_at,
        "created_by": each.created_by,
    }


@reservations.command()
@_number
@_json
@pass_site
def show(site: Site, number: int, as_json: bool) -> None:
    """Show a reservation: where its images go and how far they are, and what was done to it."""
    zone = server_zone()
    with site.read_store() as store:
        found = service.find(store, number)
        done = service.history(store, number)
        placed = [(each, node_states(store, each)) for each in store.deployments_of(number)]
    if as_json:
        history = [entry_plain(entry) for entry in done]
        images = [deployment_plain(each, states) for each, states in placed]
        print_json(plain(found) | {"deployments": images, "history": history})
        return
    click.echo(f"reservation {found.id}  {found.state}")
    rows = {
        "project": found.project,
        "time": show_span(found.starts_at, found.ends_at, zone),
        "nodes": nodeset.fold(found.nodes),
        "images": ", ".join(_images(found)),
        "note": found.note,
        "series": found.series,
        "uid": found.uid,
    }
    for label, text in rows.items():
        if text:
            click.echo(f"  {label:<8} {text}")
    for each, states in placed:
        tell_deployment(each, states, zone)
    for entry in done:
        if text := entry_text(entry):
            click.echo(f"  {show_instant(entry.at, zone)}  {text}")


@reservations.command(epilog=TIMES)
@_number
@click.option("--start", metavar="TIME", help="When it begins.")
@click.option("--end", metavar="TIME", help="When it ends (default: it stays as long as it is).")
@click.option("--nodes", metavar="NODESET", shell_complete=suggest.node_set, help="Other machines.")
@_dry_run
@_json
@pass_site
def move(
    site: Site,
    number: int,
    start: str | None,
    end: str | None,
    nodes: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Give a reservation that has not begun another time or other machines."""
    if start is None and end is None and nodes is None:
        raise click.UsageError("nothing to change: give --start, --end or --nodes")
    zone, now = server_zone(), _this_minute()
    starts_at = parse_instant(start, zone, base=now, field="--start") if start else None
    with site.open_store(make=not dry_run) as store:
        base = starts_at or service.find(store, number).starts_at
        ends_at = parse_instant(end, zone, base=base, field="--end") if end else None
        moved = service.move(
            store,
            site.actor,
            number,
            clock=utc_now,
            starts_at=starts_at,
            ends_at=ends_at,
            nodes=nodes,
            zone=zone,
            dry_run=dry_run,
        )
    _told(site, [moved], "moved", "move", dry_run, as_json)


@reservations.command(epilog=TIMES)
@_number
@click.option("--end", metavar="TIME", help="The new end; +4h counts from the start.")
@click.option("--by", metavar="TIME", help="So much longer or shorter: +2h, -30m.")
@_dry_run
@_json
@pass_site
def extend(site: Site, number: int, end: str | None, by: str | None, dry_run: bool, as_json: bool) -> None:
    """Give a reservation a later or an earlier end, also while it runs."""
    if (end is None) == (by is None):
        raise click.UsageError("give either --end or --by")
    zone = server_zone()
    with site.open_store(make=not dry_run) as store:
        held = service.find(store, number)
        ends_at = (
            held.ends_at + _difference(by)
            if by
            else parse_instant(end or "", zone, base=held.starts_at, field="--end")
        )
        moved = service.extend(store, site.actor, number, ends_at, clock=utc_now, zone=zone, dry_run=dry_run)
    _told(site, [moved], "changed", "change", dry_run, as_json)


def _difference(text: str) -> timedelta:
    match = _BY.match(text)
    if match is None:
        raise BadValue("--by", text, "such as +2h, -30m or +1d")
    units = {"m": "minutes", "h": "hours", "d": "days"}
    return timedelta(**{units[match[3]]: int(match[1] + match[2])})


@reservations.command()
@click.argument("numbers", type=int, nargs=-1, required=True, shell_complete=suggest.reservation)
@click.option("--series", is_flag=True, help="With all of its series that are not over.")
@_dry_run
@_json
@pass_site
def cancel(site: Site, numbers: tuple[int, ...], series: bool, dry_run: bool, as_json: bool) -> None:
    """Take reservations back, all that are named or none."""
    with site.open_store(make=not dry_run) as store:
        gone = service.cancel(store, site.actor, numbers, series=series, dry_run=dry_run)
    _told(site, gone, "cancelled", "cancel", dry_run, as_json)


def _told(site: Site, changes: "Sequence[Moved]", done: str, verb: str, dry_run: bool, as_json: bool) -> None:
    poke(site.data_dir)
    if as_json:
        print_json(
            [
                {"before": plain(each.before), "after": plain(each.after)} | plan_plain(each.plan)
                for each in changes
            ]
        )
        return
    zone = server_zone()
    for each in changes:
        click.echo(f"{f'would {verb}' if dry_run else done} {_line(each.after, zone)}")
        tell_plan(each.plan)


@reservations.command("next-free", epilog=TIMES + suggest.NODESET_HELP)
@click.argument("nodes", metavar="NODESET", shell_complete=suggest.node_set)
@click.option("--hours", type=float, required=True, help="For how long.")
@click.option("--after", default="now", metavar="TIME", help="Not before (default: now).")
@click.option("--count", type=int, help="So many of them are enough (default: all).")
@_json
@pass_site
def next_free(site: Site, nodes: str, hours: float, after: str, count: int | None, as_json: bool) -> None:
    """Say when the machines of NODESET are next free together."""
    zone, now = server_zone(), _this_minute()
    wanted = max(now, parse_instant(after, zone, base=now, field="--after"))
    with site.read_store() as store:
        free = service.next_free(store, nodes, hours, wanted, count=count)
    if as_json:
        print_json({"starts_at": free.starts_at, "ends_at": free.ends_at, "nodes": list(free.nodes)})
    else:
        click.echo(f"{show_span(free.starts_at, free.ends_at, zone)}  {nodeset.fold(free.nodes)}")


for command in (export, import_, feed):
    reservations.add_command(command)
