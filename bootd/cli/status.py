"""``bootd status``: how the service and the machines are doing."""

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bootd.cli import lifecycle
from bootd.cli.context import Site, pass_site, print_json
from bootd.cli.zone import server_zone

if TYPE_CHECKING:
    from bootd.model import Observation, Sighting

_RECENT = 2000  # observations looked at for the machines' last deeds
_SHOWN = 12  # rows of each list, without --all


# What was left unanswered or refused: event -> how a row of it begins
_UNANSWERED = {
    "dhcp.ignored": "ignored",
    "packet.dropped": "dropped",
    "tftp.refused": "no file",
    "http.script_refused": "no script",
    "node.report_refused": "no report",
}


@click.command()
@click.option("--all", "show_all", is_flag=True, help="Show every machine, not only the latest.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_site
def status(site: Site, show_all: bool, as_json: bool) -> None:
    """Show whether bootd runs, what is wrong, what machines did last, and who is unknown."""
    from bootd.cli.admin import ask

    service = ask(site.data_dir, "/api/v1/status")
    report = {"service": service} | _from_store(site)
    if as_json:
        print_json(report)
        return
    if service is None:
        click.echo(_why_unheard(site.data_dir / "admin.sock"))
    if not site.has_store:
        click.echo(f"database  not there yet: {site.config.database}")
    _show(report, None if show_all else _SHOWN)


def _why_unheard(socket: Path) -> str:
    if socket.exists() and not os.access(socket, os.R_OK | os.W_OK):
        return "bootd     only root and its own user may ask it how it is: try sudo"
    return "bootd     not running here (start it: bootd serve)"


def _from_store(site: Site) -> dict[str, Any]:
    with site.read_store() as store:
        last: dict[str, Observation] = {}
        for kept in store.observations(limit=_RECENT):
            last[kept.observation.mac] = kept.observation
        now = datetime.now(UTC)
        return {
            "hosts": len(store.hosts()),
            "memory_images": len(store.memory_images()),
            "assigned": len(store.assignments()),
            "once": sum(override.expires_at > now for override in store.overrides()),
            "lifecycle": lifecycle.report(store, now),
            "machines": [_machine(seen) for seen in sorted(last.values(), key=lambda o: o.at, reverse=True)],
            "unknown_machines": [_sighting(sighting) for sighting in store.sightings()],
        }


def _machine(seen: "Observation") -> dict[str, Any]:
    return {
        "host": seen.host,
        "mac": seen.mac,
        "at": seen.at.isoformat(),
        "event": seen.event,
        "text": seen.text,
    }


def _sighting(sighting: "Sighting") -> dict[str, Any]:
    return {
        "mac": sighting.mac,
        "architecture": sighting.arch,
        "first_seen_at": sighting.first_seen_at.isoformat(),
        "last_seen_at": sighting.last_seen_at.isoformat(),
        "questions": sighting.questions,
        "reason": sighting.reason,
    }


def _show(report: Mapping[str, Any], most: int | None) -> None:
    service = report["service"]
    if service is not None:
        since = _ago(service["started_at"])
        click.echo(f"bootd     {service['version']} runs, pid {service['pid']}, started {since}")
        for topic, text in service["problems"].items():
            click.echo(f"problem   {topic}: {text}")
        for name, label in _UNANSWERED.items():
            reasons = service["counts"].get(name, {})
            if reasons:
                row = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
                click.echo(f"{label:<9} {row}")
    click.echo(
        f"hosts     {report['hosts']}, {report['assigned']} assigned, {report['once']} once;"
        f" {report['memory_images']} memory image{'s' if report['memory_images'] != 1 else ''}"
    )
    for title, line in lifecycle.told(report["lifecycle"], server_zone()):
        click.echo(f"{title:<9} {line}")
    _list(
        "machine",
        report["machines"],
        most,
        lambda m: f"{m['host'] or m['mac']:<18} {_ago(m['at']):>14}  {m['text']}",
    )
    _list(
        "unknown",
        report["unknown_machines"],
        most,
        lambda u: (
            f"{u['mac']:<18} {_ago(u['last_seen_at']):>14}  {u['architecture']}, asked {u['questions']} times"
        ),
    )
    if report["unknown_machines"]:
        click.echo("          yours? bootd hosts add NAME --mac MAC")


def _list(title: str, rows: Iterable[Mapping[str, Any]], most: int | None, line: Any) -> None:
    rows = list(rows)
    for row in rows[:most]:
        click.echo(f"{title:<9} {line(row)}")
    if most is not None and len(rows) > most:
        click.echo(f"          … and {len(rows) - most} more (--all)")


def _ago(text: str) -> str:
    """Return how long ago an ISO instant was, in one unit."""
    seconds = max(0, int((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()))
    for unit, size in (("days", 86400), ("hours", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
