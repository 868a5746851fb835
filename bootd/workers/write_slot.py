"""WRITE_SLOT: an image comes into one slot of many disks at once, by the nodes' own word.

The nodes are told to boot the imager once and are power-cycled; one session sends the image to
all of them; each says that what it wrote is right, or why not. Those that failed are called
a second time, then left out. No slot counts as ready before its node has said so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from bootd.darkstore.unpack.errors import MissingTool
from bootd.drivers.errors import DriverError
from bootd.errors import Refused
from bootd.lifecycle.placement import holds
from bootd.model import DeployedNode, Deployment, JobKind, Outcome, Reservation
from bootd.services import nodeset, slots
from bootd.services.booking import LIVE
from bootd.services.deployments import moved, node_moved
from bootd.services.jobs import OPEN, hasten
from bootd.services.payload import NotForSlot, payload_of
from bootd.store import Reads, Transaction
from bootd.workers import gathering, rounds, slotimage, switching, unpacking
from bootd.workers.rounds import OVERRIDES, ROUND, deployment_of, image_of, note_ready, source_of
from bootd.workers.sessions import CALL, session_of
from bootd.workers.start import NotYet
from bootd.workers.work import GivenUp, Work

BUSY_S = 30.0  # between two looks whether nodes are free
_STOP_TRIES = 3


class WriteSlot:
    """See `Handler`."""

    @property
    def steps(self) -> Mapping[str, Callable[[Work], None]]:
        return {
            "": _prepare,
            rounds.UNPACK: slotimage.unpack,
            CALL: rounds.call,
            rounds.SWITCH: rounds.switch,
            rounds.SEND: rounds.send,
            rounds.WATCH: rounds.watch,
            rounds.VERIFY: rounds.verify,
            rounds.CLOSE: _close,
        }

    def fail(self, work: Work, why: str) -> None:
        _stop(work)
        _close(work, why)

    def cancel(self, work: Work, who: str) -> None:
        _stop(work)
        _close(work, f"taken back by {who}", taken_back=True)


# -- what is written where --------------------------------------------------------------------


def _prepare(work: Work) -> None:
    """Have the slots being written from now on; nodes that hold the image already have theirs ready."""
    deployment, image = deployment_of(work), image_of(work)
    if work.store.memory_image(work.context.settings.imager) is None:
        name = work.context.settings.imager
        raise GivenUp(f"there is no memory image {name!r} that writes slots: bootd memory add {name} …")
    work.context.transport()  # a site without one changes nothing
    source_of(work, image)
    try:
        payload_of(image)
        slotimage.check(image)
    except (NotForSlot, MissingTool) as error:
        raise GivenUp(str(error)) from error
    if busy := _busy(work.store, work):
        with work.commit(wait_s=BUSY_S, note=f"waits: {busy}"):
            pass
        return
    try:
        following = rounds.UNPACK if slotimage.is_unpacked_first(image) else CALL
        with work.commit(following, facts={ROUND: 1}, note="") as change:
            if busy := _busy(change, work):
                raise NotYet(busy)
            _begin(work, change, replace(deployment, digest=image.identity))
    except Refused as error:
        raise GivenUp(str(error)) from error


def _busy(reads: Reads, work: Work) -> str:
    """Return who has any of the nodes now, "" if nobody has."""
    wanted = {node for node in work.job.nodes if work.part(node).outcome is not Outcome.OK}
    for other in reads.reservations_in(("active",)):
        if other.id != work.job.reservation and (shared := wanted.intersection(other.nodes)):
            return f"{nodeset.fold(shared)} is held by reservation {other.id}"
    if switched := _switched(reads, work, wanted):
        return switched
    for kind, does in ((JobKind.WRITE_SLOT, "writes to"), (JobKind.CAPTURE, "captures a slot of")):
        for job in reads.jobs(states=OPEN, kind=kind):
            if job.id == work.job.id or not job.step:
                continue
            parts = {part.node for part in reads.job_parts(job.id) if part.outcome is Outcome.OPEN}
            if shared := wanted & parts:
                return f"job {job.id} {does} {nodeset.fold(shared)}"
    return ""


def _switched(reads: Reads, work: Work, wanted: set[str]) -> str:
    """Return which job of another reservation has still to switch any of the nodes, "" if none has."""
    for kind in (JobKind.START, JobKind.END):
        for job in reads.jobs(states=OPEN, kind=kind):
            parts = {part.node for part in reads.job_parts(job.id) if part.outcome is Outcome.OPEN}
            if job.reservation != work.job.reservation and (shared := wanted & parts):
                return f"job {job.id} ({kind}) switches {nodeset.fold(shared)}"
    return ""


def _begin(work: Work, change: Transaction, deployment: Deployment) -> None:
    assert deployment.slot is not None
    nodes = [node for node in work.job.nodes if work.part(node).outcome is not Outcome.OK]
    known = {slot.host: slot for slot in change.slots(nodes) if slot.number == deployment.slot}
    holding = [node for node in nodes if node in known and holds(known[node], deployment.digest)]
    writing = [node for node in nodes if node not in holding]
    slots.begin(change, writing, deployment.slot, deployment.image, deployment.digest)
    if deployment.state == "sched":
        moved(change, deployment, "deploy-hd", note="")
    schemes = change.schemes()
    for name in nodes:
        host = change.host(name)
        device = schemes.of(host.groups if host is not None else ()).device(deployment.slot)
        node = change.find(DeployedNode, f"{deployment.id}/{name}") or DeployedNode(deployment.id, name)
        if node.state == "failed":
            node = node_moved(change, node, "retry", note="", changed_at=work.now)
        change.keep(replace(node, device=device, changed_at=work.now))
    note_ready(work, change, holding, "had the image already")
    for name in writing:
        part = replace(work.part(name), step="waiting", outcome=Outcome.OPEN, since=work.now)
        work.note_parts(replace(part, tries=0, note=""))


# -- the end ----------------------------------------------------------------------------------


def _close(work: Work, why: str = "", *, taken_back: bool = False) -> None:
    """End the job: slots that are not verified are damaged, orders that nobody used are gone."""
    for_all = [node for node in work.job.nodes if work.part(node).outcome is not Outcome.OK]
    for node in for_all:
        part = work.part(node)
        note = rounds.both_reasons(work, node, part.note or why)
        if part.outcome is Outcome.OPEN:
            work.note_parts(replace(part, outcome=Outcome.FAILED, note=note, rate=0))
    event = "cancel" if taken_back else switching.verdict(work)
    is_lent = gathering.is_lent(work)
    with work.finish(event, why or _summary(work, for_all)) as change:
        for node, override in dict(work.fact(OVERRIDES) or {}).items():
            change.remove_override(node, override)
        deployment = change.find(Deployment, work.job.deployment or 0)
        if deployment is not None:
            _leave_out(work, change, deployment, for_all)
            _settle(work, change, deployment, why or _summary(work, for_all), taken_back=taken_back)
            hasten(change, JobKind.START, deployment.reservation, now=work.now)
    if not is_lent:  # else guests have it sent still; it goes with what is unpacked next
        unpacking.discard(work)


def _leave_out(work: Work, change: Transaction, deployment: Deployment, nodes: Sequence[str]) -> None:
    standing = {slot.host: slot for slot in change.slots(nodes) if slot.number == deployment.slot}
    written = [
        node
        for node in nodes
        if node in standing and standing[node].state == "writing" and standing[node].image == deployment.image
    ]
    slots.failed(change, written, deployment.slot or 0)
    for name in nodes:
        node = change.find(DeployedNode, f"{deployment.id}/{name}")
        if node is not None and node.state == "waiting":
            node_moved(change, node, "fail", note=work.part(name).note, changed_at=work.now)


def _settle(work: Work, change: Transaction, deployment: Deployment, why: str, *, taken_back: bool) -> None:
    """Move the deployment: with one node that has the image it is ready, with none it has failed."""
    reservation = change.find(Reservation, deployment.reservation)
    is_wanted = reservation is not None and reservation.state in LIVE
    if deployment.state == "deploy-hd":
        given_up = "abandon" if taken_back and not is_wanted else "fail"
        event = "written" if work.nodes(Outcome.OK) and is_wanted else given_up
        moved(change, deployment, event, note="" if event == "written" else why)
    elif deployment.state == "sched":
        moved(change, deployment, "remove" if taken_back and not is_wanted else "fail", note=why)


def _summary(work: Work, left_out: Sequence[str]) -> str:
    ready = len(work.job.nodes) - len(left_out)
    without = f", without {nodeset.fold(left_out)}" if left_out else ""
    return f"{ready} of {len(work.job.nodes)} nodes have the image{without}"


def _stop(work: Work) -> None:
    """End the session; where the transport does not answer, it is found and ended as a stray later."""
    session = session_of(work.job)
    if session is None:
        return
    try:
        if gathering.sharers(work.store, work.job):
            for node in work.job.nodes:
                work.context.transport().leave_out(session.id, node, "its job was taken back")
        else:
            work.context.transport().stop(session.id)
    except DriverError as error:
        if not error.is_permanent and int(work.fact("tries", 0)) < _STOP_TRIES:
            raise
    except GivenUp:
        return  # the site has no transport any more, so there is no session either
