"""A site where machines can be booked: hosts, a project, images, and bookings in short."""

from datetime import datetime, timedelta
from typing import Any

from bootd.model import DiskImage, ImageKind, Limits, LunPair, LunSide, Project, Reservation, Role
from bootd.services import reservations
from bootd.services.booking import Draft
from bootd.services.reservations import Wish
from bootd.store import Store
from tests.helpers.site import NOON, HandClock, a_host


def at(hours: float) -> datetime:
    """Return the instant so many hours after NOON."""
    return NOON + timedelta(hours=hours)


def a_disk_image(name: str = "debian", version: int = 1, **fields: Any) -> DiskImage:
    standard: dict[str, Any] = {
        "project": "mesh",
        "kind": ImageKind.RAW,
        "folder": f"{fields.get('project', 'mesh')}/{name}@{version}",
        "parts": (),
        "added_at": NOON,
        "state": "dark",
    }
    return DiskImage(name=name, version=version, **standard | fields)


def a_pair(group: str = "rack") -> LunPair:
    """Return a pair that nothing was written to."""
    return LunPair(group, 1 << 30, (LunSide(f"{group}.a", "active"), LunSide(f"{group}.b")))


def furnish(store: Store, **limits: Any) -> None:
    """Put projects mesh (with *limits*) and orbit, hosts and images in.

    node1 is a root node of the group rack, which has a LUN pair; node2 to node4 are mesh nodes.
    """
    with store.transaction("anna") as change:
        change.put_hosts(
            [a_host(1, role=Role.ROOT, groups=("rack",)), *(a_host(n, role=Role.MESH) for n in range(2, 5))]
        )
        change.keep(a_pair())
        change.keep(Project("mesh", "anna", NOON, limits=Limits(**limits)))
        change.keep(Project("orbit", "bob", NOON))
        change.keep(a_disk_image())
        change.keep(a_disk_image(version=2, state="registered"))
        change.keep(a_disk_image(version=3, state="damaged"))
        change.keep(a_disk_image("old", state="retired"))


def wish(start: float, end: float, nodes: str = "node[2-4]", project: str = "mesh", **draft: Any) -> Wish:
    """Return a wish for the hours after NOON from *start* to *end*."""
    return Wish(Draft(project, nodes, **draft), at(start), at(end))


def book(
    store: Store,
    start: float,
    end: float,
    nodes: str = "node[2-4]",
    project: str = "mesh",
    *,
    clock: HandClock | None = None,
    dry_run: bool = False,
    **draft: Any,
) -> Reservation:
    [made] = reservations.add(
        store,
        "anna",
        wish(start, end, nodes, project, **draft),
        clock=clock or HandClock(),
        dry_run=dry_run,
    )
    return made.reservation
