"""What nodes say of what they wrote: only their word makes a slot ready, and silence has a bound.

Those with whom a session did not succeed are called a second time, then left out.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from bootd.model import JobPart
from bootd.services import nodeset, slots
from bootd.services.jobs import is_since_call
from bootd.services.reports import REFUSED, last_said
from bootd.services.tasks import LAST_WORDS
from bootd.store import Transaction
from bootd.workers import turns
from bootd.workers.errand import after_session, at_work, kept
from bootd.workers.gathering import MISSED, ROUND
from bootd.workers.sessions import CALL, SESSION
from bootd.workers.turns import FIRST
from bootd.workers.work import Work

ROUNDS = 2  # sessions that a node gets
POLL_S = 5.0
SHOW_UP_S = 10.0  # a node that was left out sees so, and asks what else there is: then it is not started anew


def verify(work: Work) -> None:
    """Wait for the nodes' own word on what they wrote."""
    pending = [node for node in at_work(work) if work.part(node).step != MISSED]
    if not pending:
        end_round(work)
        return
    bound = timedelta(seconds=work.context.settings.up_s)
    wait_s = 0.0 if _have_said_all(work, pending) else POLL_S
    with work.commit(wait_s=wait_s, note=f"{nodeset.fold(pending)} compares what was written") as change:
        heed(work, change)
        turns.tend(work, change)
        for node in at_work(work):
            part = work.part(node)
            if part.step == MISSED or part.since is None:
                continue
            if part.since > work.now:  # the clock was set back
                work.note_parts(replace(part, since=work.now))
            elif work.now >= max(part.since, part.word_at or part.since) + bound:
                work.note_parts(silent(work, part, f"said nothing for {bound.total_seconds():g} s"))


def _have_said_all(work: Work, nodes: Sequence[str]) -> bool:
    """Tell whether each of *nodes* has said its last word, heeded yet or not."""
    parts = [part for part in work.store.job_parts(work.job.id) if part.word in LAST_WORDS]
    return {part.node for part in parts if is_since_call(work.job, part)}.issuperset(nodes)


def heed(work: Work, change: Transaction) -> None:
    """Take what nodes said since they were called: only their word makes a slot ready."""
    deployment, verified = kept(change, work), dict[str, str]()
    for node in at_work(work):
        part = work.part(node)
        if not is_since_call(work.job, part):
            continue
        wrote, note = last_said(part)
        if part.word == "verified" and wrote == deployment.digest:
            verified[node] = note
        elif part.word == "verified":
            work.note_parts(missed(part, f"it wrote {wrote or 'it knows not what'}"))
        elif part.word == "failed":
            work.note_parts(missed(part, part.word_detail or "it failed and did not say why"))
    slots.verified(change, tuple(verified), deployment.slot or 0)
    for node, note in verified.items():
        turns.note_ready(work, change, [node], note)


def missed(part: JobPart, why: str) -> JobPart:
    return replace(part, step=MISSED, rate=0, note=why)


def silent(work: Work, part: JobPart, why: str) -> JobPart:
    """Leave out a node of which nothing good was heard: it may have spoken, and not been believed."""
    if part.word == REFUSED and is_since_call(work.job, part):
        why = f"{why}; a token of it was refused: {part.word_detail}"
    return missed(part, why)


def end_round(work: Work) -> None:
    """Call once more those with whom it did not succeed; after the last round they are left out.

    The others do not wait for them: the image is in its place for those that have it.
    """
    left, round_ = at_work(work), int(work.fact(ROUND, 1))
    if not left or round_ >= ROUNDS:
        with work.commit(after_session(work)):
            pass
        return
    note = f"{nodeset.fold(left)} is called again"
    first = {node: work.part(node).note for node in left}
    wait_s = 0.0 if all(map(work.context.attends, left)) else SHOW_UP_S
    facts = {ROUND: round_ + 1, SESSION: None, FIRST: first}
    with work.commit(CALL, facts=facts, wait_s=wait_s, note=note) as change:
        turns.place(work, change, kept(change, work))
        for node in left:
            work.note_parts(replace(work.part(node), octets=0, size=0))
