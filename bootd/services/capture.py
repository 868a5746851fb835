"""Capture: a slot of one node becomes the next version of an image; what is ordered, what is against it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from bootd.clock import Clock
from bootd.darkstore.tree import Tree
from bootd.errors import BootdError, Refused
from bootd.lifecycle import SLOT
from bootd.model import Host, Job, JobKind, Outcome, Role, parse_image_ref
from bootd.model.places import Slot
from bootd.services import images, jobs, nodeset
from bootd.store import Reads, Store

T = TypeVar("T")
KEPT = "kept"  # fact of a job: the image that came of it
WHOLE = "ready"  # the state of a slot that holds something worth keeping


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be captured, as a person says it."""

    node: str
    slot: int
    image: str  # PROJECT/NAME


def order(
    store: Store, actor: str, wish: Wish, *, clock: Clock, tree: Tree, imager: str, dry_run: bool = False
) -> Job | None:
    """Have the slot captured by the next free worker; the node is restarted for it, and afterwards.

    Raises `Refused` with every reason at once, before anything is done. None with *dry_run*.
    """
    with store.transaction(actor, "images capture") as change:
        reasons = list(against(change, wish, tree=tree, imager=imager))
        if reasons:
            raise Refused(f"slot {wish.slot} of {wish.node} cannot be captured: {'; '.join(reasons)}")
        if dry_run:
            return None
        [host] = nodeset.parse(wish.node, change.hosts())
        facts = {jobs.SLOT: wish.slot, jobs.IMAGE: wish.image}
        return jobs.add(change, JobKind.CAPTURE, by=actor, now=clock(), nodes=(host.name,), facts=facts)


def against(reads: Reads, wish: Wish, *, tree: Tree, imager: str) -> Iterator[str]:
    """Yield why *wish* cannot be."""
    reasons: list[str] = []
    ref = _tried(reasons, lambda: images.check_new(reads, wish.image))
    host = _tried(reasons, lambda: _one(reads, wish.node))
    yield from reasons
    if host is not None:
        project = ref.project if ref is not None else _project_of(wish.image)
        yield from _of_slot(reads, host, wish.slot)
        yield from _of_node(reads, host, project)
        yield from held_by_jobs(reads, host.name)
    if reads.memory_image(imager) is None:
        yield f"there is no memory image {imager!r} that reads slots: bootd memory build {imager}"
    if away := _away(reads, tree):
        yield away


def _tried(reasons: list[str], call: Callable[[], T]) -> T | None:
    try:
        return call()
    except BootdError as error:
        reasons.append(str(error))
        return None


def _one(reads: Reads, name: str) -> Host:
    hosts = nodeset.parse(name, reads.hosts())
    if len(hosts) != 1:
        raise Refused(f"{name} is {len(hosts)} nodes, and an image is captured of one")
    return hosts[0]


def _project_of(image: str) -> str:
    """Return whose image it is to be, whether or not there is such a project."""
    try:
        return parse_image_ref(image).project
    except BootdError:
        return ""


def _of_slot(reads: Reads, host: Host, number: int) -> Iterator[str]:
    if host.role is Role.ROOT:
        yield f"{host.name} is a root node: it boots from a LUN and has no slots"
        return
    scheme = reads.schemes().of(host.groups)
    if number not in scheme.numbers:
        yield f"{host.name} has slots {scheme.first} to {scheme.last}"
        return
    slot = reads.find(Slot, f"{host.name}/{number}") or Slot(host.name, number)
    if slot.state != WHOLE:
        yield f"it is {slot.state} ({SLOT.states[slot.state]})"


def _of_node(reads: Reads, host: Host, project: str) -> Iterator[str]:
    if not host.settings.get("power"):
        yield f"{host.name} cannot be restarted by bootd: bootd hosts set {host.name} --set power=…"
    if held := held_by(reads, host.name, project):
        yield held


def held_by(reads: Reads, node: str, project: str) -> str:
    """Return which running reservation of another project has the node; "" for none."""
    for each in reads.reservations_in(("active",)):
        if node in each.nodes and each.project != project:
            return f"{node} is held by reservation {each.id} of project {each.project}"
    return ""


def held_by_jobs(reads: Reads, node: str, besides: int = 0) -> list[str]:
    """Return which open jobs have still to do with the node, a sentence each."""
    found = []
    for part in reads.open_parts_of(node):
        job = reads.find(Job, part.job)
        if job is not None and job.id != besides and part.outcome is Outcome.OPEN:
            found.append(f"job {job.id} ({job.kind}) has to do with {node}: bootd jobs follow {job.id}")
    return found


def _away(reads: Reads, tree: Tree) -> str:
    """Return why nothing can be kept in the dark store now."""
    expected = sum(image.state != "retired" for image in images.images(reads))
    if not expected and not tree.must_be_mount and not tree.root.exists():
        return ""  # it is made with the first image
    try:
        tree.check(expected=expected)
    except BootdError as error:
        return str(error)
    return ""
