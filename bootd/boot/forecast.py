"""What machines will boot at a later time, if all goes as planned: the snapshot as it will be. Pure.

As planned means: each booking begins and ends in its time and nobody moves it, and each image that
has not failed is in its place by then. A one-shot order stays until it expires, as nobody knows
when it will be carried out.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from bootd.boot.snapshot import Snapshot
from bootd.lifecycle import DEPLOYMENT, NODE, RESERVATION
from bootd.model import DeployedNode, Deployment, Host, LunClone, Place, Reservation, Role, Schemes

_LIVE = ("booked", "active")
_IN_PLACE = ("lun-ready", "hd-ready", "run")
_WORD = re.compile(r" \(([A-Z ]+)\)\Z")  # the testbed's own word, at the end of what a state means


@dataclass(frozen=True, slots=True)
class Booking:
    """A reservation, and how far its images are."""

    reservation: Reservation
    deployments: tuple[Deployment, ...] = ()
    nodes: Mapping[str, DeployedNode] = field(default_factory=dict)  # by `DeployedNode.key`
    clones: Mapping[str, LunClone] = field(default_factory=dict)  # by volume

    def holds(self, at: datetime) -> bool:
        """Tell whether its nodes are its own at *at*, as planned."""
        there = self.reservation
        return there.state in _LIVE and there.starts_at <= at < there.ends_at

    def deployment_of(self, host: str) -> Deployment | None:
        """Return what *host* boots of it; None where it was booked without an image."""
        found = [each for each in self.deployments if host in each.nodes and each.state != "dark"]
        return found[-1] if found else None

    def node(self, deployment: Deployment, host: str) -> DeployedNode:
        return self.nodes.get(f"{deployment.id}/{host}") or DeployedNode(deployment.id, host)


def forecast(snapshot: Snapshot, bookings: Iterable[Booking], schemes: Schemes, at: datetime) -> Snapshot:
    """Return *snapshot* as it will be at *at*; *bookings* are all that may hold then."""
    places: dict[str, Place] = {}
    for booking in bookings:
        if not booking.holds(at):
            continue
        for deployment in booking.deployments:
            for name in deployment.nodes:
                if booking.deployment_of(name) is deployment:
                    now = snapshot.places.get(name)
                    places[name] = _later(booking, deployment, now, snapshot.hosts.get(name), name, schemes)
    return replace(snapshot, places=places)


def _later(
    booking: Booking,
    deployment: Deployment,
    now: Place | None,
    host: Host | None,
    name: str,
    schemes: Schemes,
) -> Place:
    """Return the place of a node when all is done; what is there already is taken as it is."""
    if now is not None and now.deployment == deployment.id and now.state != "waiting":
        return now
    node = booking.node(deployment, name)
    has_failed = "failed" in (deployment.state, node.state)
    place = Place(
        reservation=booking.reservation.id,
        project=booking.reservation.project,
        deployment=deployment.id,
        role=deployment.role,
        image=deployment.image,
        state="failed" if has_failed else "ready",
        note=(node.note or deployment.note) if has_failed else "",
        slot=deployment.slot,
    )
    if deployment.role is Role.ROOT:
        made = booking.clones.get(node.volume)
        is_exported = made is not None and bool(made.target and made.portals)
        return replace(place, clone=made if is_exported else _clone_to_be(deployment, name))
    if deployment.slot is None:
        return place
    groups = host.groups if host is not None else ()
    return replace(place, device=node.device or schemes.of(groups).device(deployment.slot))


def _clone_to_be(deployment: Deployment, name: str) -> LunClone:
    """Stand in for a clone that is made when the image is staged; it has no volume."""
    group, when = deployment.group or "", "(made when it is staged)"
    return LunClone("", group, deployment.side or 0, name, when, "", target=when, portals=(when,))


# -- told to people ------------------------------------------------------------------------------


def booked_for(bookings: Iterable[Booking], host: str, at: datetime) -> Booking | None:
    """Return the booking that has *host* at *at*."""
    found = [each for each in bookings if each.holds(at) and host in each.reservation.nodes]
    return found[0] if found else None


def word(deployment: Deployment) -> str:
    """Return the testbed's word for where an image is: SCHED, DEPLOY HD, HD READY, RUN …"""
    match = _WORD.search(DEPLOYMENT.states[deployment.state])
    return match[1] if match else deployment.state.upper()


def facts(booking: Booking, host: str, show_time: Callable[[datetime], str]) -> Iterator[str]:
    """Yield what is known of a booking as far as it is about *host*."""
    there = booking.reservation
    yield (
        f"reservation {there.id} of {there.project}, {show_time(there.starts_at)} to"
        f" {show_time(there.ends_at)}: {there.state}, {RESERVATION.states[there.state]}"
    )
    deployment = booking.deployment_of(host)
    if deployment is None:
        yield "booked without an image" if not there.images else "its image has no place yet"
        return
    meaning = _WORD.sub("", DEPLOYMENT.states[deployment.state])
    note = f" ({deployment.note})" if deployment.note else ""
    yield f"image {deployment.image} for {_where(deployment)}: {word(deployment)}, {meaning}{note}"
    node = booking.node(deployment, host)
    yield f"{host}: {node.state}, {NODE.states[node.state]}" + (f" ({node.note})" if node.note else "")


def how_sure(booking: Booking | None, host: str) -> str:
    """Say what has to happen yet for the forecast to come true."""
    if booking is None:
        return "no reservation has it then; an order of bootd boot may come until then"
    deployment = booking.deployment_of(host)
    if deployment is None:
        return f"reservation {booking.reservation.id} holds it without an image in a place"
    node = booking.node(deployment, host)
    if "failed" in (deployment.state, node.state):
        return "failed: unless its job is tried again, its screen says why"
    if node.state == "running":
        return "RUN: it runs the image now"
    if deployment.state in _IN_PLACE and node.state == "ready":
        return f"{word(deployment)}: the image is in its place"
    if deployment.state == "sched":
        return "SCHED: staging has not begun"
    return f"{word(deployment)}: the image is not in its place yet"


def _where(deployment: Deployment) -> str:
    if deployment.role is Role.MESH:
        return f"slot {deployment.slot}"
    side = "" if deployment.side is None else f", side {'ab'[deployment.side]}"
    return f"the LUN pair of {deployment.group}{side}"
