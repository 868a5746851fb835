"""CAPTURE: the imager reads a slot of one node, sends it piece by piece, and it becomes an image.

The node is asked to restart, so that its system writes down what it has in mind, and boots the imager
once. What it sends lies where nobody lists it until all of it is there and is what was sent. A node that
fails is called once more, by cycling its power.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from bootd.darkstore import saveparts
from bootd.darkstore.captured import State, Upload, sweep
from bootd.darkstore.errors import BadImage
from bootd.errors import NotFound, Refused
from bootd.model import Job, JobPart, Outcome, Override, Target, TargetKind
from bootd.model.places import Slot
from bootd.services import images
from bootd.services.capture import KEPT, WHOLE, held_by
from bootd.services.capturing import LAST_WORDS, READ, ROUND, SWITCH
from bootd.services.jobs import CALLED_AT, HELD, IMAGE, OPEN, SLOT, is_since_call
from bootd.store import Reads
from bootd.units import size_text
from bootd.workers import claims, switching
from bootd.workers.switching import Manner
from bootd.workers.work import GivenUp, Work

CALL, KEEP, CLOSE = "call", "keep", "close"
ROUNDS = 2  # times that a node is called
BUSY_S = 30.0  # between two looks whether the node is free
POLL_S = 3.0
_OVERRIDE, _CAME, _CAME_AT = "override", "came", "came_at"  # facts
_WORDS = ("capturing", *LAST_WORDS)
_READING = "reading"
_AT_ONCE = Manner(begins=switching.OVERDUE)  # its system was asked before


class Capture:
    """See `Handler`."""

    @property
    def steps(self) -> Mapping[str, Callable[[Work], None]]:
        return {"": _prepare, CALL: _call, SWITCH: _switch, READ: _read, KEEP: _keep, CLOSE: _close}

    def fail(self, work: Work, why: str) -> None:
        _leave(work, "fail", why)

    def cancel(self, work: Work, who: str) -> None:
        if work.fact(KEPT):
            _close(work)
        else:
            _leave(work, "cancel", f"taken back by {who}")


def _node(work: Work) -> str:
    return work.job.nodes[0]


def _upload(work: Work) -> Upload:
    return Upload(work.context.tree.root, work.job.id)


def _prepare(work: Work) -> None:
    """See that all is as it was when it was ordered, and have room where the octets come to."""
    imager = work.context.settings.imager
    if work.store.memory_image(imager) is None:
        raise GivenUp(f"there is no memory image {imager!r} that reads slots: bootd memory build {imager}")
    try:
        images.check_new(work.store, str(work.fact(IMAGE)))
    except (NotFound, Refused) as error:
        raise GivenUp(str(error)) from error
    _check_slot(work)
    if busy := _busy(work.store, work.job, work.now):
        with work.commit(wait_s=BUSY_S, note=f"waits: {busy}"):
            pass
        return
    sweep(work.context.tree.root, lambda number: _is_open(work.store, number))
    with work.commit(CALL, facts={ROUND: 1}, note=""):
        pass


def _check_slot(work: Work) -> None:
    node, number = _node(work), work.fact(SLOT)
    slot = work.store.find(Slot, f"{node}/{number}")
    if slot is None or slot.state != WHOLE:
        raise GivenUp(f"slot {number} of {node} is {'empty' if slot is None else slot.state} now")
    if held := held_by(work.store, node, str(work.fact(IMAGE)).partition("/")[0]):
        raise GivenUp(held)


def _busy(reads: Reads, job: Job, now: datetime) -> str:
    """Return which job is at work on the node, or has it before us; one that has not begun waits for us."""
    [node] = job.nodes
    for part in reads.open_parts_of(node):
        other = reads.find(Job, part.job)
        is_begun = part.outcome is Outcome.OPEN and part.step != HELD
        if other is not None and other.id != job.id and other.step and is_begun:
            return f"job {other.id} ({other.kind}) is at work on {part.node}"
    before = claims.first_in_line(reads, job, {node}, now)
    return f"job {before[node]} was there first" if before else ""


def _is_open(reads: Reads, number: int) -> bool:
    job = reads.find(Job, number)
    return job is not None and job.state in OPEN


# -- calling the node -------------------------------------------------------------------------


def _call(work: Work) -> None:
    """Have the imager booted once, unless it is there and waits; nothing of an earlier round is kept."""
    images.check_root(work.store, work.context.tree)  # nothing is made where it should be mounted
    try:
        _upload(work).begin(int(work.fact(ROUND)))
    except Refused as error:
        raise GivenUp(str(error)) from error
    node, settings = _node(work), work.context.settings
    until = work.now + timedelta(seconds=2 * settings.up_s + settings.join_s)
    facts = {CALLED_AT: work.now.isoformat(), _CAME: 0, _CAME_AT: None, _OVERRIDE: None}
    is_there = work.context.attends(node)
    begin = switching.spared if is_there else switching.begin
    with work.commit(SWITCH, facts=facts) as change:
        if change.host(node) is None:
            raise GivenUp(f"there is no host {node} any more")
        if busy := _busy(change, work.job, work.now):
            raise GivenUp(busy)
        _take_order_back(work, change.remove_override)
        if not is_there:
            number = facts[_OVERRIDE] = change.next_override_id()
            target = Target(TargetKind.MEMORY, settings.imager)
            change.put_override(Override(number, node, target, work.now, until))
        work.note_parts(begin(JobPart(work.job.id, node), work.now, _manner(work)))


def _manner(work: Work) -> Manner:
    return switching.ASKED if work.fact(ROUND) == 1 else _AT_ONCE


def _switch(work: Work) -> None:
    """Restart the node until it is heard of."""
    node = _node(work)
    up = [node] if _said(work) else []
    if switching.step(work, [node], up=up, manner=_manner(work)):
        return
    part = work.part(node)
    if part.outcome is not Outcome.OK:
        _again(work, part.note or "it did not start the imager")
        return
    began = replace(part, step=_READING, outcome=Outcome.OPEN, since=work.now, note="")
    with work.commit(READ, facts={_CAME_AT: work.now.isoformat()}, note="the imager looks at the slot"):
        work.note_parts(began)


def _said(work: Work) -> str:
    """Return the node's word since it was called; "" where there is none."""
    part = work.part(_node(work))
    return part.word if part.word in _WORDS and is_since_call(work.job, part) else ""


