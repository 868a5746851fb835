"""``bootd luns``: the LUN pairs that root nodes boot from."""

from collections.abc import Sequence
from typing import Any

import click

from bootd.cli import suggest
from bootd.cli.context import Site, pass_site, print_json
from bootd.cli.tables import print_table
from bootd.cli.zone import server_zone
from bootd.clock import utc_now
from bootd.drivers.lun import LunBackend, LunUnreachable, Session
from bootd.errors import BootdError
from bootd.formats.instants import show_instant, zone_name
from bootd.model import LunClone, LunPair, LunSide
from bootd.outfit import Outfit, has_no_volumes
from bootd.services import lunflip, lunlooks, lunneeds, lunrenew, lunsweep, nodeset
from bootd.services import luns as service
from bootd.services.lunflip import Flipped
from bootd.services.lunlooks import Told
from bootd.services.notify import poke
from bootd.units import exact_text, size_text

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_dry_run = click.option("--dry-run", is_flag=True, help="Only say which nodes would boot what.")
_pair = click.argument("group", shell_complete=suggest.lun_pair)


@click.group()
def luns() -> None:
    """LUN pairs: two volumes for each group of root nodes, exactly one of them active.

    The image of the next booking is staged on the inactive one. Each node boots its own clone.
    """


@luns.command("list")
@_json
@pass_site
def list_(site: Site, as_json: bool) -> None:
    """List the pairs."""
    with site.read_store() as store:
        found = store.every(LunPair)
        counts = {pair.group: len(store.clones(pair.group)) for pair in found}
    if as_json:
        print_json([_plain(pair) for pair in found])
    elif found:
        rows = [
            (
                pair.group,
                exact_text(pair.size),
                service.SIDES[pair.active],
                _content(pair.sides[pair.active]),
                _other(pair),
                str(counts[pair.group]),
            )
            for pair in found
        ]
        print_table(("GROUP", "SIZE", "ACTIVE", "IMAGE", "OTHER SIDE", "CLONES"), rows)
    else:
        click.echo("no LUN pairs yet; register one: bootd luns add GROUP --size 20G")


@luns.command()
@_pair
@click.option(
    "--count", is_flag=True, help="Read clones beside their side where it is not told what was written."
)
@_json
@pass_site
def show(site: Site, group: str, count: bool, as_json: bool) -> None:
    """Show a pair. Its sides, the bookings that count on it, and the clones of its nodes."""
    with site.read_store() as store:
        shown = service.show(store, group)
        nodes = [node for each in shown.deployments for node in store.deployed_nodes(each.id)]
        told = _ask(site, shown, compare=count)
        sessions = [session for each in told.sessions.values() for session in each]
        doubts = {} if told.why else lunlooks.doubts(store, nodes, sessions)
        replaced = lunneeds.given_up(store, group)
    states = {clone.volume: "replaced" for clone in replaced}
    states |= {node.volume: node.state for node in nodes if node.volume}
    if as_json:
        print_json(_plain_shown(shown, states, told) | {"doubts": doubts})
        return
    pair, zone = shown.pair, server_zone()
    click.echo(f"{pair.group}  2 × {exact_text(pair.size)}  {nodeset.fold(shown.hosts) or 'no hosts'}")
    for name, side in zip(service.SIDES, pair.sides, strict=True):
        since = f"  since {show_instant(side.changed_at, zone)} {zone_name(zone)}" if side.changed_at else ""
        click.echo(f"  {name}  {side.volume}  {side.state}  {_content(side)}{since}")
    for each in shown.deployments:
        where = f"side {service.SIDES[each.side]}" if each.side is not None else "no side yet"
        click.echo(
            f"  reservation {each.reservation}: {each.image} {each.state}, {where},"
            f" for {nodeset.fold(each.nodes)}" + (f" ({each.note})" if each.note else "")
        )
    if shown.clones:
        rows = [_row(clone, states.get(clone.volume, ""), told) for clone in shown.clones]
        print_table(("NODE", "SIDE", "CLONE", "STATE", "SESSION", "WRITTEN", "TARGET", "PORTALS"), rows)
    for doubt in doubts.values():
        click.echo(f"in doubt: {doubt}")
    if told.why and shown.clones:
        click.echo(f"sessions and what was written are not known: {told.why}", err=True)


@luns.command()
@click.argument("group", shell_complete=suggest.group)
@click.option("--size", required=True, help="Of each of its two volumes: 20G, 500GB.")
@_json
@pass_site
def add(site: Site, group: str, size: str, as_json: bool) -> None:
    """Register the pair of GROUP. Its volumes are made when an image is first staged."""
    with site.open_store() as store:
        pair = service.add(store, site.actor, group, service.octets_of(size), clock=utc_now)
        hosts = service.show(store, group).hosts
    poke(site.data_dir)
    if as_json:
        print_json(_plain(pair))
        return
    volumes = " and ".join(side.volume for side in pair.sides)
    click.echo(f"LUN pair {group}: {volumes}, {exact_text(pair.size)} each")
    if not hosts:
        click.echo(f"no host is in group {group} yet: bootd hosts set NODESET --group {group}", err=True)


