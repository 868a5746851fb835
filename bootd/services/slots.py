"""Slots: what is written into them, kept there, and never taken from anybody who counts on it.

What workers do takes a transaction; what people do opens one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bootd.errors import BadValue, Refused
from bootd.lifecycle import SLOT
from bootd.lifecycle.placement import holds
from bootd.model import Deployment, Host, ImageRef, Role, Schemes, Slot, SlotScheme
from bootd.services import nodeset
from bootd.services.deployments import OVER
from bootd.store import Reads, SlotContent, Store, Transaction

# -- what workers do ------------------------------------------------------------------------


def begin(change: Transaction, nodes: Sequence[str], number: int, image: ImageRef, digest: str) -> None:
    """The slot of *nodes* is being written from now on; what it held is gone.

    One that holds the image already, or is being written with it, stays as it is. Raises `Refused`
    where somebody else counts on what it holds, `IllegalMove` while another image is being written.
    """
    held = _slots(change, nodes, number)
    fresh = [
        slot
        for slot in held.values()
        if not holds(slot, digest) and not (slot.state == "writing" and slot.digest == digest)
    ]
    reasons = [
        *_pinned(fresh),
        *(_in_use(each, fresh) for each in _needing(change, fresh) if each.image != image),
    ]
    _refuse(f"slot {number} cannot be written with {image}", reasons)
    for slot in fresh:
        state = SLOT.after(slot.state, "write")
        change.keep(replace(slot, state=state, image=image, digest=digest, last_used_at=None))


def verified(change: Transaction, nodes: Sequence[str], number: int) -> None:
    """What was written on *nodes* is there, whole; one that was told so already stays as it is."""
    for slot in _slots(change, nodes, number).values():
        if slot.state != "ready":
            change.keep(replace(slot, state=SLOT.after(slot.state, "verified")))


def failed(change: Transaction, nodes: Sequence[str], number: int) -> None:
    """What the slot of *nodes* holds is not whole: it is not booted, and free to be written."""
    for slot in _slots(change, nodes, number).values():
        if slot.state in ("writing", "ready"):
            state = SLOT.after(slot.state, "fail")
            change.keep(replace(slot, state=state, image=None, digest="", last_used_at=None))


def used(change: Transaction, nodes: Sequence[str], number: int, at: datetime) -> None:
    """*nodes* were told to boot it at that time, or left it then."""
    for slot in _slots(change, nodes, number).values():
        if slot.image is not None:
            change.keep(replace(slot, last_used_at=at))


# -- disks that are divided -----------------------------------------------------------------


def lost_if_divided(reads: Reads, nodes: Sequence[str], *, own: int, instead: str) -> Iterable[str]:
    """Tell who would lose what the disks of *nodes* hold, but for reservation *own*; *instead*: a way out."""
    held = {(slot.host, slot.number): slot for slot in reads.slots(nodes)}
    for slot in held.values():
        if slot.pinned:
            yield f"{slot.host}: slot {slot.number} is pinned: bootd slots unpin {slot.host} {slot.number}"
    for need in reads.slot_needs(nodes):
        names = [n for n in need.nodes if (s := held.get((n, need.number))) and s.digest == need.digest]
        if need.reservation != own and names:
            yield (
                f"{nodeset.fold(names)}: reservation {need.reservation} needs {need.image} in"
                f" slot {need.number}: {instead}, or cancel that one"
            )


# -- what people do -------------------------------------------------------------------------


def pin(store: Store, actor: str, nodes: str, number: int, *, dry_run: bool = False) -> list[Slot]:
    """Keep what a slot holds, empty ones empty, whatever happens; return those that were not pinned.

    Raises `Refused` where a booking is to write something else there.
    """

    def pinned(change: Transaction, held: Sequence[Slot]) -> list[Slot]:
        _refuse(
            f"slot {number} cannot be pinned",
            [
                _in_use(each, rivals)
                for each in _needing(change, held)
                if (rivals := [slot for slot in held if slot.state != "writing" and slot.image != each.image])
                and not {slot.host for slot in rivals}.isdisjoint(each.nodes)
            ],
        )
        return [replace(slot, pinned=True) for slot in held]

    return _changed(store, actor, "slots pin", nodes, number, pinned, dry_run=dry_run)


def unpin(store: Store, actor: str, nodes: str, number: int, *, dry_run: bool = False) -> list[Slot]:
    """Let what a slot holds be overwritten again; return those that were pinned."""

    def loose(change: Transaction, held: Sequence[Slot]) -> list[Slot]:
        return [replace(slot, pinned=False) for slot in held]

    return _changed(store, actor, "slots unpin", nodes, number, loose, dry_run=dry_run)


def wipe(store: Store, actor: str, nodes: str, number: int, *, dry_run: bool = False) -> list[Slot]:
    """Forget what a slot holds; return those that held anything, as they were.

    Nothing is erased on the disks. Raises `Refused` where anybody counts on it, or it is pinned.
    """
    gone: list[Slot] = []

    def empty(change: Transaction, held: Sequence[Slot]) -> list[Slot]:
        full = [slot for slot in held if slot.state != SLOT.first]
        needed = [
            _in_use(each, full)
            for each in _needing(change, full)
            if each.state != "sched" or any(_is_wanted(slot, each) for slot in full)
        ]
        written = sorted(slot.host for slot in full if slot.state == "writing")
        busy = [f"{nodeset.fold(written)}: being written"] if written else []
        _refuse(f"slot {number} cannot be wiped", [*_pinned(full), *busy, *needed])
        gone.extend(full)
        return [
            replace(slot, state=SLOT.after(slot.state, "wipe"), image=None, digest="", last_used_at=None)
            for slot in full
        ]

    _changed(store, actor, "slots wipe", nodes, number, empty, dry_run=dry_run)
    return gone


def _changed(
    store: Store,
    actor: str,
    what: str,
    nodes: str,
    number: int,
    new: Callable[[Transaction, Sequence[Slot]], list[Slot]],
    *,
    dry_run: bool,
) -> list[Slot]:
    """Change the slots of a node set together; return those that became another."""
    with store.transaction(actor, what) as change:
        hosts = nodeset.parse(nodes, change.hosts())
        _check_number(change.schemes(), hosts, number)
        held = _slots(change, [host.name for host in hosts], number)
        changed = [slot for slot in new(change, list(held.values())) if slot != held[slot.host]]
        for slot in changed if not dry_run else ():
            change.keep(slot)
    return changed


def _check_number(schemes: Schemes, hosts: Sequence[Host], number: int) -> None:
    """Raise `Refused` where the number is no slot of a host."""
    reasons = []
    for scheme in {schemes.of(host.groups) for host in hosts}:
        if number not in scheme.numbers:
            names = [host.name for host in hosts if schemes.of(host.groups) == scheme]
            reasons.append(f"{nodeset.fold(names)}: slots {scheme.first} to {scheme.last}")
    rootish = [host.name for host in hosts if host.role is Role.ROOT]
    if rootish:
        reasons.append(f"{nodeset.fold(rootish)}: root nodes boot from LUNs and have no slots")
    _refuse(f"no slot {number}", sorted(reasons))


# -- looking --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """Slots of some numbers that hold the same on the same nodes."""

    numbers: tuple[int, ...]
    state: str
    image: ImageRef | None
    pinned: bool
    nodes: tuple[str, ...]
    last_used_at: datetime | None


def contents(reads: Reads, nodes: str | None = None) -> list[Row]:
    """Return what is in the slots of *nodes* (None: of all that have slots), the empty ones too."""
    known = reads.hosts()
    hosts = [host for host in (nodeset.parse(nodes, known) if nodes else known) if host.role is not Role.ROOT]
    names = {host.name for host in hosts}
    found = [
        each
        for each in reads.slot_contents(names if nodes else None)
        if each.pinned or each.state != SLOT.first  # one that is empty again is like those never written
    ]
    rows = [_row(each, [name for name in each.hosts if name in names]) for each in found]
    rows = [row for row in rows if row.nodes] + _empty(reads.schemes(), hosts, found)
    return _merged(rows)


def _row(content: SlotContent, nodes: Sequence[str]) -> Row:
    return Row(
        numbers=(content.number,),
        state=content.state,
        image=content.image,
        pinned=content.pinned,
        nodes=tuple(sorted(nodes)),
        last_used_at=content.last_used_at,
    )


def _empty(schemes: Schemes, hosts: Sequence[Host], found: Sequence[SlotContent]) -> list[Row]:
    """Return the slots that nothing is known of: they are empty."""
    by_scheme: dict[SlotScheme, set[str]] = {}
    for host in hosts:
        by_scheme.setdefault(schemes.of(host.groups), set()).add(host.name)
    having: dict[int, set[str]] = {}
    for scheme, names in by_scheme.items():
        for number in scheme.numbers:
            having.setdefault(number, set()).update(names)
    for content in found:
        having.get(content.number, set()).difference_update(content.hosts)
    return [
        Row((number,), SLOT.first, None, False, tuple(sorted(names)), None)
        for number, names in having.items()
        if names
    ]


def _merged(rows: Iterable[Row]) -> list[Row]:
    """Return *rows* with the numbers together that hold the same on the same nodes."""
    same: dict[tuple[str, ImageRef | None, bool, tuple[str, ...]], list[Row]] = {}
    for row in rows:
        same.setdefault((row.state, row.image, row.pinned, row.nodes), []).append(row)
    merged = []
    for alike in same.values():
        numbers = sorted(number for row in alike for number in row.numbers)
        last = max((row.last_used_at for row in alike if row.last_used_at), default=None)
        merged.append(replace(alike[0], numbers=tuple(numbers), last_used_at=last))
    return sorted(merged, key=lambda row: (row.numbers, str(row.image), row.state, row.nodes))


@dataclass(frozen=True, slots=True)
class Shown:
    """One slot of one host, and the reservations that count on it."""

    slot: Slot
    device: str
    reservations: tuple[int, ...]


def show(reads: Reads, name: str) -> list[Shown]:
    """Return every slot of a host; raises `NotFound`, and `Refused` for a root node."""
    [host, *more] = nodeset.parse(name, reads.hosts())
    if more:
        raise BadValue("host", name, "one host: bootd slots list shows many")
    if host.role is Role.ROOT:
        raise Refused(f"{host.name} is a root node: it boots from a LUN and has no slots")
    scheme = reads.schemes().of(host.groups)
    held = {slot.number: slot for slot in reads.slots([host.name])}
    needs: dict[int, list[int]] = {}
    for need in reads.slot_needs([host.name]):
        if host.name in need.nodes:
            needs.setdefault(need.number, []).append(need.reservation)
    return [
        Shown(held.get(number, Slot(host.name, number)), scheme.device(number), tuple(needs.get(number, ())))
        for number in sorted({*scheme.numbers, *held})
    ]


# -- who counts on what ---------------------------------------------------------------------


def _slots(reads: Reads, nodes: Sequence[str], number: int) -> Mapping[str, Slot]:
    """Return the slot of each of *nodes*, those that were never written too."""
    known = {slot.host: slot for slot in reads.slots(nodes, number)}
    return {node: known.get(node) or Slot(node, number) for node in nodes}


def _needing(reads: Reads, slots: Sequence[Slot]) -> list[Deployment]:
    """Return the deployments that count on any of *slots*, which are of one number."""
    hosts = {slot.host for slot in slots}
    numbers = {slot.number for slot in slots}
    return [
        each
        for each in (reads.deployments_on(hosts) if hosts else ())
        if each.slot in numbers and each.state not in OVER and not hosts.isdisjoint(each.nodes)
    ]


def _is_wanted(slot: Slot, deployment: Deployment) -> bool:
    return slot.host in deployment.nodes and slot.image == deployment.image


def _in_use(deployment: Deployment, slots: Sequence[Slot]) -> str:
    nodes = nodeset.fold({slot.host for slot in slots}.intersection(deployment.nodes))
    return (
        f"{nodes}: reservation {deployment.reservation} needs {deployment.image} there ({deployment.state})"
    )


def _pinned(slots: Sequence[Slot]) -> list[str]:
    names = [slot.host for slot in slots if slot.pinned]
    return [f"{nodeset.fold(names)}: pinned"] if names else []


def _refuse(what: str, reasons: Sequence[str]) -> None:
    if reasons:
        raise Refused(f"{what}: " + "; ".join(reasons))
