"""The calendar's own part: writes down the jobs whose time has come, and takes back those without use.

It looks by reading; only where something is to be done it locks the store, looks again, and does all
of it in one transaction. So a second daemon finds it done.
"""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from bootd.events import ReservationMissed
from bootd.lifecycle import DEPLOYMENT, RESERVATION
from bootd.model import Deployment, Reservation
from bootd.services import jobs
from bootd.store import Transaction
from bootd.workers.agenda import Agenda, Deed, GiveUp, Make, Miss, TakeBack
from bootd.workers.work import ACTOR, Context

_ROUNDS = 4  # what is done makes room for more: a job taken back for the end of its reservation


def plan(context: Context) -> datetime | None:
    """Do what the calendar has to do now; return the next instant at which something will be due."""
    agenda = Agenda(context.store, context.clock(), context.settings)
    if not agenda.deeds:
        return agenda.next_at
    missed: list[Reservation] = []
    with context.store.transaction(ACTOR, "plan") as change:
        now = context.clock()
        for _ in range(_ROUNDS):
            agenda = Agenda(change, now, context.settings)
            if not agenda.deeds:
                break
            for deed in agenda.deeds:
                _do(change, deed, now)
            missed += [deed.reservation for deed in agenda.deeds if isinstance(deed, Miss)]
    for each in missed:
        context.emit(ReservationMissed(reservation=each.id, project=each.project))
    return agenda.next_at


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
            jobs.take_back(change, deed.job, by=deed.why, now=now)
        case Miss():
            _miss(change, deed.reservation)
        case GiveUp():
            _moved(change, deed.deployment, "fail", "its job ended and left it half done")
        case _:
            assert_never(deed)


def _miss(change: Transaction, reservation: Reservation) -> None:
    """Its time is over and it never ran; what is in its place already is taken out by an END job."""
    change.keep(replace(reservation, state=RESERVATION.after(reservation.state, "fail")))
    for each in change.deployments_of(reservation.id):
        if each.state == "sched":
            _moved(change, each, "remove", "its time has passed")


def _moved(change: Transaction, deployment: Deployment, event: str, note: str) -> None:
    change.keep(replace(deployment, state=DEPLOYMENT.after(deployment.state, event), note=note))
