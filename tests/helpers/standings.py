"""What `Reads.slot_standings` must answer, worked out slot by slot."""

from collections.abc import Iterable, Sequence

from bootd.lifecycle.placement import Standing, holds
from bootd.model import Slot


def summed_up(nodes: Sequence[str], digest: str, slots: Iterable[Slot]) -> list[Standing]:
    """Return the slots of *nodes* summed up for an image of *digest*, by number."""
    rows: dict[int, list[Slot]] = {}
    for slot in slots:
        if slot.host in nodes:
            rows.setdefault(slot.number, []).append(slot)
    return [_standing(number, row, digest) for number, row in sorted(rows.items())]


def _standing(number: int, row: Sequence[Slot], digest: str) -> Standing:
    others = [slot for slot in row if not holds(slot, digest)]
    full = [slot for slot in others if slot.image is not None]
    pinned = [f"{slot.host} ({slot.image or slot.state})" for slot in others if slot.pinned]
    return Standing(
        number=number,
        held=len(row) - len(others),
        evicted=len(full),
        writing=min((slot.host for slot in others if slot.state == "writing"), default=""),
        pinned=min(pinned, default=""),
        last_used_at=max((slot.last_used_at for slot in full if slot.last_used_at), default=None),
    )
