"""The sessions of all jobs share one network: each has a channel of its own and its part of one bit rate.

A channel is taken when the nodes are called, the rate when all of them are there.

What is taken stands in the facts of the open jobs, so it is asked and written in one
transaction, and what a job took is free again as soon as the job is over.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bootd.drivers.transport import (
    STANDARD,
    Channel,
    ChannelsTaken,
    SessionMissing,
    Transport,
    allocate,
    grant,
)
from bootd.model import Job, JobKind
from bootd.services.jobs import CANCEL, FAILING, OPEN
from bootd.store import Reads
from bootd.workers.settings import Settings

SESSION = "session"  # fact: what a job has of the network
CALL = "call"  # step of a job that asks for a part of it
_LEAST = 8  # a session gets no less than this part of the whole rate; it waits instead
_OURS = re.compile(r"job[1-9][0-9]*-[1-9][0-9]*\Z")


@dataclass(frozen=True, slots=True)
class Session:
    """What one session has of the network."""

    id: str  # "job12-1": the same after a restart, another for each session of a job
    channel: Channel
    rate: int = 0  # bit/s; 0 until it is settled, which is when it begins
    of: int | None = None  # the job that starts it, where that is another one

    @property
    def fact(self) -> dict[str, Any]:
        port, address = self.channel.port, self.channel.address
        return {"id": self.id, "address": address, "port": port, "rate": self.rate, "of": self.of}

    @property
    def as_fact(self) -> dict[str, Any]:
        """What is to stand among the facts of its job."""
        return {SESSION: self.fact}


def session_of(job: Job) -> Session | None:
    """Return the session that a job has, or is about to start."""
    fact: Mapping[str, Any] | None = job.facts.get(SESSION)
    if fact is None:
        return None
    return Session(fact["id"], Channel(fact["address"], fact["port"]), fact["rate"], fact.get("of"))


def next_number(transport: Transport, job: Job, first: int) -> int:
    """Return the number of a session that *job* never had: a transport starts none of an id that it knows."""
    number = first
    while True:
        try:
            transport.status(_name(job, number))
        except SessionMissing:
            return number
        number += 1


def _name(job: Job, number: int) -> str:
    return f"job{job.id}-{number}"


def allot(reads: Reads, job: Job, number: int, settings: Settings, now: datetime) -> Session | None:
    """Return a channel for *job*; None where the network is taken up by others just now.

    The search for a channel begins at a place of the session's own, so that one which has just
    ended, and may still be sending, is not met soon.
    """
    if _rate(reads, job, settings, now) < 1:
        return None
    sessions = [session for each in _others(reads, job) if (session := session_of(each)) is not None]
    try:
        channel = allocate([session.channel for session in sessions], _from(job.id, number))
    except ChannelsTaken:
        return None
    return Session(_name(job, number), channel)


def settle(reads: Reads, job: Job, settings: Settings, now: datetime) -> Session | None:
    """Return the session of *job* with its rate; None where nothing is left for it just now.

    Sessions that begin at the same time get equal parts; one that comes later waits for what is
    left, or for the others to end.
    """
    session, rate = session_of(job), _rate(reads, job, settings, now)
    return None if session is None or rate < 1 else replace(session, rate=rate)


def _rate(reads: Reads, job: Job, settings: Settings, now: datetime) -> int:
    others = _others(reads, job)
    sessions = {each.id: session for each in others if (session := session_of(each)) is not None}
    running = {session.id: session.rate for session in sessions.values() if session.rate}
    begins = [number for number, session in sessions.items() if not session.rate and session.of is None]
    asking = sorted([job.id, *begins, *(each.id for each in others if _asks(each, now))])
    wishes = {str(each): settings.rate for each in asking}
    return grant(settings.rate, running, wishes, max(1, settings.rate // _LEAST)).get(str(job.id), 0)


def _others(reads: Reads, job: Job) -> list[Job]:
    return [each for each in reads.jobs(states=OPEN, kind=JobKind.WRITE_SLOT) if each.id != job.id]


def _asks(job: Job, now: datetime) -> bool:
    is_ending = CANCEL in job.facts or FAILING in job.facts
    return job.step in ("", CALL) and SESSION not in job.facts and not is_ending and job.is_due(now)


def _from(job: int, number: int) -> Channel:
    """Return the channel behind which to search."""
    turn = 2 * job + number
    network, pairs = STANDARD.network, STANDARD.pairs
    return Channel(str(network[turn % network.num_addresses]), pairs[turn % len(pairs)])


def stop_strays(transport: Transport, reads: Reads) -> None:
    """End the sessions of ours that no open job has any more; others are left alone."""
    jobs = reads.jobs(states=OPEN, kind=JobKind.WRITE_SLOT)
    wanted = {session.id for job in jobs if (session := session_of(job)) is not None}
    for name in transport.sessions():
        if _OURS.match(name) and name not in wanted:
            transport.stop(name)
