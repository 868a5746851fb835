"""``bootd deploy``: an image comes to machines now, and they boot it."""

import json
from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

import click

from bootd.cli import suggest
from bootd.cli.context import Site, is_terminal, pass_site
from bootd.cli.jobs import hear_daemon, pause, watch
from bootd.cli.reservations import TIMES, plain
from bootd.cli.reservations_places import plan_plain, tell_plan
from bootd.cli.zone import server_zone
from bootd.clock import utc_now
from bootd.errors import Refused
from bootd.formats.instants import parse_instant, show_instant
from bootd.model import Deployment, Job, JobKind, Reservation
from bootd.services import deploy as service
from bootd.services import jobs, nodeset
from bootd.services.booking import LIVE
from bootd.services.deploy import Deployed, Means, Order
from bootd.services.deployments import place_text
from bootd.services.notify import poke

if TYPE_CHECKING:
    from bootd.store import Store


@click.command(epilog=TIMES + suggest.NODESET_HELP)
@click.argument("image", metavar="PROJECT/IMAGE", shell_complete=suggest.disk_image)
@click.option("--nodes", required=True, metavar="NODESET", shell_complete=suggest.node_set, help="Machines.")
@click.option(
    "--slot", type=int, shell_complete=suggest.slot_number, help="Which slot (default: bootd chooses one)."
)
@click.option("--end", metavar="TIME", help="Until when (default: 4 h, less where a booking follows).")
@click.option("--project", default="", shell_complete=suggest.project, help="Who deploys, if not PROJECT.")
@click.option("--repartition", is_flag=True, help="Give up disks of another layout: all on them is lost.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-follow", is_flag=True, help="Leave when it is ordered.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: a line for the order, then one at each change."
)
@pass_site
def deploy(
    site: Site,
    image: str,
    nodes: str,
    slot: int | None,
    end: str | None,
    project: str,
    repartition: bool,
    yes: bool,
    no_follow: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put an image on machines now, and see them boot it: 0 when all of them run it, else 1.

    Machines that PROJECT has reserved just now stay in that reservation, the others get one.
    """
    zone, now = server_zone(), utc_now()
    ends_at = parse_instant(end, zone, base=now, field="--end") if end else None
    order = Order(image, nodes, project, slot, ends_at, repartition)
    if repartition and not dry_run:
        _ask(site, nodes, yes)
    with site.open_store(make=not dry_run) as store:
        means = Means(site.config["imaging.transport"], site.config["imaging.memory_image"])
        made = service.deploy(
            store, site.actor, order, clock=utc_now, zone=zone, means=means, dry_run=dry_run
        )
        poke(site.data_dir)
        _tell(made, zone, dry_run, as_json)
        if dry_run or no_follow:
            return
        hear_daemon(site)
        is_whole = _follow(store, made, as_json)
        if not as_json:
            _tell_end(store, made)
    if not is_whole:
        raise click.exceptions.Exit(1)


def _ask(site: Site, nodes: str, yes: bool) -> None:
    """Have a person say yes to what is lost."""
    with site.read_store() as store:
        known = service.at_stake(store, nodes)
    if yes:
        return
    if not is_terminal():
        raise Refused("--repartition gives up what is on disks; nobody can be asked here: add --yes")
    click.echo(f"disks of {nodes} that have another layout are divided anew: all that is on them is lost")
    for text in known:
        click.echo(f"  {text}")
    if not known:
        click.echo("  bootd knows of nothing in their slots")
    click.confirm("Give that up?", abort=True)


def _tell(made: Deployed, zone: tzinfo, dry_run: bool, as_json: bool) -> None:
    reservation, orders = made.reservation, [job.id for job in made.jobs]
    if as_json:
        row: dict[str, Any] = plain(reservation) | plan_plain(made.plan)
        row |= {"is_new": made.is_new, "notes": list(made.notes), "jobs": [] if dry_run else orders}
        click.echo(json.dumps(row, default=_plain))
        return
    number = "a new one" if dry_run and made.is_new else str(reservation.id)
    until = show_instant(reservation.ends_at, zone)
    verb = "would deploy" if dry_run else "deploying"
    click.echo(
        f"{verb} {', '.join(_images(made))}: reservation {number} of {reservation.project}, until {until}"
    )
    tell_plan(made.plan)
    for note in made.notes:
        click.echo(f"  {note}")
    if not dry_run:
        for number_ in orders:
            click.echo(f"  bootd jobs follow {number_}")


def _images(made: Deployed) -> Iterator[str]:
    for each in made.plan.deployments:
        yield f"{each.image} to {nodeset.fold(each.nodes)}"


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


# -- following ----------------------------------------------------------------------------------


def _follow(store: "Store", made: Deployed, as_json: bool) -> bool:
    """Show each job until the nodes run the image; tell whether all of them do."""
    reservation, ended = made.reservation.id, list[Job]()
    try:
        for number in _numbers(store, made):
            ended.append(watch(store, number, as_json=as_json))
    except KeyboardInterrupt:
        click.echo(
            f"\nit goes on without you: bootd reservations show {reservation} tells how far it is,"
            f" bootd jobs list --reservation {reservation} its jobs;"
            f" bootd reservations cancel {reservation} takes it back",
            err=True,
        )
        raise click.exceptions.Exit(1) from None
    starts = [job for job in ended if job.kind is JobKind.START]
    return bool(starts) and all(job.state == "done" for job in starts)


def _numbers(store: "Store", made: Deployed) -> Iterator[int]:
    """Yield the jobs that bring each image to its place, then those that start the nodes."""
    for kinds in (jobs.PLACING, (JobKind.START,)):
        seen = set()
        for deployment in made.plan.deployments:
            found = _awaited(store, deployment, kinds)
            if found is not None and found.id not in seen:
                seen.add(found.id)
                yield found.id


def _awaited(store: "Store", deployment: Deployment, kinds: tuple[JobKind, ...]) -> Job | None:
    """Return the newest job of *kinds* for a deployment, once there is one; None where none will be."""
    while True:
        for job in store.jobs(reservation=deployment.reservation):
            of_all = job.deployment is None and job.created_at >= deployment.created_at
            if job.kind in kinds and (job.deployment == deployment.id or of_all):
                return job
        reservation = store.find(Reservation, deployment.reservation)
        if reservation is None or reservation.state not in LIVE or _is_there(store, deployment, kinds):
            return None
        pause()


def _is_there(store: "Store", deployment: Deployment, kinds: tuple[JobKind, ...]) -> bool:
    """Tell whether the image is in its place without a job of ours."""
    now = store.find(Deployment, deployment.id)
    return now is None or (
        JobKind.START not in kinds and now.state not in ("sched", "deploy-lun", "deploy-hd")
    )


def _tell_end(store: "Store", made: Deployed) -> None:
    """Say in the end who runs what, and who does not, and why."""
    for deployment in made.plan.deployments:
        standing = {node.node: node for node in store.deployed_nodes(deployment.id)}
        running = [name for name, node in standing.items() if node.state == "running"]
        where = f"{deployment.image} from {place_text(deployment)}"
        if running:
            click.echo(f"{nodeset.fold(running)}: {'runs' if len(running) == 1 else 'run'} {where}")
        left = [name for name in deployment.nodes if name not in running]
        for name in left:
            why = standing[name].note if name in standing else ""
            click.echo(f"{name}: does not run {where}{f': {why}' if why else ''}")
        if left:
            click.echo(
                f"bootd jobs list --all --reservation {deployment.reservation} names the jobs to retry"
            )
