"""What a node that runs the imager is to do now, and whether it may still write: asked by itself.

Answers are lines ``key value``, so that a shell reads them with sed.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from bootd.boot.places import CORE_BOOT, EFI_MENU, core_file
from bootd.model import (
    Deployment,
    DiskImage,
    Host,
    Job,
    JobKind,
    JobPart,
    Outcome,
    Reservation,
    SlotScheme,
)
from bootd.model.places import Slot
from bootd.services import capturing, disklayout, slots
from bootd.services.booking import LIVE
from bootd.services.disklayout import DiskFacts, Step, Verdict
from bootd.services.jobs import CANCEL, FAILING, HELD, OPEN, REPARTITION, TO_PLACE, is_since_call
from bootd.services.payload import NotForSlot, payload_of
from bootd.store import Reads, Store
from netboot.arch import Firmware

T = TypeVar("T")
SENT = "sent"  # fact of a job: what is sent in place of an image that is unpacked first
WAYS = "ways"  # fact of a job: what each of its nodes is told to join its session
LAST_WORDS = ("verified", "failed")  # after them a node has nothing to do for that job
_MISSED = "missed"  # step of a node whose turn in this session is over
_FACT_LENGTH = 128  # characters
_LAYOUT = "layout"


@dataclass(frozen=True, slots=True)
class Task:
    """A slot to be written on one node, as far as the job has come."""

    host: Host
    job: Job
    part: JobPart
    deployment: Deployment
    image: DiskImage
    scheme: SlotScheme
    slot: int

    @property
    def way(self) -> Mapping[str, str] | None:
        """How the session is joined; None while there is none yet."""
        ways: Mapping[str, Mapping[str, str]] = self.job.facts.get(WAYS) or {}
        return ways.get(self.host.name)

    @property
    def rule(self) -> str:
        return disklayout.rule_of(self.host)

    def lines(self) -> Iterator[tuple[str, object]]:
        sent: Mapping[str, Any] | None = self.job.facts.get(SENT)
        payload = payload_of(self.image, sent)
        yield from (("job", self.job.id), ("image", self.image.ref), ("identity", self.deployment.digest))
        if sent is not None:
            yield "stream", sent["identity"]
        yield from (("slot", self.slot), ("disk", self.rule or self.scheme.disk))
        yield from (("tool", payload.tool), ("compression", payload.compression))
        yield "filesystem", payload.file_system
        yield "octets", self.image.size if sent is None else sent["size"]
        if payload.size:
            yield from (("part-start", payload.start), ("part-size", payload.size))
        yield from (("file", name) for name in payload.files)
        yield from (self.way or {}).items()
        yield "menu", " ".join(map(str, self.scheme.numbers))
        yield from (("boot-sector", f"/files/{CORE_BOOT}"), ("menu-core", f"/files/{core_file(1)}"))
        yield from (("slot-core", f"/files/{core_file(self.slot)}"), ("menu-efi", f"/files/{EFI_MENU}"))


def task_of(reads: Reads, node: str) -> Task | None:
    """Return what *node* is to write, None where nobody wants anything of it."""
    for part in reads.open_parts_of(node):
        job = reads.find(Job, part.job)
        if job is not None and (task := _task(reads, node, job, part)) is not None:
            return task
    return None


def _task(reads: Reads, node: str, job: Job, part: JobPart) -> Task | None:
    if job.kind is not JobKind.WRITE_SLOT or job.state not in OPEN or not job.step:
        return None
    if CANCEL in job.facts or FAILING in job.facts or _is_over(job, part):
        return None
    host, deployment = reads.host(node), reads.find(Deployment, job.deployment or 0)
    if host is None or deployment is None or deployment.slot is None:
        return None
    image = reads.find(DiskImage, str(deployment.image))
    if image is None:
        return None
    scheme = reads.schemes().of(host.groups)
    return Task(host, job, part, deployment, image, scheme, deployment.slot)


def _is_over(job: Job, part: JobPart) -> bool:
    """Tell whether the node is done with this call, or not called yet; an earlier call has an older word."""
    said_last = part.word in LAST_WORDS and is_since_call(job, part)
    return part.outcome is not Outcome.OPEN or part.step in (_MISSED, HELD) or said_last


def task_text(reads: Reads, node: str) -> str:
    """Return what *node* is to do: ``task write`` and all it must know, ``wait``, ``none``, ``refused``."""
    task = task_of(reads, node)
    if task is None:
        stays = _is_to_start(reads, node) or _may_be_called_again(reads, node)
        none = "task wait\n" if stays else "task none\n"
        return capturing.task_text(reads, node) or none
    if task.way is None:
        return "task wait\n"
    try:
        return "".join(f"{key} {value}\n" for key, value in (("task", "write"), *task.lines()))
    except NotForSlot as error:
        return f"task refused\njob {task.job.id}\nreason {error}\n"


def _is_to_start(reads: Reads, node: str) -> bool:
    """Tell whether a reservation is about to start the node: it stays, and leaves into its slot in time."""
    for part in reads.open_parts_of(node):
        job = reads.find(Job, part.job)
        if job is not None and job.kind is JobKind.START and CANCEL not in job.facts:
            return part.outcome is Outcome.OPEN and part.step == TO_PLACE
    return False


def _may_be_called_again(reads: Reads, node: str) -> bool:
    """Tell whether a job with which the node did not succeed is still at work: it need not restart."""
    for part in reads.open_parts_of(node):
        job = reads.find(Job, part.job)
        if job is None or job.kind is not JobKind.WRITE_SLOT or job.state not in OPEN:
            continue
        is_ending = CANCEL in job.facts or FAILING in job.facts
        was_called = part.step == _MISSED or part.word == "failed"
        if was_called and not is_ending and part.outcome is Outcome.OPEN:
            return True
    return False


# -- the last question before anything is written ----------------------------------------------


def permit(store: Store, node: str, form: Mapping[str, str]) -> str:
    """Return what `permit_text` says; where the disk is to be divided, what its slots held is gone."""
    text = permit_text(store, node, form)
    if f"\n{_LAYOUT} {Step.DIVIDE}\n" not in text:
        return text
    with store.transaction("bootd", f"the disk of {node} is divided") as change:
        text, task = permit_text(change, node, form), task_of(change, node)
        if text.startswith("permit yes\n") and task is not None:
            for slot in change.slots([node]):
                if slot.number != task.slot and slot.state == "ready":
                    slots.failed(change, [node], slot.number)
    return text


def permit_text(reads: Reads, node: str, form: Mapping[str, str]) -> str:
    """Say whether *node* may write to the disk it describes in *form*: ``permit yes`` or ``permit no``.

    With ``layout divide`` the rest of the answer, behind an empty line, is for sfdisk.
    """
    task = task_of(reads, node)
    if task is None and (capture := capturing.capture_of(reads, node)) is not None:
        return _permit_to_read(capture, form)
    if task is None or form.get("job") != str(task.job.id):
        return _no("the job was ended, or does not wait for this node any more")
    if refused := _not_planned(reads, task):
        return _no(refused)
    try:
        disk = disk_facts(form)
    except ValueError as error:
        return _no(f"what it said of its disk makes no sense: {error}")
    repartition = task.host.settings.get(REPARTITION) == "yes" or bool(task.job.facts.get(REPARTITION))
    verdict = disklayout.judge(disk, task.scheme, task.slot, rule=task.rule, repartition=repartition)
    if refused := verdict.refused or _too_small(task, disk, verdict):
        return _no(refused)
    if verdict.step is Step.DIVIDE and not disk.is_blank and (lost := _lost(reads, task)):
        return _no(f"{disk.name} is not divided anew, nothing was written: {'; '.join(lost)}")
    note = f"note {verdict.note}\n" if verdict.note else ""
    script = f"\n{verdict.script}" if verdict.script else ""
    return f"permit yes\n{_LAYOUT} {verdict.step}\n{note}{script}"


def _too_small(task: Task, disk: DiskFacts, verdict: Verdict) -> str:
    """Return why the image does not fit: half of it would only destroy what the slot holds."""
    try:
        needs = payload_of(task.image, task.job.facts.get(SENT)).needs
    except NotForSlot as error:
        return str(error)
    if needs <= verdict.room:
        return ""
    has = f"slot {task.slot} of {disk.name} has {verdict.room:,} octets"
    return f"{has}, {task.image.ref} needs {needs:,}: nothing was written"


def _lost(reads: Reads, task: Task) -> list[str]:
    """Return who would lose what is on the disk: since the job was ordered, somebody may count on it."""
    nodes, own = [task.host.name], task.deployment.reservation
    return list(slots.lost_if_divided(reads, nodes, own=own, instead="wait for its end"))


def _permit_to_read(capture: capturing.Capture, form: Mapping[str, str]) -> str:
    """Say whether the disk that *form* describes is the one a slot of which is to be read."""
    try:
        refused = capturing.refused(capture, disk_facts(form))
    except ValueError as error:
        refused = f"what it said of its disk makes no sense: {error}"
    answer = f"permit no{capturing.TO_READ}reason {refused}\n"
    return answer if refused else f"permit yes{capturing.TO_READ}{_LAYOUT} {Step.KEEP}\n"


def _no(reason: str) -> str:
    return f"permit no\nreason {reason}\n"


def _not_planned(reads: Reads, task: Task) -> str:
    """Return why the slot of this node is not to be written after all."""
    reservation = reads.find(Reservation, task.deployment.reservation)
    if reservation is None or reservation.state not in LIVE:
        return f"reservation {task.deployment.reservation} is over"
    slot = reads.find(Slot, f"{task.host.name}/{task.slot}")
    if slot is None or slot.state != "writing" or slot.digest != task.deployment.digest:
        return f"slot {task.slot} is not planned for {task.image.ref} any more"
    for other in reads.reservations_in(("active",)):
        if other.id != reservation.id and task.host.name in other.nodes:
            return f"reservation {other.id} holds the node"
    return ""


def disk_facts(form: Mapping[str, str]) -> DiskFacts:
    """Return the disk that *form* describes; raises `ValueError`."""
    name, firmware = form.get("name", ""), form.get("firmware", "")
    if not name.isascii() or not name.isalnum():
        raise ValueError("its name is no disk's")
    return DiskFacts(
        name=name,
        sectors=int(form.get("sectors", "")),
        sector_size=int(form.get("sector-size", "")),
        is_removable=form.get("removable") != "0",
        serial=form.get("serial", "").strip()[:_FACT_LENGTH],
        wwn=form.get("wwn", "").strip()[:_FACT_LENGTH],
        table=form.get("table", "").strip(),
        is_blank=form.get("blank") == "yes",
        firmware=Firmware(firmware) if firmware else None,
    )


class TaskDesk:
    """Answers nodes from the store, on a thread of its own. Used by one event loop."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tasks")

    async def task(self, node: str) -> str:
        return await self._ask(partial(task_text, node=node))

    async def permit(self, node: str, form: Mapping[str, str]) -> str:
        return await self._ask(partial(permit, node=node, form=form))

    async def aclose(self) -> None:
        """End the thread when it has done what it does."""
        await asyncio.to_thread(self._thread.shutdown)

    async def _ask(self, question: Callable[[Store], T]) -> T:
        def ask() -> T:
            with self._open_store() as store:
                return question(store)

        return await asyncio.get_running_loop().run_in_executor(self._thread, ask)
