"""``bootd lab``: the virtual lab."""

from typing import TYPE_CHECKING, Any

import click

from bootd.cli import suggest
from bootd.cli.context import cache_dir, print_json, program
from bootd.cli.demo import demo, next_commands, tear_down_on_signals
from bootd.cli.demo_imaging import demo_imaging, next_with_slots
from bootd.cli.demo_lun import demo_lun, next_with_luns

if TYPE_CHECKING:
    from bootd.lab import Lab

DEFAULT_NAME = "lab"
DEFAULT_NODES = "bios1:bios,uefi1:uefi"


@click.group()
def lab() -> None:
    """The virtual lab: QEMU machines, a site network and bootd, in namespaces of their own (root)."""


lab.add_command(demo)
lab.add_command(demo_lun)
lab.add_command(demo_imaging)

_name = click.option("--name", help="Which lab (default: the one there is, else 'lab').")


def _lab(name: str | None) -> "Lab":
    """Return the lab *name*, or the only one there is."""
    from bootd.lab import Lab, labs

    there = labs()
    return Lab(name or (there[0] if len(there) == 1 else DEFAULT_NAME))


@lab.command()
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Its name; several labs may be up.")
@click.option("--nodes", default=DEFAULT_NODES, show_default=True, metavar="NAME:KIND,…",
              help="Machines: bios, bios-e1000, uefi or uefi-http.")  # fmt: skip
@click.option("--loss", type=click.FloatRange(0, 90), default=0.0, help="Percent of frames to lose.")
@click.option("--luns", is_flag=True, help="The machines have no disk and boot from LUNs, with two images.")
@click.option("--slots", is_flag=True, help="The machines have empty disks for slots, with two images.")
def up(name: str, nodes: str, loss: float, luns: bool, slots: bool) -> None:
    """Put a lab up: network, bootd, an image, machines (off)."""
    from bootd.lab import Lab, meshes, needs, roots
    from bootd.lab.demo import furnish
    from bootd.lab.machines import parse_spec

    if luns and slots:
        raise click.UsageError("--luns takes the disks away that --slots would be on: one of them")
    specs = [parse_spec(text) for text in nodes.split(",") if text]
    tear_down_on_signals()
    needs.check(loss=loss > 0, luns=luns, disks=luns or slots, imaging=slots)
    made = Lab(name, loss=loss).up(luns=luns, config_extra=meshes.CONFIG if slots else "")
    try:
        if slots:
            meshes.furnish(made, specs, cache=cache_dir(), say=click.echo)
        elif luns:
            roots.furnish(made, specs, cache=cache_dir(), say=click.echo)
        else:
            furnish(made, specs, cache=cache_dir(), say=click.echo)
    except BaseException:
        made.down()
        raise
    tell_next = next_with_slots if slots else next_with_luns if luns else next_commands
    click.echo("\nTo try next:\n" + tell_next(made, [spec.name for spec in specs]))


@lab.command()
@_name
@click.option("--all", "everything", is_flag=True, help="Every lab there is.")
def down(name: str | None, everything: bool) -> None:
    """Take a lab down: machines, servers, namespaces, files. Also one whose maker was killed."""
    from bootd.lab import Lab, labs
    from bootd.lab.needs import check_root

    check_root()
    for each in [Lab(found) for found in labs()] if everything else [_lab(name)]:
        was_there = each.run.path.exists() or each.network.exists
        each.down()
        click.echo(f"{each.name}: {'down' if was_there else 'there was nothing to take down'}")


@lab.command()
@_name
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(name: str | None, as_json: bool) -> None:
    """Show the labs, their servers and machines."""
    from bootd.lab import Lab, labs
    from bootd.lab.needs import check_root

    wanted = [name] if name else labs()
    if wanted:
        check_root()
    found = [_status(Lab(each)) for each in wanted]
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo(f"no lab is up; start one: {program()} lab up")
    for row in found:
        click.echo(f"{row['name']}: {_servers(row)}, BOOTD_CONFIG={row['config']}")
        for node in row["nodes"]:
            click.echo("  {name:<12} {kind:<11} {mac}  {power:<8} {console_log}".format(**node))


def _servers(row: dict[str, Any]) -> str:
    words = [f"{name} {state}" for name, state in row["servers"].items()]
    return ", ".join([*words, f"{row['loss']:g} % of frames lost"] if row["loss"] else words) or "no servers"


def _status(each: "Lab") -> dict[str, Any]:
    state = each.state()
    return {
        "name": each.name,
        "config": str(each.config),
        "loss": state.loss,
        "servers": {name: "running" if process.alive else "gone" for name, process in state.servers.items()},
        "nodes": [
            {
                "name": name,
                "kind": str(node.spec.kind),
                "mac": node.spec.mac,
                "power": each.power(name),
                "console_log": str(each.places(name).console_log),
            }
            for name, node in state.nodes.items()
        ],
    }


@lab.command()
@click.argument("nodes", nargs=-1, required=True, metavar="NODE...", shell_complete=suggest.lab_node)
@_name
@click.option("--follow", is_flag=True, help="Show each step until they report in.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds to follow.")
def boot(nodes: tuple[str, ...], name: str | None, follow: bool, timeout: float) -> int:
    """Power NODE… on, or reset those that are on."""
    from bootd.cli.demo import print_step, print_troubles
    from bootd.lab.demo import boot_and_watch
    from bootd.lab.needs import check_root

    each = _lab(name)
    names = [part for word in nodes for part in word.split(",") if part]
    for node in names:
        each.node(node)  # all of them are there before the first is touched
    check_root()
    if not follow:
        for node in names:
            each.boot(node)
            click.echo(f"{node}: starting; to watch: {program()} lab console {node}")
        return 0
    outcome = boot_and_watch(each, names, print_step(names), patience_s=timeout)
    if not outcome.all_arrived:
        print_troubles(each, outcome)
        return 1
    return 0


@lab.command()
@click.argument("node", shell_complete=suggest.lab_node)
@_name
@click.option("--log", "only_log", is_flag=True, help="Print what it wrote so far and end.")
def console(node: str, name: str | None, only_log: bool) -> None:
    """Join this terminal to NODE's serial console; Ctrl-] leaves it."""
    from bootd.lab.console import attach, read_log
    from bootd.lab.needs import check_root

    each = _lab(name)
    places = each.places(each.node(node).spec.name)
    check_root()
    if only_log:
        click.echo(read_log(places.console_log))
        return
    click.echo(f"console of {node}; Ctrl-] leaves", err=True)
    attach(places.console)
