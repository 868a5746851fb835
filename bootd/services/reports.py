"""What machines say of themselves, and what it is worth: who runs what, by the nodes' own word.

A word counts for the place of a node only if the script that started it was made after the flip,
by no one-shot order, and gave it that very place. What does not count there is for the worker
that waits for the node, if there is one: an imager's word for that of the job which it names.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from bootd.events import Event, NodeReported, NodeReportRefused, ScriptSent
from bootd.model import DeployedNode, Deployment, Job, JobKind, JobPart, Place
from bootd.services.deployments import moved, node_moved
from bootd.services.seen import FETCHED, answer_given
from bootd.store import Reads, Transaction

RUNNING, LEAVING = "running", "leaving"
REFUSED = "refused"  # what a machine said counts for nothing: its token was another's, or used up
SETTLED = timedelta(seconds=10)  # a machine that says that it runs does not start anew before
_ENDING = ("verified", "failed")  # the last words of a node in an imager
_LISTENING = {JobKind.WRITE_SLOT: ("watch", "verify")}  # steps without a deed
_IMAGING = (JobKind.WRITE_SLOT, JobKind.CAPTURE)  # their nodes run an imager, which names its job
_NOTE = "; "  # behind the detail of a word
_FLIPPED = ("lun-ready", "hd-ready", "run")  # states of deployments whose image is in its place


@dataclass(frozen=True, slots=True)
class Word:
    """A node's report of itself."""

    host: str
    state: str  # a word: running, joined, verified, failed
    detail: str
    at: datetime
    given_at: datetime | None = None  # when its script was made, by its token; None: it showed none
    override: int | None = None  # the one-shot order its script carried out, by its token
    is_proved: bool = True  # by a token; else only the address says whose word it is
    job: int | None = None  # that its imager works for
    note: str = ""  # what else is to be known of its last word


@dataclass(frozen=True, slots=True)
class Given:
    """A machine fetched a script for itself: it starts anew."""

    host: str
    at: datetime


Heard = Word | Given


def heard_in(event: Event, at: datetime, *, itself: bool) -> Heard | None:
    """Return what *event* says of a host's state; *itself*: it comes from the machine's own address."""
    if not event.host:
        return None
    if isinstance(event, NodeReported):
        if event.given_at is None:
            return Word(event.host, event.state, event.detail, at, is_proved=False)
        given_at = datetime.fromtimestamp(event.given_at, UTC)
        word = Word(event.host, event.state, event.detail, at, given_at, event.override)
        return replace(word, job=event.job, note=event.note)
    if isinstance(event, NodeReportRefused):
        return Word(event.host, REFUSED, event.why, at, is_proved=False)
    if isinstance(event, ScriptSent) and itself:
        return Given(event.host, at)
    return None


def heard(change: Transaction, *words: Heard) -> bool:
    """Take down *words*, in their order; tell whether anything changed that answers depend on."""
    hearing = _Hearing(change, change.places({word.host for word in words}))
    for word in words:
        hearing.take(word)
    hearing.settle()
    return hearing.changed


def last_said(part: JobPart) -> tuple[str, str]:
    """Return the detail of a node's last word, and what else it said is to be known of it."""
    detail, _, note = part.word_detail.partition(_NOTE)
    return detail, note


