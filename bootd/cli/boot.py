"""``bootd boot``: tell machines what to boot."""

from datetime import datetime
from typing import Any

import click

from bootd.boot.decide import Order
from bootd.cli import suggest
from bootd.cli.context import Site, pass_site, print_json
from bootd.clock import utc_now
from bootd.services import orders
from bootd.services.notify import poke
from bootd.services.orders import Ordered, Wish

_WORDS = {
    "once": "{} once",
    "reserved": "{} (reservation)",
    "reserved-waiting": "{} (reservation), once it is there",
    "reserved-failed": "nothing: {} failed (reservation)",
    "assigned": "{}",
    "local-default": "{} (host table)",
    "host-ignored": "nothing: it is left to other servers",
    "nothing-assigned": "nothing: no order",
}


def order_text(order: Order) -> str:
    """Return what a host boots, for people."""
    return _WORDS[order.rule].format(order.target)


@click.command(epilog=suggest.NODESET_HELP)
@click.argument("nodes", metavar="NODESET", shell_complete=suggest.node_set)
@click.argument("target", metavar="memory:NAME|local|default", shell_complete=suggest.target)
@click.option("--once", is_flag=True, help="The next boot only; then as before.")
@click.option("--expires", metavar="TIME", help="With --once: forget it after 90s, 15m, 1h, 2d (default 1h).")
@click.option("--dry-run", is_flag=True, help="Only say what each host boots now and would boot then.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_site
def boot(
    site: Site, nodes: str, target: str, once: bool, expires: str | None, dry_run: bool, as_json: bool
) -> None:
    """Tell the hosts of NODESET what to boot: a memory image, their own disk, or the table's default.

    Nothing is rebooted: it holds from the next time they ask.
    """
    if expires is not None and not once:
        raise click.UsageError("--expires goes with --once")
    lifetime = orders.EXPIRES_AFTER if expires is None else orders.parse_duration(expires)
    wish = Wish(nodes, target, once, lifetime)
    with site.open_store(make=not dry_run) as store:
        made = orders.order(store, site.actor, wish, clock=utc_now, dry_run=dry_run)
    if not dry_run:
        poke(site.data_dir)
    if as_json:
        print_json([_plain(each) for each in made])
        return
    for each in made:
        click.echo(_sentence(each, dry_run))


def _sentence(each: Ordered, dry_run: bool) -> str:
    before, after = order_text(each.before), order_text(each.after)
    if each.expires_at is not None and each.later is not None:
        after += f", until {_time(each.expires_at)}; then {order_text(each.later)}"
    if dry_run:
        return f"{each.host.name}: boots {before}; would boot {after}"
    was = f"  (before: {before})" if each.before != each.after else ""
    return f"{each.host.name}: boots {after}{was}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _plain(each: Ordered) -> dict[str, Any]:
    def order(value: Order) -> dict[str, Any]:
        target = str(value.target) if value.target else None
        return {"rule": value.rule, "target": target, "override": value.override}

    expires_at = each.expires_at.isoformat() if each.expires_at else None
    sides = {"before": order(each.before), "after": order(each.after)}
    sides |= {"later": order(each.later)} if each.later is not None else {}
    return {"host": each.host.name, **sides, "expires_at": expires_at}
