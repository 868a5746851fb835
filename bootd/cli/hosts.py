"""``bootd hosts``: the host table."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from bootd.boot.decide import standing_order
from bootd.boot.snapshot import Policy, Snapshot
from bootd.cli import suggest
from bootd.cli.boot import order_text
from bootd.cli.context import Site, is_terminal, pass_site, print_json
from bootd.cli.hosttable import diff, edit, export, import_
from bootd.cli.tables import print_table
from bootd.clock import utc_now
from bootd.formats.jsontable import as_plain
from bootd.model import Host
from bootd.services import hosts as service
from bootd.services import nodeset
from bootd.services.hosttable import describe
from bootd.services.notify import poke

F = TypeVar("F", bound=Callable[..., Any])


@click.group(epilog=suggest.NODESET_HELP)
def hosts() -> None:
    """The host table: which machines there are, and what bootd knows about them."""


def _nodes(required: bool = True) -> Callable[[F], F]:
    metavar = "NODESET" if required else "[NODESET]"
    return click.argument("nodes", metavar=metavar, required=required, shell_complete=suggest.node_set)


def _json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def _fields(command: F) -> F:
    """Give *command* the options that name a host's fields."""
    options = (
        click.option("--mac", help="MAC address, in any of the usual spellings."),
        click.option("--ip", help="IPv4 address; '' takes it away."),
        click.option("--number", help="Node number; '' takes it away."),
        click.option("--role", help="root (boots from a LUN), mesh (from its disk) or none."),
        click.option("--local-boot", metavar="DEVICE", help="Boots from its own disk, such as /dev/sda1."),
        click.option(
            "--group", "groups", multiple=True, shell_complete=suggest.group, help="Group it is in."
        ),
        click.option(
            "--set", "settings", metavar="KEY=VALUE", multiple=True, help="A fact; KEY= removes it."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _settings(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    wrong = [text for text, (_, equals, _) in zip(texts, pairs, strict=True) if not equals]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is not KEY=VALUE", param_hint="--set")
    return {key: value for key, _, value in pairs}


@hosts.command()
@click.argument("name")
@_fields
@_json
@pass_site
def add(
    site: Site,
    name: str,
    mac: str | None,
    ip: str | None,
    number: str | None,
    role: str | None,
    local_boot: str | None,
    groups: tuple[str, ...],
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Add host NAME; --mac is needed."""
    if mac is None:
        raise click.MissingParameter(param_hint="--mac", param_type="option")
    wanted = service.HostEdit(name, mac, ip, number, role, local_boot, groups, (), _settings(settings))
    with site.open_store() as store:
        host = service.add(store, site.actor, wanted)
    poke(site.data_dir)
    if as_json:
        print_json(as_plain(host))
    else:
        click.echo(f"added {host.name}  {host.mac}")


@hosts.command("set")
@_nodes()
@click.option("--name", help="New name.")
@_fields
@click.option("--no-local-boot", is_flag=True, help="Does not boot from its own disk by default.")
@click.option(
    "--remove-group", "remove_groups", multiple=True, shell_complete=suggest.group, help="Group it leaves."
)
@_json
@pass_site
def set_(
    site: Site,
    nodes: str,
    name: str | None,
    mac: str | None,
    ip: str | None,
    number: str | None,
    role: str | None,
    local_boot: str | None,
    groups: tuple[str, ...],
    settings: tuple[str, ...],
    no_local_boot: bool,
    remove_groups: tuple[str, ...],
    as_json: bool,
) -> None:
    """Change the given fields of every host in NODESET. The others stay."""
    if no_local_boot and local_boot:
        raise click.UsageError("--local-boot and --no-local-boot contradict each other")
    local = "" if no_local_boot else local_boot
    wanted = service.HostEdit(name, mac, ip, number, role, local, groups, remove_groups, _settings(settings))
    if wanted == service.HostEdit():
        raise click.UsageError("nothing to change: give an option, such as --set rack=4")
    with site.open_store() as store:
        made = service.set_fields(store, site.actor, nodes, wanted)
    poke(site.data_dir)
    if as_json:
        print_json([as_plain(pair.after) for pair in made.changed])
    else:
        click.echo("\n".join(describe(made)) or "nothing differs")


@hosts.command()
@_nodes()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json
@pass_site
def remove(site: Site, nodes: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove the hosts of NODESET, with what they were told to boot."""
    with site.open_store(make=not dry_run) as store:
        if not dry_run and not yes and is_terminal():
            doomed = service.remove(store, site.actor, nodes, dry_run=True)
            if len(doomed) > 1:
                names = ", ".join(each.host.name for each in doomed)
                click.confirm(f"Remove {len(doomed)} hosts ({names})?", abort=True)
        gone = service.remove(store, site.actor, nodes, dry_run=dry_run)
    poke(site.data_dir)
    if as_json:
        print_json([{"name": each.host.name, "orders": each.orders} for each in gone])
        return
    for each in gone:
        orders = f"  with its order {' and '.join(each.orders)}" if each.orders else ""
        click.echo(f"{'would remove' if dry_run else 'removed'} {each.host.name}{orders}")


@hosts.command("list")
@_nodes(required=False)
@_json
@pass_site
def list_(site: Site, nodes: str | None, as_json: bool) -> None:
    """List the hosts, all or those of NODESET."""
    with site.read_store() as store:
        snapshot = store.load_snapshot(Policy())
    table = list(snapshot.hosts.values())
    chosen = nodeset.parse(nodes, table) if nodes else table
    now = utc_now()
    if as_json:
        print_json([_plain(snapshot, host, now) for host in chosen])
    elif chosen:
        headers = ("NAME", "MAC", "IP", "NUMBER", "ROLE", "BOOTS", "GROUPS")
        print_table(headers, [_cells(snapshot, host, now) for host in chosen])
    else:
        click.echo("no hosts yet: bootd hosts add NAME --mac MAC, or bootd hosts import FILE")


def _cells(snapshot: Snapshot, host: Host, now: datetime) -> tuple[str, ...]:
    number = "" if host.number is None else str(host.number)
    boots = order_text(standing_order(snapshot, host, now))
    return (host.name, host.mac, host.ip or "", number, str(host.role), boots, ",".join(host.groups))


def _plain(snapshot: Snapshot, host: Host, now: datetime) -> dict[str, Any]:
    order = standing_order(snapshot, host, now)
    boots = {"rule": order.rule, "target": str(order.target) if order.target else None}
    return as_plain(host) | {"boots": boots}


@hosts.command()
@_nodes()
@_json
@pass_site
def show(site: Site, nodes: str, as_json: bool) -> None:
    """Show everything about the hosts of NODESET."""
    with site.read_store() as store:
        chosen = nodeset.parse(nodes, store.hosts())
        snapshot = store.load_snapshot(Policy())
        last = {host.name: store.observations(mac=host.mac, host=host.name, limit=1) for host in chosen}
    now = utc_now()
    if as_json:
        print_json([_plain(snapshot, host, now) for host in chosen])
        return
    for index, host in enumerate(chosen):
        click.echo("\n" * bool(index) + click.style(host.name, bold=True))
        order = standing_order(snapshot, host, now)
        seen = [
            f"{kept.observation.at:%Y-%m-%d %H:%M:%S} UTC  {kept.observation.text}"
            for kept in last[host.name]
        ]
        facts = {
            "mac": host.mac,
            "ip": host.ip,
            "number": host.number,
            "role": str(host.role),
            "local-boot": host.local_boot,
            "groups": ", ".join(host.groups),
            **host.settings,
            "boots": f"{order_text(order)}  (rule {order.rule})",
            "last seen": "".join(seen) or "never",
        }
        for key, value in facts.items():
            if value not in (None, ""):
                click.echo(f"  {key:<12} {value}")


@hosts.command()
@_json
@pass_site
def undo(site: Site, as_json: bool) -> None:
    """Take back the newest change of the host table. Again: the one before."""
    with site.open_store() as store:
        entries = service.undo(store, site.actor)
    poke(site.data_dir)
    if as_json:
        print_json([{"kind": each.kind, "name": each.key, "undone": each.action} for each in entries])
        return
    first = entries[0]
    click.echo(f"undone: {first.what} by {first.actor}, {first.at:%Y-%m-%d %H:%M:%S} UTC")
    words = {"added": "removed", "removed": "back", "changed": "as before"}
    for entry in entries:
        if entry.kind == "host":
            click.echo(f"  {entry.key}: {words[entry.action]}")


for command in (import_, export, diff, edit):
    hosts.add_command(command)
