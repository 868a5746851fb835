"""``bootd slots``: what the disks of mesh nodes hold, partition by partition."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bootd.cli import suggest
from bootd.cli.context import Site, pass_site, print_json
from bootd.cli.tables import print_table
from bootd.cli.zone import server_zone
from bootd.formats.instants import show_instant, zone_name
from bootd.model import SlotScheme
from bootd.model.places import DOS, GPT, STANDARD_SCHEME
from bootd.services import nodeset, slotschemes
from bootd.services import slots as service
from bootd.services.notify import poke

if TYPE_CHECKING:
    from bootd.model import Slot
    from bootd.services.slots import Row, Shown

F = TypeVar("F", bound=Callable[..., Any])
COMMON = "@all"  # how people name the scheme of all hosts whose groups have none


def _json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def _dry_run(command: F) -> F:
    return click.option("--dry-run", is_flag=True, help="Only say what would be done.")(command)


def _which(command: F) -> F:
    """Give a command its NODESET and the NUMBER of a slot."""
    command = click.argument("number", type=int, shell_complete=suggest.slot_number)(command)
    return click.argument("nodes", metavar="NODESET", shell_complete=suggest.node_set)(command)


@click.group(epilog=suggest.NODESET_HELP)
def slots() -> None:
    """Slots: what the disks of mesh nodes hold, partition by partition."""


@slots.command("list", epilog=suggest.NODESET_HELP)
@click.argument("nodes", metavar="[NODESET]", required=False, shell_complete=suggest.node_set)
@_json
@pass_site
def list_(site: Site, nodes: str | None, as_json: bool) -> None:
    """List what is in the slots, those together that hold the same."""
    with site.read_store() as store:
        rows = service.contents(store, nodes)
    if as_json:
        print_json([_plain_row(row) for row in rows])
    elif rows:
        fold = cache(nodeset.fold)  # the same nodes come again for other slots
        last_used = f"LAST USED ({zone_name(server_zone())})"
        print_table(
            ("SLOT", "STATE", "IMAGE", "NODES", last_used),
            [
                (
                    nodeset.fold(map(str, row.numbers)),
                    _state(row.state, row.pinned),
                    str(row.image or ""),
                    fold(row.nodes),
                    _when(row.last_used_at),
                )
                for row in rows
            ],
        )
    else:
        click.echo("no host has slots: root nodes boot from LUNs (bootd hosts set NODESET --role mesh)")


def _plain_row(row: "Row") -> dict[str, Any]:
    return {
        "slots": list(row.numbers),
        "state": row.state,
        "image": None if row.image is None else str(row.image),
        "pinned": row.pinned,
        "last_used_at": row.last_used_at,
        "nodes": list(row.nodes),
    }


def _state(state: str, pinned: bool) -> str:
    return f"{state}, pinned" if pinned else state


def _when(at: Any) -> str:
    return "" if at is None else show_instant(at, server_zone())


@slots.command()
@click.argument("node", shell_complete=suggest.host)
@_json
@pass_site
def show(site: Site, node: str, as_json: bool) -> None:
    """Show every slot of a node, and the reservations that count on it."""
    with site.read_store() as store:
        found = service.show(store, node)
    if as_json:
        print_json([_plain_slot(each) for each in found])
        return
    print_table(
        ("SLOT", "DEVICE", "STATE", "IMAGE", f"LAST USED ({zone_name(server_zone())})", "RESERVATIONS"),
        [
            (
                str(each.slot.number),
                each.device,
                _state(each.slot.state, each.slot.pinned),
                str(each.slot.image or ""),
                _when(each.slot.last_used_at),
                ", ".join(map(str, each.reservations)),
            )
            for each in found
        ],
    )


def _plain_slot(each: "Shown") -> dict[str, Any]:
    slot = each.slot
    return {
        "host": slot.host,
        "slot": slot.number,
        "device": each.device,
        "state": slot.state,
        "image": None if slot.image is None else str(slot.image),
        "digest": slot.digest or None,
        "pinned": slot.pinned,
        "last_used_at": slot.last_used_at,
        "reservations": list(each.reservations),
    }


@slots.command(epilog=suggest.NODESET_HELP)
@_which
@_dry_run
@pass_site
def pin(site: Site, nodes: str, number: int, dry_run: bool) -> None:
    """Keep what slot NUMBER of NODESET holds, whatever happens; an empty one stays empty."""
    with site.open_store(make=not dry_run) as store:
        changed = service.pin(store, site.actor, nodes, number, dry_run=dry_run)
    _tell(site, changed, "would pin" if dry_run else "pinned", "it is pinned already")


@slots.command(epilog=suggest.NODESET_HELP)
@_which
@_dry_run
@pass_site
def unpin(site: Site, nodes: str, number: int, dry_run: bool) -> None:
    """Let slot NUMBER of NODESET be overwritten again."""
    with site.open_store(make=not dry_run) as store:
        changed = service.unpin(store, site.actor, nodes, number, dry_run=dry_run)
    _tell(site, changed, "would unpin" if dry_run else "unpinned", "it is not pinned")


@slots.command(epilog=suggest.NODESET_HELP)
@_which
@_dry_run
@pass_site
def wipe(site: Site, nodes: str, number: int, dry_run: bool) -> None:
    """Forget what slot NUMBER of NODESET holds; refused where anybody counts on it.

    Nothing is erased on the disks: bootd takes the slot for empty from then on.
    """
    with site.open_store(make=not dry_run) as store:
        gone = service.wipe(store, site.actor, nodes, number, dry_run=dry_run)
    _tell(site, gone, "would forget what is in" if dry_run else "forgot what was in", "it is empty")


def _tell(site: Site, changed: "Sequence[Slot]", done: str, otherwise: str) -> None:
    """Say which slots were changed, those together that hold the same."""
    poke(site.data_dir)
    if not changed:
        click.echo(f"nothing to do: {otherwise}")
    alike: dict[str, list[Slot]] = {}
    for slot in changed:
        alike.setdefault(str(slot.image or slot.state), []).append(slot)
    for held, found in sorted(alike.items()):
        names = nodeset.fold(slot.host for slot in found)
        click.echo(f"{done} slot {found[0].number} of {names} ({held})")


@slots.group()
def scheme() -> None:
    """Which partitions of which disk are slots, by group of hosts."""


@scheme.command("list")
@_json
@pass_site
def scheme_list(site: Site, as_json: bool) -> None:
    """List the schemes; @all is for hosts whose groups have none."""
    with site.read_store() as store:
        schemes = {"": STANDARD_SCHEME} | dict(store.schemes().by_group)
    found = [schemes[group] for group in sorted(schemes)]
    if as_json:
        print_json([_plain_scheme(each) for each in found])
        return
    print_table(
        ("GROUP", "DISK", "TABLE", "SLOTS", "BOOT", "SWAP", "SPARE", "EACH SLOT"),
        [
            (each.group or COMMON, each.disk, each.label, f"{each.first}-{each.last}", *_sizes(each))
            for each in found
        ],
    )


def _sizes(each: SlotScheme) -> tuple[str, ...]:
    mib = (each.boot_mib, each.swap_mib, each.spare_mib, each.slot_mib)
    return tuple(f"{size} MiB" if size else "equal parts" for size in mib)


def _plain_scheme(each: SlotScheme) -> dict[str, Any]:
    return asdict(each) | {"group": each.group or COMMON}


@scheme.command("set")
@click.argument("group", shell_complete=suggest.group)
@click.option("--disk", metavar="DEVICE", help="/dev/nvme0n1, /dev/sda …")
@click.option("--table", "label", type=click.Choice([DOS, GPT]), help="dos: BIOS machines; gpt: UEFI.")
@click.option("--first", type=int, help="Number of the first partition that is a slot.")
@click.option("--last", type=int, help="Number of the last.")
@click.option("--boot-mib", type=int, help="MiB for GRUB (gpt: the ESP), where a disk is divided anew.")
@click.option("--swap-mib", type=int, help="MiB of swap.")
@click.option("--spare-mib", type=int, help="MiB of the partition kept for other things.")
@click.option("--slot-mib", type=int, help="MiB of each slot; 0: equal parts of what is left.")
@_dry_run
@pass_site
def scheme_set(site: Site, /, group: str, dry_run: bool, **given: Any) -> None:
    """Say which partitions are slots on the hosts of GROUP (@all: of all whose groups have no scheme).

    What is not given stays as it is. Refused while slots that would be lost hold images or are booked.
    """
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("nothing to change: give --disk, --table, --first, --last or a size")
    name = _group(group)
    with site.open_store(make=not dry_run) as store:
        wanted = replace(store.schemes().of((name,)), group=name, **changes)
        slotschemes.set_scheme(store, site.actor, wanted, dry_run=dry_run)
    poke(site.data_dir)
    slots_of = f"{wanted.device(wanted.first)} to {wanted.device(wanted.last)}"
    click.echo(f"{'the slots would be' if dry_run else 'the slots are'} {slots_of} on {group}")


@scheme.command("remove")
@click.argument("group", shell_complete=suggest.slot_scheme)
@_dry_run
@pass_site
def scheme_remove(site: Site, group: str, dry_run: bool) -> None:
    """Forget the scheme of GROUP; refused as set is."""
    with site.open_store(make=not dry_run) as store:
        slotschemes.remove_scheme(store, site.actor, _group(group), dry_run=dry_run)
    poke(site.data_dir)
    click.echo(f"{'would forget' if dry_run else 'forgot'} the slot scheme of {group}")


def _group(text: str) -> str:
    return "" if text == COMMON else text.removeprefix("@")
