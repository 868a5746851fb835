"""Who has a node, while a job wants to write to a slot of it: a reservation, or another job.

Of two jobs that wait for one node the older one has it first. A job that has its nodes never waits
for others before it gives them back, so that none waits for ever.
"""

from collections.abc import Iterable
from datetime import datetime

from bootd.model import Job, JobKind, JobPart, Outcome
from bootd.services.jobs import CANCEL, FAILING, HELD, OPEN
from bootd.store import Reads
from bootd.workers.errand import TURN

_DOES = {JobKind.WRITE_SLOT: "which writes to it", JobKind.CAPTURE: "which captures a slot of it"}
_SWITCHES = "which switches it"


def holders(reads: Reads, job: Job, nodes: Iterable[str], slot: int | None, now: datetime) -> dict[str, str]:
    """Return who has *nodes* now, as it goes on after "waits"; those that are free for *job* are left out."""
    wanted = set(nodes)
    found = _engaged(reads, job, wanted, slot)
    before = first_in_line(reads, job, wanted - found.keys(), now)
    return found | {node: f" for job {number}, which was there first" for node, number in before.items()}


def first_in_line(reads: Reads, job: Job, nodes: set[str], now: datetime) -> dict[str, int]:
    """Return which older job waits for each of *nodes* and may have it now."""
    found: dict[str, int] = {}
    if not nodes:
        return found
    older = [each for each in reads.jobs(states=OPEN, kind=JobKind.WRITE_SLOT) if each.id < job.id]
    for each in reversed(older):
        shared = _in_line(reads, each, now) & nodes - found.keys()
        if CANCEL in each.facts or FAILING in each.facts or not shared:
            continue
        free = shared - _engaged(reads, each, shared, None).keys()
        found |= dict.fromkeys(sorted(free), each.id)
    return found


def _engaged(reads: Reads, job: Job, wanted: set[str], slot: int | None) -> dict[str, str]:
    """Return who has any of *wanted* at this moment, whoever else waits for them."""
    found: dict[str, str] = {}
    for other in reads.reservations_in(("active",)):
        shared = wanted.intersection(other.nodes)
        if other.id == job.reservation or not shared:
            continue
        booted = {
            node
            for deployment in reads.deployments_of(other.id)
            if slot is not None and deployment.slot == slot and deployment.flipped_at
            for node in deployment.nodes
        }
        for node in sorted(shared):
            boots = f"slot {slot} is booted by" if node in booted else "it is held by"
            found[node] = f": {boots} reservation {other.id}"
    for other_job in reversed(reads.jobs(states=OPEN)):
        for node in sorted(wanted & _busy_with(reads, job, other_job) - found.keys()):
            found[node] = f" for job {other_job.id}, {_DOES.get(other_job.kind, _SWITCHES)}"
    return found


def _busy_with(reads: Reads, job: Job, other: Job) -> set[str]:
    """Return the nodes that *other* is at work on, or has still to switch for another reservation."""
    if other.id == job.id:
        return set()
    if other.kind in _DOES:
        return {part.node for part in _open(reads, other) if part.step != HELD} if other.step else set()
    if other.kind in (JobKind.START, JobKind.END) and other.reservation != job.reservation:
        return {part.node for part in _open(reads, other)}
    return set()


def _in_line(reads: Reads, job: Job, now: datetime) -> set[str]:
    """Return the nodes that *job* has looked for already, or is about to: not while it reads its image."""
    if job.state == "waiting" and job.is_due(now):
        return {part.node for part in _open(reads, job)}
    waits = [part for part in _open(reads, job) if part.step == HELD]
    return {part.node for part in waits if part.since is not None or job.step == TURN}


def _open(reads: Reads, job: Job) -> list[JobPart]:
    return [part for part in reads.job_parts(job.id) if part.node and part.outcome is Outcome.OPEN]
