"""Where the images of reservations go and how far they are, for ``bootd reservations``."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bootd.formats.instants import show_instant
from bootd.services import nodeset
from bootd.services.deployments import place_text

if TYPE_CHECKING:
    from datetime import tzinfo

    from bootd.model import DeployedNode, Deployment
    from bootd.services.deployments import Plan
    from bootd.store import JournalEntry

States = Mapping[str, "Sequence[DeployedNode]"]  # the nodes of a deployment by their state


def plan_plain(plan: "Plan") -> dict[str, Any]:
    """Return a plan as ``--json`` shows it beside its reservation."""
    return {"deployments": [_plain(each) for each in plan.deployments], "plan": list(plan.notes)}


def tell_plan(plan: "Plan") -> None:
    for note in plan.notes:
        click.echo(f"  {note}")


def deployment_plain(deployment: "Deployment", states: States) -> dict[str, Any]:
    """Return a deployment with its nodes as ``--json`` shows it."""
    nodes = [
        {"node": each.node, "state": state, "note": each.note, "changed_at": each.changed_at}
        for state, found in states.items()
        for each in found
    ]
    return _plain(deployment) | {"nodes": nodes}


def _plain(each: "Deployment") -> dict[str, Any]:
    return {
        "id": each.id,
        "role": str(each.role),
        "image": str(each.image),
        "digest": each.digest,
        "slot": each.slot,
        "group": each.group,
        "state": each.state,
        "flipped_at": each.flipped_at,
        "note": each.note,
        "nodes": list(each.nodes),
    }


def tell_deployment(deployment: "Deployment", states: States, zone: "tzinfo") -> None:
    """Print where an image goes, how far it is, and which of its nodes are how far."""
    since = f", booted since {show_instant(deployment.flipped_at, zone)}" if deployment.flipped_at else ""
    words = [str(deployment.role), str(deployment.image), place_text(deployment)]
    click.echo(f"  {'  '.join(words)}  {deployment.state}{since}")
    if deployment.note:
        click.echo(f"           {deployment.note}")
    for state, found in states.items():
        notes: dict[str, list[str]] = {}
        for each in found:
            notes.setdefault(each.note, []).append(each.node)
        for note, names in notes.items():
            click.echo(f"    {state:<8} {nodeset.fold(names)}{f': {note}' if note else ''}")


def entry_plain(entry: "JournalEntry") -> dict[str, Any]:
    """Return what was done to a reservation or to one of its deployments as ``--json`` shows it."""
    return {
        "at": entry.at,
        "actor": entry.actor,
        "what": entry.what,
        "kind": entry.kind,
        "id": int(entry.key),
        "action": entry.action,
        "state": None if entry.after is None else entry.after["state"],
    }


def entry_text(entry: "JournalEntry") -> str:
    """Return the same in words; "" where it is nothing that people would call a step."""
    who = f"{entry.what or entry.action} by {entry.actor}"
    if entry.kind != "deployment":
        return who
    step = _step(entry.before or {}, entry.after or {})
    return f"{step}  ({who})" if step else ""


def _step(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return what a change of a deployment's row means for its image."""
    if not after:
        return ""
    where = f"slot {after['slot']}" if after["group_name"] is None else f"LUN pair {after['group_name']}"
    what = f"{after['image']}, {where}"
    if before.get("state") != after["state"]:
        why = f": {after['note']}" if after["note"] else ""
        came_from = f"{before['state']} → " if before else ""
        return f"{what}: {came_from}{after['state']}{why}"
    if before.get("flipped_at") != after["flipped_at"]:
        return f"{what}: its nodes boot it from now on"
    if any(before.get(name) != after[name] for name in ("image", "slot", "nodes")):
        return f"{what}: for {nodeset.fold(after['nodes'])} now"
    return ""
