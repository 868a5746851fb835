"""Places of active reservations, to be changed in the one point a test is about."""

from dataclasses import replace
from typing import Any

from bootd.model import ImageRef, LunClone, Place, Role

IMAGE = ImageRef("mesh", "debian", 2)
CLONE = LunClone(
    volume="rack-a-node1",
    group="rack",
    side=0,
    node="node1",
    initiator="iqn.2026-01.lab:node1",
    chap_user="node1",
    target="iqn.2026-01.lab:rack-a-node1",
    lun=1,
    portals=("10.0.0.5:3260", "10.0.1.5:3261"),
)


def a_slot_place(**changes: Any) -> Place:
    place = Place(4, "mesh", 9, Role.MESH, IMAGE, state="ready", slot=7, device="/dev/sda7")
    return replace(place, **changes)


def a_lun_place(**changes: Any) -> Place:
    return replace(Place(4, "mesh", 10, Role.ROOT, IMAGE, state="ready", clone=CLONE), **changes)
