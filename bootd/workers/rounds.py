"""One session with the nodes of WRITE_SLOT whose turn it is: they are called, and get the image.

Steps: take a part of the network and have the imager booted once, switch the nodes, send, watch.
What they say then of what they wrote is heeded in `hearing`.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bootd.drivers.transport import (
    Order,
    ReceiverStatus,
    ReceiverStep,
    SessionMissing,
    SessionStatus,
    SessionStep,
    Way,
)
from bootd.model import JobPart, Outcome, Override, Target, TargetKind
from bootd.services.jobs import CALLED_AT
from bootd.services.tasks import SENT, WAYS
from bootd.store import Reads, Transaction
from bootd.workers import gathering, switching, turns, unpacking
from bootd.workers.errand import (
    SEND,
    SWITCH,
    UNPACK,
    VERIFY,
    WATCH,
    after_session,
    at_work,
    image_of,
    is_unbegun,
    source_of,
)
from bootd.workers.gathering import MISSED, OVERRIDES, RECEIVED, ROUND
from bootd.workers.hearing import POLL_S, end_round, heed, missed, silent
from bootd.workers.sessions import CALL, SESSION, Session, allot, next_number, session_of, stop_strays
from bootd.workers.start import NotYet
from bootd.workers.switching import CYCLED_ONCE
from bootd.workers.work import GivenUp, Work

_AGAIN = "started_again"  # fact
_STEPS = {
    ReceiverStep.WAITING: "joining",
    ReceiverStep.RECEIVING: "receiving",
    ReceiverStep.DONE: RECEIVED,
    ReceiverStep.FAILED: MISSED,
}


def call(work: Work) -> None:
    """Take a part of the network, or of another job's session, and have the imager booted once.

    Nodes on which it runs already, and waits, are spared that.
    """
    nodes = at_work(work)
    if not nodes:
        with work.commit(after_session(work)):
            pass
        return
    number = next_number(work.context.transport(), work.job, int(work.fact(ROUND, 1)))
    if _seat(work, work.store, number) is None:
        with work.commit(wait_s=POLL_S, note="waits for a part of the network"):
            pass
        return
    facts: dict[str, Any] = {CALLED_AT: work.now.isoformat(), _AGAIN: False, WAYS: {}}
    absent = [node for node in nodes if not work.context.attends(node)]
    with work.commit(SWITCH, facts=facts, note="") as change:
        session = _seat(work, change, number)
        if session is None:
            raise NotYet("another job took the network")
        facts |= session.as_fact | {OVERRIDES: _override(work, change, absent)}
        for node in nodes:
            begin = switching.begin if node in absent else switching.spared
            work.note_parts(begin(work.part(node), work.now, CYCLED_ONCE))


def _seat(work: Work, reads: Reads, number: int) -> Session | None:
    """Return the session that the nodes are called to."""
    host = gathering.host_of(reads, work.job)
    theirs = session_of(host) if host is not None else None
    if host is not None and theirs is not None:
        return replace(theirs, of=host.id)
    return allot(reads, work.job, number, work.context.settings, work.now)


def _override(work: Work, change: Transaction, nodes: Sequence[str]) -> dict[str, int]:
    """Have *nodes* boot the imager at their next start, and only then; return the orders' numbers."""
    settings = work.context.settings
    windows_s = len(nodes) / settings.window * settings.window_pause_s
    until = work.now + timedelta(seconds=windows_s + settings.up_s + settings.join_s)
    target = Target(TargetKind.MEMORY, settings.imager)
    there = [node for node in nodes if change.host(node) is not None]
    first = change.next_override_id()
    for number, node in enumerate(there, first):
        change.put_override(Override(number, node, target, work.now, until))
    return {node: number for number, node in enumerate(there, first)}


def switch(work: Work) -> None:
    nodes = at_work(work)
    if switching.step(work, nodes, manner=CYCLED_ONCE):
        return
    if any(work.part(node).step in switching.SWITCHED for node in nodes):
        with work.commit(SEND):
            for node in nodes:
                if work.part(node).step == switching.LEFT:
                    work.note_parts(missed(work.part(node), work.part(node).note))
        return
    end_round(work)


