"""What a node is told of the slot it is to read, and what it brings: piece by piece, then what it was.

A node names its job, its round and the number of a piece, nothing else: where the octets go, and what
the image is called, is the job's.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from bootd.darkstore import saveparts
from bootd.darkstore.captured import PIECE, BadPiece, Piece, State, Upload
from bootd.darkstore.tree import Tree
from bootd.model import Host, Job, JobKind, JobPart, Outcome, SlotScheme
from bootd.services import disklayout
from bootd.services.disklayout import DiskFacts
from bootd.services.jobs import CANCEL, FAILING, OPEN, SLOT, is_since_call
from bootd.store import Reads, Store

T = TypeVar("T")
ROUND = "round"  # fact of a job
SWITCH, READ = "switch", "read"  # steps in which its node reads
TO_READ = "\nuse read\n"  # in the answer to a node that may, or may not, read its disk
LAST_WORDS = ("captured", "failed")  # after them the node has nothing to do in this round
_NOTE_LENGTH = 200  # characters
_THREADS = 4  # pieces of so many nodes are written side by side


@dataclass(frozen=True, slots=True)
class Capture:
    """A slot to be read on one node, as far as the job has come."""

    host: Host
    job: Job
    part: JobPart
    scheme: SlotScheme

    @property
    def slot(self) -> int:
        return int(self.job.facts[SLOT])

    @property
    def round(self) -> int:
        return int(self.job.facts[ROUND])

    @property
    def rule(self) -> str:
        return disklayout.rule_of(self.host)


def capture_of(reads: Reads, node: str) -> Capture | None:
    """Return what *node* is to read, None where nobody wants anything of it."""
    for part in reads.open_parts_of(node):
        job = reads.find(Job, part.job)
        host = reads.host(node)
        if job is not None and host is not None and _is_open(job, part):
            return Capture(host, job, part, reads.schemes().of(host.groups))
    return None


def _is_open(job: Job, part: JobPart) -> bool:
    if job.kind is not JobKind.CAPTURE or job.state not in OPEN or job.step not in (SWITCH, READ):
        return False
    is_done = part.word in LAST_WORDS and is_since_call(job, part)
    is_waited_for = part.outcome is Outcome.OPEN or job.step == SWITCH  # heard of: its restart is ok
    return is_waited_for and not is_done and CANCEL not in job.facts and FAILING not in job.facts


def task_text(reads: Reads, node: str) -> str:
    """Return what *node* is to read, as lines ``key value``; "" where it is nothing."""
    capture = capture_of(reads, node)
    if capture is None:
        return ""
    lines = {
        "task": "capture",
        "job": capture.job.id,
        "round": capture.round,
        "slot": capture.slot,
        "disk": capture.rule or capture.scheme.disk,
        "piece": PIECE,
        "path": "/node/v1/capture",
    }
    return "".join(f"{key} {value}\n" for key, value in lines.items())


def refused(capture: Capture, disk: DiskFacts) -> str:
    """Return why this *disk* is not the one to be read; "" where it is."""
    if wrong := disklayout.wrong_disk(disk, capture.scheme, capture.rule):
        return wrong
    if disklayout.is_ours(disk.table, capture.slot, capture.scheme.label):
        return ""
    return f"{disk.name} is {'empty' if disk.is_blank else 'not divided as slots are'}"


# -- what comes ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends, and for what, as the request says."""

    node: str
    job: int
    round: int


class CaptureDesk:
    """Takes what nodes bring, on threads of its own. Used by one event loop."""

    def __init__(self, open_store: Callable[[], Store], tree: Tree) -> None:
        self._open_store, self._tree = open_store, tree
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="captures")

    async def piece(self, sender: Sender, piece: Piece, octets: int, chunks: AsyncIterator[bytes]) -> State:
        """Take one piece; raises `BadPiece`, `DarkStoreAway`."""
        if not 0 < octets <= PIECE:
            raise BadPiece("too-large", f"a piece has 1 to {PIECE} octets")
        upload = await self._run(self._upload, sender)
        await self._run(upload.check_room, octets)
        came = await self._run(upload.receive)
        try:
            async for chunk in chunks:
                await self._run(came.take, chunk)
            return await self._run(upload.put, piece, sender.round, came)
        finally:
            self._threads.submit(came.discard)

    async def end(self, sender: Sender, form: Mapping[str, str]) -> State:
        """Keep what the node says of all it has sent; raises `BadPiece`, `DarkStoreAway`."""
        return await self._run(self._end, sender, form)

    async def aclose(self) -> None:
        """End the threads when they have done what they do."""
        await asyncio.to_thread(self._threads.shutdown)

    async def _run(self, call: Callable[..., T], *values: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *values))

    def _upload(self, sender: Sender) -> Upload:
        self._find(sender)
        return Upload(self._tree.root, sender.job)

    def _find(self, sender: Sender) -> Capture:
        with self._open_store() as store:
            capture = capture_of(store, sender.node)
        if capture is None or (capture.job.id, capture.round) != (sender.job, sender.round):
            raise BadPiece("not-wanted", "the job was ended, or does not wait for this node any more")
        return capture

    def _end(self, sender: Sender, form: Mapping[str, str]) -> State:
        capture = self._find(sender)
        try:
            saveparts.parse(form, capture.slot)
            counts = {key: int(form.get(key, "")) for key in ("pieces", "octets")}
        except ValueError as error:
            raise BadPiece("bad-description", f"what it said of the slot makes no sense: {error}") from error
        kept = {key: form.get(key, "") for key in (*saveparts.FIELDS, "sha256")}
        kept["note"] = "".join(c for c in form.get("note", "") if c.isprintable())[:_NOTE_LENGTH]
        return Upload(self._tree.root, sender.job).end(sender.round, {**kept, **counts})
