"""Jobs: written down, looked at, taken back, tried again; workers do what they say."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from bootd.clock import Clock
from bootd.errors import NotFound, Refused
from bootd.lifecycle import JOB
from bootd.model import Deployment, Job, JobKind, JobPart, Outcome, Reservation
from bootd.services import deployments, nodeset
from bootd.services.booking import LIVE
from bootd.store import Reads, Store, Transaction

OPEN = ("waiting", "running")  # the states of jobs that are not over
OVER = ("done", "partly", "failed", "cancelled")
TO_PLACE = "placing"  # step of a node in a START job: its image is not in its place yet
HELD = "held"  # step of a node in a WRITE_SLOT job: its turn comes when somebody else is done with it

# Facts that others than the handlers read or write
CANCEL = "cancelled_by"  # who wants the job taken back
FAILING = "failing"  # why the job has been given up and is being tidied up after
AT = "at"  # the instant it was made for: the start or end of its reservation, in ISO form
OCTETS = "octets"  # of the image: what lead times are learned from
REPARTITION = "repartition"  # this job may divide disks of another layout
CALLED_AT = "called_at"  # when its nodes were called last, in ISO form
SLOT, IMAGE = "slot", "image"  # of a capture: which slot, and PROJECT/NAME it becomes
THEN_START = "then_start"  # of one that makes clones: its nodes are started anew afterwards
RENEW = "renew"  # of one that makes clones: its nodes have some, which they boot until the new ones are there
GENERATION = "generation"  # of the clones that it makes for its deployment; 1 where it is not named
_OF_THE_ORDER = (AT, OCTETS, REPARTITION, SLOT, IMAGE, THEN_START, RENEW)  # kept by a new try

PLACING = (JobKind.STAGE_LUN, JobKind.WRITE_SLOT)  # bring the image of one deployment to its place
CARRYING = (*PLACING, JobKind.CAPTURE)  # steps of theirs take as long as an image is large


def is_since_call(job: Job, part: JobPart) -> bool:
    """Tell whether the last word of a node is of this call, not of the one before."""
    called_at = job.facts.get(CALLED_AT)
    if part.word_at is None:
        return False
    return not called_at or part.word_at > datetime.fromisoformat(str(called_at))


def add(
    change: Transaction,
    kind: JobKind,
    *,
    by: str,
    now: datetime,
    nodes: Iterable[str] = (),
    reservation: int | None = None,
    deployment: int | None = None,
    facts: Mapping[str, Any] | None = None,
    note: str = "",
) -> Job:
    """Write a job down that is due now, with a part for each of its nodes."""
    told = dict(facts or {})
    if kind is JobKind.STAGE_LUN and deployment is not None:
        told |= _next_generation(change, reservation, deployment)
    job = Job(
        id=change.next_id(Job),
        kind=kind,
        reservation=reservation,
        deployment=deployment,
        nodes=tuple(nodes),
        created_at=now,
        created_by=by,
        due_at=now,
        note=note,
        facts=told,
    )
    change.keep(job)
    change.put_job_parts(JobPart(job.id, node) for node in job.nodes)
    return job


def generation(job: Job) -> int:
    """Return which generation of clones a job makes for its deployment."""
    return int(job.facts.get(GENERATION, 1))


def generations(reads: Reads, reservation: int | None, deployment: int) -> int:
    """Return the last generation of clones that was ever ordered for a deployment; 0: none."""
    kind = JobKind.STAGE_LUN
    found = reads.jobs(kind=kind, reservation=reservation, deployment=deployment)
    return max((generation(job) for job in found), default=0)


def _next_generation(reads: Reads, reservation: int | None, deployment: int) -> dict[str, int]:
    following = generations(reads, reservation, deployment) + 1
    return {GENERATION: following} if following > 1 else {}


def find(reads: Reads, number: int) -> Job:
    """Return a job; raises `NotFound`."""
    job = reads.find(Job, number)
    if job is None:
        raise NotFound("job", str(number), "bootd jobs list --all names them")
    return job


def select(
    reads: Reads, *, over: bool = False, reservation: int | None = None, limit: int = 1000
) -> list[Job]:
    """Return jobs, newest first: those that are not over, with *over* the others too."""
    return reads.jobs(states=() if over else OPEN, reservation=reservation, limit=limit)


def outcomes(reads: Reads, job: Job) -> dict[Outcome, str]:
    """Return the folded set of the job's nodes by outcome; "" where none has it."""
    parts = {part.node: part.outcome for part in reads.job_parts(job.id)}
    sets: dict[Outcome, list[str]] = {outcome: [] for outcome in Outcome}
    for node in job.nodes:
        sets[parts.get(node, Outcome.OPEN)].append(node)
    return {outcome: nodeset.fold(nodes) for outcome, nodes in sets.items()}


