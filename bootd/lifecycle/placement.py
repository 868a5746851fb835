"""Which slot a booking gets: the same one on all of its nodes. Pure.

In this order: a slot that holds the image already on every node (nothing is copied), one that
is free on every node, and the one whose images were used longest ago. A slot is not taken that
is pinned, being written, or needed: running now, or booked by somebody else for later.
"""

from collections.abc import Collection, Mapping, Sequence
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
class Need:
    """A booking, to come or under way, that counts on what is in a slot."""

    reservation: int
    number: int
    nodes: frozenset[str]
    digest: str


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a booking's image goes, and what that costs."""

    number: int
    copy_to: tuple[str, ...]  # nodes that do not hold it yet
    evicts: tuple[Slot, ...]  # what is overwritten there


def place(
    image: ImageRef, digest: str, nodes: Sequence[str], slots: Collection[Slot], needs: Collection[Need]
) -> Placement:
    """Return the slot of a booking of *image* on *nodes*; raises `NoSlot`.

    *slots* are those of the nodes, *needs* those of all other bookings. The answer depends on
    nothing else: the same question gets the same slot.
    """
    table = _by_number(nodes, slots)
    reasons = {number: _taken(number, row, digest, nodes, needs) for number, row in table.items()}
    free = {number: row for number, row in table.items() if not reasons[number]}
    if not free:
        raise NoSlot(image, len(nodes), reasons)
    number = min(free, key=lambda each: (*_cost(free[each], digest), each))
    copy_to = [slot for slot in free[number] if not _holds(slot, digest)]
    evicts = [slot for slot in copy_to if slot.image is not None]
    return Placement(number, tuple(slot.host for slot in copy_to), tuple(evicts))


def _by_number(nodes: Sequence[str], slots: Collection[Slot]) -> dict[int, list[Slot]]:
    """Return the slots of each number that every node has, in the order of the nodes."""
    place_of = {(slot.number, slot.host): slot for slot in slots}
    numbers = sorted({slot.number for slot in slots})
    rows = {number: [place_of.get((number, node)) for node in nodes] for number in numbers}
    return {
        n: [slot for slot in row if slot is not None] for n, row in rows.items() if row and None not in row
    }


def _taken(
    number: int, row: Sequence[Slot], digest: str, nodes: Sequence[str], needs: Collection[Need]
) -> str:
    """Return why the slot cannot be had, "" if it can."""
    for slot in row:
        if slot.state == "writing":
            return f"being written on {slot.host}"
        if slot.pinned and not _holds(slot, digest):
            return f"pinned on {slot.host} ({slot.image})"
    wanted = frozenset(nodes)
    for need in needs:
        if need.number == number and need.digest != digest and need.nodes & wanted:
            return f"needed by reservation {need.reservation} on {min(need.nodes & wanted)}"
    return ""


def _cost(row: Sequence[Slot], digest: str) -> tuple[int, int, datetime]:
    """Return what taking the slot costs: copies that evict, copies, and how lately it was used."""
    missing = [slot for slot in row if not _holds(slot, digest)]
    evicting = [slot for slot in missing if slot.image is not None]
    if not missing:
        return (0, 0, _NEVER)
    if not evicting:
        return (1, len(missing), _NEVER)
    return (2, 0, max(slot.last_used_at or _NEVER for slot in evicting))


def _holds(slot: Slot, digest: str) -> bool:
    return slot.state == "ready" and slot.digest == digest
