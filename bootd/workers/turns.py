"""Whose turn it is among the nodes of WRITE_SLOT: those that are free begin, the others wait, within bounds.

A node that somebody else has holds up nobody: the job goes on without it, and it has its turn, in a
session of its own, when it is free. What can never be free in time is left out at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from bootd.errors import Refused
from bootd.lifecycle import IllegalMove
from bootd.lifecycle.placement import holds
from bootd.model import DeployedNode, Deployment, DiskImage, JobKind, Outcome
from bootd.services import nodeset, slots
from bootd.services.deployments import deployed, moved, node_moved
from bootd.services.jobs import HELD, hasten
from bootd.services.tasks import WAYS
from bootd.store import Transaction
from bootd.workers import claims, slotimage, unpacking
from bootd.workers.errand import (
    CLOSE,
    TURN,
    UNPACK,
    at_work,
    deployment_of,
    image_of,
    is_unbegun,
    kept,
    waiting,
)
from bootd.workers.gathering import OVERRIDES, ROUND
from bootd.workers.sessions import CALL, SESSION
from bootd.workers.start import NotYet, reservation_of
from bootd.workers.work import Work

FIRST = "first"  # fact: why the first session did not succeed, by node
LOOK_S = 10.0  # between two looks whether nodes are free


def turn(work: Work) -> None:
    """Have the slots of free nodes being written from now on; what the last session left over is left out."""
    deployment, image, nodes = deployment_of(work), image_of(work), waiting(work)
    if not nodes:
        with work.commit(CLOSE):
            pass
        return
    busy = claims.holders(work.store, work.job, nodes, deployment.slot, work.now)
    free = [node for node in nodes if node not in busy]
    following, wait_s = (_following(work, image), 0.0) if free else (TURN, LOOK_S)
    facts = {ROUND: 1, FIRST: {}, SESSION: None, WAYS: {}, OVERRIDES: {}}
    with work.commit(following, wait_s=wait_s, facts=facts, note="" if free else _told(busy)) as change:
        if claims.holders(change, work.job, nodes, deployment.slot, work.now) != busy:
            raise NotYet("other nodes are free now")
        leave_out(work, change, deployment, at_work(work))
        take_orders_back(work, change)
        place(work, change, kept(change, work))
        _wait(work, change, deployment, busy)
        if free:
            _begin(work, change, replace(kept(change, work), digest=image.identity), free)


def _following(work: Work, image: DiskImage) -> str:
    is_packed = not slotimage.is_unpacked_first(image) or unpacking.packed(work) is not None
    return CALL if is_packed else UNPACK


def _told(busy: Mapping[str, str]) -> str:
    names: dict[str, list[str]] = {}
    for node, whom in busy.items():
        names.setdefault(whom, []).append(node)
    return "; ".join(f"{nodeset.fold(nodes)} waits{whom}" for whom, nodes in names.items())


# -- those that wait --------------------------------------------------------------------------


def tend(work: Work, change: Transaction) -> None:
    """Say of those that wait whom they wait for; who has waited too long is left out."""
    if nodes := waiting(work):
        deployment = kept(change, work)
        busy = claims.holders(change, work.job, nodes, deployment.slot, work.now)
        _wait(work, change, deployment, busy)
        for node in nodes:
            if node not in busy:
                work.note_parts(replace(work.part(node), step=HELD, note="is free: its turn comes next"))


def _wait(work: Work, change: Transaction, deployment: Deployment, busy: Mapping[str, str]) -> None:
    """Let *busy* nodes wait, until up_timeout after they began to, or after the reservation did."""
    starts_at = reservation_of(change, work).starts_at
    bound = timedelta(seconds=work.context.settings.up_s)
    for node, whom in busy.items():
        part = work.part(node)
        is_known = part.step == HELD and part.since is not None and part.since <= work.now
        since = part.since if is_known and part.since is not None else work.now
        if work.now >= max(since, starts_at) + bound:
            waited = (work.now - since).total_seconds()
            _give_up(work, change, deployment, node, f"waited {waited:.0f} s{whom}")
        else:
            work.note_parts(replace(part, step=HELD, since=since, note=f"waits{whom}"))


def _give_up(work: Work, change: Transaction, deployment: Deployment, node: str, why: str) -> None:
    """Leave out a node whose slot was not touched."""
    part = work.part(node)
    work.note_parts(replace(part, step=HELD, outcome=Outcome.FAILED, since=work.now, note=why))
    standing = deployed(change, deployment, node)
    if standing.state == "waiting":
        node_moved(change, standing, "fail", note=why, changed_at=work.now)


# -- those that begin -------------------------------------------------------------------------


def _begin(work: Work, change: Transaction, deployment: Deployment, nodes: Sequence[str]) -> None:
    """Have the slot of *nodes* written; those that hold the image already have theirs ready."""
    known = {slot.host: slot for slot in change.slots(nodes) if slot.number == deployment.slot}
    holding = [node for node in nodes if node in known and holds(known[node], deployment.digest)]
    writing = [node for node in nodes if node not in holding]
    refused = _claim(change, deployment, writing)
    if deployment.state == "sched" and len(refused) < len(nodes):
        moved(change, deployment, "deploy-hd", note="")
    schemes = change.schemes()
    for name in nodes:
        host = change.host(name)
        device = schemes.of(host.groups if host is not None else ()).device(deployment.slot or 0)
        node = deployed(change, deployment, name)
        if node.state == "failed":
            node = node_moved(change, node, "retry", note="", changed_at=work.now)
        change.keep(replace(node, device=device, changed_at=work.now))
    note_ready(work, change, holding, "had the image already")
    for name in writing:
        part = replace(work.part(name), step="waiting", since=work.now, tries=0, note="")
        work.note_parts(part)
    for name, why in refused.items():
        _give_up(work, change, deployment, name, why)


def _claim(change: Transaction, deployment: Deployment, nodes: Sequence[str]) -> dict[str, str]:
    """Have the slot of *nodes* being written; return where somebody counts on what it holds, and why."""
    number, image, digest = deployment.slot or 0, deployment.image, deployment.digest
    try:
        slots.begin(change, nodes, number, image, digest)
    except (IllegalMove, Refused) as error:
        if len(nodes) == 1:
            return {nodes[0]: str(error)}
    else:
        return {}
    refused: dict[str, str] = {}
    for node in nodes:
        refused |= _claim(change, deployment, [node])
    return refused


# -- those that are done ----------------------------------------------------------------------


def note_ready(work: Work, change: Transaction, nodes: Iterable[str], note: str) -> None:
    for name in nodes:
        node = change.find(DeployedNode, f"{work.job.deployment}/{name}")
        if node is not None and node.state == "waiting":
            node_moved(change, node, "place", note="", changed_at=work.now)
        part = work.part(name)
        work.note_parts(replace(part, step="ready", outcome=Outcome.OK, since=work.now, rate=0, note=note))


def place(work: Work, change: Transaction, deployment: Deployment) -> None:
    """Let the nodes that have the image start, whatever becomes of the others."""
    if work.nodes(Outcome.OK) and deployment.state == "deploy-hd":
        moved(change, deployment, "written", note="")
        hasten(change, JobKind.START, deployment.reservation, now=work.now)


def leave_out(
    work: Work, change: Transaction, deployment: Deployment | None, nodes: Sequence[str], why: str = ""
) -> None:
    """Let *nodes* have failed: what was begun in their slots is damaged; what was not is as it was."""
    if deployment is not None:
        begun = [node for node in nodes if not is_unbegun(work.part(node))]
        slots.failed(change, _half_written(change, deployment, begun), deployment.slot or 0)
    for name in nodes:
        note = _failed(work, name, why)
        node = change.find(DeployedNode, f"{work.job.deployment}/{name}")
        if node is not None and node.state == "waiting":
            node_moved(change, node, "fail", note=note, changed_at=work.now)


def _half_written(change: Transaction, deployment: Deployment, nodes: Sequence[str]) -> list[str]:
    found = [slot for slot in change.slots(nodes) if slot.number == deployment.slot]
    return [slot.host for slot in found if slot.state == "writing" and slot.image == deployment.image]


def _failed(work: Work, node: str, why: str) -> str:
    """Give the node its outcome; return why: what happened the first time is often what matters."""
    part, first = work.part(node), dict(work.fact(FIRST) or {}).get(node, "")
    last = (why or part.note) if is_unbegun(part) else (part.note or why)
    note = last if first in last else f"{last}; the first time: {first}"
    work.note_parts(replace(part, outcome=Outcome.FAILED, note=note, rate=0))
    return note


def take_orders_back(work: Work, change: Transaction) -> None:
    """Have nobody boot the imager any more for whom it is over."""
    for node, override in dict(work.fact(OVERRIDES) or {}).items():
        change.remove_override(node, override)
