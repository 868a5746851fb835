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