def send(work: Work) -> None:
    """Have the session running; one that is there already is left as it is."""
    transport, session = work.context.transport(), session_of(work.job)
    if session is None:
        raise GivenUp("the session was lost")
    stop_strays(transport, work.store)
    receivers = tuple(node for node in at_work(work) if gathering.wants_it(work.job, work.part(node)))
    if not receivers:
        with work.commit(VERIFY, facts={SESSION: None}):
            pass
        return
    if session.of is not None and not gathering.is_started(work, session):
        _await_host(work, session)
        return
    if session.of is None and not session.rate:
        gathering.gather(work, receivers)
        return
    try:
        transport.status(session.id)
    except SessionMissing:
        if session.of is not None:
            _await_host(work, session)
            return
        if SENT in work.job.facts and unpacking.packed(work) is None:
            with work.commit(UNPACK, facts={SESSION: None}, note="what was unpacked is gone; once more"):
                return
        source = source_of(work, image_of(work))
        join_s = gathering.patience_s(work, receivers)
        everybody = tuple(dict.fromkeys((*receivers, *gathering.nodes_of_guests(work.store, work.job))))
        order = Order(session.id, source, everybody, session.channel, session.rate, join_s)
        transport.start(replace(order, singly=int(work.fact(ROUND, 1)) > 1))
    session = gathering.as_host_has_it(work.store, session)
    told = f"{session.id}{'-again' if work.fact(_AGAIN) else ''}"
    among = {receiver.node for receiver in transport.status(session.id).receivers}
    ways = {node: _way(transport.way(session.id, node), told) for node in receivers if node in among}
    with work.commit(WATCH, note="the nodes join", facts={WAYS: ways, **session.as_fact}):
        for node in receivers:
            part = replace(work.part(node), step="joining", since=work.now, note="")
            work.note_parts(part if node in among else missed(part, "the session began without it"))


def _await_host(work: Work, session: Session) -> None:
    """Wait for the job whose session this is to start it; where it will not, call the nodes anew."""
    if gathering.is_started(work, session) is not None:
        note = f"job {session.of} is about to send the same image to the same slot"
        with work.commit(wait_s=gathering.LOOK_S, note=note):
            pass
        return
    with work.commit(CALL, facts={SESSION: None}, note=f"job {session.of} does not send it after all"):
        pass


def _way(way: Way, session: str) -> dict[str, str]:
    """Return how a node takes part, as it is told: see services.tasks.

    By *session* it knows that what it takes part in is lost and was started anew.
    """
    told = {"transport": way.transport, "path": way.path, "session": session}
    if way.channel is not None:
        told |= {"address": way.channel.address, "port": str(way.channel.port)}
    return {key: value for key, value in told.items() if value}


def watch(work: Work) -> None:
    """Follow the session to its end; one that nobody needs any more is ended."""
    transport, session = work.context.transport(), session_of(work.job)
    name = session.id if session is not None else ""
    ours = at_work(work)
    left_out = [node for node in ours if work.part(node).step == MISSED]
    for node in left_out:
        transport.leave_out(name, node, work.part(node).note)
    is_shared = bool(gathering.sharers(work.store, work.job))
    if left_out == ours and not is_shared:
        transport.stop(name)
    try:
        status = transport.status(name)
    except SessionMissing:
        _lost(work)
        return
    receivers = [node for node in work.job.nodes if not is_unbegun(work.part(node))]
    status = replace(status, receivers=tuple(r for r in status.receivers if r.node in receivers))
    is_over = status.step is SessionStep.OVER or (is_shared and left_out == ours)
    facts = {SESSION: None} if is_over else {}
    step, wait_s = (VERIFY, 0.0) if is_over else (WATCH, POLL_S)
    with work.commit(step, wait_s=wait_s, facts=facts, note=_progress(status)) as change:
        for receiver in status.receivers:
            _follow(work, receiver, status.size)
        work.note_parts(_whole(work, status))
        heed(work, change)
        turns.tend(work, change)


def _lost(work: Work) -> None:
    """The sender went with our process: once it is started anew, the second time its nodes have failed."""
    if not work.fact(_AGAIN):
        with work.commit(SEND, facts={_AGAIN: True}, note="the session was lost, it is started anew"):
            pass
        return
    with work.commit(VERIFY, facts={SESSION: None}) as change:
        heed(work, change)
        for node in at_work(work):
            work.note_parts(missed(work.part(node), "the session was lost twice"))


def _follow(work: Work, receiver: ReceiverStatus, size: int) -> None:
    part = work.part(receiver.node)
    if part.outcome is not Outcome.OPEN or part.step == MISSED:
        return
    step = _STEPS[receiver.step]
    since = part.since if part.step == step else work.now
    part = replace(part, step=step, since=since, octets=receiver.octets, size=size, rate=receiver.rate // 8)
    work.note_parts(silent(work, part, receiver.reason) if step == MISSED else part)


def _whole(work: Work, status: SessionStatus) -> JobPart:
    octets = max((receiver.octets for receiver in status.receivers), default=0)
    rate = max((receiver.rate for receiver in status.receivers), default=0) // 8
    return replace(work.part(), step=str(status.step), octets=octets, size=status.size, rate=rate)


def _progress(status: SessionStatus) -> str:
    done, failed = (len(status.nodes(step)) for step in (ReceiverStep.DONE, ReceiverStep.FAILED))
    left_out = f", {failed} left out" if failed else ""
    return f"{status.step}: {done} of {len(status.receivers)} nodes have the image{left_out}"
