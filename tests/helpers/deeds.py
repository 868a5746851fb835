"""Records of the lifecycle to test with: an active booking whose image is in its place, and its parts."""

from datetime import timedelta
from typing import Any

from bootd.model import (
    Booked,
    DeployedNode,
    Deployment,
    ImageRef,
    Job,
    JobKind,
    LunClone,
    LunPair,
    LunSide,
    Project,
    Reservation,
    Role,
    Slot,
)
from bootd.store import Store, Transaction
from tests.helpers.site import NOON

HOUR = timedelta(hours=1)
IMAGE = ImageRef("mesh", "debian", 1)
NODES = ("node1", "node2")


def a_project(name: str = "mesh") -> Project:
    return Project(name, "anna", NOON)


def a_reservation(number: int = 1, **fields: Any) -> Reservation:
    """Return one of node1 and node2 for an hour from NOON, by default active."""
    standard: dict[str, Any] = {
        "project": "mesh",
        "starts_at": NOON,
        "ends_at": NOON + HOUR,
        "nodes": NODES,
        "images": (Booked(Role.NONE, IMAGE),),
        "created_at": NOON,
        "created_by": "anna",
        "state": "active",
    }
    return Reservation(number, **standard | fields)


def a_deployment(number: int = 1, reservation: int = 1, **fields: Any) -> Deployment:
    """Return one to slot 7 of node1 and node2, by default ready and flipped at NOON."""
    standard: dict[str, Any] = {
        "role": Role.MESH,
        "image": IMAGE,
        "digest": "sha256:1",
        "nodes": NODES,
        "created_at": NOON,
        "slot": 7,
        "state": "hd-ready",
        "flipped_at": NOON,
    }
    return Deployment(number, reservation, **standard | fields)


def a_node(node: str = "node1", deployment: int = 1, **fields: Any) -> DeployedNode:
    standard: dict[str, Any] = {"state": "ready", "device": "/dev/sda7", "changed_at": NOON}
    return DeployedNode(deployment, node, **standard | fields)


def a_clone(node: str = "node1", side: int = 0, **fields: Any) -> LunClone:
    """Return the exported clone of a node of the group *roots*."""
    standard: dict[str, Any] = {
        "volume": f"roots-{side}-{node}",
        "group": "roots",
        "side": side,
        "node": node,
        "initiator": f"iqn.2026-01.net.bootd:{node}",
        "chap_user": node,
        "target": f"iqn.2026-01.net.bootd:roots-{side}-{node}",
        "lun": 1,
        "portals": ("10.0.0.1:3260", "10.0.1.1:3260"),
        "deployment": 1,
        "digest": "sha256:1",
        "made_at": NOON,
    }
    return LunClone(**standard | fields)


def a_pair(group: str = "roots") -> LunPair:
    sides = (
        LunSide(f"{group}-a", "active", IMAGE, "sha256:1", NOON),
        LunSide(f"{group}-b", "inactive"),
    )
    return LunPair(group, 1 << 30, sides)


def a_slot(host: str = "node1", number: int = 7, **fields: Any) -> Slot:
    standard: dict[str, Any] = {
        "image": IMAGE,
        "digest": "sha256:1",
        "state": "ready",
        "pinned": True,
        "last_used_at": NOON,
    }
    return Slot(host, number, **standard | fields)


def a_job(number: int = 1, **fields: Any) -> Job:
    standard: dict[str, Any] = {
        "kind": JobKind.WRITE_SLOT,
        "reservation": 1,
        "deployment": 1,
        "nodes": NODES,
        "created_at": NOON,
        "created_by": "calendar",
        "due_at": NOON,
    }
    return Job(number, **standard | fields)


def keep(store: Store, *records: Any) -> None:
    """Keep *records* in one transaction."""
    with store.transaction("anna") as change:
        keep_in(change, *records)


def keep_in(change: Transaction, *records: Any) -> None:
    for record in records:
        change.keep(record)


def put_in_place(store: Store) -> None:
    """Have reservation 1 of project mesh be active, its image ready in slot 7 of node1 and node2."""
    keep(store, a_project(), a_reservation(), a_deployment(), *(a_node(node) for node in NODES))
