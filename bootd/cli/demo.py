"""``bootd lab demo``: two machines boot over the network while you watch."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from bootd.cli.context import cache_dir, program

if TYPE_CHECKING:
    from datetime import datetime

    from bootd.lab import Lab
    from bootd.lab.demo import Outcome
    from bootd.lab.story import Line, Show
    from bootd.model import Observation

NAME = "demo"


@click.command()
@click.option("--keep", is_flag=True, help="Leave the lab up afterwards.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds to wait for the machines.")
@click.option("--name", default=NAME, show_default=True, help="The lab's name.")
def demo(keep: bool, timeout: float, name: str) -> int:
    """Boot a BIOS and a UEFI machine over the network. Each step has its time and bytes."""
    from bootd.lab import needs
    from bootd.lab.demo import NODES, SETTINGS, boot_and_watch, furnish

    needs.check()
    names = [spec.name for spec in NODES]
    with stage(name, keep=keep) as lab:
        lab.up()
        click.echo(
            "a private network: the site's DHCP server (which knows nothing of booting), bootd beside it"
        )
        furnish(lab, NODES, cache=cache_dir(), say=click.echo, settings=SETTINGS)
        lab.bootd("boot", ",".join(names), "memory:hello")
        click.echo("both are to boot memory:hello; pressing their buttons now\n")
        outcome = boot_and_watch(lab, names, print_step(names), patience_s=timeout)
        arrived = outcome.all_arrived
        _print_summary(outcome)
        if not arrived:
            print_troubles(lab, outcome)
        rows = ((f"{program()} serve", "on this machine's own network"),)
        tell_next(lab, next_commands, keep=keep, again="lab demo", own="lab up", more=rows)
    return 0 if arrived else 1


@contextmanager
def stage(name: str, *, keep: bool) -> "Iterator[Lab]":
    """Give a lab for a demonstration, not up yet; afterwards, or when a signal ends us, take it down."""
    tear_down_on_signals()
    lab = fresh_lab(name)
    try:
        yield lab
    except BaseException:
        if keep:
            click.echo(f"\nthe lab stays up; to end it: {program()} lab down --name {name}", err=True)
        raise
    finally:
        if not keep:
            lab.down()


def tell_next(
    lab: "Lab",
    kept: "Callable[[Lab, list[str]], str]",
    *,
    keep: bool,
    again: str,
    own: str,
    more: Sequence[tuple[str, str]] = (),
) -> None:
    """Say what to type next: *kept* tells it of a lab that stays up; *again* and *own* are commands."""
    click.echo("\nTo try next:")
    if keep:
        click.echo(kept(lab, list(lab.state().nodes)))
        return
    me = program()
    rows = (
        (f"{me} {again} --keep", "the same, and the lab stays up"),
        (f"{me} {own}", "a lab of your own; it prints how to go on"),
    )
    click.echo(aligned(*root_shell(), *rows, *more))


def fresh_lab(name: str) -> "Lab":
    """Return the lab *name*, not up; one that an earlier run left behind is taken down."""
    from bootd.lab import Lab, LabError

    lab = Lab(name)
    if lab.maker is not None:
        raise LabError(
            f"the lab {name!r} is in use by process {lab.maker.pid}: wait for it, or choose another --name"
        )
    if lab.run.path.exists() or lab.network.exists:
        click.echo(f"taking down the lab {name!r} of an earlier run")
        lab.down()
    return lab


def print_step(names: list[str]) -> "Callable[[Observation, datetime], None]":
    """Return what prints a step of one of *names*."""
    from bootd.lab.chain import format_step

    width = max(map(len, names))
    return lambda step, powered_at: click.echo(format_step(step, powered_at, width))


def print_line(began_at: "datetime", width: int = 5) -> "Show":
    """Return what prints a line with the seconds since *began_at*."""

    def show(line: "Line") -> None:
        click.echo(f"{(line.at - began_at).total_seconds():6.1f} s  {line.who:<{width}}  {line.text}")

    return show


def print_console_ends(lab: "Lab") -> None:
    click.echo("\nnot everything came to its end. The jobs:")
    click.echo(lab.bootd("jobs", "list", "--all", check=False).stdout)
    for node in lab.state().nodes:
        click.echo(f"console of {node} ends with:\n{lab.console(node).tail()}\n")


def print_troubles(lab: "Lab", outcome: "Outcome") -> None:
    """Tell of each machine that did not arrive what bootd heard of it and what its console says."""
    for summary in outcome.summaries:
        if not summary.arrived:
            trace = lab.bootd("trace", summary.node, check=False)
            click.echo(
                f"\n{summary.node} did not report in. What bootd heard of it:\n{trace.stdout or '(nothing)'}"
            )
            click.echo(f"Its console ends with:\n{lab.console(summary.node).tail()}")


def _print_summary(outcome: "Outcome") -> None:
    from rich.console import Console
    from rich.table import Table

    from bootd.units import size_text

    table = Table(title="From power-on to a shell that reports in")
    table.add_column("machine")
    for heading in ("time", "by TFTP", "by HTTP"):
        table.add_column(heading, justify="right")
    table.add_column("reported in")
    for row in outcome.summaries:
        took = f"{row.seconds:.1f} s" if row.seconds is not None else "-"
        sizes = size_text(row.tftp_octets), size_text(row.http_octets)
        table.add_row(row.node, took, *sizes, "yes" if row.arrived else "no")
    click.echo()
    Console().print(table)


def tear_down_on_signals() -> None:
    """Make SIGTERM and SIGHUP leave by an exception, so that nothing of the lab stays behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(128 + got))


def next_commands(made: "Lab", nodes: list[str]) -> str:
    """Return what to type next in a lab that is up."""
    me, first = program(), nodes[0] if nodes else "NODE"
    return aligned(
        *root_shell(),
        (f"export BOOTD_CONFIG={made.config}", "bootd's commands now speak of this lab"),
        (f"{me} boot {','.join(nodes) or first} memory:hello", "decide what they boot"),
        (f"{me} explain {first}", "and why"),
        (f"{me} lab boot {' '.join(nodes) or first} --follow", "press the buttons and watch"),
        (f"{me} lab console {first}", "its screen and keyboard; Ctrl-] leaves"),
        (f"{me} trace {first}", "what it did"),
        (f"{me} lab down --name {made.name}", "take everything away"),
    )


def root_shell() -> tuple[tuple[str, str], ...]:
    """Return the row for people who came by sudo: it would not pass $BOOTD_CONFIG on."""
    return (
        (("sudo -s", "the lab belongs to root, and so do its commands"),) if "SUDO_USER" in os.environ else ()
    )


def aligned(*rows: tuple[str, str]) -> str:
    width = max(len(command) for command, _ in rows)
    return "\n".join(f"  {command:<{width}}  # {why}" for command, why in rows)
