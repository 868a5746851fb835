"""One session with the nodes of WRITE_SLOT: they are called, get the image, and say what they wrote.

Steps: take a part of the network and have the imager booted once, switch the nodes, send,
watch, and wait for their word. Those with whom it did not succeed are called a second time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bootd.darkstore.errors import BadImage, DarkStoreAway
from bootd.darkstore.source import open_folder, open_unpacked
from bootd.drivers.source import ByteSource
from bootd.drivers.transport import (
    Order,
    ReceiverStatus,
    ReceiverStep,
    SessionMissing,
    SessionStatus,
    SessionStep,
    Way,
)
from bootd.model import (
    DeployedNode,
    Deployment,
    DiskImage,
    JobKind,
    JobPart,
    Outcome,
    Override,
    Target,
    TargetKind,
)
from bootd.services import nodeset, slots
from bootd.services.booking import LIVE
from bootd.services.deployments import moved, node_moved
from bootd.services.jobs import CALLED_AT, hasten, is_since_call
from bootd.services.payload import UNPACKED
from bootd.services.reports import REFUSED, last_said
from bootd.services.tasks import LAST_WORDS, SENT, WAYS
from bootd.store import Reads, Transaction
from bootd.workers import gathering, switching, unpacking
from bootd.workers.sessions import CALL, SESSION, Session, allot, next_number, session_of, stop_strays
from bootd.workers.start import NotYet, reservation_of
from bootd.workers.switching import CYCLED_ONCE
from bootd.workers.unpacking import Unavailable
from bootd.workers.work import GivenUp, Work

FIRST = "first"  # fact: why the first session did not succeed, by node
UNPACK = "unpack"  # before CALL, of images that are not sent as they are
SWITCH, SEND, WATCH, VERIFY, CLOSE = "switch", "send", "watch", "verify", "close"  # after CALL
ROUNDS = 2  # sessions that a node gets
POLL_S = 5.0
SHOW_UP_S = 10.0  # a node that was left out sees so, and asks what else there is: then it is not started anew
MISSED = "missed"  # step of a node with which this session did not succeed
RECEIVED = "received"  # it has every octet and compares
_BEHIND = ("checking", "fitting", "verified")  # words of a node that has every octet
_STEPS = {
    ReceiverStep.WAITING: "joining",
    ReceiverStep.RECEIVING: "receiving",
    ReceiverStep.DONE: RECEIVED,
    ReceiverStep.FAILED: MISSED,
}
PLACED = ("hd-ready", "run")  # states of a deployment whose nodes boot it already, but for some
ROUND, OVERRIDES = gathering.ROUND, gathering.OVERRIDES
_AGAIN = "started_again"  # fact


def deployment_of(work: Work) -> Deployment:
    found = work.store.find(Deployment, work.job.deployment or 0)
    if found is None or found.slot is None:
        raise GivenUp("there is no such deployment to a slot")
    if found.state not in ("sched", "deploy-hd", *PLACED):
        raise GivenUp(f"the deployment is {found.state}")
    reservation = reservation_of(work.store, work)
    if reservation.state not in LIVE:
        raise GivenUp(f"reservation {reservation.id} is {reservation.state}")
    return found


def image_of(work: Work) -> DiskImage:
    ref = str(deployment_of(work).image)
    image = work.store.find(DiskImage, ref)
    if image is None or image.state in ("damaged", "retired"):
        raise GivenUp(f"image {ref} is {'gone' if image is None else image.state}")
    return image


def source_of(work: Work, image: DiskImage) -> ByteSource:
    """Return what is sent: the image's folder, or what it was unpacked to for this job."""
    if (packed := unpacking.packed(work)) is not None:
        return open_unpacked(packed, UNPACKED)
    try:
        return open_folder(work.context.tree, image)
    except DarkStoreAway as error:
        raise Unavailable(f"image {image.ref} is unavailable: {error}") from error
    except BadImage as error:
        raise GivenUp(f"image {image.ref} is damaged: {error}") from error


# -- a round: call the nodes, send, hear what they say ----------------------------------------


