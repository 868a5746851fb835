"""``bootd explain``: what would it boot, by which rule, from which facts? Now, or at a later time."""

import socket
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
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
from netboot.arch import BY_NAME, Architecture, Firmware
from netboot.request import Stage

if TYPE_CHECKING:
    from bootd.boot.decide import BootDecision
    from bootd.boot.explain import Explanation
    from bootd.boot.forecast import Booking
    from bootd.boot.offer import ServerFacts
    from bootd.boot.snapshot import Snapshot
    from bootd.model import Schemes
    from bootd.store import Reads

_STILL_NOW = timedelta(minutes=1)  # who types the minute that the clock shows means now
_HELPS = {Firmware.BIOS: "bios", Firmware.UEFI: "efi"}  # as `ScriptFacts` calls the two
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
@click.option("--at", "at_text", metavar="TIME", help="At a later TIME, if all goes as planned.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_site
def explain(
    site: Site, machine: str, firmware: str, stage: str | None, at_text: str | None, as_json: bool
) -> None:
    """Say what a machine would boot, by which rule, from which facts, with each answer on the way."""
    from bootd.boot import explain as rules
    from bootd.boot import forecast

    arch = _architecture(firmware)
    zone, now = server_zone(), utc_now()
    at = _instant(at_text, zone, now, machine)
    known = _look(site, machine, at)
    snapshot, name, booking = known.snapshot, known.host, known.booking
    if at > now:
        snapshot = forecast.forecast(snapshot, [booking] if booking else [], known.schemes, at)
    server = _server(site)
    found = rules.explain(
        snapshot,
        known.mac,
        arch,
        at,
        server,
        stage=Stage(stage) if stage else None,
        show_time=lambda each: _time(each, zone),
        booked=forecast.facts(booking, name, lambda each: _time(each, zone)) if booking else (),
    )
    script = _script(site, found, server, is_planned=at > now)
    sure = forecast.how_sure(booking, name) if at > now and name else ""
    if as_json:
        print_json(_as_json(found, script) | {"forecast": sure or None, "reservation": _plain(known)})
    else:
        _show(found, script, zone, sure)


def _instant(text: str | None, zone: tzinfo, now: datetime, machine: str) -> datetime:
    """Return the instant that is asked about; raises `BadValue` for the past.

    What a machine would have booted then depended on records that have changed since.
    """
    if text is None:
        return now
    at = parse_instant(text, zone, base=now, field="--at").astimezone(UTC)
    if at < now - _STILL_NOW:
        past = f"now or later: what was is told by bootd trace {machine}; such as +2h or '2030-01-05 09:00'"
        raise BadValue("--at", text, past)
    return max(at, now)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store says that bears on one machine."""

    snapshot: "Snapshot"
    mac: str
    host: str  # "" where the machine is unknown
    booking: "Booking | None"  # that holds it at the time asked about
    schemes: "Schemes"


def _architecture(text: str) -> Architecture:
    name = _SHORT.get(text, text)
    if name not in BY_NAME:
        near = nearest(text, [*_SHORT, *BY_NAME])
        raise BadValue("--firmware", text, f"one of {', '.join(_SHORT)}, or a name of option 93{near}")
    return BY_NAME[name]


def _time(at: datetime, zone: tzinfo) -> str:
    return f"{show_instant(at, zone)} {zone_name(zone)}"


def _look(site: Site, machine: str, at: datetime) -> _Known:
    """Read the store as the daemon would see it, with the loaders it would find."""
    from bootd.upkeep import loaders_on_disk, policy_of

    policy = policy_of(site.config, loaders_on_disk(site.config))
    with site.read_store() as store:
        snapshot = store.load_snapshot(policy)
        mac, name = find_machine(machine, snapshot.hosts.get, lambda: snapshot.hosts)
        if name is None and mac in snapshot.hosts_by_mac:
            name = snapshot.hosts_by_mac[mac].name
        booking = _booking(store, name, at) if name else None
        return _Known(snapshot, mac, name or "", booking, store.schemes())


def _booking(reads: "Reads", host: str, at: datetime) -> "Booking | None":
    """Return the reservation that has *host* at *at*, with what is known of its images there."""
    from bootd.boot.forecast import Booking, booked_for
    from bootd.model import DeployedNode, LunClone

    there = [Booking(each) for each in reads.reservations_between(at, at + timedelta(seconds=1))]
    found = booked_for(there, host, at)
    if found is None:
        return None
    deployments = tuple(reads.deployments_of(found.reservation.id))
    asked = [reads.find(DeployedNode, f"{each.id}/{host}") for each in deployments]
    nodes = {node.key: node for node in asked if node is not None}
    clones = [reads.find(LunClone, node.volume) for node in nodes.values() if node.volume]
    by_volume = {clone.volume: clone for clone in clones if clone is not None}
    return Booking(found.reservation, deployments, nodes, by_volume)


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


def _script(site: Site, found: "Explanation", server: "ServerFacts", *, is_planned: bool) -> str:
    """Return the script at the end of the way, its token and secret left out; "" where there is none.

    A planned one names the programs for slots that the daemon makes meanwhile.
    """
    from bootd.boot.decide import BootLun, ChainLoader, Silent
    from bootd.boot.render import Renderer, ScriptFacts

    last = found.steps[-1]
    if isinstance(last.decision, ChainLoader | Silent):
        return ""
    if isinstance(last.decision, BootLun) and not last.decision.clone.volume:
        return ""  # it will name a clone that is not made yet
    if last.is_by_dhcp:
        return ""
    facts = ScriptFacts(
        base_url=server.http_base,
        arch=found.arch,
        tftp_server=site.config["tftp.server"],
        token="one-time-token",
        loader=site.config.loaders.get(found.arch.name),
        local_helper=_helper(site.data_dir),
    )
    facts = replace(facts, **_place_facts(site.data_dir, last.decision, is_planned=is_planned))
    dialect = "gpxe" if last.request.stage is Stage.GPXE else "ipxe"
    return Renderer([site.data_dir / "templates"]).render(last.decision, dialect, facts).text


def _helper(data_dir: Path) -> str | None:
    from bootd.programs import HELPER

    return _if_there(data_dir, HELPER)


def _place_facts(data_dir: Path, decision: "BootDecision", *, is_planned: bool) -> dict[str, Any]:
    """Return what a script must know of a slot or a LUN; the secret is not shown to people."""
    from bootd.boot.decide import BootLun, BootSlot
    from bootd.boot.places import Chap, grub_disk, slot_helper

    if isinstance(decision, BootLun):
        return {"chap": Chap(decision.clone.chap_user, "not-shown-here")}
    if not isinstance(decision, BootSlot):
        return {}
    disk = grub_disk(decision.place.device)
    names = {kind: slot_helper(kind, disk, decision.slot) for kind in (Firmware.BIOS, Firmware.UEFI)}
    return {
        f"slot_{_HELPS[kind]}": name if is_planned else _if_there(data_dir, name)
        for kind, name in names.items()
    }


def _if_there(data_dir: Path, name: str) -> str | None:
    return name if (data_dir / "files" / name).exists() else None


def _plain(known: _Known) -> dict[str, Any] | None:
    from bootd.boot.forecast import word

    if known.booking is None:
        return None
    there, deployment = known.booking.reservation, known.booking.deployment_of(known.host)
    facts: dict[str, Any] = {"id": there.id, "project": there.project, "state": there.state}
    facts |= {"starts_at": there.starts_at, "ends_at": there.ends_at}
    if deployment is not None:
        facts |= {"image": str(deployment.image), "deployment": deployment.state, "word": word(deployment)}
        facts |= {"slot": deployment.slot, "group": deployment.group}
        facts |= {"node": known.booking.node(deployment, known.host).state}
    return facts


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


def _show(found: "Explanation", script: str, zone: tzinfo, sure: str) -> None:
    name = found.host.name if found.host else "unknown machine"
    click.echo(f"{name}  {found.mac}  {found.arch.name}  at {_time(found.at, zone)}")
    if sure:
        click.echo(f"  planned {sure}")
    click.echo(f"  rule    {found.rule}: {found.meaning}")
    for number, fact in enumerate(found.facts):
        click.echo(f"  {'facts' if number == 0 else '':<7} {fact}")
    for number, step in enumerate(found.steps):
        click.echo(f"  {'answer' if number == 0 else '':<7} {step.asks}: {step.answer}")
    if not found.host:
        click.echo(f"  yours?  bootd hosts add NAME --mac {found.mac}")
    for number, line in enumerate(script.rstrip().splitlines()):
        click.echo(f"  {'script' if number == 0 else '':<7} {line}")