def cancel(store: Store, actor: str, number: int, *, clock: Clock) -> Job:
    """Take a job back: at once where nobody has begun, else its worker does so at its next step.

    Raises `NotFound`, and `IllegalMove` for one that is over.
    """
    with store.transaction(actor, "jobs cancel") as change:
        job = find(change, number)
        taken = take_back(change, job, by=actor, now=clock())
        if not taken.ended_at or job.kind not in PLACING:
            return taken
        deployment, note = _deployment(change, job), f"job {job.id} was taken back by {actor}"
        if deployment is not None and deployment.state == "sched":  # else the calendar made the job anew
            deployments.moved(change, deployment, "fail", note=note)
        elif deployment is not None and job.kind is JobKind.STAGE_LUN:
            for node in change.deployed_nodes(deployment.id):
                if node.node in job.nodes and node.state == "waiting":  # for this job's clones
                    deployments.node_moved(change, node, "fail", note=note, changed_at=clock())
    return taken


def take_back(change: Transaction, job: Job, *, by: str, now: datetime) -> Job:
    """Have a job cancelled, on a person's word or because its reservation changed."""
    state = JOB.after(job.state, "cancel")
    if job.state == "waiting":
        facts = {**job.facts, CANCEL: by}
        taken = replace(job, state=state, note=f"taken back by {by}", facts=facts, ended_at=now)
    elif CANCEL in job.facts:
        return job
    else:
        taken = replace(job, facts={**job.facts, CANCEL: by, "tries": 0}, due_at=now)
    change.keep(taken)
    return taken


def hasten(change: Transaction, kind: JobKind, reservation: int, *, now: datetime) -> None:
    """Have open jobs look at once whether what they wait for has come."""
    for job in change.jobs(states=OPEN, kind=kind, reservation=reservation):
        if job.due_at > now:
            change.keep(replace(job, due_at=now))


def retry(store: Store, actor: str, number: int, *, clock: Clock) -> Job:
    """Begin an ended job anew for the nodes that are not in the set ok.

    Raises `NotFound`, `IllegalMove` for one that is done or not over, `Refused` where it has no use.
    """
    with store.transaction(actor, "jobs retry") as change:
        job = find(change, number)
        state = JOB.after(job.state, "retry")
        _check_use(change, job)
        left = [part.node for part in change.job_parts(number) if part.outcome is not Outcome.OK]
        change.put_job_parts(JobPart(number, node) for node in left)
        if job.kind in PLACING:
            _place_again(change, job, left)
        facts = {name: job.facts[name] for name in _OF_THE_ORDER if name in job.facts}
        if job.kind is JobKind.STAGE_LUN and job.deployment is not None:
            facts |= _next_generation(change, job.reservation, job.deployment)
        again = replace(
            job,
            state=state,
            step="",
            note=f"tried again by {actor}",
            due_at=clock(),
            began_at=None,
            ended_at=None,
            facts=facts,
        )
        change.keep(again)
    return again


def _check_use(change: Transaction, job: Job) -> None:
    """Refuse a second job for the same thing, and deeds for a reservation that is over."""
    same = change.jobs(states=OPEN, kind=job.kind, reservation=job.reservation, deployment=job.deployment)
    if job.kind is JobKind.CAPTURE:  # belongs to no reservation
        same = [each for each in same if each.nodes == job.nodes]
    if same:
        raise Refused(f"job {same[0].id} does the same already: bootd jobs follow {same[0].id}")
    reservation = change.find(Reservation, job.reservation) if job.reservation is not None else None
    if job.kind is not JobKind.END and reservation is not None and reservation.state not in LIVE:
        raise Refused(f"reservation {reservation.id} is {reservation.state}: job {job.id} has no use now")
    deployment = _deployment(change, job)
    if job.kind in PLACING and deployment is not None and deployment.state == "dark":
        raise Refused(f"{deployment.image} was taken from its place: job {job.id} has no use now")


def _place_again(change: Transaction, job: Job, nodes: Iterable[str]) -> None:
    """Put the deployment, and those of its nodes that failed, back to where a job begins."""
    deployment = _deployment(change, job)
    if deployment is None:
        return
    if deployment.state == "failed":
        deployments.moved(change, deployment, "retry", note="")
    wanted = frozenset(nodes)
    for node in change.deployed_nodes(deployment.id):
        if node.node in wanted and node.state == "failed":
            deployments.node_moved(change, node, "retry", note="")


def _deployment(reads: Reads, job: Job) -> Deployment | None:
    return reads.find(Deployment, job.deployment) if job.deployment is not None else None
