"""``bootd trace``: what did the machine do?"""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from bootd.cli import suggest
from bootd.cli.context import Site, pass_site
from bootd.cli.machine import find_machine
from bootd.errors import NotFound
from bootd.units import size_text

if TYPE_CHECKING:
    from bootd.boot.chain import Boot
    from bootd.model import Observation
    from bootd.store import Store

_LOOK_EVERY_S = 0.1


@click.command()
@click.argument("machine", metavar="HOST|MAC", shell_complete=suggest.host)
@click.option("--follow", "-f", is_flag=True, help="Go on with what it does from now on, until Ctrl-C.")
@click.option(
    "--last", type=click.IntRange(min=1), default=3, show_default=True, help="How many boots to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@pass_site
def trace(site: Site, machine: str, follow: bool, last: int, as_json: bool) -> None:
    """Show each boot of a machine as a chain of steps, with times and sizes."""
    from bootd.boot.chain import boots

    if follow and not site.has_store:
        raise NotFound("database", str(site.config.database), "there is nothing to follow before bootd serve")
    with site.read_store() as store:
        mac, host = find_machine(machine, store.host, lambda: [each.name for each in store.hosts()])
        kept = store.observations(mac=mac, host=host)
        found = boots(row.observation for row in kept)
        if not found and not follow:
            click.echo(f"{machine} has not been heard of", err=True)
        for boot in found[-last:]:
            _show(boot, as_json)
        if follow:
            with suppress(KeyboardInterrupt):  # as --help says: this is how it ends
                _follow(store, mac, host, kept[-1].id if kept else 0, found[-1:], as_json)


def _show(boot: "Boot", as_json: bool) -> None:
    if as_json:
        for step in boot.steps:
            click.echo(_json(step))
        return
    end = "reported in" if boot.has_reported else "no report"
    click.echo(
        f"{boot.host or boot.mac}  {boot.started_at.astimezone():%Y-%m-%d %H:%M:%S}"
        f"  {boot.seconds:.1f} s, {size_text(boot.octets)}, {end}"
    )
    for step in boot.steps:
        click.echo(line((step.at - boot.started_at).total_seconds(), step))


def line(after_s: float, step: "Observation") -> str:
    """Return one step for people: when, what, how much, how long."""
    amount = size_text(step.octets) if step.octets else ""
    took = f"{step.seconds:.2f} s" if step.seconds else ""
    return f"  {after_s:7.2f} s  {amount:>9} {took:>8}  {step.text}"


def _json(step: "Observation") -> str:
    return json.dumps(
        {
            "at": step.at.isoformat(),
            "mac": step.mac,
            "host": step.host,
            "event": step.event,
            "text": step.text,
            "octets": step.octets,
            "seconds": round(step.seconds, 6),
        }
    )


def _follow(
    store: "Store", mac: str, host: str | None, since_id: int, before: "list[Boot]", as_json: bool
) -> None:
    """Print new steps as they are written; the clock starts anew with each boot."""
    from bootd.boot.chain import boots

    steps = list(before[0].steps) if before else []
    for step in _new(store, mac, host, since_id):
        if as_json:
            click.echo(_json(step))
            continue
        steps.append(step)
        boot = boots(steps)[-1]
        steps = list(boot.steps)
        if len(steps) == 1:
            click.echo(f"{boot.host or boot.mac}  {boot.started_at.astimezone():%Y-%m-%d %H:%M:%S}")
        click.echo(line((step.at - boot.started_at).total_seconds(), step))


def _new(store: "Store", mac: str, host: str | None, since_id: int) -> "Iterator[Observation]":
    while True:
        for kept in store.observations(mac=mac, host=host, since_id=since_id):
            since_id = kept.id
            yield kept.observation
        time.sleep(_LOOK_EVERY_S)
