"""A reservation is over: images leave their places, nodes go back to their default, clones go."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootd.drivers.faults import Crash, Refuse, Unreachable
from bootd.drivers.lun import Chap
from bootd.drivers.power import PowerState
from bootd.model import (
    DeployedNode,
    Deployment,
    Job,
    JobKind,
    JobPart,
    LunClone,
    LunPair,
    LunSide,
    Outcome,
    Reservation,
    Role,
    Slot,
)
from bootd.services import luns
from bootd.services.lunsweep import sweep
from bootd.workers.end import End
from bootd.workers.start import Start
from bootd.workers.work import Handler
from tests.helpers.deeds import (
    HOUR,
    IMAGE,
    a_deployment,
    a_job,
    a_node,
    a_pair,
    a_project,
    a_reservation,
    a_slot,
)
from tests.helpers.site import NOON
from tests.helpers.workshop import SETTINGS, Workshop

NODES = ("node1", "node2")
OVER = {"starts_at": NOON - HOUR, "ends_at": NOON}
HANDLERS: Mapping[JobKind, Handler] = {JobKind.START: Start(), JobKind.END: End()}


def a_site(folder: Path, **pace: Any) -> Workshop:
    """Return one whose reservation 1 is over now and runs its image from slot 7 of node1 and node2."""
    shop = Workshop(HANDLERS, folder, settings=replace(SETTINGS, **pace))
    shop.power.states = {f"node{n}": PowerState.ON for n in range(1, 5)}
    shop.keep(a_project(), a_reservation(**OVER), a_deployment(state="run", flipped_at=NOON - HOUR))
    shop.keep(*(a_node(node, state="running") for node in NODES), *(a_slot(node) for node in NODES))
    shop.keep(an_end())
    return shop


def an_end(number: int = 1, **fields: Any) -> Job:
    return a_job(number, **{"kind": JobKind.END, "deployment": None} | fields)


def states(shop: Workshop, number: int = 1) -> tuple[str, str]:
    """Return the states of reservation and deployment *number*."""
    reservation = shop.store.find(Reservation, number)
    deployment = shop.store.find(Deployment, number)
    assert reservation is not None
    assert deployment is not None
    return reservation.state, deployment.state


def follow(shop: Workshop, **fields: Any) -> None:
    """Book node1 and node2 from now on with another image, ready in slot 8."""
    shop.keep(a_reservation(2, starts_at=NOON, ends_at=NOON + HOUR, state="booked"))
    standard: dict[str, Any] = {"slot": 8, "flipped_at": None}
    shop.keep(a_deployment(2, 2, **standard | fields))
    shop.keep(*(a_node(node, 2, device="/dev/sda8") for node in NODES), *(a_slot(n, 8) for n in NODES))


def test_the_reservation_ends_its_image_is_dark_and_its_nodes_are_reset(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.run()
    assert states(shop) == ("ended", "dark")
    assert shop.switched() == [("reset-hard", "node1"), ("reset-hard", "node2")]
    assert shop.store.places() == {}
    assert shop.job().state == "done"


def test_no_node_is_reset_before_the_image_is_out_of_its_place(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    seen: list[dict[str, Any]] = []
    shop.power.started = lambda start: seen.append(dict(shop.store.places()))
    shop.run()
    assert seen == [{}, {}]


def test_slots_keep_their_image_as_a_cache_used_until_now(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(*(a_slot(node, last_used_at=NOON - HOUR) for node in NODES))
    shop.run()
    assert [(slot.state, slot.last_used_at) for slot in shop.store.every(Slot)] == [("ready", NOON)] * 2


def test_a_reservation_of_which_nothing_ever_ran_has_failed(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_deployment(state="hd-ready"), *(a_node(node) for node in NODES))
    shop.run()
    assert states(shop) == ("failed", "dark")


def test_one_node_that_ran_is_enough_for_a_reservation_that_ended(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_deployment(state="hd-ready"), a_node("node1"), a_node("node2", state="running"))
    shop.run()
    assert states(shop) == ("ended", "dark")


def test_a_node_that_ran_and_just_starts_again_counts_too(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_deployment(state="hd-ready"), *(a_node(node) for node in NODES))
    shop.keep(a_job(2, kind=JobKind.START, deployment=None, state="partly"))
    with shop.store.transaction("calendar") as change:
        change.put_job_parts([replace(JobPart(2, "node1"), step="reset", outcome=Outcome.OK)])
    shop.run()
    assert states(shop) == ("ended", "dark")


def test_a_reservation_without_images_ends_and_nobody_is_switched(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_reservation(2, **OVER, nodes=("node3",), images=()))
    shop.keep(an_end(2, reservation=2, nodes=("node3",)))
    shop.run()
    assert (shop.store.find(Reservation, 2) or a_reservation()).state == "ended"
    assert shop.job(2).state == "done"
    assert "node3" not in {node for _, node in shop.switched()}


def test_images_that_nobody_was_told_to_boot_leave_without_a_reset(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_reservation(state="cancelled"), a_deployment(flipped_at=None))
    shop.run()
    assert states(shop) == ("cancelled", "dark")
    assert (shop.switched(), shop.job().state) == ([], "done")


@pytest.mark.parametrize("state", ["deploy-hd", "deploy-lun", "sched"])
def test_images_left_on_their_way_are_given_up(tmp_path: Path, state: str) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_deployment(flipped_at=None, state=state), *(a_node(n, state="waiting") for n in NODES))
    shop.run()
    assert states(shop) == ("failed", "dark")


def test_what_failed_stays_failed(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_deployment(flipped_at=None, state="failed", note="disk full"))
    shop.keep(*(a_node(node, state="failed") for node in NODES))
    shop.run()
    assert states(shop) == ("failed", "failed")


def test_a_mesh_node_that_was_left_out_is_reset_too_since_the_imager_may_run_on_it(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_node("node2", state="failed", note="no disk"))
    shop.run()
    assert [node for _, node in shop.switched()] == ["node1", "node2"]


def test_a_reservation_that_was_extended_meanwhile_goes_on(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_reservation(starts_at=NOON - HOUR, ends_at=NOON + HOUR))
    shop.run()
    assert (states(shop), shop.job().state) == (("active", "run"), "cancelled")
    assert shop.switched() == []


def test_nodes_that_refuse_to_be_switched_are_listed_and_the_images_go_all_the_same(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.power.faults.plant(Refuse("wrong password"), "reset-hard", "node2", times=None)
    shop.power.faults.plant(Refuse("wrong password"), "off", "node2", times=None)
    shop.run_for(30)
    assert states(shop) == ("ended", "dark")
    assert shop.outcomes() == {"node1": Outcome.OK, "node2": Outcome.FAILED}
    assert (shop.job().state, "wrong password" in shop.part("node2").note) == ("partly", True)


def test_its_open_start_is_taken_back_first(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_job(2, kind=JobKind.START, deployment=None, step="watch", state="running"))
    shop.run_for(10)
    assert (shop.job(2).state, shop.job().state) == ("cancelled", "done")
    assert len(shop.power.starts) == 2


def test_killed_at_each_call_the_next_worker_brings_it_to_the_same_end(tmp_path: Path) -> None:
    for number, done in enumerate((False, True)):
        shop = a_site(tmp_path / str(number))
        shop.power.started = lambda start, shop=shop: shop.seen(start.node)  # type: ignore[misc]
        shop.power.faults.plant(Crash(done=done), "reset-hard", "node1")
        shop.run()
        assert (states(shop), shop.job().state) == (("ended", "dark"), "done")
        assert sorted(start.node for start in shop.power.starts) == list(NODES)


# -- one reservation after the other ----------------------------------------------------------


@pytest.mark.parametrize("start_first", [True, False])
def test_back_to_back_each_node_is_reset_once_and_boots_the_next_image(
    tmp_path: Path, start_first: bool
) -> None:
    shop = a_site(tmp_path)
    follow(shop)
    first_at = NOON - HOUR if start_first else NOON  # the longest due is taken first
    shop.keep(a_job(2, kind=JobKind.START, reservation=2, deployment=None, due_at=first_at))
    shop.run_for(60)
    assert states(shop) == ("ended", "dark")
    assert states(shop, 2) == ("active", "hd-ready")
    assert sorted(start.node for start in shop.power.starts) == list(NODES)
    assert [shop.part(node).note for node in NODES] == ["reservation 2 has it now"] * 2
    assert {place.slot for place in shop.store.places().values()} == {8}


def test_two_reservations_are_never_active_on_one_node(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    follow(shop)
    shop.keep(a_job(2, kind=JobKind.START, reservation=2, deployment=None, due_at=NOON - HOUR))
    for _ in range(30):
        shop.run()
        held = [node for each in shop.store.reservations_in(("active",)) for node in each.nodes]
        assert len(held) == len(set(held))
        shop.clock.move(seconds=1)
    assert states(shop, 2)[0] == "active"


def test_where_the_next_image_is_late_the_nodes_are_reset_to_their_default(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    follow(shop, state="deploy-hd")
    shop.keep(a_job(2, kind=JobKind.START, reservation=2, deployment=None))
    shop.run_for(10)
    assert shop.switched() == [("reset-hard", "node1"), ("reset-hard", "node2")]


def test_where_the_next_one_has_no_image_the_nodes_are_reset_to_their_default(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_reservation(2, starts_at=NOON, ends_at=NOON + HOUR, state="booked", images=()))
    shop.keep(a_job(2, kind=JobKind.START, reservation=2, deployment=None))
    shop.run_for(10)
    assert shop.switched() == [("reset-hard", "node1"), ("reset-hard", "node2")]


def test_a_next_reservation_that_never_begins_is_not_waited_for(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    follow(shop)
    shop.run_for(100)
    assert shop.switched() == []
    shop.run_for(30)
    assert shop.switched() == [("reset-hard", "node1"), ("reset-hard", "node2")]
    assert shop.job().state == "done"


def test_a_second_try_keeps_its_hands_off_nodes_that_others_have_by_now(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_reservation(state="ended", **OVER), a_deployment(state="dark", flipped_at=NOON - HOUR))
    shop.keep(a_reservation(2, nodes=("node2",), images=()))
    shop.run_for(10)
    assert shop.switched() == [("reset-hard", "node1")]


# -- clones -----------------------------------------------------------------------------------


def on_luns(shop: Workshop) -> tuple[str, ...]:
    """Have reservation 1 run from clones of side a of the group roots; return the clones."""
    lun: dict[str, Any] = {"slot": None, "group": "roots", "role": Role.ROOT, "side": 0}
    root = a_deployment(state="run", flipped_at=NOON - HOUR, **lun)
    shop.keep(a_pair(), root)
    shop.luns.create("roots-a", 4096)
    volumes = []
    for node in NODES:
        clone = luns.new_clone(root, 0, node, shop.settings.base_iqn)
        volumes.append(clone.volume)
        shop.luns.clone("roots-a", clone.volume)
        chap = Chap(clone.volume, "x" * 16)
        export = shop.luns.export(clone.volume, clone.initiator, chap)
        shop.luns.log_in(clone.volume, clone.initiator, chap)
        with shop.store.transaction("calendar") as change:
            luns.keep_clone(change, clone, export)
        shop.keep(a_node(node, state="running", device="", volume=clone.volume))
    return tuple(volumes)


def left(shop: Workshop) -> tuple[list[str], list[str]]:
    """Return the volumes on the backend, and the clones that are written down."""
    kept = [clone.volume for clone in shop.store.every(LunClone)]
    return [volume.name for volume in shop.luns.volumes()], kept


def test_clones_are_deleted_though_machines_are_logged_in_and_the_side_stays(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    on_luns(shop)
    shop.run()
    assert left(shop) == (["roots-a"], [])
    assert (shop.job().state, states(shop)) == ("done", ("ended", "dark"))


def test_clones_go_after_their_nodes_were_switched(tmp_path: Path) -> None:
    shop = a_site(tmp_path, window=1)
    volumes = on_luns(shop)
    shop.run()
    assert left(shop)[1] == sorted(volumes)
    shop.run_for(11)
    assert left(shop)[1] == []


def test_the_clones_of_nodes_that_were_handed_over_wait_until_those_are_up(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    volumes = on_luns(shop)
    follow(shop)
    shop.keep(a_job(2, kind=JobKind.START, reservation=2, deployment=None))
    shop.run_for(60)
    assert left(shop)[1] == sorted(volumes)
    shop.keep(*(a_node(node, 2, state="running") for node in NODES))
    shop.run_for(20)
    assert (left(shop)[1], shop.job().state) == ([], "done")


def test_a_lun_backend_that_is_away_for_a_while_is_tried_again(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    on_luns(shop)
    shop.luns.faults.plant(Unreachable(), "delete", times=3)
    shop.run_for(60)
    assert (left(shop)[1], shop.job().state) == ([], "done")


def test_a_clone_that_cannot_go_is_named_and_the_others_go(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    first, _ = on_luns(shop)
    shop.luns.faults.plant(Refuse("snapshots depend on it"), "delete", first)
    shop.run()
    assert left(shop)[1] == [first]
    assert "snapshots depend on it" in shop.job().note


def test_a_clone_stays_for_the_sweep_while_a_node_that_cannot_be_switched_is_logged_in(
    tmp_path: Path,
) -> None:
    shop = a_site(tmp_path)
    _, second = on_luns(shop)
    for verb in ("reset-hard", "off"):
        shop.power.faults.plant(Refuse("wrong password"), verb, "node2", times=None)
    shop.run_for(200)
    assert left(shop) == (["roots-a", second], [second])
    assert f"volume {second}: in use by" in shop.job().note
    assert [each.volume for each in sweep(shop.store, shop.luns, "calendar").left] == [second]
    shop.luns.log_out(second, f"{shop.settings.base_iqn}:node2")
    assert sweep(shop.store, shop.luns, "calendar").removed == (second,)


def test_a_node_whose_new_clone_was_not_made_yet_is_reset_from_its_old_one(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    on_luns(shop)
    shop.keep(a_node("node2", state="waiting", device=""))  # flipped by hand a moment ago
    shop.run()
    assert [node for _, node in shop.switched()] == ["node1", "node2"]
    assert left(shop) == (["roots-a"], [])


def test_killed_while_clones_are_deleted_the_rest_goes_later(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    on_luns(shop)
    shop.luns.faults.plant(Crash(done=True), "delete")
    shop.run()
    assert (left(shop), shop.job().state) == ((["roots-a"], []), "done")


def test_a_side_that_was_staged_for_nothing_is_free_again(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    active, _ = a_pair().sides
    shop.keep(replace(a_pair(), sides=(active, LunSide("roots-b", "staged", IMAGE, "sha256:1", NOON))))
    lun: dict[str, Any] = {"slot": None, "group": "roots", "role": Role.ROOT, "side": 1}
    shop.keep(a_deployment(state="lun-ready", flipped_at=None, **lun), a_reservation(state="cancelled"))
    shop.run()
    pair = shop.store.find(LunPair, "roots")
    assert pair is not None
    assert [side.state for side in pair.sides] == ["active", "inactive"]


def test_nodes_are_remembered_as_they_were(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.run()
    assert {node.state for node in shop.store.every(DeployedNode)} == {"running"}
