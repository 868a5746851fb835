"""Before a session sends: those called are waited for, and jobs with the same errand become its guests.

A job that is to bring the same image to the same slot number joins the session of another one, the
*host*, as long as that sends nothing. So each image is sent once, and rates are settled when it is
known who sends. Everything stands in the facts of the jobs; a guest whose host is gone begins by itself.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from bootd.model import Deployment, Job, JobKind, JobPart, Outcome
from bootd.services import nodeset
from bootd.services.jobs import CANCEL, FAILING, HELD, OPEN, is_since_call
from bootd.store import Reads
from bootd.workers.sessions import Session, session_of, settle
from bootd.workers.start import NotYet
from bootd.workers.work import Work

ROUND, OVERRIDES = "round", "overrides"  # facts
MISSED = "missed"  # step of a node with which this session did not succeed
RECEIVED = "received"  # it has every octet and compares
LOOK_S = 2.0
_BEHIND = ("checking", "fitting", "verified")  # words of a node that has every octet


def host_of(reads: Reads, job: Job) -> Job | None:
    """Return the job whose session *job* may join; None where there is none, or *job* is at a second try."""
    own = reads.find(Deployment, job.deployment or 0)
    if own is None or int(job.facts.get(ROUND, 1)) > 1:
        return None
    for other in reversed(reads.jobs(states=OPEN, kind=JobKind.WRITE_SLOT)):
        session = session_of(other)
        is_ending = CANCEL in other.facts or FAILING in other.facts
        if other.id == job.id or is_ending or session is None or session.of is not None or session.rate:
            continue
        theirs = reads.find(Deployment, other.deployment or 0)
        is_first = int(other.facts.get(ROUND, 1)) == 1
        if theirs is not None and is_first and (theirs.digest, theirs.slot) == (own.digest, own.slot):
            return other
    return None


def sharers(reads: Reads, job: Job) -> list[Job]:
    """Return the other open jobs that have part in the session of *job*."""
    session = session_of(job)
    found = reads.jobs(states=OPEN, kind=JobKind.WRITE_SLOT) if session is not None else []
    return [each for each in found if each.id != job.id and _has(each, session)]


def _has(job: Job, session: Session | None) -> bool:
    own = session_of(job)
    return own is not None and session is not None and own.id == session.id


def is_lent(work: Work) -> bool:
    """Tell whether what our job began to send goes to guests' nodes still, be it done with its own."""
    others = work.store.jobs(states=OPEN, kind=JobKind.WRITE_SLOT)
    sessions = [session_of(each) for each in others if each.id != work.job.id]
    return any(session is not None and session.of == work.job.id for session in sessions)


def wants_it(job: Job, part: JobPart) -> bool:
    """Tell whether the node takes part in a session of *job*: not who has the whole image already.

    That counts where a session was lost and is started anew.
    """
    is_behind = part.word in _BEHIND and is_since_call(job, part)
    return part.outcome is Outcome.OPEN and part.step not in (HELD, MISSED, RECEIVED) and not is_behind


def nodes_of_guests(reads: Reads, job: Job) -> list[str]:
    """Return the nodes that guests of *job* have still to serve."""
    return [part.node for part in _parts_of_guests(reads, job)]


def _parts_of_guests(reads: Reads, job: Job) -> list[JobPart]:
    return [
        part
        for guest in sharers(reads, job)
        for part in reads.job_parts(guest.id)
        if part.node and wants_it(guest, part)
    ]


def gather(work: Work, called: Iterable[str]) -> None:
    """Wait a while for the nodes *called* and those of guests to have fetched the imager; then settle."""
    if late := _late(work, set(called)):
        with work.commit(wait_s=LOOK_S, note=f"{nodeset.fold(late)}: the imager is not fetched yet"):
            pass
        return
    settings = work.context.settings
    if settle(work.store, work.job, settings, work.now) is None:
        with work.commit(wait_s=LOOK_S, note="waits for a part of the network"):
            pass
        return
    facts: dict[str, object] = {}
    with work.commit(note="", facts=facts) as change:
        settled = settle(change, work.job, settings, work.now)
        if settled is None:
            raise NotYet("another job took the network")
        facts |= settled.as_fact


def patience_s(work: Work, called: Iterable[str]) -> float:
    """Return how long a session may wait for those *called*, and for guests, who may be called later.

    They have their time since their start, no less than half of it: the imager of those that came late has
    to start and to look at its disk.
    """
    join_s = work.context.settings.join_s
    parts = [*map(work.part, called), *_parts_of_guests(work.store, work.job)]
    since = [part.since for part in parts if part.since is not None]
    waited = (work.now - max(since)).total_seconds() if since else 0.0
    return round(min(join_s, max(join_s / 2, join_s - waited)))


def _late(work: Work, called: set[str]) -> list[str]:
    """Return who has not used its one-shot order up; [] once that has been waited for."""
    since = [part.since for node in called if (part := work.part(node)).since is not None]
    patience = timedelta(seconds=work.context.settings.join_s / 2)
    if not since or not min(since) <= work.now < max(since) + patience:
        return []
    orders = {node: number for node, number in _orders(work.job).items() if node in called}
    for guest in sharers(work.store, work.job):
        orders |= _orders(guest)
    standing = {override.id for override in work.store.overrides()}
    return sorted(node for node, number in orders.items() if number in standing)


def _orders(job: Job) -> dict[str, int]:
    return dict(job.facts.get(OVERRIDES) or {})


def is_started(work: Work, session: Session) -> bool | None:
    """Tell a guest whether its session may be there: None where its host will not start it any more."""
    host = work.store.find(Job, session.of or 0)
    if host is None or host.state not in OPEN or not _has(host, session):
        return None
    theirs = session_of(host)
    return theirs is not None and theirs.rate > 0


def as_host_has_it(reads: Reads, session: Session) -> Session:
    """Return the session of a guest with the rate that its host has settled."""
    host = reads.find(Job, session.of) if session.of is not None else None
    theirs = session_of(host) if host is not None else None
    return session if theirs is None or theirs.id != session.id else replace(session, rate=theirs.rate)
