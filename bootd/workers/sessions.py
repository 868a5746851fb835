"""The sessions of all jobs share one network: each has a channel of its own and its part of one bit rate.

What is taken stands in the facts of the open jobs, so it is asked and written in one
transaction, and what a job took is free again as soon as the job is over.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
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
_OURS = re.compile(r"job(?P<job>[1-9][0-9]*)-[1-9][0-9]*\Z")


@dataclass(frozen=True, slots=True)
class Session:
    """What one session has of the network."""

    id: str  # "job12-1": the same after a restart, another for each session of a job
    channel: Channel
    rate: int  # bit/s

    @property
    def fact(self) -> dict[str, Any]:
        port, address = self.channel.port, self.channel.address
        return {"id": self.id, "address": address, "port": port, "rate": self.rate}


def session_of(job: Job) -> Session | None:
    """Return the session that a job has, or is about to start."""
    fact: Mapping[str, Any] | None = job.facts.get(SESSION)
    if fact is None:
        return None
    return Session(fact["id"], Channel(fact["address"], fact["port"]), fact["rate"])


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
    """Return a channel and a rate for *job*; None where the network is taken up by others just now.

    Jobs that ask at the same time get equal parts; one that comes later waits for what is left, or for the
    others to end. The search for a channel begins at a place of the session's own, so that one
    which has just ended, and may still be sending, is not met soon.
    """
    others = [each for each in reads.jobs(states=OPEN, kind=JobKind.WRITE_SLOT) if each.id != job.id]
    running = {each.id: session for each in others if (session := session_of(each)) is not None}
    asking = sorted([job.id, *(each.id for each in others if _asks(each, now))])
    floor = max(1, settings.rate // _LEAST)
    rates = grant(
        settings.rate,
        {session.id: session.rate for session in running.values()},
        {str(each): settings.rate for each in asking},
        floor,
    )
    rate = rates.get(str(job.id), 0)
    if rate < 1:
        return None
    try:
        channel = allocate([session.channel for session in running.values()], _from(job.id, number))
    except ChannelsTaken:
        return None
    return Session(_name(job, number), channel, rate)


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
    for name in transport.sessions():
        match = _OURS.match(name)
        if match is None:
            continue
        job = reads.find(Job, int(match["job"]))
        session = session_of(job) if job is not None and job.state in OPEN else None
        if session is None or session.id != name:
            transport.stop(name)