def call(work: Work) -> None:
    """Take a part of the network, or of another job's session, and have the imager booted once.

    Nodes on which it runs already, and waits, are spared that.
    """
    nodes = work.nodes(Outcome.OPEN)
    if not nodes:
        with work.commit(CLOSE):
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
    nodes = work.nodes(Outcome.OPEN)
    if switching.step(work, nodes, manner=CYCLED_ONCE):
        return
    if any(work.part(node).step in switching.SWITCHED for node in nodes):
        with work.commit(SEND):
            for node in nodes:
                if work.part(node).step == switching.LEFT:
                    work.note_parts(_missed(work.part(node), work.part(node).note))
        return
    _end_round(work)


def send(work: Work) -> None:
    """Have the session running; one that is there already is left as it is."""
    transport, session = work.context.transport(), session_of(work.job)
    if session is None:
        raise GivenUp("the session was lost")
    stop_strays(transport, work.store)
    receivers = tuple(node for node in work.nodes(Outcome.OPEN) if _wants_it(work, node))
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
            work.note_parts(part if node in among else _missed(part, "the session began without it"))


def _await_host(work: Work, session: Session) -> None:
    """Wait for the job whose session this is to start it; where it will not, call the nodes anew."""
    if gathering.is_started(work, session) is not None:
        note = f"job {session.of} is about to send the same image to the same slot"
        with work.commit(wait_s=gathering.LOOK_S, note=note):
            pass
        return
    with work.commit(CALL, facts={SESSION: None}, note=f"job {session.of} does not send it after all"):
        pass


def _wants_it(work: Work, node: str) -> bool:
    """Tell whether the node takes part in a session: not, where it is lost, who had the whole image."""
    part = work.part(node)
    is_behind = part.word in _BEHIND and is_since_call(work.job, part)
    return part.step not in (MISSED, RECEIVED) and not is_behind


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
    missed = [node for node in work.nodes(Outcome.OPEN) if work.part(node).step == MISSED]
    for node in missed:
        transport.leave_out(name, node, work.part(node).note)
    is_shared = bool(gathering.sharers(work.store, work.job))
    if missed == work.nodes(Outcome.OPEN) and not is_shared:
        transport.stop(name)
    try:
        status = transport.status(name)
    except SessionMissing:
        _lost(work)
        return
    status = replace(status, receivers=tuple(r for r in status.receivers if r.node in work.job.nodes))
    is_over = status.step is SessionStep.OVER or (is_shared and missed == work.nodes(Outcome.OPEN))
    facts = {SESSION: None} if is_over else {}
    step, wait_s = (VERIFY, 0.0) if is_over else (WATCH, POLL_S)
    with work.commit(step, wait_s=wait_s, facts=facts, note=_progress(status)) as change:
        for receiver in status.receivers:
            _follow(work, receiver, status.size)
        work.note_parts(_whole(work, status))
        _heed(work, change)


def _lost(work: Work) -> None:
    """The sender went with our process: once it is started anew, the second time its nodes have failed."""
    if not work.fact(_AGAIN):
        with work.commit(SEND, facts={_AGAIN: True}, note="the session was lost, it is started anew"):
            pass
        return
    with work.commit(VERIFY, facts={SESSION: None}) as change:
        _heed(work, change)
        for node in work.nodes(Outcome.OPEN):
            work.note_parts(_missed(work.part(node), "the session was lost twice"))