@luns.command()
@_pair
@click.option("--dry-run", is_flag=True, help="Only say what would be left behind.")
@_json
@pass_site
def remove(site: Site, group: str, dry_run: bool, as_json: bool) -> None:
    """Forget the pair of GROUP; refused while bookings count on it. Its volumes stay until `luns gc`."""
    with site.open_store(make=not dry_run) as store:
        left = service.remove(store, site.actor, group, dry_run=dry_run)
    if not dry_run:
        poke(site.data_dir)
    if as_json:
        print_json({"group": group, "volumes_left": left, "dry_run": dry_run})
        return
    click.echo(f"{'would forget' if dry_run else 'forgot'} the LUN pair of {group}")
    click.echo(f"volumes that stay on the LUN backend, if they were made: {', '.join(left)}")
    click.echo(f"bootd luns gc {group} deletes them")


@luns.command()
@_pair
@_dry_run
@_json
@pass_site
def flip(site: Site, group: str, dry_run: bool, as_json: bool) -> None:
    """Make the inactive side of GROUP active.

    The nodes of a reservation under way are started anew on their clones of it; they keep their
    old ones, and the same flip back gives them those again.
    """
    with site.open_store(make=not dry_run) as store:
        done = lunflip.flip(store, site.actor, group, clock=utc_now, dry_run=dry_run)
    _flipped(site, done, dry_run, as_json)


@luns.command()
@_pair
@_dry_run
@_json
@pass_site
def rollback(site: Site, group: str, dry_run: bool, as_json: bool) -> None:
    """Bring back the side of GROUP that was active before: the same flip, and never to the next image."""
    with site.open_store(make=not dry_run) as store:
        done = lunflip.rollback(store, site.actor, group, clock=utc_now, dry_run=dry_run)
    _flipped(site, done, dry_run, as_json)


@luns.command()
@_pair
@click.argument("nodes", metavar="NODESET", shell_complete=suggest.node_set)
@_dry_run
@_json
@pass_site
def renew(site: Site, group: str, nodes: str, dry_run: bool, as_json: bool) -> None:
    """Give nodes new clones of the image that they run, and start them anew: what they wrote is lost.

    For disks that are broken: of nodes that had no room left to write, or that wrote nonsense.
    """
    with site.open_store(make=not dry_run) as store:
        names = [host.name for host in nodeset.parse(nodes, store.hosts())]
        done = lunrenew.renew(store, site.actor, group, names, clock=utc_now, dry_run=dry_run)
    if not dry_run:
        poke(site.data_dir)
    if as_json:
        made = [] if dry_run else [job.id for job in done.jobs]
        print_json({"group": group, "nodes": list(done.nodes), "jobs": made, "dry_run": dry_run})
        return
    click.echo(
        f"{nodeset.fold(done.nodes)}: {'would lose' if dry_run else 'lose'} what was written, get new clones"
    )
    if not dry_run:
        for job in done.jobs:
            click.echo(f"next: bootd jobs follow {job.id}")


