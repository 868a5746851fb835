"""A testbed of full size in a database: 10,000 nodes with every slot taken, 1,000 images, 10,000 bookings."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from bootd.model import (
    Booked,
    DeployedNode,
    Deployment,
    DiskImage,
    ImageKind,
    ImagePart,
    ImageRef,
    LunClone,
    LunPair,
    LunSide,
    Project,
    Reservation,
    Role,
    Slot,
    SlotScheme,
)
from bootd.store import Store, Transaction, open_store
from tests.helpers.site import a_host

PROJECTS = 100
ROOTS = 1000  # the first nodes; the others are mesh nodes
PER_BOOKING = 20  # nodes


def seed(
    path: Path, begin: datetime, *, nodes: int = 10_000, images: int = 1000, bookings: int = 10_000
) -> Store:
    """Make the database at *path*; the bookings fill the year after *begin*, no two on one node at a time.

    The first ROOTS nodes have reservation 1, staged and about to begin; the mesh nodes have the others.
    """
    store = open_store(f"sqlite:///{path}", clock=lambda: begin, durable=False)
    with store.transaction("anna", "seed") as change:
        change.put_hosts(
            a_host(
                n, role=Role.ROOT if n <= ROOTS else Role.MESH, groups=("rack" if n <= ROOTS else "field",)
            )
            for n in range(1, nodes + 1)
        )
        change.keep(SlotScheme())
        for n in range(PROJECTS):
            change.keep(Project(f"p{n}", "anna", begin))
        kept = [_image(n, begin) for n in range(images)]
        for image in kept:
            change.keep(image)
        _root_booking(change, kept[0], begin)
        for n in range(ROOTS + 1, nodes + 1):
            for number in range(5, 26):
                image = kept[(n // 400 * 21 + number) % images]
                used = begin - timedelta(days=number, hours=n // 400)
                change.keep(Slot(f"node{n}", number, image.ref, image.identity, "ready", last_used_at=used))
        for number, (first, starts_at) in enumerate(_times(nodes, bookings, begin), 2):
            _mesh_booking(change, number, kept[number % images], first, starts_at)
    return store


def _image(n: int, begin: datetime) -> DiskImage:
    return DiskImage(
        project=f"p{n % PROJECTS}",
        name=f"image{n}",
        version=1,
        kind=ImageKind.RAW,
        folder=f"p{n % PROJECTS}/image{n}",
        parts=(ImagePart("disk.raw", 4 << 30, f"{n:064x}"),),
        added_at=begin,
        verified_at=begin,
        state="dark",
    )


def _times(nodes: int, bookings: int, begin: datetime) -> Iterator[tuple[int, datetime]]:
    """Yield the first node and the start of each booking: block after block, day after day."""
    blocks = (nodes - ROOTS) // PER_BOOKING
    for n in range(bookings - 1):
        yield ROOTS + 1 + n % blocks * PER_BOOKING, begin + timedelta(days=1 + n // blocks)


def _mesh_booking(
    change: Transaction, number: int, image: DiskImage, first: int, starts_at: datetime
) -> None:
    names = tuple(sorted(f"node{n}" for n in range(first, first + PER_BOOKING)))
    change.keep(_reservation(number, image, names, starts_at, timedelta(hours=12)))
    change.keep(
        Deployment(
            number, number, Role.MESH, image.ref, image.identity, names, starts_at, slot=5 + number % 20
        )
    )


def _root_booking(change: Transaction, image: DiskImage, begin: datetime) -> None:
    names = tuple(sorted(f"node{n}" for n in range(1, ROOTS + 1)))
    change.keep(_reservation(1, image, names, begin, timedelta(days=365)))
    sides = (
        LunSide("rack.a", "active"),
        LunSide("rack.b", "staged", image.ref, image.identity, begin),
    )
    change.keep(LunPair("rack", 4 << 30, sides))
    change.keep(
        Deployment(
            *(1, 1, Role.ROOT, image.ref, image.identity, names, begin),
            group="rack",
            side=1,
            state="lun-ready",
        )
    )
    for name in names:
        clone = LunClone(
            *(f"rack.b.{name}.1", "rack", 1, name, f"iqn.2026-01.net.bootd:{name}", f"rack.b.{name}.1"),
            deployment=1,
            digest=image.identity,
            made_at=begin,
        )
        change.keep(clone)
        change.keep(DeployedNode(1, name, "ready", volume=clone.volume, changed_at=begin))


def _reservation(
    number: int, image: DiskImage, names: tuple[str, ...], starts_at: datetime, length: timedelta
) -> Reservation:
    return Reservation(
        id=number,
        project=image.project,
        starts_at=starts_at,
        ends_at=starts_at + length,
        nodes=names,
        images=(Booked(Role.NONE, ImageRef(image.project, image.name, 1)),),
        created_at=starts_at,
        created_by="anna",
    )
