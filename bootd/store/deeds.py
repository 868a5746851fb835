"""Places, deployments and jobs as rows; see `rows` for how a `Kind` works."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bootd.model import (
    DeployedNode,
    Deployment,
    ImageRef,
    Job,
    JobKind,
    JobPart,
    LunClone,
    LunPair,
    LunSide,
    Outcome,
    Role,
    Slot,
    SlotScheme,
    parse_image_ref,
)
from bootd.store.rows import Kind, Row, instant, parse_instant


def _when(at: datetime | None) -> str | None:
    return None if at is None else instant(at)


def _at(text: str | None) -> datetime | None:
    return None if text is None else parse_instant(text)


def _ref(text: str | None) -> ImageRef | None:
    return None if text is None else parse_image_ref(text)


def _text(ref: ImageRef | None) -> str | None:
    return None if ref is None else str(ref)


def _slot_row(slot: Slot) -> dict[str, Any]:
    return {
        "key": slot.key,
        "host": slot.host,
        "number": slot.number,
        "image": _text(slot.image),
        "digest": slot.digest,
        "state": slot.state,
        "pinned": int(slot.pinned),
        "last_used_at": _when(slot.last_used_at),
    }


def slot_of(row: Row) -> Slot:
    """Return the slot of a row of the table ``slots``."""
    return Slot(
        host=row["host"],
        number=row["number"],
        image=_ref(row["image"]),
        digest=row["digest"],
        state=row["state"],
        pinned=bool(row["pinned"]),
        last_used_at=_at(row["last_used_at"]),
    )


_SCHEME_COLUMNS = ("disk", "first", "last", "boot_mib", "swap_mib", "spare_mib", "slot_mib", "label")


def _scheme_row(scheme: SlotScheme) -> dict[str, Any]:
    return {"key": scheme.group} | {name: getattr(scheme, name) for name in _SCHEME_COLUMNS}


def _scheme(row: Row) -> SlotScheme:
    return SlotScheme(row["key"], **{name: row[name] for name in _SCHEME_COLUMNS})


def _pair_row(pair: LunPair) -> dict[str, Any]:
    sides = [
        {
            "volume": side.volume,
            "state": side.state,
            "image": _text(side.image),
            "digest": side.digest,
            "changed_at": _when(side.changed_at),
        }
        for side in pair.sides
    ]
    return {"key": pair.group, "size": pair.size, "sides": sides}


def _side(row: Mapping[str, Any]) -> LunSide:
    return LunSide(row["volume"], row["state"], _ref(row["image"]), row["digest"], _at(row["changed_at"]))


def _pair(row: Row) -> LunPair:
    first, second = (_side(side) for side in row["sides"])
    return LunPair(row["key"], row["size"], (first, second))


_CLONE_COLUMNS = (
    "volume",
    "group_name",
    "side",
    "node",
    "initiator",
    "chap_user",
    "target",
    "lun",
    "portals",
    "made_for",
    "digest",
    "made_at",
)


def _clone_row(clone: LunClone) -> dict[str, Any]:
    return {
        "volume": clone.volume,
        "group_name": clone.group,
        "side": clone.side,
        "node": clone.node,
        "initiator": clone.initiator,
        "chap_user": clone.chap_user,
        "target": clone.target,
        "lun": clone.lun,
        "portals": list(clone.portals),
        "made_for": clone.deployment,
        "digest": clone.digest,
        "made_at": _when(clone.made_at),
    }


def clone_of(row: Row) -> LunClone:
    """Return the clone of a decoded row of the table ``lun_clones``."""
    return LunClone(
        volume=row["volume"],
        group=row["group_name"],
        side=row["side"],
        node=row["node"],
        initiator=row["initiator"],
        chap_user=row["chap_user"],
        target=row["target"],
        lun=row["lun"],
        portals=tuple(row["portals"]),
        deployment=row["made_for"],
        digest=row["digest"],
        made_at=_at(row["made_at"]),
    )


def _deployment_row(deployment: Deployment) -> dict[str, Any]:
    return {
        "id": deployment.id,
        "reservation": deployment.reservation,
        "role": str(deployment.role),
        "image": str(deployment.image),
        "digest": deployment.digest,
        "nodes": list(deployment.nodes),
        "created_at": instant(deployment.created_at),
        "slot": deployment.slot,
        "group_name": deployment.group,
        "state": deployment.state,
        "side": deployment.side,
        "flipped_at": _when(deployment.flipped_at),
        "note": deployment.note,
    }


def _deployment(row: Row) -> Deployment:
    return Deployment(
        id=row["id"],
        reservation=row["reservation"],
        role=Role(row["role"]),
        image=parse_image_ref(row["image"]),
        digest=row["digest"],
        nodes=tuple(row["nodes"]),
        created_at=parse_instant(row["created_at"]),
        slot=row["slot"],
        group=row["group_name"],
        state=row["state"],
        side=row["side"],
        flipped_at=_at(row["flipped_at"]),
        note=row["note"],
    )


def _node_row(node: DeployedNode) -> dict[str, Any]:
    # by hand: `asdict` copies deeply, and takes most of the time of a commit for a thousand nodes
    return {
        "key": node.key,
        "deployment": node.deployment,
        "node": node.node,
        "state": node.state,
        "device": node.device,
        "volume": node.volume,
        "note": node.note,
        "changed_at": _when(node.changed_at),
    }


def _node(row: Row) -> DeployedNode:
    return DeployedNode(
        row["deployment"],
        row["node"],
        row["state"],
        row["device"],
        row["volume"],
        row["note"],
        _at(row["changed_at"]),
    )


def _job_row(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "kind": str(job.kind),
        "reservation": job.reservation,
        "deployment": job.deployment,
        "nodes": list(job.nodes),
        "created_at": instant(job.created_at),
        "created_by": job.created_by,
        "due_at": instant(job.due_at),
        "state": job.state,
        "step": job.step,
        "note": job.note,
        "facts": dict(job.facts),
        "began_at": _when(job.began_at),
        "ended_at": _when(job.ended_at),
    }


def _job(row: Row) -> Job:
    return Job(
        id=row["id"],
        kind=JobKind(row["kind"]),
        reservation=row["reservation"],
        deployment=row["deployment"],
        nodes=tuple(row["nodes"]),
        created_at=parse_instant(row["created_at"]),
        created_by=row["created_by"],
        due_at=parse_instant(row["due_at"]),
        state=row["state"],
        step=row["step"],
        note=row["note"],
        facts=row["facts"],
        began_at=_at(row["began_at"]),
        ended_at=_at(row["ended_at"]),
    )


SLOT = Kind(
    "slot",
    "slots",
    "key",
    ("key", "host", "number", "image", "digest", "state", "pinned", "last_used_at"),
    frozenset(),
    _slot_row,
    slot_of,
    "slot",
)
SLOT_SCHEME = Kind(
    "slot_scheme",
    "slot_schemes",
    "key",
    ("key", *_SCHEME_COLUMNS),
    frozenset(),
    _scheme_row,
    _scheme,
    "slot scheme",
)
LUN_PAIR = Kind(
    "lun_pair",
    "lun_pairs",
    "key",
    ("key", "size", "sides"),
    frozenset({"sides"}),
    _pair_row,
    _pair,
    "LUN pair",
)
LUN_CLONE = Kind(
    "lun_clone",
    "lun_clones",
    "volume",
    _CLONE_COLUMNS,
    frozenset({"portals"}),
    _clone_row,
    clone_of,
    "LUN clone",
)
DEPLOYMENT = Kind(
    "deployment",
    "deployments",
    "id",
    (
        *("id", "reservation", "role", "image", "digest", "nodes", "created_at", "slot", "group_name"),
        *("state", "side", "flipped_at", "note"),
    ),
    frozenset({"nodes"}),
    _deployment_row,
    _deployment,
    "deployment",
)
DEPLOYED_NODE = Kind(
    "deployed_node",
    "deployed_nodes",
    "key",
    ("key", "deployment", "node", "state", "device", "volume", "note", "changed_at"),
    frozenset(),
    _node_row,
    _node,
    "node of a deployment",
)
JOB = Kind(
    "job",
    "jobs",
    "id",
    (
        *("id", "kind", "reservation", "deployment", "nodes", "created_at", "created_by", "due_at"),
        *("state", "step", "note", "facts", "began_at", "ended_at"),
    ),
    frozenset({"nodes", "facts"}),
    _job_row,
    _job,
    "job",
    frozenset({"due_at", "note"}),  # what a job waits for changes with every look
)

PART_COLUMNS = (
    *("job", "node", "step", "outcome", "since", "tries", "octets", "size", "rate", "note"),
    *("word", "word_detail", "word_at"),
)


def part_values(part: JobPart) -> tuple[Any, ...]:
    """Return the values of `PART_COLUMNS`."""
    return (
        part.job,
        part.node,
        part.step,
        str(part.outcome),
        _when(part.since),
        part.tries,
        part.octets,
        part.size,
        part.rate,
        part.note,
        part.word,
        part.word_detail,
        _when(part.word_at),
    )


def job_part(row: Row) -> JobPart:
    values = {column: row[column] for column in PART_COLUMNS}
    times = {"since": _at(row["since"]), "word_at": _at(row["word_at"])}
    return JobPart(**values | times | {"outcome": Outcome(row["outcome"])})
