"""The path of an image, read back from the journal: REG, DARK, SCHED, DEPLOY, READY, RUN, and back to DARK.

What is known of an image is spread over rows of its own, of the deployments that carried it to its
places, of the nodes that booted it there, and of the slots and LUNs that held it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bootd.model import Deployment, ImageRef, parse_image_ref
from bootd.services import images, nodeset
from bootd.services.luns import SIDES
from bootd.store import JournalEntry, Reads

Row = Mapping[str, Any]
# state -> the testbed's word for it
IMAGE_STEPS = {
    "registered": "REG",
    "dark": "DARK",
    "unavailable": "UNAVAILABLE",
    "damaged": "DAMAGED",
    "retired": "RETIRED",
}
DEPLOYMENT_STEPS = {
    "sched": "SCHED",
    "deploy-lun": "DEPLOY LUN",
    "deploy-hd": "DEPLOY HD",
    "lun-ready": "LUN READY",
    "hd-ready": "HD READY",
    "run": "RUN",
    "dark": "DARK",
    "failed": "FAILED",
}
FLIP = "FLIP"  # from then on its nodes boot it
_PLACED = ("slot", "group_name", "nodes")  # columns that say where a deployment goes


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that became of an image."""

    at: datetime
    image: ImageRef
    step: str  # a word of the process in capitals; of single nodes, slots and LUNs in small letters
    by: str  # who
    why: str  # the command, or what the daemon did
    where: str = ""  # "slot 7", "LUN rack:a"; "" is the dark store
    nodes: tuple[str, ...] = ()
    reservation: int | None = None
    note: str = ""
    order: int = 0  # of the first journal entry


def history(reads: Reads, text: str) -> list[Step]:
    """Return what became of an image, without a version of all of them; oldest first.

    Nodes, slots and LUNs that changed alike in one transaction are one step. Raises `NotFound`, `BadValue`.
    """
    wanted = parse_image_ref(text)
    found = [images.find(reads, text)] if wanted.version is not None else images.versions(reads, text)
    refs = [each.ref for each in found]
    deployments = {str(each.id): each for each in reads.deployments_with(wanted)}
    steps = [*_image_steps(reads, refs), *_deployment_steps(reads, deployments)]
    steps += _together(_node_steps(reads, deployments))
    steps += _together(_slot_steps(reads, deployments, set(refs)))
    steps += _lun_steps(reads, deployments, set(refs))
    return sorted(steps, key=lambda step: step.order)


def _step(entry: JournalEntry, image: ImageRef, step: str, **more: Any) -> Step:
    return Step(entry.at, image, step, entry.actor, entry.what, order=entry.id, **more)


def _image_steps(reads: Reads, refs: Iterable[ImageRef]) -> Iterator[Step]:
    for entry in reads.entries_about("disk_image", map(str, refs)):
        before, after = _sides(entry)
        if after.get("state") != before.get("state"):
            step = IMAGE_STEPS.get(after.get("state", ""), "REMOVED")
            yield _step(entry, parse_image_ref(entry.key), step)


def _deployment_steps(reads: Reads, deployments: Mapping[str, Deployment]) -> Iterator[Step]:
    for entry in reads.entries_about("deployment", deployments):
        before, after = _sides(entry)
        if not after:
            continue
        told: dict[str, Any] = {
            "where": _where(after),
            "nodes": tuple(after["nodes"]),
            "reservation": after["reservation"],
            "note": after["note"],
        }
        image = parse_image_ref(after["image"])
        moved = bool(before) and any(after[column] != before[column] for column in _PLACED)
        if moved or after["state"] != before.get("state"):
            yield _step(entry, image, DEPLOYMENT_STEPS[after["state"]], **told)
        if after["flipped_at"] and after["flipped_at"] != before.get("flipped_at"):
            yield _step(entry, image, FLIP, **told)


def _where(row: Row) -> str:
    if row["slot"] is not None:
        return f"slot {row['slot']}"
    side = f":{SIDES[row['side']]}" if row["side"] is not None else ""
    return f"LUN {row['group_name']}{side}"


def _node_steps(reads: Reads, deployments: Mapping[str, Deployment]) -> Iterator[Step]:
    keys = [f"{each.id}/{node}" for each in deployments.values() for node in each.nodes]
    for entry in reads.entries_about("deployed_node", keys):
        before, after = _sides(entry)
        if after and after["state"] != before.get("state"):
            deployment = deployments[str(after["deployment"])]
            yield _step(
                entry,
                deployment.image,
                after["state"],
                nodes=(after["node"],),
                reservation=deployment.reservation,
                note=after["note"],
            )


def _slot_steps(
    reads: Reads, deployments: Mapping[str, Deployment], refs: Iterable[ImageRef]
) -> Iterator[Step]:
    held = {str(ref): ref for ref in refs}
    slots = [each for each in deployments.values() if each.slot is not None]
    keys = {f"{node}/{each.slot}" for each in slots for node in each.nodes}
    for entry in reads.entries_about("slot", keys):
        before, after = _sides(entry)
        for image in held.keys() & {before.get("image"), after.get("image")}:
            step = _held_step(before, after, image, "slot")
            if step:
                row = after or before
                where = f"slot {row['number']}"
                yield _step(entry, held[image], step, where=where, nodes=(row["host"],))


def _lun_steps(
    reads: Reads, deployments: Mapping[str, Deployment], refs: Iterable[ImageRef]
) -> Iterator[Step]:
    held = {str(ref): ref for ref in refs}
    groups = {each.group for each in deployments.values() if each.group is not None}
    for entry in reads.entries_about("lun_pair", groups):
        before, after = _sides(entry)
        for side, name in enumerate(SIDES):
            was, now = (row["sides"][side] if row else {} for row in (before, after))
            for image in held.keys() & {was.get("image"), now.get("image")}:
                step = _held_step(was, now, image, "LUN")
                if step:
                    yield _step(entry, held[image], step, where=f"LUN {entry.key}:{name}")


def _held_step(before: Row, after: Row, image: str, what: str) -> str:
    """Say what became of *image* in a place, "" where only something else did."""
    if after.get("image") != image:
        return f"{what} cleared"
    if before.get("image") == image and before["state"] == after["state"]:
        return ""
    return f"{what} {after['state']}"


def _together(steps: Iterable[Step]) -> list[Step]:
    """Join the steps of many nodes that are alike and were written at one instant by one command."""
    alike: dict[Step, list[Step]] = {}
    for step in steps:
        alike.setdefault(replace(step, nodes=(), order=0), []).append(step)
    return [
        replace(each[0], nodes=tuple(sorted({node for step in each for node in step.nodes})))
        for each in alike.values()
    ]


def _sides(entry: JournalEntry) -> tuple[Row, Row]:
    return entry.before or {}, entry.after or {}


def place_of(step: Step, fold: Callable[[Iterable[str]], str] = nodeset.fold) -> str:
    """Return where a step happened, for people: ``slot 7 on node[1-4]``."""
    on = fold(step.nodes) if step.nodes else ""
    return f"{step.where} on {on}" if step.where and on else step.where or on or "dark store"
