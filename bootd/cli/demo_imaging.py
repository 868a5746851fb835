"""``bootd lab demo-imaging``: two images go to two sets of machines at the same time."""

from typing import TYPE_CHECKING

import click

from bootd.cli.context import cache_dir, program
from bootd.cli.demo import aligned, print_console_ends, print_line, root_shell, stage, tell_next

if TYPE_CHECKING:
    from datetime import datetime

    from bootd.lab import Lab
    from bootd.lab.imagingdemo import Told

NAME = "demo-imaging"


@click.command("demo-imaging")
@click.option("--keep", is_flag=True, help="Leave the lab up afterwards.")
@click.option("--timeout", default=600.0, show_default=True, help="Seconds to wait for the machines.")
@click.option("--name", default=NAME, show_default=True, help="The lab's name.")
def demo_imaging(keep: bool, timeout: float, name: str) -> int:
    """Two images by multicast into slots of three machines at the same time; then each boots its slot."""
    from bootd.clock import utc_now
    from bootd.lab import imagingdemo, meshes, needs

    needs.check(disks=True, imaging=True)
    with stage(name, keep=keep) as lab:
        lab.up(config_extra=meshes.CONFIG)
        click.echo("a private network: the site's DHCP server, bootd, and machines with empty disks")
        meshes.furnish(lab, cache=cache_dir(), say=click.echo)
        click.echo()
        told = imagingdemo.tell(lab, print_line(utc_now(), 8), click.echo, patience_s=timeout)
        tell_rows(told)
        if not told.is_whole:
            print_console_ends(lab)
        tell_next(lab, next_after_demo, keep=keep, again="lab demo-imaging", own="lab up --slots")
    return 0 if told.is_whole else 1


def tell_rows(told: "Told") -> None:
    """Print which machine got what by which session, and how long it took."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="From the order to a system that says it runs, started from its slot")
    for heading in ("machine", "image", "session", "slot"):
        table.add_column(heading)
    for heading in ("written", "runs"):
        table.add_column(heading, justify="right")
    for row in told.rows:
        times = (_since(told.began_at, at) for at in (row.written_at, row.ran_at))
        table.add_row(row.node, row.image, row.session, row.device, *times)
    click.echo()
    Console().print(table)


def _since(began_at: "datetime", at: "datetime | None") -> str:
    return f"{(at - began_at).total_seconds():.1f} s" if at is not None else "-"


def next_with_slots(made: "Lab", nodes: list[str]) -> str:
    """Return what to type next in a lab whose machines have empty disks."""
    from bootd.lab.meshes import A

    all_of_them = ",".join(nodes) or "NODE"
    row = (f"{program()} deploy {A} --nodes {all_of_them}", "an image into a free slot of each, and boot it")
    return _next(made, nodes, row)


def next_after_demo(made: "Lab", nodes: list[str]) -> str:
    """Return what to type next where both images are deployed."""
    return _next(made, nodes)


def _next(made: "Lab", nodes: list[str], *first_rows: tuple[str, str]) -> str:
    from bootd.lab.meshes import A, B

    me, first = program(), nodes[0] if nodes else "NODE"
    return aligned(
        *root_shell(),
        (f"export BOOTD_CONFIG={made.config}", "bootd's commands now speak of this lab"),
        *first_rows,
        (f"{me} deploy {B} --nodes {first}", "the other one on one of them; the rest runs on"),
        (f"{me} deploy {A} --nodes {first}", "and back: what a slot holds is not copied again"),
        (f"{me} slots list", "what their disks hold"),
        (f"{me} reservations list", "who has them until when; cancel N gives them back"),
        (f"{me} lab console {first}", "its screen and keyboard; Ctrl-] leaves"),
        (f"{me} lab down --name {made.name}", "take everything away"),
    )
