"""The calendar's own part: writes down the jobs whose time has come, and takes back those without use.

It looks by reading; only where something is to be done it locks the store, looks again, and does all
of it in one transaction. So a second daemon finds it done.
"""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from bootd.errors import BootdError, StoreFailed
from bootd.events import InternalError, ReservationMissed
from bootd.lifecycle import RESERVATION
from bootd.model import Deployment, Job, Reservation
from bootd.services import deployments, jobs, luns, slots
from bootd.services.booking import LIVE
from bootd.store import Transaction
from bootd.workers.agenda import Agenda, Deed, Ensure, GiveUp, Make, Miss, TakeBack
from bootd.workers.work import ACTOR, Context

_ROUNDS = 4  # what is done makes room for more: a job taken back for the end of its reservation


def plan(context: Context, sizes: dict[str, int] | None = None) -> datetime | None:
    """Do what the calendar has to do now; return the next instant at which something will be due.

    *sizes* are those of images, kept from one call to the next.
    """
    agenda = Agenda(context.store, context.clock(), context.settings, sizes)
    if not agenda.deeds:
        return agenda.next_at
    try:
        agenda, done = _do_all(context, sizes)
    except StoreFailed:
        raise
    except BootdError:  # one of them cannot be: that must not keep the others
        agenda, done = _do_each(context, sizes)
    context.committed()
    for each in done:
        if isinstance(each, Miss):
            missed = ReservationMissed(reservation=each.reservation.id, project=each.reservation.project)
            context.emit(missed)
    return agenda.next_at


def _do_all(context: Context, sizes: dict[str, int] | None) -> tuple[Agenda, list[Deed]]:
    """Do everything in one transaction; return what is left to do later, and what was done."""
    done: list[Deed] = []
    with context.store.transaction(ACTOR, "plan") as change:
        now = context.clock()
        for _ in range(_ROUNDS):
            agenda = Agenda(change, now, context.settings, sizes)
            if not agenda.deeds:
                break
            for deed in agenda.deeds:
                _do(change, deed, now)
            done += agenda.deeds
    return agenda, done


def _do_each(context: Context, sizes: dict[str, int] | None) -> tuple[Agenda, list[Deed]]:
    """Do everything that can be done, each by itself, and say what cannot."""
    done: list[Deed] = []
    refused: list[Deed] = []
    while True:
        deed: Deed | None = None
        try:
            with context.store.transaction(ACTOR, "plan") as change:
                agenda = Agenda(change, now := context.clock(), context.settings, sizes)
                deed = next((each for each in agenda.deeds if each not in refused and each not in done), None)
                if deed is None:
                    return agenda, done
                _do(change, deed, now)
                done.append(deed)
        except StoreFailed:
            raise
        except BootdError as error:
            if deed is None:
                raise
            refused.append(deed)
            context.emit(InternalError(where=f"planner: {type(deed).__name__}", text=repr(error)))


def _do(change: Transaction, deed: Deed, now: datetime) -> None:
    match deed:
        case Make():
            jobs.add(
                change,
                deed.kind,
                by=ACTOR,
                now=now,
                nodes=deed.nodes,
                reservation=deed.reservation.id,
                deployment=None if deed.deployment is None else deed.deployment.id,
                facts=deed.facts,
            )
        case TakeBack():
            _take_back(change, deed.job, deed.why, now)
        case Miss():
            _miss(change, deed.reservation)
        case GiveUp():
            _give_up(change, deed.deployment)
        case Ensure():
            deployments.ensure(change, deed.reservation, now)
        case _:
            assert_never(deed)


def _miss(change: Transaction, reservation: Reservation) -> None:
    """Its time is over and it never ran; what is in its place already is taken out by an END job."""
    change.keep(replace(reservation, state=RESERVATION.after(reservation.state, "fail")))
    for each in change.deployments_of(reservation.id):
        if each.state == "sched":
            deployments.moved(change, each, "remove", note="its time has passed")


def _take_back(change: Transaction, job: Job, why: str, now: datetime) -> None:
    """Take a job back; one that nobody began leaves its image where it was, in the dark store alone."""
    taken = jobs.take_back(change, job, by=why, now=now)
    deployment = change.find(Deployment, job.deployment) if job.deployment is not None else None
    if taken.ended_at is None or deployment is None or deployment.state != "sched":
        return
    reservation = change.find(Reservation, deployment.reservation)
    if reservation is None or reservation.state not in LIVE:
        deployments.moved(change, deployment, "remove", note=why)


def _give_up(change: Transaction, deployment: Deployment) -> None:
    """What nobody finishes does not look as if somebody did: its place can be written again."""
    note = "its job ended and left it half done"
    if deployment.slot is not None:
        written = change.slots(deployment.nodes, deployment.slot)
        half = [each.host for each in written if (each.state, each.digest) == ("writing", deployment.digest)]
        slots.failed(change, half, deployment.slot)
    elif deployment.group is not None and deployment.side is not None:
        luns.stage_failed(change, deployment.group, deployment.side)
    deployments.moved(change, deployment, "fail", note=note)
    luns.release(change, deployment)