@dataclass(slots=True)
class _Hearing:
    """What one batch of words changes."""

    change: Transaction
    places: dict[str, Place]
    changed: bool = False
    _deployments: dict[int, Deployment | None] = field(default_factory=dict)
    _ran: set[int] = field(default_factory=set)  # deployments of nodes that run now

    def take(self, word: Heard) -> None:
        place = self.places.get(word.host)
        node = self.change.find(DeployedNode, f"{place.deployment}/{word.host}") if place else None
        if isinstance(word, Given):
            if node is not None and node.state == RUNNING and _is_settled(node, word.at):
                self._move(node, word.at, "restart")
        elif place is not None and node is not None and self._counts(word, place, node):
            self._run(node, word.at)
        else:
            self._tell_workers(word)

    def _counts(self, word: Word, place: Place, node: DeployedNode) -> bool:
        """Tell whether *word* proves that the node runs what *place* gives it."""
        deployment = self._deployment(place.deployment)
        if word.state != RUNNING or word.override is not None or deployment is None:
            return False
        if deployment.state not in _FLIPPED or deployment.flipped_at is None:
            return False
        given = _script_of(self.change, word)
        given_at = word.given_at or (given and given[0])
        if given_at is None or given_at < _since(deployment.flipped_at, place):
            return False
        if given and given[1] != str(place):
            return False
        # given up, and there it is after all: only if we know what it was given
        return node.state in ("ready", RUNNING) or (node.state == "failed" and given is not None)

    def _run(self, node: DeployedNode, at: datetime) -> None:
        if node.state == RUNNING:
            return  # said before: nothing to write down
        if node.state == "failed":
            node = self._move(node, at, "place")
        self._move(node, at, "run")
        self._ran.add(node.deployment)

    def _move(self, node: DeployedNode, at: datetime, event: str) -> DeployedNode:
        self.changed = True
        return node_moved(self.change, node, event, note="", changed_at=at)

    def settle(self) -> None:
        """Mark the deployments that now run on every node."""
        for number in sorted(self._ran):
            deployment = self._deployment(number)
            if deployment is not None and deployment.state != "run" and self._runs(deployment):
                moved(self.change, deployment, "run", note="")

    def _runs(self, deployment: Deployment) -> bool:
        nodes = self.change.deployed_nodes(deployment.id)
        return {node.node for node in nodes if node.state == RUNNING} >= set(deployment.nodes)

    def _deployment(self, number: int) -> Deployment | None:
        if number not in self._deployments:
            self._deployments[number] = self.change.find(Deployment, number)
        return self._deployments[number]

    def _tell_workers(self, word: Word) -> None:
        if word.state == LEAVING:
            return  # it has said what it had to say: that must not be overwritten before a worker heeds it
        parts = [part for part in self.change.open_parts_of(word.host) if self._concerns(word, part)]
        detail = word.detail + (_NOTE + word.note if word.note else "")
        self.change.put_job_parts(
            replace(part, word=word.state, word_detail=detail, word_at=word.at) for part in parts
        )
        if word.state in _ENDING:
            for part in parts:
                self._wake(part, word.at)

    def _wake(self, part: JobPart, at: datetime) -> None:
        """Have a job that only waits for such words look at once, not when it would have looked next."""
        job = self.change.find(Job, part.job)
        if job is not None and job.step in _LISTENING.get(job.kind, ()) and job.due_at > at:
            self.change.keep(replace(job, due_at=at))
            self.changed = True

    def _concerns(self, word: Word, part: JobPart) -> bool:
        """An image that is being written is spoken of with tokens: by nobody else, but of a refused one.

        An imager that was called for one job may still be at work when the next one begins: what it
        says of the slot of the first is worth nothing for the second.
        """
        job = self.change.find(Job, part.job)
        if job is None or (word.job is not None and word.job != job.id):
            return False
        if word.state == REFUSED:
            return job.kind is JobKind.WRITE_SLOT and part.word not in _ENDING
        if not word.is_proved:
            return job.kind is JobKind.START
        return word.job is not None or word.state == RUNNING or job.kind not in _IMAGING


def _since(flipped_at: datetime, place: Place) -> datetime:
    """Return since when the node is given what it is given now: its clone may have been made anew."""
    made_at = place.clone.made_at if place.clone is not None else None
    return flipped_at if made_at is None else max(flipped_at, made_at)


def _is_settled(node: DeployedNode, at: datetime) -> bool:
    """Tell whether it may have started anew; one that asks and tells in turn must not fill the journal."""
    return node.changed_at is None or abs(at - node.changed_at) >= SETTLED


def _script_of(reads: Reads, word: Word) -> tuple[datetime, str] | None:
    """Return when the machine last fetched its script before *word*, and what that gave it."""
    host = reads.host(word.host)
    seen = reads.last_seen(host.mac, ScriptSent.name, by=word.at, begins=FETCHED) if host else None
    return None if seen is None else (seen.at, answer_given(seen))
