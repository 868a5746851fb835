"""Each node's clone of one side of a LUN pair: made in batches, exported, removed."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from bootd.drivers.errors import DriverError
from bootd.drivers.lun import Export, LunBackend, LunFull
from bootd.model import DeployedNode, Deployment, JobKind, JobPart, LunClone, LunPair, Outcome
from bootd.services import deployments, jobs, lunneeds, luns
from bootd.services.jobs import RENEW, THEN_START
from bootd.store import Transaction
from bootd.units import size_text
from bootd.workers.work import GivenUp, Work

CLONE = "clone"  # the step
BATCH = 8  # clones that are made before what was done is written down
BATCH_S = 20.0  # or after so long: where volumes are copied octet by octet
MOST_TRIES = 8  # of one node's clone, while the others go on
LONGEST_WAIT_S = 120.0
PLACED = ("lun-ready", "run")  # the deployment's nodes boot it already: only clones that lack are made


def deployment_of(work: Work) -> Deployment:
    """Return the job's deployment; raises `GivenUp` where there is nothing to be done for it."""
    deployment = work.store.find(Deployment, work.job.deployment or 0)
    if deployment is None or deployment.group is None:
        raise GivenUp("there is no such deployment to a LUN")
    if deployment.state not in ("sched", "deploy-lun", *PLACED):
        raise GivenUp(f"the deployment is {deployment.state}")
    return deployment


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be written where."""

    deployment: Deployment
    pair: LunPair
    side: int

    @property
    def volume(self) -> str:
        return self.pair.sides[self.side].volume


def goal_of(work: Work) -> Goal:
    deployment = deployment_of(work)
    pair = luns.named(work.store, str(deployment.group))
    if deployment.side is None:
        raise GivenUp("the deployment has lost its side")
    return Goal(deployment, pair, deployment.side)


def remove_volumes(work: Work | None, backend: LunBackend, volumes: Iterable[str]) -> None:
    """Have *volumes* gone, whoever is logged in; those that are not there are fine."""
    there = {volume.name for volume in backend.volumes()}
    for name in sorted(there.intersection(volumes)):
        backend.unexport(name, force=True)
        backend.delete(name)
        if work is not None:
            work.show()


# -- clones ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Made:
    """What became of one node: a clone that is exported, or why not."""

    node: str
    clone: LunClone | None = None
    export: Export | None = None
    error: DriverError | None = None
    freed: tuple[str, ...] = ()  # its old clones, which went to make room


def clone_step(work: Work) -> None:
    """Make some clones; the last batch ends the job."""
    goal, backend = goal_of(work), work.context.luns()
    secret = _secret(work)
    waiting = [node for node in work.nodes(Outcome.OPEN) if node in goal.deployment.nodes]
    # those that failed already come last, so that one sick node does not hold up the others
    waiting.sort(key=lambda node: work.part(node).tries)
    made: list[_Made] = []
    began_at = work.now
    for node in waiting[:BATCH]:
        made.append(_made(work, backend, goal, node, secret))
        _show_clones(work, len(made))
        if (work.now - began_at).total_seconds() >= BATCH_S:
            break
    if not waiting:
        _finish(work, goal)
        return
    only_errors = all(each.error is not None for each in made)
    tries = max(work.part(each.node).tries for each in made) + 1
    wait_s = min(LONGEST_WAIT_S, 2.0**tries) if only_errors else 0.0
    with work.commit(wait_s=wait_s, note=_first_error(made)) as change:
        for each in made:
            _note(work, change, goal, each)


def _secret(work: Work) -> bytes:
    secret = work.store.secret(luns.SECRET)
    if secret is None:
        with work.commit() as change:
            secret = change.make_secret(luns.SECRET)
    return secret


def _made(work: Work, backend: LunBackend, goal: Goal, node: str, secret: bytes) -> _Made:
    clone = luns.new_clone(
        goal.deployment,
        goal.side,
        node,
        work.context.settings.base_iqn,
        generation=jobs.generation(work.job),
        one_login=backend.one_login_each_machine,
    )
    try:
        backend.clone(goal.volume, clone.volume)
        export = backend.export(clone.volume, clone.initiator, luns.chap_of(secret, clone.chap_user))
    except LunFull as error:
        return _Made(node, error=error, freed=_freed(work, backend, clone))
    except DriverError as error:
        return _Made(node, error=error)
    return _Made(node, clone, export)


def _freed(work: Work, backend: LunBackend, clone: LunClone) -> tuple[str, ...]:
    """Make room for a new clone of a node that is to lose its old one: what it wrote there may fill it all.

    Not where the target knows a machine by one login: a session of the old one might find the new
    one in its place.
    """
    if not work.fact(RENEW) or backend.one_login_each_machine:
        return ()
    own = (clone.deployment, clone.node)
    known = work.store.clones(clone.group, clone.side)
    old = [each.volume for each in known if (each.deployment, each.node) == own]
    remove_volumes(work, backend, old)
    return tuple(old)


def remove_given_up(work: Work, groups: Iterable[str]) -> list[str]:
    """Delete the clones that nodes of the job had before those that they boot now; return what is gone.

    Sessions are ended where the node runs from its new one. What is in use is left to the sweep.
    """
    found = [clone for group in groups for clone in lunneeds.given_up(work.store, group)]
    gone: list[str] = []
    for clone in found:
        if clone.node not in work.job.nodes:
            continue
        has_left = work.part(clone.node).outcome is Outcome.OK
        with suppress(DriverError, GivenUp):
            backend = work.context.luns()
            backend.unexport(clone.volume, force=has_left)
            backend.delete(clone.volume)
            gone.append(clone.volume)
    return gone


def _show_clones(work: Work, more: int) -> None:
    done = len(work.job.nodes) - len(work.nodes(Outcome.OPEN)) + more
    work.show(JobPart(work.job.id, "", step=CLONE, note=f"{done} of {len(work.job.nodes)} clones"))


def _first_error(made: Iterable[_Made]) -> str:
    return next((f"{each.node}: {each.error}" for each in made if each.error is not None), "making clones")


def _note(work: Work, change: Transaction, goal: Goal, made: _Made) -> None:
    """Keep what became of a node."""
    part = replace(work.part(made.node), step=CLONE, since=work.now)
    node = deployments.deployed(change, goal.deployment, made.node)
    if made.clone is not None and made.export is not None:
        kept = luns.keep_clone(change, made.clone, made.export, made_at=work.now)
        if work.fact(RENEW):
            lunneeds.give_up_clones(change, kept, work.now)
        _place(change, node, made.clone.volume, work.now)
        work.note_parts(replace(part, outcome=Outcome.OK, note=""))
        return
    part = replace(part, tries=part.tries + 1, note=str(made.error))
    luns.drop_clones(change, made.freed)
    has_old = bool(work.fact(RENEW) and node.volume) and node.volume not in made.freed
    is_final = made.error is None or made.error.is_permanent or part.tries >= MOST_TRIES
    if is_final and not made.freed:
        part = replace(part, outcome=Outcome.FAILED)
    if (is_final or made.freed) and not has_old:
        node_failed(change, node, part.note, work.now)
    work.note_parts(part)


def _place(change: Transaction, node: DeployedNode, volume: str, now: datetime) -> None:
    if node.state in ("waiting", "failed"):
        deployments.node_moved(change, node, "place", volume=volume, note="", changed_at=now)
    elif node.state == "running":  # from another clone
        deployments.node_moved(change, node, "restart", volume=volume, note="", changed_at=now)
    else:
        change.keep(replace(node, volume=volume, note="", changed_at=now))


def node_failed(change: Transaction, node: DeployedNode, why: str, now: datetime) -> None:
    if node.state == "running":
        node = deployments.node_moved(change, node, "restart")
    if node.state in ("waiting", "ready"):
        deployments.node_moved(change, node, "fail", volume="", note=why, changed_at=now)


def _finish(work: Work, goal: Goal) -> None:
    """Every node has its clone or was given up."""
    failed = [node for node in work.job.nodes if work.part(node).outcome is not Outcome.OK]
    if len(failed) == len(work.job.nodes):
        raise GivenUp(f"no node got its clone: {work.part(failed[0]).note or 'there is none'}")
    note = f"{size_text(goal.pair.size)} on side {luns.SIDES[goal.side]}"
    event = "finish-partly" if failed else "finish"
    with work.finish(event, f"{note}; without {', '.join(failed)}" if failed else note) as change:
        if goal.deployment.state not in PLACED:
            deployments.moved(change, goal.deployment, "staged", note="")
        elif work.fact(THEN_START):
            nodes = work.nodes(Outcome.OK)
            number = goal.deployment.reservation
            jobs.add(
                change, JobKind.START, by=work.job.created_by, now=work.now, nodes=nodes, reservation=number
            )