# -- what it sends ----------------------------------------------------------------------------


def _read(work: Work) -> None:
    """Follow what comes, to its end."""
    part, state = work.part(_node(work)), _upload(work).state()
    if state.end is not None:
        with work.commit(KEEP, note="all of it came"):
            work.note_parts(_progress(work, part, state))
        return
    if _said(work) == "failed":
        _again(work, part.word_detail or "it failed and did not say why")
        return
    came_at = datetime.fromisoformat(str(work.fact(_CAME_AT)))
    has_come = state.octets != work.fact(_CAME) or came_at > work.now  # or the clock was set back
    last = max(came_at, part.word_at or came_at)
    if not has_come and work.now >= last + timedelta(seconds=work.context.settings.up_s):
        _again(work, f"it sent nothing for {work.context.settings.up_s:g} s")
        return
    facts = {_CAME: state.octets, _CAME_AT: work.now.isoformat()} if has_come else {}
    note = f"{size_text(state.octets)} came" if state.octets else work.job.note
    progress = _progress(work, part, state) if has_come else part
    with work.commit(wait_s=POLL_S, facts=facts, note=note):
        work.note_parts(progress)


def _progress(work: Work, part: JobPart, state: State) -> JobPart:
    """Return how much of the slot was read; the rate is that of the octets of the slot."""
    since = datetime.fromisoformat(str(work.fact(_CAME_AT)))
    seconds = (work.now - since).total_seconds()
    rate = int((state.read - part.octets) / seconds) if seconds > 0 else part.rate
    return replace(part, octets=state.read, size=max(state.used, state.read), rate=max(0, rate))


def _again(work: Work, why: str) -> None:
    """Call the node once more, or give up."""
    round_ = int(work.fact(ROUND))
    if round_ >= ROUNDS:
        raise GivenUp(why)
    with work.commit(CALL, facts={ROUND: round_ + 1}, note=f"is called again: {why}"):
        pass


# -- the image --------------------------------------------------------------------------------


def _keep(work: Work) -> None:
    """Make a folder of Clonezilla's of what came, look at it as at any other, and keep it."""
    upload, node = _upload(work), _node(work)
    end = dict(upload.state().end or {})
    if not end:
        raise GivenUp("what came is gone")
    words = f"bootd images capture {node} {work.fact(SLOT)} {work.fact(IMAGE)}"
    try:
        saved = saveparts.parse({key: str(end[key]) for key in saveparts.FIELDS}, int(work.fact(SLOT)))
        texts = saveparts.texts(saved, at=work.now, words=words)
        digest = upload.put_together(saved.prefix, texts, work.show)
    except (KeyError, ValueError) as error:
        raise GivenUp(f"what {node} said of its slot makes no sense: {error}") from error
    if digest != end["sha256"]:
        _again(work, "what came is not what it sent")
        return
    facts: dict[str, str] = {}

    def beat(what: str, done: int, total: int) -> None:
        work.show()

    try:
        with (
            images.bringing(
                work.store, work.context.tree, str(work.fact(IMAGE)), upload.image, progress=beat, linked=True
            ) as brought,
            work.commit(CLOSE, facts=facts, note=str(end.get("note") or "")) as change,
        ):
            facts[KEPT] = str(brought.keep(change, work.context.clock).ref)
    except (BadImage, NotFound, Refused) as error:
        raise GivenUp(str(error)) from error


def _close(work: Work) -> None:
    """Tidy up; the node leaves the imager by itself."""
    _upload(work).discard()
    part = work.part(_node(work))
    note = work.job.note
    work.note_parts(replace(part, step="captured", outcome=Outcome.OK, rate=0, note=note, since=work.now))
    said = f"image {work.fact(KEPT)}" + (f" ({note})" if note else "")
    with work.finish("finish", said) as change:
        _take_order_back(work, change.remove_override)


def _leave(work: Work, event: str, why: str) -> None:
    """Leave nothing behind of what was not finished."""
    _upload(work).discard()
    part = work.part(_node(work))
    work.note_parts(replace(part, outcome=Outcome.FAILED, rate=0, note=part.note or why))
    with work.finish(event, why) as change:
        _take_order_back(work, change.remove_override)


def _take_order_back(work: Work, remove: Callable[[str, int], object]) -> None:
    number = work.fact(_OVERRIDE)
    if number is not None:
        remove(_node(work), int(number))