def _follow(work: Work, receiver: ReceiverStatus, size: int) -> None:
    part = work.part(receiver.node)
    if part.outcome is not Outcome.OPEN or part.step == MISSED:
        return
    step = _STEPS[receiver.step]
    since = part.since if part.step == step else work.now
    part = replace(part, step=step, since=since, octets=receiver.octets, size=size, rate=receiver.rate // 8)
    work.note_parts(_silent(work, part, receiver.reason) if step == MISSED else part)


def _whole(work: Work, status: SessionStatus) -> JobPart:
    octets = max((receiver.octets for receiver in status.receivers), default=0)
    rate = max((receiver.rate for receiver in status.receivers), default=0) // 8
    return replace(work.part(), step=str(status.step), octets=octets, size=status.size, rate=rate)


def _progress(status: SessionStatus) -> str:
    done, failed = (len(status.nodes(step)) for step in (ReceiverStep.DONE, ReceiverStep.FAILED))
    left_out = f", {failed} left out" if failed else ""
    return f"{status.step}: {done} of {len(status.receivers)} nodes have the image{left_out}"


def verify(work: Work) -> None:
    """Wait for the nodes' own word on what they wrote."""
    pending = [node for node in work.nodes(Outcome.OPEN) if work.part(node).step != MISSED]
    if not pending:
        _end_round(work)
        return
    bound = timedelta(seconds=work.context.settings.up_s)
    wait_s = 0.0 if _have_said_all(work, pending) else POLL_S
    with work.commit(wait_s=wait_s, note=f"{nodeset.fold(pending)} compares what was written") as change:
        _heed(work, change)
        for node in work.nodes(Outcome.OPEN):
            part = work.part(node)
            if part.step == MISSED or part.since is None:
                continue
            if part.since > work.now:  # the clock was set back
                work.note_parts(replace(part, since=work.now))
            elif work.now >= max(part.since, part.word_at or part.since) + bound:
                work.note_parts(_silent(work, part, f"said nothing for {bound.total_seconds():g} s"))


def _have_said_all(work: Work, nodes: Sequence[str]) -> bool:
    """Tell whether each of *nodes* has said its last word, heeded yet or not."""
    parts = [part for part in work.store.job_parts(work.job.id) if part.word in LAST_WORDS]
    return {part.node for part in parts if is_since_call(work.job, part)}.issuperset(nodes)


def _heed(work: Work, change: Transaction) -> None:
    """Take what nodes said since they were called: only their word makes a slot ready."""
    deployment, verified = _kept(change, work), dict[str, str]()
    for node in work.nodes(Outcome.OPEN):
        part = work.part(node)
        if not is_since_call(work.job, part):
            continue
        wrote, note = last_said(part)
        if part.word == "verified" and wrote == deployment.digest:
            verified[node] = note
        elif part.word == "verified":
            work.note_parts(_missed(part, f"it wrote {wrote or 'it knows not what'}"))
        elif part.word == "failed":
            work.note_parts(_missed(part, part.word_detail or "it failed and did not say why"))
    slots.verified(change, tuple(verified), deployment.slot or 0)
    for node, note in verified.items():
        note_ready(work, change, [node], note)


def _kept(reads: Reads, work: Work) -> Deployment:
    found = reads.find(Deployment, work.job.deployment or 0)
    if found is None:
        raise GivenUp("its deployment is gone")
    return found


def note_ready(work: Work, change: Transaction, nodes: Iterable[str], note: str) -> None:
    for name in nodes:
        node = change.find(DeployedNode, f"{work.job.deployment}/{name}")
        if node is not None and node.state == "waiting":
            node_moved(change, node, "place", note="", changed_at=work.now)
        part = work.part(name)
        work.note_parts(replace(part, step="ready", outcome=Outcome.OK, since=work.now, rate=0, note=note))


def _missed(part: JobPart, why: str) -> JobPart:
    return replace(part, step=MISSED, rate=0, note=why)


def _silent(work: Work, part: JobPart, why: str) -> JobPart:
    """Leave out a node of which nothing good was heard: it may have spoken, and not been believed."""
    if part.word == REFUSED and is_since_call(work.job, part):
        why = f"{why}; a token of it was refused: {part.word_detail}"
    return _missed(part, why)


def _end_round(work: Work) -> None:
    """Call once more those with whom it did not succeed; after the last round they are left out.

    The others do not wait for them: the image is in its place for those that have it.
    """
    missed, round_ = work.nodes(Outcome.OPEN), int(work.fact(ROUND, 1))
    if not missed or round_ >= ROUNDS:
        with work.commit(CLOSE):
            pass
        return
    note = f"{nodeset.fold(missed)} is called again"
    first = {node: work.part(node).note for node in missed}
    wait_s = 0.0 if all(map(work.context.attends, missed)) else SHOW_UP_S
    facts = {ROUND: round_ + 1, SESSION: None, FIRST: first}
    with work.commit(CALL, facts=facts, wait_s=wait_s, note=note) as change:
        deployment = _kept(change, work)
        if work.nodes(Outcome.OK) and deployment.state == "deploy-hd":
            moved(change, deployment, "written", note="")
            hasten(change, JobKind.START, deployment.reservation, now=work.now)
        for node in missed:
            work.note_parts(replace(work.part(node), octets=0, size=0))


def both_reasons(work: Work, node: str, last: str) -> str:
    """Return why a node is left out: what happened the first time is often what matters."""
    first = dict(work.fact(FIRST) or {}).get(node, "")
    return last if first in last else f"{last}; the first time: {first}"
