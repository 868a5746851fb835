"""The records of the lifecycle as rows; see `rows` for how a `Kind` works."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bootd.model import (
    Booked,
    CalendarFeed,
    DeployedNode,
    Deployment,
    DiskImage,
    ImageKind,
    ImagePart,
    Job,
    Limits,
    LunClone,
    LunPair,
    Project,
    Reservation,
    Role,
    Slot,
    SlotScheme,
    parse_image_ref,
)
from bootd.store.deeds import DEPLOYED_NODE, DEPLOYMENT, JOB, LUN_CLONE, LUN_PAIR, SLOT, SLOT_SCHEME
from bootd.store.rows import Kind, Row, instant, parse_instant


def _project_row(project: Project) -> dict[str, Any]:
    return {
        "name": project.name,
        "owner": project.owner,
        "members": list(project.members),
        "mail": project.mail,
        "limits": asdict(project.limits),
        "state": project.state,
        "registered_at": instant(project.registered_at),
    }


def _project(row: Row) -> Project:
    return Project(
        name=row["name"],
        owner=row["owner"],
        registered_at=parse_instant(row["registered_at"]),
        members=tuple(row["members"]),
        mail=row["mail"],
        limits=Limits(**row["limits"]),
        state=row["state"],
    )


def _image_row(image: DiskImage) -> dict[str, Any]:
    return {
        "ref": str(image.ref),
        "project": image.project,
        "name": image.name,
        "version": image.version,
        "kind": str(image.kind),
        "folder": image.folder,
        "parts": [asdict(part) for part in image.parts],
        "description": dict(image.description),
        "state": image.state,
        "added_at": instant(image.added_at),
        "verified_at": None if image.verified_at is None else instant(image.verified_at),
    }


def _image(row: Row) -> DiskImage:
    return DiskImage(
        project=row["project"],
        name=row["name"],
        version=row["version"],
        kind=ImageKind(row["kind"]),
        folder=row["folder"],
        parts=tuple(ImagePart(**part) for part in row["parts"]),
        added_at=parse_instant(row["added_at"]),
        verified_at=None if row["verified_at"] is None else parse_instant(row["verified_at"]),
        state=row["state"],
        description=row["description"],
    )


def _reservation_row(reservation: Reservation) -> dict[str, Any]:
    return {
        "id": reservation.id,
        "project": reservation.project,
        "starts_at": instant(reservation.starts_at),
        "ends_at": instant(reservation.ends_at),
        "nodes": list(reservation.nodes),
        "images": [{"role": str(b.role), "image": str(b.image)} for b in reservation.images],
        "state": reservation.state,
        "note": reservation.note,
        "series": reservation.series,
        "uid": reservation.uid,
        "created_at": instant(reservation.created_at),
        "created_by": reservation.created_by,
    }


def _reservation(row: Row) -> Reservation:
    return Reservation(
        id=row["id"],
        project=row["project"],
        starts_at=parse_instant(row["starts_at"]),
        ends_at=parse_instant(row["ends_at"]),
        nodes=tuple(row["nodes"]),
        images=tuple(Booked(Role(b["role"]), parse_image_ref(b["image"])) for b in row["images"]),
        created_at=parse_instant(row["created_at"]),
        created_by=row["created_by"],
        note=row["note"],
        series=row["series"],
        uid=row["uid"],
        state=row["state"],
    )


PROJECT = Kind(
    "project",
    "projects",
    "name",
    ("name", "owner", "members", "mail", "limits", "state", "registered_at"),
    frozenset({"members", "limits"}),
    _project_row,
    _project,
    "project",
)
DISK_IMAGE = Kind(
    "disk_image",
    "disk_images",
    "ref",
    (
        *("ref", "project", "name", "version", "kind", "folder", "parts"),
        *("description", "state", "added_at", "verified_at"),
    ),
    frozenset({"parts", "description"}),
    _image_row,
    _image,
    "image",
)
RESERVATION = Kind(
    "reservation",
    "reservations",
    "id",
    (
        *("id", "project", "starts_at", "ends_at", "nodes", "images"),
        *("state", "note", "series", "uid", "created_at", "created_by"),
    ),
    frozenset({"nodes", "images"}),
    _reservation_row,
    _reservation,
    "reservation",
)

_FEED_COLUMNS = ("id", "project", "digest", "created_at", "created_by")
CALENDAR_FEED = Kind(
    "calendar_feed",
    "calendar_feeds",
    "id",
    _FEED_COLUMNS,
    frozenset(),
    lambda feed: asdict(feed) | {"created_at": instant(feed.created_at)},
    lambda row: CalendarFeed(
        **{c: row[c] for c in _FEED_COLUMNS} | {"created_at": parse_instant(row["created_at"])}
    ),
    "calendar feed",
)

KINDS: Mapping[type, Kind[Any]] = {
    Project: PROJECT,
    DiskImage: DISK_IMAGE,
    Reservation: RESERVATION,
    Slot: SLOT,
    SlotScheme: SLOT_SCHEME,
    LunPair: LUN_PAIR,
    LunClone: LUN_CLONE,
    Deployment: DEPLOYMENT,
    DeployedNode: DEPLOYED_NODE,
    Job: JOB,
    CalendarFeed: CALENDAR_FEED,
}
