"""What it takes to have an image in its place, in sentences for people."""

from collections.abc import Sequence
from datetime import datetime, tzinfo

from bootd.lifecycle.placement import Placement
from bootd.model import Deployment, LunPair
from bootd.services import nodeset


def into_slot(cost: Placement, nodes: Sequence[str], now: datetime, zone: tzinfo) -> str:
    """Tell what is copied, and what has to make room for it."""
    place_of = f"slot {cost.number} on {nodeset.fold(nodes)}"
    if not cost.copy_to:
        return f"{place_of}: holds it already, nothing is copied"
    copied = f"to {nodeset.fold(cost.copy_to)}" if len(cost.copy_to) < len(nodes) else "there"
    there = sorted(set(nodes) - set(cost.copy_to))
    held = f", {nodeset.fold(there)} {'holds' if len(there) == 1 else 'hold'} it already" if there else ""
    used: dict[str, datetime | None] = {}
    for slot in cost.evicts:
        last = [at for at in (used.get(str(slot.image)), slot.last_used_at) if at is not None]
        used[str(slot.image)] = max(last, default=None)
    evicted = ", ".join(f"{image} ({_used(at, now, zone)})" for image, at in sorted(used.items()))
    return f"{place_of}: copied {copied}{held}" + (f"; takes the place of {evicted}" if used else "")


def _used(at: datetime | None, now: datetime, zone: tzinfo) -> str:
    if at is None:
        return "never used"
    day = at.astimezone(zone)
    year = f" {day.year}" if day.year != now.astimezone(zone).year else ""
    return f"last used {day.day} {day:%b}{year}"


def onto_lun(pair: LunPair, deployment: Deployment) -> str:
    """Tell whether anything is written to the pair."""
    where = f"LUN pair {pair.group} for {nodeset.fold(deployment.nodes)}"
    side = pair.sides[pair.inactive]
    if side.digest == deployment.digest and side.state != "staging":
        return f"{where}: {side.volume} holds it already, nothing is written"
    return f"{where}: written to the LUN that is inactive then"
