"""The forecast: what a later time will find, if all goes as planned, and how sure that is."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootd.boot.decide import BootLun, BootSlot, decide, standing_order
from bootd.boot.forecast import Booking, booked_for, facts, forecast, how_sure, word
from bootd.boot.snapshot import Changes, Snapshot, apply_changes
from bootd.lifecycle import DEPLOYMENT, NODE, RESERVATION
from bootd.model import (
    Booked,
    DeployedNode,
    Deployment,
    Override,
    Place,
    Reservation,
    Role,
    Schemes,
    SlotScheme,
    parse_target,
)
from netboot.arch import BY_NAME
from netboot.request import BootRequest, Stage
from tests.helpers.places import CLONE, IMAGE, a_slot_place
from tests.helpers.site import NOON, a_host

HOUR = timedelta(hours=1)
HOSTS = {f"node{n}": a_host(n, local_boot="/dev/sda1") for n in (1, 2, 3)}


def a_snapshot(**places: Place) -> Snapshot:
    return apply_changes(Snapshot(), Changes(1, hosts=HOSTS, places=places))


def a_booking(
    *, state: str = "booked", start: float = 1, end: float = 3, records: Any = (), **deployment: Any
) -> Booking:
    """Return a booking of node1 and node2 by hours from NOON on, in slot 7 unless *deployment* differs."""
    nodes = ("node1", "node2")
    there = Reservation(
        4,
        "mesh",
        NOON + start * HOUR,
        NOON + end * HOUR,
        nodes,
        (Booked(Role.NONE, IMAGE),),
        NOON,
        "anna",
        state=state,
    )
    fields = {"role": Role.MESH, "slot": 7} | deployment
    made = Deployment(9, 4, image=IMAGE, digest="d", nodes=nodes, created_at=NOON, **fields)
    rows = {each.key: each for each in records if isinstance(each, DeployedNode)}
    return Booking(there, (made,), rows, {CLONE.volume: CLONE})


def on_lun(**how: Any) -> Booking:
    return a_booking(role=Role.ROOT, slot=None, group="rack", **how)


def later(booking: Booking, at: datetime, now: Snapshot | None = None) -> Snapshot:
    return forecast(now or a_snapshot(), [booking], Schemes(), at)


def rule(snapshot: Snapshot, at: datetime, host: str = "node1") -> str:
    return standing_order(snapshot, snapshot.hosts[host], at).rule


@pytest.mark.parametrize(
    ("hours", "expected"),
    [(0.99, "local-default"), (1, "reserved"), (2.99, "reserved"), (3, "local-default")],
)
def test_booking_holds_from_its_start_to_its_end_and_no_longer(hours: float, expected: str) -> None:
    at = NOON + hours * HOUR
    assert rule(later(a_booking(), at), at) == expected


@pytest.mark.parametrize("state", sorted(set(RESERVATION.states) - {"booked", "active"}))
def test_reservation_that_is_over_or_taken_back_holds_nothing(state: str) -> None:
    at = NOON + 2 * HOUR
    assert rule(later(a_booking(state=state), at), at) == "local-default"


def test_active_reservation_is_gone_after_its_end_although_its_places_are_there_now() -> None:
    now = a_snapshot(node1=a_slot_place(reservation=4, deployment=9))
    booking = a_booking(state="active", start=-1)
    assert rule(later(booking, NOON + 2 * HOUR, now), NOON) == "reserved"
    assert rule(later(booking, NOON + 3 * HOUR, now), NOON) == "local-default"


def test_place_of_a_reservation_nobody_names_is_not_taken_over() -> None:
    now = a_snapshot(node3=a_slot_place(reservation=8))
    assert later(a_booking(), NOON + 2 * HOUR, now).places.keys() == {"node1", "node2"}


def test_slot_is_named_by_the_scheme_of_the_hosts_group_until_it_is_written() -> None:
    hosts = HOSTS | {"node1": a_host(1, groups=("nvme",))}
    snapshot = apply_changes(Snapshot(), Changes(1, hosts=hosts))
    schemes = Schemes({"nvme": SlotScheme("nvme", "/dev/nvme0n1")})
    written = DeployedNode(9, "node2", "ready", device="/dev/vdb7")
    found = forecast(snapshot, [a_booking(records=[written])], schemes, NOON + HOUR).places
    assert [found[name].device for name in ("node1", "node2")] == ["/dev/nvme0n1p7", "/dev/vdb7"]


def test_late_image_is_in_its_place_as_planned() -> None:
    waiting = a_slot_place(reservation=4, deployment=9, state="waiting", note="40 of 80 nodes")
    booking = a_booking(state="active", start=-1)
    found = later(booking, NOON + HOUR, a_snapshot(node1=waiting)).places["node1"]
    assert (found.state, found.note) == ("ready", "")


def test_place_that_is_there_is_taken_as_it_is() -> None:
    there = a_slot_place(reservation=4, deployment=9, state="running", device="/dev/sdc7")
    found = later(a_booking(state="active", start=-1), NOON + HOUR, a_snapshot(node1=there))
    assert found.places["node1"] is there


@pytest.mark.parametrize(
    ("how", "note"),
    [
        ({"records": [DeployedNode(9, "node1", "failed", note="disk error")]}, "disk error"),
        ({"state_of": "failed", "note": "no space"}, "no space"),
    ],
    ids=["node", "deployment"],
)
def test_what_has_failed_is_not_hoped_for(how: dict[str, Any], note: str) -> None:
    state = how.pop("state_of", "")
    booking = a_booking(**how)
    if state:
        booking = replace(booking, deployments=(replace(booking.deployments[0], state=state),))
    at = NOON + 2 * HOUR
    found = later(booking, at)
    assert rule(found, at) == "reserved-failed"
    assert found.places["node1"].note == note
    assert rule(found, at, "node2") == ("reserved-failed" if state else "reserved")


def ask(snapshot: Snapshot, at: datetime) -> Any:
    request = BootRequest(HOSTS["node1"].mac, BY_NAME["x86-bios"], Stage.IPXE, at, http=True)
    return decide(snapshot, request)


def test_decision_is_made_on_the_forecast_as_on_any_snapshot() -> None:
    at = NOON + 2 * HOUR
    slot = ask(later(a_booking(), at), at)
    assert isinstance(slot, BootSlot)
    assert slot.slot == 7
    lun = ask(later(on_lun(), at), at)
    assert isinstance(lun, BootLun)
    assert lun.clone.volume == ""


def test_clone_that_is_made_is_named_and_one_that_is_not_exported_is_not() -> None:
    row = DeployedNode(9, "node1", "ready", volume=CLONE.volume)
    booking, at = on_lun(records=[row]), NOON + 2 * HOUR
    assert later(booking, at).places["node1"].clone is CLONE
    bare = replace(booking, clones={CLONE.volume: replace(CLONE, target="", portals=())})
    assert ask(later(bare, at), at).clone.volume == ""


def test_image_that_went_back_to_the_dark_store_is_booted_no_more() -> None:
    booking = a_booking()
    gone = replace(booking, deployments=(replace(booking.deployments[0], state="dark"),))
    assert rule(later(gone, NOON + 2 * HOUR), NOON) == "local-default"


def test_one_shot_order_stands_until_it_expires() -> None:
    order = Override(1, "node1", parse_target("local"), NOON, NOON + 2 * HOUR)
    snapshot = replace(a_snapshot(), overrides={"node1": order})
    for hours, expected in ((1.5, "once"), (2, "reserved")):
        at = NOON + hours * HOUR
        assert rule(later(a_booking(), at, snapshot), at) == expected


@given(
    hours=st.floats(-5, 5),
    start=st.floats(-4, 4),
    length=st.floats(0.1, 4),
    state=st.sampled_from(sorted(RESERVATION.states)),
)
def test_only_nodes_of_live_bookings_that_cover_the_instant_have_a_place(
    hours: float, start: float, length: float, state: str
) -> None:
    booking, at = a_booking(state=state, start=start, end=start + length), NOON + hours * HOUR
    there = booking.reservation
    covers = state in ("booked", "active") and there.starts_at <= at < there.ends_at
    found = later(booking, at, a_snapshot(node1=a_slot_place(), node3=a_slot_place()))
    assert set(found.places) == ({"node1", "node2"} if covers else set())
    assert found.hosts is HOSTS or found.hosts == HOSTS


# -- told to people ------------------------------------------------------------------------------


def test_words_are_the_testbeds_own() -> None:
    deployment = a_booking().deployments[0]
    assert {state: word(replace(deployment, state=state)) for state in DEPLOYMENT.states} == {
        "sched": "SCHED",
        "deploy-lun": "DEPLOY LUN",
        "lun-ready": "LUN READY",
        "deploy-hd": "DEPLOY HD",
        "hd-ready": "HD READY",
        "run": "RUN",
        "dark": "DARK",
        "failed": "FAILED",
    }


@pytest.mark.parametrize("state", DEPLOYMENT.states)
@pytest.mark.parametrize("node", NODE.states)
def test_every_state_is_told(state: str, node: str) -> None:
    booking = on_lun(records=[DeployedNode(9, "node1", node)], side=1)
    booking = replace(booking, deployments=(replace(booking.deployments[0], state=state),))
    assert len([line for line in facts(booking, "node1", str) if line]) == (2 if state == "dark" else 3)
    assert how_sure(booking, "node1")


@pytest.mark.parametrize(
    ("state", "node", "said"),
    [
        ("sched", "waiting", "SCHED: staging has not begun"),
        ("deploy-hd", "waiting", "DEPLOY HD: the image is not in its place yet"),
        ("deploy-hd", "ready", "DEPLOY HD: the image is not in its place yet"),
        ("hd-ready", "ready", "HD READY: the image is in its place"),
        ("hd-ready", "waiting", "HD READY: the image is not in its place yet"),
        ("run", "running", "RUN: it runs the image now"),
        ("run", "failed", "failed: unless its job is tried again, its screen says why"),
        ("failed", "waiting", "failed: unless its job is tried again, its screen says why"),
    ],
)
def test_how_sure_it_is_follows_from_what_is_done(state: str, node: str, said: str) -> None:
    booking = a_booking(records=[DeployedNode(9, "node1", node)])
    booking = replace(booking, deployments=(replace(booking.deployments[0], state=state),))
    assert how_sure(booking, "node1") == said


def test_booking_without_an_image_says_so() -> None:
    bare = replace(a_booking(), deployments=())
    assert [*facts(bare, "node1", str)][1] == "its image has no place yet"
    bare = replace(bare, reservation=replace(bare.reservation, images=()))
    assert [*facts(bare, "node1", str)][1] == "booked without an image"
    assert how_sure(bare, "node1") == "reservation 4 holds it without an image in a place"


def test_booking_of_a_host_is_found_by_time_and_name() -> None:
    early, late = a_booking(), a_booking(start=3, end=5)
    assert booked_for([early, late], "node1", NOON + 3 * HOUR) is late
    assert booked_for([early, late], "node3", NOON + 3 * HOUR) is None
    assert booked_for([early, late], "node1", NOON) is None
