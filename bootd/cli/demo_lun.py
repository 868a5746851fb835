"""``bootd lab demo-lun``: root nodes boot from LUNs, change to the next image, and go back."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from bootd.cli.context import cache_dir, program
from bootd.cli.demo import aligned, print_console_ends, print_line, root_shell, stage, tell_next

if TYPE_CHECKING:
    from bootd.lab import Lab
    from bootd.lab.lundemo import Told

NAME = "demo-lun"


@click.command("demo-lun")
@click.option("--keep", is_flag=True, help="Leave the lab up afterwards.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds to wait for each change.")
@click.option("--name", default=NAME, show_default=True, help="The lab's name.")
def demo_lun(keep: bool, timeout: float, name: str) -> int:
    """Root nodes without disks, BIOS and UEFI: booked, booted from their clones, flipped, rolled back."""
    from bootd.clock import utc_now
    from bootd.lab import lundemo, needs, roots

    needs.check(luns=True, disks=True)
    with stage(name, keep=keep) as lab:
        lab.up(luns=True)
        click.echo(
            "a private network: the site's DHCP server, bootd, and an iSCSI target that bootd keeps LUNs on"
        )
        roots.furnish(lab, roots.NODES, cache=cache_dir(), say=click.echo, chained=roots.CHAINED)
        told = lundemo.tell(lab, print_line(utc_now()), click.echo, patience_s=timeout)
        tell_times(told)
        tell_clones(told)
        if not told.is_whole:
            print_console_ends(lab)
        tell_next(lab, next_with_luns, keep=keep, again="lab demo-lun", own="lab up --luns")
    return 0 if told.is_whole else 1


def tell_times(told: "Told") -> None:
    """Print how long each machine took, chapter by chapter."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="From the order to a system that says it runs, its root file system on its own clone")
    table.add_column("machine")
    for chapter in told.chapters:
        table.add_column(f"{chapter.title}: {chapter.image}", justify="right")
    for node in told.chapters[0].ran_at if told.chapters else ():
        taken = [chapter.seconds(node) for chapter in told.chapters]
        table.add_row(node, *(f"{each:.1f} s" if each is not None else "-" for each in taken))
    click.echo()
    Console().print(table)
    if told.staging_s is not None:
        click.echo(f"the next image was staged in {told.staging_s:.1f} s, while the nodes ran")


def tell_clones(told: "Told") -> None:
    """Print who was logged in to what in the end."""
    from bootd.cli.tables import print_table
    from bootd.units import size_text

    rows = [
        (
            each.node,
            each.side,
            each.volume,
            _sessions(each.sessions),
            size_text(each.written) if each.written is not None else "not known",
        )
        for each in told.clones
    ]
    if rows:
        click.echo("\nwho is logged in to what, by the target itself:")
        print_table(("NODE", "SIDE", "CLONE", "LOGGED IN", "WRITTEN"), rows)


def _sessions(sessions: tuple[str, ...]) -> str:
    """Say who is logged in: one that was reset, and iPXE when the system takes over, leave theirs behind."""
    counts = Counter(sessions)
    words = [who if count == 1 else f"{who} ({count} sessions)" for who, count in counts.items()]
    return ", ".join(words) or "nobody"


def next_with_luns(made: "Lab", nodes: list[str]) -> str:
    """Return what to type next in a lab whose machines are root nodes."""
    from bootd.lab.roots import GROUP, PROJECT, A, B

    me, first = program(), nodes[0] if nodes else "NODE"
    book = f"{me} reservations add {PROJECT} --nodes {','.join(nodes) or first}"
    return aligned(
        *root_shell(),
        (f"export BOOTD_CONFIG={made.config}", "bootd's commands now speak of this lab"),
        (f"{book} --start now --end +2h --image {A}", "they are switched on and boot it"),
        (f"{book} --start +2h --end +1h --image {B}", "the next image, staged meanwhile"),
        (f"{me} luns flip {GROUP}", "the next image now; rollback brings the last one back"),
        (f"{me} luns show {GROUP}", "the pair, its bookings, its clones"),
        (f"{me} lab console {first}", "its screen and keyboard; Ctrl-] leaves"),
        (f"{me} lab down --name {made.name}", "take everything away"),
    )
