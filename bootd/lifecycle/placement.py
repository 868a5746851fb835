"""Which slot a booking gets: the same one on all of its nodes. Pure.

In this order: a slot that holds the image already on every node (nothing is copied), one into which
other bookings will have put it by then, one that is free on every node, and the one whose images
were used longest ago. A slot is not taken that
is pinned, being written, or needed: running now, or booked by somebody else for later.

A site has hundreds of thousands of slots. The store sums them up, number by number (`Standing`),
and the choice is made on the sums; only what the chosen slot holds is read node by node.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bootd.errors import BootdError
from bootd.model.images import ImageRef
from bootd.model.places import Slot

_NEVER = datetime.min.replace(tzinfo=UTC)


class NoSlot(BootdError):
    """Every slot is taken; the message says by what."""

    code = "no-slot"

    def __init__(self, image: ImageRef, nodes: int, reasons: Mapping[int, str]) -> None:
        rows = "; ".join(f"{number}: {reason}" for number, reason in sorted(reasons.items()))
        super().__init__(
            f"no slot for {image} that is the same on all {nodes} nodes: {rows or 'they have none'}"
        )
        self.reasons = dict(reasons)


@dataclass(frozen=True, slots=True)
class Standing:
    """The slots of one number on all nodes of a booking, summed up; without a row they are all empty."""

    number: int
    held: int = 0  # nodes that have the image there, verified
    evicted: int = 0  # nodes that have another one there
    writing: str = ""  # a node on which it is being written
    pinned: str = ""  # a node on which something else is pinned there, and what
    last_used_at: datetime | None = None  # the latest use of those that would be evicted


@dataclass(frozen=True, slots=True)
class Need:
    """A booking, to come or under way, that counts on what is in a slot."""

    reservation: int  # 0: it has no number yet
    number: int
    nodes: frozenset[str]
    digest: str
    image: ImageRef | None = None  # of that digest, or of the one it had when it was booked


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a booking's image goes, and what that costs."""

    number: int
    copy_to: tuple[str, ...]  # nodes that do not hold it yet
    evicts: tuple[Slot, ...]  # what is overwritten there


def place(
    image: ImageRef,
    digest: str,
    nodes: Sequence[str],
    numbers: Iterable[int],
    standings: Iterable[Standing],
    needs: Collection[Need],
) -> int:
    """Return the number of the slot of a booking of *image* on *nodes*; raises `NoSlot`.

    *numbers* are the slots that each of the nodes has, *standings* what is in them, *needs* those of
    all other bookings. The answer depends on nothing else: the same question gets the same slot.
    """
    known = {standing.number: standing for standing in standings}
    table = {number: known.get(number, Standing(number)) for number in numbers}
    rivals = [need for need in needs if need.digest != digest and need.image != image]
    needed = _needed(nodes, rivals)
    reasons = {number: _taken(row) or needed.get(number, "") for number, row in table.items()}
    free = {number: row for number, row in table.items() if not reasons[number]}
    if not free:
        raise NoSlot(image, len(nodes), reasons)
    promised = _promised(nodes, [need for need in needs if need.digest == digest])
    return min(free, key=lambda n: (*_cost(free[n], len(nodes), is_promised=n in promised), n))


def placement(number: int, digest: str, nodes: Sequence[str], slots: Iterable[Slot]) -> Placement:
    """Return what it costs to have the image of *digest* in slot *number* of *nodes*."""
    there = {slot.host: slot for slot in slots if slot.number == number}
    held = {host for host, slot in there.items() if holds(slot, digest)}
    copy_to = tuple(node for node in nodes if node not in held)
    evicts = tuple(there[node] for node in copy_to if node in there and there[node].image is not None)
    return Placement(number, copy_to, evicts)


def _taken(row: Standing) -> str:
    """Return why the slot cannot be had, "" if it can."""
    if row.writing:
        return f"being written on {row.writing}"
    return f"pinned on {row.pinned}" if row.pinned else ""


def _needed(nodes: Sequence[str], needs: Collection[Need]) -> dict[int, str]:
    """Return for each slot that another booking counts on which one that is."""
    wanted = frozenset(nodes)
    found: dict[int, str] = {}
    for need in sorted(needs, key=lambda each: each.reservation):
        if need.number not in found and (shared := need.nodes & wanted):
            who = f"reservation {need.reservation}" if need.reservation else "a booking asked for with it"
            found[need.number] = f"needed by {who} on {min(shared)}"
    return found


def _promised(nodes: Sequence[str], needs: Iterable[Need]) -> set[int]:
    """Return the slots in which other bookings of the same image have it on all of *nodes*."""
    wanted = frozenset(nodes)
    missing: dict[int, frozenset[str]] = {}
    for need in needs:
        if still := missing.get(need.number, wanted):
            missing[need.number] = still - need.nodes
    return {number for number, nodes_left in missing.items() if not nodes_left}


def _cost(row: Standing, nodes: int, *, is_promised: bool) -> tuple[int, int, datetime]:
    """Return what taking the slot costs: copies that evict, copies, and how lately it was used."""
    missing = nodes - row.held
    if not missing:
        return (0, 0, _NEVER)
    if is_promised:
        return (1, missing, _NEVER)
    if not row.evicted:
        return (2, missing, _NEVER)
    return (3, 0, row.last_used_at or _NEVER)


def holds(slot: Slot, digest: str) -> bool:
    """Tell whether the image of *digest* need not be copied there."""
    return slot.state == "ready" and slot.digest == digest
