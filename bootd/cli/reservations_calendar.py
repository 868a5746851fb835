"""``bootd reservations export|import``: the same bookings as a calendar."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bootd.cli import suggest
from bootd.cli.context import Site, pass_site, print_json
from bootd.cli.reservations_places import tell_plan
from bootd.cli.zone import server_zone
from bootd.clock import utc_now
from bootd.errors import Refused
from bootd.formats import bookingtext
from bootd.services import calendar as service
from bootd.services import nodeset
from bootd.services import reservations as bookings
from bootd.services.notify import poke

if TYPE_CHECKING:
    from bootd.services.calendar import Imported

_FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


@click.command()
@click.argument("file", type=_FILE, default="-")
@click.option("--project", shell_complete=suggest.project, help="Only those of this project.")
@click.option(
    "--nodes", metavar="NODESET", shell_complete=suggest.node_set, help="Only those with any of these."
)
@click.option("--all", "over", is_flag=True, help="Also those that are over or were taken back.")
@pass_site
def export(site: Site, file: Path, project: str | None, nodes: str | None, over: bool) -> None:
    """Write the reservations as an iCalendar FILE (default: to the terminal)."""
    with site.read_store() as store:
        chosen = bookings.select(store, project=project, nodes=nodes, over=over)
        text = service.export(store, chosen)
    if str(file) == "-":
        click.echo(text.encode(), nl=False)  # bytes: the line ends are part of the format
        return
    try:
        file.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise Refused(f"cannot write {file}: {error.strerror}") from None
    click.echo(f"{len(chosen)} reservations in {file}")


@click.command("import")
@click.argument("file", type=_FILE)
@click.option(
    "--summary",
    metavar="REGEX",
    help="How summaries name what is booked: groups (?P<project>…), (?P<nodes>…) and (?P<image>…).",
)
@click.option("--days", type=click.IntRange(1, 3660), default=366, help="Book recurring events so far ahead.")
@click.option("--partial", is_flag=True, help="Take what can be taken; else one mistake stops it all.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_site
def import_(
    site: Site, file: Path, summary: str | None, days: int, partial: bool, dry_run: bool, as_json: bool
) -> int:
    """Make the reservations say what the calendar FILE says ('-': standard input).

    An event tells its booking by lines of its description, `project: NAME`, `nodes: NODESET` and
    `image: [ROLE:]IMAGE`, or by its summary (--summary). Events are known again by their UID: the same
    calendar changes nothing the second time. What it no longer has is left alone.
    """
    pattern = bookingtext.make_pattern(summary) if summary else None
    rules = service.Rules(server_zone(), pattern, timedelta(days=days), partial)
    text = _read(file)
    with site.open_store(make=not dry_run) as store:
        done = service.import_(
            store, site.actor, text, rules, clock=utc_now, source=str(file), dry_run=dry_run
        )
    poke(site.data_dir)
    if as_json:
        print_json(_plain(done))
    else:
        _tell(done, dry_run)
    return 1 if done.problems and not partial else 0


def _read(file: Path) -> str:
    try:
        octets = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Refused(f"cannot read {file}: {error.strerror}") from None
    return octets.decode("utf-8-sig", "replace")


def _plain(done: "Imported") -> dict[str, Any]:
    return {
        "added": [made.reservation.id for made in done.added],
        "changed": [each.after.id for each in done.changed],
        "cancelled": [each.after.id for each in done.cancelled],
        "unchanged": done.unchanged,
        "over": done.over,
        "taken_back": done.taken_back,
        "written": done.is_written,
        "problems": [{"summary": p.summary, "uid": p.uid, "reason": p.reason} for p in done.problems],
    }


def _tell(done: "Imported", dry_run: bool) -> None:
    for problem in done.problems:
        click.echo(
            f"{problem.summary or '(no summary)'}  [{problem.uid or 'no UID'}]: {problem.reason}", err=True
        )
    if not (done.is_written or dry_run):
        told = "nothing was imported: mend the calendar, or take the rest of it with --partial"
        click.echo(told, err=True)
        return
    changed = [
        *((made.reservation, made.plan, "added") for made in done.added),
        *((moved.after, moved.plan, "changed") for moved in done.changed),
        *((moved.after, moved.plan, "cancelled") for moved in done.cancelled),
    ]
    for each, plan, what in changed:
        click.echo(f"{what} reservation {each.id} of {each.project}: {nodeset.fold(each.nodes)}")
        tell_plan(plan)
    would = "would be " if dry_run else ""
    click.echo(
        f"{would}added {len(done.added)}, changed {len(done.changed)}, cancelled {len(done.cancelled)}; "
        f"unchanged {done.unchanged}, over {done.over}, taken back here {done.taken_back}"
    )