@luns.command()
@click.argument("group", required=False, shell_complete=suggest.lun_pair)
@click.option(
    "--force", is_flag=True, help="End sessions on clones that nobody needs: of machines that were reset."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@_json
@pass_site
def gc(site: Site, group: str | None, force: bool, dry_run: bool, as_json: bool) -> None:
    """Delete clones that no booking may still use: of GROUP, or all. bootd serve does so by itself.

    What a machine is logged in to stays, and is named. Clones that no record knows go too, the sides of
    pairs that were removed, and what a kill left of volumes that were being made: look at --dry-run
    first where another database was in use.
    """
    groups = None if group is None else [group]
    swept = lunsweep.Swept()
    if not has_no_volumes(site.config):
        with site.open_store(make=not dry_run) as store:
            manner = {"unknown": True, "force": force, "dry_run": dry_run}
            swept = lunsweep.sweep(store, _backend(site), site.actor, groups=groups, **manner)
    if as_json:
        left = [
            {"volume": each.volume, "why": each.why, "sessions": _plain_sessions(each.sessions)}
            for each in swept.left
        ]
        print_json({"removed": list(swept.removed), "left": left, "dry_run": dry_run})
        return
    for volume in swept.removed:
        click.echo(f"{'would delete' if dry_run else 'deleted'} {volume}")
    for each in swept.left:
        click.echo(f"left {each.volume}: {each.why}")
    if not swept.removed and not swept.left:
        click.echo("there is no clone that nobody needs")


def _flipped(site: Site, done: Flipped, dry_run: bool, as_json: bool) -> None:
    if not dry_run:
        poke(site.data_dir)
    if as_json:
        print_json(_plain_flipped(done, dry_run))
        return
    pair, would = done.after, "would be" if dry_run else "is"
    click.echo(
        f"{pair.group}: side {service.SIDES[pair.active]} {would} active,"
        f" with {_content(pair.sides[pair.active])}; {_content(done.before.sides[done.before.active])} before"
    )
    if not done.followers:
        click.echo("no node boots anything else: no reservation boots from the other side now")
        return
    for number in sorted({each.reservation for each in done.followers}):
        own = [each for each in done.followers if each.reservation == number]
        first = own[0]
        nodes, without = (
            nodeset.fold([each.node for each in some])
            for some in (own, [each for each in own if not each.has_clone])
        )
        click.echo(
            f"  {nodes}: {'would boot' if dry_run else 'boot'} {first.after}, not {first.before},"
            f" and {'would be' if dry_run else 'are'} started anew (reservation {number} of {first.project})"
        )
        if without:
            click.echo(f"  {without}: their clones {'would be' if dry_run else 'are'} made first")
    if not dry_run:
        for job in done.jobs:
            click.echo(f"next: bootd jobs follow {job.id}")


def _content(side: LunSide) -> str:
    return str(side.image) if side.image else "nothing"


def _other(pair: LunPair) -> str:
    side = pair.sides[pair.inactive]
    return f"{side.state}: {_content(side)}" if side.image or side.state != "inactive" else "empty"


def _backend(site: Site) -> LunBackend:
    """Return the site's LUN backend; raises `BootdError`."""
    try:
        return Outfit(site.config, lambda event: None).luns()
    except OSError as error:
        raise LunUnreachable("", f"{error.filename}: {error.strerror}; run this as root") from error


def _ask(site: Site, shown: service.Shown, *, compare: bool) -> Told:
    """Return what the target tells; looking makes nothing."""
    if not shown.clones:
        return Told()
    try:
        if has_no_volumes(site.config):
            return Told(why="no volume was ever made on this machine")
        return lunlooks.ask(_backend(site), shown.clones, compare=compare)
    except (BootdError, OSError) as error:
        return Told(why=str(error))


def _row(clone: LunClone, state: str, told: Told) -> tuple[str, ...]:
    sessions = told.sessions.get(clone.volume)
    written = told.written.get(clone.volume)
    return (
        clone.node,
        service.SIDES[clone.side],
        clone.volume,
        state or "spare",
        "?" if sessions is None else _who(sessions),
        "?" if written is None else size_text(written),
        clone.target,
        " ".join(clone.portals),
    )


def _who(sessions: Sequence[Session]) -> str:
    """Return the addresses of those that are logged in, and how many sessions they left behind."""
    left = sum(each.is_left for each in sessions)
    now = sorted({each.address or "logged in" for each in sessions if not each.is_left})
    return " ".join([*now, *([f"+{left} left"] if left else [])]) or "none"


def _plain(pair: LunPair) -> dict[str, Any]:
    return {
        "group": pair.group,
        "size": pair.size,
        "active": service.SIDES[pair.active],
        "sides": {
            name: {
                "volume": side.volume,
                "state": side.state,
                "image": str(side.image) if side.image else None,
                "digest": side.digest or None,
                "changed_at": side.changed_at,
            }
            for name, side in zip(service.SIDES, pair.sides, strict=True)
        },
    }


def _plain_shown(shown: service.Shown, states: dict[str, str], told: Told) -> dict[str, Any]:
    deployments = [
        {
            "id": each.id,
            "reservation": each.reservation,
            "image": str(each.image),
            "state": each.state,
            "side": None if each.side is None else service.SIDES[each.side],
            "nodes": list(each.nodes),
            "flipped_at": each.flipped_at,
        }
        for each in shown.deployments
    ]
    clones = [
        {
            "node": clone.node,
            "side": service.SIDES[clone.side],
            "volume": clone.volume,
            "state": states.get(clone.volume),
            "initiator": clone.initiator,
            "chap_user": clone.chap_user,
            "target": clone.target,
            "lun": clone.lun,
            "portals": list(clone.portals),
            "sessions": _plain_sessions(told.sessions.get(clone.volume)),
            "written": told.written.get(clone.volume),
        }
        for clone in shown.clones
    ]
    found = {"hosts": list(shown.hosts), "deployments": deployments, "clones": clones}
    return _plain(shown.pair) | found | {"not_known": told.why or None}


def _plain_sessions(sessions: Sequence[Session] | None) -> list[dict[str, str | bool]] | None:
    if sessions is None:
        return None
    return [
        {"initiator": each.initiator, "address": each.address, "is_left": each.is_left} for each in sessions
    ]


def _plain_flipped(done: Flipped, dry_run: bool) -> dict[str, Any]:
    nodes = [
        {
            "node": each.node,
            "reservation": each.reservation,
            "before": str(each.before),
            "after": str(each.after),
            "has_clone": each.has_clone,
        }
        for each in done.followers
    ]
    jobs = [] if dry_run else [job.id for job in done.jobs]
    return _plain(done.after) | {"nodes": nodes, "jobs": jobs, "dry_run": dry_run}
