"""``bootd explain``: what would it boot, by which rule, from which facts?"""

import socket
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bootd.cli import suggest
from bootd.cli.context import Site, pass_site, print_json
from bootd.cli.machine import find_machine
from bootd.cli.zone import server_zone
from bootd.clock import utc_now
from bootd.errors import BadValue
from bootd.formats.fields import nearest
from bootd.formats.instants import parse_instant, show_instant, zone_name
from netboot.arch import BY_NAME, Architecture
from netboot.request import Stage

if TYPE_CHECKING:
    from bootd.boot.explain import Explanation
    from bootd.boot.offer import ServerFacts
    from bootd.boot.snapshot import Snapshot

_SHORT = {"bios": "x86-bios", "uefi": "x64-uefi", "http": "x64-uefi-http", "arm64": "arm64-uefi"}
_TIMES = (
    "TIME: '2026-01-05 09:00' (this machine's zone), '2026-01-05 09:00+01:00', "
    "'2026-01-05 09:00 Europe/Berlin', now, or +2h."
)


@click.command(epilog=_TIMES)
@click.argument("machine", metavar="HOST|MAC", shell_complete=suggest.host)
@click.option(
    "--firmware", default="bios", show_default=True, help="bios, uefi, http, arm64, or a name of option 93."
)
@click.option(
    "--stage",
    type=click.Choice([s.value for s in (Stage.ROM, Stage.IPXE, Stage.GPXE)]),
    help="Only this question.",
)
@click.option("--at", "at_text", metavar="TIME", help="As if it were TIME.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_site
def explain(
    site: Site, machine: str, firmware: str, stage: str | None, at_text: str | None, as_json: bool
) -> None:
    """Say what a machine would boot, by which rule, from which facts, with each answer on the way."""
    from bootd.boot import explain as rules

    arch = _architecture(firmware)
    snapshot = _snapshot(site)
    mac, _ = find_machine(machine, snapshot.hosts.get, lambda: snapshot.hosts)
    server = _server(site)
    zone, now = server_zone(), utc_now()
    at = now if at_text is None else parse_instant(at_text, zone, base=now, field="--at").astimezone(UTC)
    found = rules.explain(
        snapshot,
        mac,
        arch,
        at,
        server,
        stage=Stage(stage) if stage else None,
        show_time=lambda each: _time(each, zone),
    )
    script = _script(site, found, server)
    if as_json:
        print_json(_as_json(found, script))
    else:
        _show(found, script, zone)


def _architecture(text: str) -> Architecture:
    name = _SHORT.get(text, text)
    if name not in BY_NAME:
        near = nearest(text, [*_SHORT, *BY_NAME])
        raise BadValue("--firmware", text, f"one of {', '.join(_SHORT)}, or a name of option 93{near}")
    return BY_NAME[name]


def _time(at: datetime, zone: tzinfo) -> str:
    return f"{show_instant(at, zone)} {zone_name(zone)}"


def _snapshot(site: Site) -> "Snapshot":
    """Return the store as the daemon would see it, with the loaders it would find."""
    from bootd.boot.snapshot import Policy
    from bootd.upkeep import loaders_on_disk

    policy = Policy(loaders=loaders_on_disk(site.config), uefi_strategy=site.config["dhcp.uefi"])
    with site.read_store() as store:
        return store.load_snapshot(policy)


def _server(site: Site) -> "ServerFacts":
    """Return how clients reach this server, or 0.0.0.0 where no interface is up here.

    A daemon that runs is asked first: it may live in another network namespace than we.
    """
    from bootd.boot.offer import ServerFacts, http_base
    from bootd.cli.admin import ask
    from bootd.errors import BootdError
    from bootd.listeners.reach import Reach

    config = site.config
    port, address = config["http.port"], config["server.address"]
    if not address:
        served = (ask(site.data_dir, "/api/v1/status") or {}).get("interfaces")
        address = served[0]["address"] if served else ""
    try:
        reach = Reach(
            config["server.interfaces"],
            http_port=port,
            address=address,
            tftp_server=config["tftp.server"],
        )
    except BootdError:
        address = address or "0.0.0.0"
        tftp_server = socket.inet_aton(config["tftp.server"] or address)
        return ServerFacts(address, socket.inet_aton(address), http_base(address, port), tftp_server)
    return reach.facts()[0]


def _script(site: Site, found: "Explanation", server: "ServerFacts") -> str:
    """Return the script at the end of the way, its token left out; "" where there is none."""
    from bootd.boot.decide import BootLocal, BootMemory, Diagnose
    from bootd.boot.render import Renderer, ScriptFacts

    last = found.steps[-1]
    if not isinstance(last.decision, BootMemory | BootLocal | Diagnose):
        return ""
    facts = ScriptFacts(
        base_url=server.http_base,
        arch=found.arch,
        tftp_server=site.config["tftp.server"],
        token="one-time-token",
        loader=site.config.loaders.get(found.arch.name),
        local_helper=_helper(site.data_dir),
    )
    dialect = "gpxe" if last.request.stage is Stage.GPXE else "ipxe"
    return Renderer([site.data_dir / "templates"]).render(last.decision, dialect, facts).text


def _helper(data_dir: Path) -> str | None:
    from bootd.upkeep import HELPER

    return HELPER if (data_dir / "files" / HELPER).exists() else None


def _as_json(found: "Explanation", script: str) -> dict[str, Any]:
    return {
        "host": found.host.name if found.host else None,
        "mac": found.mac,
        "architecture": found.arch.name,
        "at": found.at.isoformat(timespec="seconds"),
        "rule": found.rule,
        "meaning": found.meaning,
        "facts": list(found.facts),
        "steps": [
            {
                "asks": step.asks,
                "stage": step.request.stage.value,
                "rule": step.decision.rule,
                "answer": step.answer,
            }
            for step in found.steps
        ],
        "script": script or None,
    }


def _show(found: "Explanation", script: str, zone: tzinfo) -> None:
    name = found.host.name if found.host else "unknown machine"
    click.echo(f"{name}  {found.mac}  {found.arch.name}  at {_time(found.at, zone)}")
    click.echo(f"  rule    {found.rule}: {found.meaning}")
    for number, fact in enumerate(found.facts):
        click.echo(f"  {'facts' if number == 0 else '':<7} {fact}")
    for number, step in enumerate(found.steps):
        click.echo(f"  {'answer' if number == 0 else '':<7} {step.asks}: {step.answer}")
    if not found.host:
        click.echo(f"  yours?  bootd hosts add NAME --mac {found.mac}")
    for number, line in enumerate(script.rstrip().splitlines()):
        click.echo(f"  {'script' if number == 0 else '':<7} {line}")
