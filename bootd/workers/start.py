"""A reservation begins: its images become what its nodes boot, the nodes are switched and watched coming up.

An image that is late is flipped when it is in its place; its nodes are switched then. That a
node runs is said by the node: a report marks it, here it is waited for. The target's table of sessions
has a say too: a node that is logged in to another clone than its own does not run what it was given.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime

from bootd.drivers.errors import DriverError
from bootd.drivers.lun import Session
from bootd.errors import BootdError, NotFound, Refused
from bootd.lifecycle import RESERVATION
from bootd.model import DeployedNode, Deployment, JobKind, JobPart, Outcome, Reservation
from bootd.services import lunlooks, luns, nodeset, slots
from bootd.services.booking import LIVE
from bootd.services.deployments import OVER, flipped, moved, node_moved
from bootd.services.jobs import OPEN, TO_PLACE
from bootd.store import Reads, Transaction
from bootd.workers import switching
from bootd.workers.lunclones import remove_given_up
from bootd.workers.work import GivenUp, Work

IN_PLACE = ("lun-ready", "hd-ready")
_LATE_S = 10.0  # between two looks for an image that is late
_SOON_S = 2.0  # between two looks for an earlier reservation to end
_FAR_S = 60.0


class Start:
    """See `Handler`."""

    @property
    def steps(self) -> Mapping[str, Callable[[Work], None]]:
        return {"": self._begin, "watch": self._watch}

    def _begin(self, work: Work) -> None:
        """Make the reservation active, and flip what is in its place: one transaction."""
        reservation = reservation_of(work.store, work)
        early_s = (reservation.starts_at - work.now).total_seconds()
        if reservation.state not in LIVE:
            _no_use(work, reservation)
        elif reservation.state == "booked" and early_s > 0:
            with work.commit(wait_s=min(early_s, _FAR_S), note=f"begins at {reservation.starts_at:%F %T %Z}"):
                pass
        elif earlier := _earlier(work.store, reservation):
            with work.commit(wait_s=_SOON_S, note=earlier):
                pass
        else:
            with work.commit("watch") as change:
                self._take_over(work, change)

    def _take_over(self, work: Work, change: Transaction) -> None:
        reservation = reservation_of(change, work)
        if earlier := _earlier(change, reservation):
            raise NotYet(earlier)
        if reservation.state == "booked":
            change.keep(replace(reservation, state=RESERVATION.after(reservation.state, "start")))
        found = change.deployments_of(reservation.id)
        served = {node for deployment in found for node in deployment.nodes}
        for node in work.job.nodes:
            if node not in served:
                work.note_parts(replace(work.part(node), outcome=Outcome.OK, note="was booked without image"))
            elif work.part(node).outcome is not Outcome.OK:
                work.note_parts(_placing(work.part(node), work.now))
        for deployment in _own(work, found):
            _flip(work, change, deployment)

    def _watch(self, work: Work) -> None:
        reservation = reservation_of(work.store, work)
        if reservation.state not in LIVE:
            _no_use(work, reservation)
            return
        found = _own(work, work.store.deployments_of(reservation.id))
        if any(_is_to_flip(deployment) for deployment in found):
            with work.commit() as change:
                for deployment in _own(work, change.deployments_of(reservation.id)):
                    _flip(work, change, deployment)
            return
        for deployment in found:
            _follow(work, deployment)
        up = _running(work.store, found).intersection(work.job.nodes)
        if astray := _astray(work, found, [node for node in up if work.part(node).outcome is not Outcome.OK]):
            with work.commit() as change:
                for standing in astray:
                    node_moved(change, standing, "restart", changed_at=work.now)
            return
        for node in up:
            work.note_parts(replace(work.part(node), outcome=Outcome.OK, note=""))
        if switching.step(work, work.job.nodes, up=up):
            return
        late = [node for node in work.nodes(Outcome.OPEN) if work.part(node).step == TO_PLACE]
        if late:
            with work.commit(
                wait_s=_LATE_S, note=f"the image of {nodeset.fold(late)} is not in its place yet"
            ):
                pass
            return
        doubts = _doubts(work, found)
        gone = remove_given_up(work, {each.group for each in found if each.group is not None})
        with work.finish(
            switching.verdict(work), "; ".join([switching.tally(work, work.job.nodes), *doubts])
        ) as change:
            luns.drop_clones(change, gone)

    def fail(self, work: Work, why: str) -> None:
        for node in work.nodes(Outcome.OPEN):
            work.note_parts(replace(work.part(node), outcome=Outcome.FAILED, note=why))
        with work.finish(switching.verdict(work), why):
            pass

    def cancel(self, work: Work, who: str) -> None:
        with work.finish("cancel", f"taken back by {who}"):
            pass


class NotYet(BootdError):
    """What was so a moment ago is not any more; try again."""

    code = "not-yet"


def reservation_of(reads: Reads, work: Work) -> Reservation:
    """Return the reservation of the job; raises `GivenUp`."""
    found = reads.find(Reservation, work.job.reservation or 0)
    if found is None:
        raise GivenUp(f"there is no reservation {work.job.reservation}")
    return found


def _no_use(work: Work, reservation: Reservation) -> None:
    with work.finish("cancel", f"reservation {reservation.id} is {reservation.state}"):
        pass


def _earlier(reads: Reads, reservation: Reservation) -> str:
    """Return which reservation has nodes of this one still, "" where none has."""
    nodes = set(reservation.nodes)
    for other in reads.reservations_in(("active",)):
        if other.id != reservation.id and (shared := nodes.intersection(other.nodes)):
            return f"reservation {other.id} has not ended yet on {nodeset.fold(shared)}"
    return ""


def _own(work: Work, found: list[Deployment]) -> list[Deployment]:
    """Return the deployments that this job brings up: what was deployed later has a job of its own."""
    if work.job.deployment is not None:
        return [deployment for deployment in found if deployment.id == work.job.deployment]
    left = set(work.nodes(Outcome.OPEN))
    return [each for each in found if each.state in OVER or left.intersection(each.nodes)]


def _placing(part: JobPart, now: datetime) -> JobPart:
    return replace(part, step=TO_PLACE, outcome=Outcome.OPEN, since=now, tries=0, note="")


def _is_to_flip(deployment: Deployment) -> bool:
    return deployment.state in IN_PLACE and deployment.flipped_at is None


def _flip(work: Work, change: Transaction, deployment: Deployment) -> None:
    """From now on the nodes boot the image, and they are to be switched."""
    if deployment.state not in (*IN_PLACE, "run"):
        return
    if _is_to_flip(deployment):
        try:
            if deployment.group is not None:
                luns.activate(change, deployment, now=work.now)
        except (NotFound, Refused) as error:
            luns.release(change, deployment)
            moved(change, deployment, "fail", note=str(error))
            return
        flipped(change, deployment, now=work.now)
    standing = {node.node: node for node in change.deployed_nodes(deployment.id)}
    ready = [n for n in deployment.nodes if n in standing and standing[n].state in ("ready", "running")]
    if deployment.slot is not None:
        slots.used(change, ready, deployment.slot, work.now)
    called = _called_again(change, deployment)
    for node in deployment.nodes:
        part, note = work.part(node), standing[node].note if node in standing else ""
        if node in called:
            continue
        if node not in ready:
            work.note_parts(
                replace(part, outcome=Outcome.FAILED, note=note or "its image is not in its place")
            )
        elif part.outcome is not Outcome.OK and part.step == TO_PLACE:
            work.note_parts(_to_start(change, deployment, part, work.now))


def _called_again(reads: Reads, deployment: Deployment) -> set[str]:
    """Return the nodes with which a first session did not succeed, and whose second is under way."""
    kind, reservation = JobKind.WRITE_SLOT, deployment.reservation
    found = reads.jobs(states=OPEN, kind=kind, reservation=reservation, deployment=deployment.id)
    return {part.node for job in found for part in reads.job_parts(job.id) if part.outcome is Outcome.OPEN}


def _to_start(reads: Reads, deployment: Deployment, part: JobPart, now: datetime) -> JobPart:
    """Return *part* as it is to be switched; who waits in the imager for it needs no switch to be told."""
    begun = switching.begin(part, now)
    return replace(begun, step=switching.RESET) if _is_waiting(reads, deployment, part) else begun


def _is_waiting(reads: Reads, deployment: Deployment, part: JobPart) -> bool:
    """Tell whether the node has told of its slot since this job was there: then it was told to wait."""
    if deployment.slot is None or part.since is None:
        return False
    kind, reservation = JobKind.WRITE_SLOT, deployment.reservation
    for job in reads.jobs(kind=kind, reservation=reservation, deployment=deployment.id, limit=1):
        for told in reads.job_parts(job.id):
            if told.node == part.node and told.outcome is Outcome.OK and told.word_at is not None:
                return told.word_at >= part.since
    return False


def _follow(work: Work, deployment: Deployment) -> None:
    """Let nodes without their image have failed, and take up those that got it by a second try."""
    waiting = [node for node in deployment.nodes if work.part(node).step == TO_PLACE]
    if not waiting:
        return
    standing = {node.node: node for node in work.store.deployed_nodes(deployment.id)}
    for node in waiting:
        part, state = work.part(node), standing[node].state if node in standing else ""
        if deployment.state in OVER:
            work.note_parts(replace(part, outcome=Outcome.FAILED, note=deployment.note or "was taken back"))
        elif deployment.flipped_at is None:
            work.note_parts(part if part.outcome is Outcome.OPEN else _placing(part, work.now))
        elif state == "failed":
            work.note_parts(replace(part, outcome=Outcome.FAILED, note=standing[node].note))
        elif state == "ready":
            work.note_parts(_to_start(work.store, deployment, part, work.now))


def _doubts(work: Work, found: list[Deployment]) -> list[str]:
    """Say which nodes run by their word and are not logged in to their clones; it decides nothing."""
    nodes = _on_luns(work, found, work.job.nodes)
    sessions = _sessions(work) if nodes else None
    doubts = lunlooks.doubts(work.store, nodes, sessions) if sessions is not None else {}
    names = nodeset.fold(doubts)
    return [f"in doubt: {names} not logged in, by the target's table, and said to run"] if doubts else []


def _astray(work: Work, found: list[Deployment], nodes: Collection[str]) -> list[DeployedNode]:
    """Return those of *nodes* that run by their word, and by the target's table from another clone."""
    standing = _on_luns(work, found, nodes)
    return lunlooks.astray(work.store, standing, _sessions(work) or ()) if standing else []


def _on_luns(work: Work, found: list[Deployment], nodes: Collection[str]) -> list[DeployedNode]:
    on_luns = [deployment for deployment in found if deployment.group is not None]
    standing = [node for deployment in on_luns for node in work.store.deployed_nodes(deployment.id)]
    return [node for node in standing if node.node in nodes and node.state == "running"]


def _sessions(work: Work) -> list[Session] | None:
    """Return the target's table; None where it does not tell."""
    try:
        return work.context.luns().sessions()
    except (DriverError, GivenUp):
        return None


def _running(reads: Reads, found: list[Deployment]) -> set[str]:
    booted = [deployment for deployment in found if deployment.flipped_at is not None]
    nodes = [node for deployment in booted for node in reads.deployed_nodes(deployment.id)]
    return {node.node for node in nodes if node.state == "running"}
