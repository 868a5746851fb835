"""A reservation is over: its images leave their places, its nodes go back to their default, its clones go.

Sessions of nodes that were switched are ended with their clones: nobody is behind them any more. A clone
that a node is logged in to which was not is left to the sweep, and named, whoever should have switched it.
What slots hold stays there as a cache. A node that the next reservation boots is left to that
one's START: it is switched once, and its old clone goes when it is up.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bootd.drivers.errors import DriverError
from bootd.drivers.lun import LunBusy
from bootd.lifecycle import RESERVATION
from bootd.model import Deployment, Job, JobKind, Outcome, Reservation
from bootd.services import luns, slots
from bootd.services.deployments import moved
from bootd.services.jobs import OPEN, take_back
from bootd.store import Reads, Transaction
from bootd.workers import switching
from bootd.workers.start import IN_PLACE, reservation_of
from bootd.workers.switching import FORCED
from bootd.workers.work import ACTOR, Work

_SOON = timedelta(seconds=120)  # a reservation that begins by then, or should have, may take nodes over
_POLL_S = 2.0
_FRESH = "fresh"  # fact: this job ended the reservation, so nobody came in between
_CLEAR_AT = "clear_at"  # fact: since when clones could go
_HANDED = "handed"  # step of a node that another reservation switches


class End:
    """See `Handler`."""

    @property
    def steps(self) -> Mapping[str, Callable[[Work], None]]:
        return {"": self._begin, "switch": self._switch, "clear": self._clear}

    def _begin(self, work: Work) -> None:
        """Take the images from their places: one transaction."""
        reservation = reservation_of(work.store, work)
        goes_on = reservation.state == "active" and reservation.ends_at > work.now
        if goes_on or reservation.state == "booked":
            with work.finish("cancel", f"reservation {reservation.id} is {reservation.state}"):
                pass
        elif _other_jobs(work.store, work):
            with work.commit(wait_s=_POLL_S, note="other jobs of the reservation are taken back") as change:
                for job in _other_jobs(change, work):
                    take_back(change, job, by=f"{ACTOR}: its reservation is over", now=work.now)
        else:
            facts = {_FRESH: reservation.state == "active"}
            with work.commit("switch", facts=facts) as change:
                self._take_out(work, change, reservation)

    def _take_out(self, work: Work, change: Transaction, reservation: Reservation) -> None:
        found = change.deployments_of(reservation.id)
        if reservation.state == "active":
            event = "end" if not found or _ever_ran(change, found) else "fail"
            change.keep(replace(reservation, state=RESERVATION.after(reservation.state, event)))
        told: set[str] = set()
        for deployment in found:
            nodes = change.deployed_nodes(deployment.id)
            ready = [node.node for node in nodes if node.state in ("ready", "running")]
            if deployment.flipped_at is not None:
                told.update(ready)
            if deployment.slot is not None and deployment.flipped_at is not None:
                slots.used(change, ready, deployment.slot, work.now)
            if _may_run_another(deployment, reservation):
                told.update(node.node for node in nodes)
            _to_dark(change, deployment)
        for node in work.job.nodes:
            part = work.part(node)
            if node in told and part.outcome is not Outcome.OK:
                work.note_parts(switching.begin(part, work.now, FORCED))
            elif node not in told:
                work.note_parts(replace(part, outcome=Outcome.OK, note="booted nothing of it"))

    def _switch(self, work: Work) -> None:
        """Reset who boots nothing of another reservation now."""
        reservation = reservation_of(work.store, work)
        queue = [node for node in work.job.nodes if work.part(node).step == switching.QUEUED]
        held: set[str] = set()
        for node, other, is_sure in _claims(work, reservation, set(queue)):
            if not is_sure:
                held.add(node)
            else:
                note = f"reservation {other.id} has it now"
                work.note_parts(replace(work.part(node), step=_HANDED, outcome=Outcome.OK, note=note))
        if switching.step(work, work.job.nodes, held=held, manner=FORCED):
            return
        for node in work.nodes(Outcome.OPEN):
            is_done = work.part(node).step in switching.SWITCHED
            outcome = Outcome.OK if is_done else Outcome.FAILED
            work.note_parts(replace(work.part(node), outcome=outcome))
        with work.commit("clear", facts={_CLEAR_AT: work.now.isoformat()}):
            pass

    def _clear(self, work: Work) -> None:
        """Delete the clones, but not from under a node that is being shut down."""
        since = datetime.fromisoformat(str(work.fact(_CLEAR_AT)))
        patience = timedelta(seconds=3 * work.context.settings.up_s)
        if since <= work.now < since + patience and any(_is_leaving(work, node) for node in work.job.nodes):
            with work.commit(
                wait_s=switching.POLL_S, note="its nodes are on their way to what they boot next"
            ):
                pass
            return
        volumes = _volumes(work)
        problems = _delete(work, volumes)
        for volume, error in problems.items():
            if isinstance(error, LunBusy):
                _left_behind(work, volumes[volume].node, error)
        note = "; ".join([switching.tally(work, work.job.nodes), *map(str, problems.values())])
        with work.finish(switching.verdict(work), note) as change:
            luns.drop_clones(change, [volume for volume in volumes if volume not in problems])

    def fail(self, work: Work, why: str) -> None:
        """What can be given back is: the reservation is over whatever becomes of its nodes."""
        reservation = work.store.find(Reservation, work.job.reservation or 0)
        for node in work.nodes(Outcome.OPEN):
            work.note_parts(replace(work.part(node), outcome=Outcome.FAILED, note=why))
        with work.finish(switching.verdict(work), why) as change:
            if reservation is not None and work.job.step == "" and reservation.state == "active":
                self._take_out(work, change, reservation)

    def cancel(self, work: Work, who: str) -> None:
        with work.finish("cancel", f"taken back by {who}"):
            pass


def _other_jobs(reads: Reads, work: Work) -> list[Job]:
    found = reads.jobs(states=OPEN, reservation=work.job.reservation)
    return [job for job in found if job.id != work.job.id and job.kind is not JobKind.END]


def _ever_ran(reads: Reads, found: list[Deployment]) -> bool:
    """Tell whether any node ran its image: now, or when the reservation began."""
    if any(deployment.state == "run" for deployment in found):
        return True
    nodes = [node for deployment in found for node in reads.deployed_nodes(deployment.id)]
    if any(node.state == "running" for node in nodes):
        return True
    starts = reads.jobs(kind=JobKind.START, reservation=found[0].reservation)
    parts = [part for job in starts for part in reads.job_parts(job.id)]
    return any(part.outcome is Outcome.OK and part.step for part in parts)


def _may_run_another(deployment: Deployment, reservation: Reservation) -> bool:
    """Tell whether who was left out may still run ours: the imager, or its clone before a flip."""
    is_mesh = deployment.slot is not None
    return reservation.state == "active" if is_mesh else deployment.flipped_at is not None


def _to_dark(change: Transaction, deployment: Deployment) -> None:
    if deployment.state in ("deploy-lun", "deploy-hd"):
        moved(change, deployment, "abandon")
    elif deployment.state not in ("dark", "failed"):
        moved(change, deployment, "remove")
    luns.release(change, deployment)


def _claims(work: Work, reservation: Reservation, nodes: set[str]) -> Iterator[tuple[str, Reservation, bool]]:
    """Yield the nodes that another reservation has or is about to take, and whether it is sure to."""
    now = work.now
    patience = max(work.job.began_at or now, reservation.ends_at) + _SOON
    for other in work.store.reservations_in(("active", "booked"), starts_before=now + _SOON):
        shared = nodes.intersection(other.nodes)
        if other.id == reservation.id or not shared:
            continue
        if other.state == "active" and not work.fact(_FRESH):
            yield from ((node, other, True) for node in shared)
            continue
        for deployment in work.store.deployments_of(other.id):
            is_sure = other.state == "active" and deployment.flipped_at is not None
            if is_sure or now < patience:
                yield from ((node, other, is_sure) for node in _ready_on(work.store, deployment, shared))


def _ready_on(reads: Reads, deployment: Deployment, nodes: set[str]) -> list[str]:
    """Return those of *nodes* that boot it next. One that is late is not waited for: it waits for us."""
    if deployment.state not in (*IN_PLACE, "run"):
        return []
    found = reads.deployed_nodes(deployment.id)
    return [each.node for each in found if each.node in nodes and each.state in ("ready", "running")]


def _is_leaving(work: Work, node: str) -> bool:
    """Tell whether a node that was handed over may still run what this reservation gave it."""
    if work.part(node).step != _HANDED:
        return False
    parts = [part for part in work.store.open_parts_of(node) if part.outcome is Outcome.OPEN]
    others = [work.store.find(Job, part.job) for part in parts]
    return any(job is not None and job.kind is JobKind.START for job in others)


@dataclass(frozen=True, slots=True)
class _Mine:
    """A clone of ours: whose it is, "" where nobody was told of it, and whether that node has left it."""

    node: str = ""
    is_left: bool = False


def _volumes(work: Work) -> dict[str, _Mine]:
    """Return the clones by name; where a node has left one, sessions on it can be ended."""
    found: dict[str, _Mine] = {}
    deployments = work.store.deployments_of(work.job.reservation or 0)
    gone = _switched(work, deployments)
    for deployment in deployments:
        known = {clone.volume: clone.node for clone in work.store.clones(deployment.group or "")}
        for volume in luns.clone_volumes(work.store, deployment):
            node = known.get(volume, "")
            found[volume] = _Mine(node, node in gone)
    return found


def _switched(work: Work, own: list[Deployment]) -> set[str]:
    """Return the nodes that run nothing of ours any more: switched here, or by whom they were handed to.

    That one asks them to reset, which alone is no proof: their system may not heed it. A word afterwards
    is one, and so is their power.
    """
    gone = {node for node in work.job.nodes if work.part(node).step in switching.SWITCHED}
    handed = {node for node in work.job.nodes if work.part(node).step == _HANDED}
    flips = [deployment.flipped_at for deployment in own if deployment.flipped_at is not None]
    if not handed or not flips:
        return gone
    for job in work.store.jobs(kind=JobKind.START):
        if job.reservation == work.job.reservation or not handed.intersection(job.nodes):
            continue
        for part in work.store.job_parts(job.id):
            is_ours = part.node in handed and part.since is not None and part.since >= max(flips)
            if is_ours and (part.step == switching.CYCLED or (part.step and part.outcome is Outcome.OK)):
                gone.add(part.node)
    return gone


def _left_behind(work: Work, node: str, error: LunBusy) -> None:
    """Have a node listed that was handed over, and has not been switched."""
    if node in work.job.nodes and work.part(node).step == _HANDED:
        work.note_parts(replace(work.part(node), outcome=Outcome.FAILED, note=f"was not switched: {error}"))


def _delete(work: Work, volumes: Mapping[str, _Mine]) -> dict[str, DriverError]:
    """Have the clones gone; return those that cannot go, and why. Raises what is worth another try."""
    problems: dict[str, DriverError] = {}
    later: DriverError | None = None
    if not volumes:
        return problems
    backend = work.context.luns()
    there = {volume.name for volume in backend.volumes()}
    for volume, mine in volumes.items():
        if volume not in there:
            continue
        try:
            backend.unexport(volume, force=mine.is_left)
            backend.delete(volume)
        except LunBusy as error:
            problems[volume] = error
        except DriverError as error:
            if error.is_permanent:
                problems[volume] = error
            else:
                later = error
        work.show()
    if later is not None:
        raise later
    return problems
