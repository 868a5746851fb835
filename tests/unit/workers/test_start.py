"""A reservation begins: what is in its place is flipped in one transaction, then its nodes come up."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootd.drivers.faults import Crash, Unreachable
from bootd.drivers.lun import Chap
from bootd.drivers.power import PowerState
from bootd.model import (
    DeployedNode,
    Deployment,
    Job,
    JobKind,
    JobPart,
    LunPair,
    LunSide,
    Outcome,
    Reservation,
    Role,
    Slot,
)
from bootd.workers.start import Start
from tests.helpers.deeds import (
    HOUR,
    IMAGE,
    a_clone,
    a_deployment,
    a_job,
    a_node,
    a_pair,
    a_project,
    a_reservation,
    a_slot,
)
from tests.helpers.site import NOON, a_host
from tests.helpers.workshop import SETTINGS, Workshop

NODES = ("node1", "node2")


def a_site(folder: Path, **pace: Any) -> Workshop:
    """Return one whose reservation 1 is booked, its image ready in slot 7 of node1 and node2."""
    shop = Workshop({JobKind.START: Start()}, folder, settings=replace(SETTINGS, **pace))
    shop.power.states = {f"node{n}": PowerState.ON for n in range(1, 5)}
    shop.keep(a_project(), a_reservation(state="booked"), a_deployment(flipped_at=None))
    shop.keep(*(a_node(node) for node in NODES), *(a_slot(node, last_used_at=None) for node in NODES))
    shop.keep(a_start())
    return shop


def a_start(number: int = 1, **fields: Any) -> Job:
    return a_job(number, **{"kind": JobKind.START, "deployment": None} | fields)


def deployment(shop: Workshop, number: int = 1) -> Deployment:
    found = shop.store.find(Deployment, number)
    assert found is not None
    return found


def state(shop: Workshop, number: int = 1) -> str:
    found = shop.store.find(Reservation, number)
    assert found is not None
    return found.state


def runs(shop: Workshop, *nodes: str, number: int = 1) -> None:
    shop.keep(*(a_node(node, number, state="running") for node in nodes))


def test_the_reservation_becomes_active_with_its_image_flipped_and_its_nodes_reset(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.run()
    assert state(shop) == "active"
    assert deployment(shop).flipped_at == NOON
    assert shop.switched() == [("reset-soft", "node1"), ("reset-soft", "node2")]
    assert {place.state for place in shop.store.places().values()} == {"ready"}


def test_beginning_and_flipping_are_one_transaction(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.run()
    [begun] = [e for e in shop.store.journal() if e.kind == "reservation" and e.action == "changed"]
    kinds = {entry.kind for entry in shop.store.entries(begun.change)}
    assert kinds >= {"reservation", "deployment", "slot", "job"}


def test_the_slots_are_marked_as_used_now(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.run()
    assert [slot.last_used_at for slot in shop.store.every(Slot)] == [NOON, NOON]


def test_the_job_is_done_when_every_node_says_that_it_runs(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.run()
    runs(shop, "node1")
    shop.run_for(10)
    assert shop.job().state == "running"
    runs(shop, "node2")
    shop.run_for(10)
    assert (shop.job().state, shop.job().note) == ("done", "2 nodes: 2 ok")


def test_a_node_that_never_comes_up_leaves_the_job_partly_done(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.run()
    runs(shop, "node1")
    shop.run_for(620)
    assert shop.outcomes() == {"node1": Outcome.OK, "node2": Outcome.TIMED_OUT}
    assert shop.job().state == "partly"


def test_where_no_node_comes_up_the_job_has_failed_and_the_reservation_goes_on(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.run_for(620)
    assert (shop.job().state, state(shop)) == ("failed", "active")
    assert {place.state for place in shop.store.places().values()} == {"ready"}  # repaired, they boot it


def test_nodes_of_a_reservation_without_images_are_not_switched(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_reservation(2, nodes=("node3", "node4"), images=(), state="booked"))
    shop.keep(a_start(2, reservation=2, nodes=("node3", "node4")))
    shop.run()
    assert (state(shop, 2), shop.job(2).state) == ("active", "done")
    assert {node for _, node in shop.switched()} == set(NODES)


def test_it_does_not_begin_before_its_time(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_reservation(state="booked", starts_at=NOON + HOUR / 60, ends_at=NOON + HOUR))
    shop.run_for(59)
    assert (state(shop), shop.switched()) == ("booked", [])
    shop.run_for(2)
    assert state(shop) == "active"


def test_it_waits_until_the_earlier_reservation_of_its_nodes_has_ended(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    earlier = a_reservation(2, starts_at=NOON - HOUR, ends_at=NOON, nodes=("node2", "node3"), images=())
    shop.keep(earlier)
    shop.run_for(30)
    assert (state(shop), shop.switched()) == ("booked", [])
    assert shop.job().note == "reservation 2 has not ended yet on node2"
    shop.keep(replace(earlier, state="ended"))
    shop.run_for(3)
    assert state(shop) == "active"


def test_a_reservation_taken_back_meanwhile_is_not_begun(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_reservation(state="cancelled"))
    shop.run()
    assert (shop.job().state, shop.job().note) == ("cancelled", "reservation 1 is cancelled")
    assert shop.switched() == []


def test_a_reservation_that_ends_meanwhile_has_no_more_nodes_switched(tmp_path: Path) -> None:
    shop = a_site(tmp_path, window=1)
    shop.run()
    shop.keep(a_reservation(state="cancelled"))
    shop.run_for(30)
    assert shop.switched() == [("reset-soft", "node1")]
    assert shop.job().state == "cancelled"


def test_an_image_that_is_late_is_flipped_when_it_is_in_its_place(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_deployment(flipped_at=None, state="deploy-hd"))
    shop.run_for(60)
    assert (state(shop), shop.switched()) == ("active", [])
    assert "node[1-2] is not in its place yet" in shop.job().note
    shop.keep(a_deployment(flipped_at=None))
    shop.run_for(25)
    assert shop.switched() == [("reset-soft", "node1"), ("reset-soft", "node2")]


def test_one_late_image_does_not_hold_up_the_other(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_deployment(flipped_at=None, nodes=("node1",)))
    shop.keep(a_deployment(2, flipped_at=None, nodes=("node2",), state="deploy-hd"))
    shop.run()
    assert shop.switched() == [("reset-soft", "node1")]
    runs(shop, "node1")
    shop.run_for(30)
    shop.keep(a_deployment(2, flipped_at=None, nodes=("node2",)), a_node("node2", 2))
    shop.run_for(30)
    runs(shop, "node2", number=2)
    shop.run_for(30)
    assert shop.job().state == "done"


def test_the_nodes_of_an_image_that_failed_have_failed_with_its_reason(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_deployment(flipped_at=None, state="failed", note="the dark store was away"))
    shop.run()
    assert (shop.job().state, shop.part("node1").note) == ("failed", "the dark store was away")


def test_a_node_whose_image_failed_is_not_switched_and_the_rest_is(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_node("node2", state="failed", note="disk too small"))
    shop.run()
    assert shop.switched() == [("reset-soft", "node1")]
    runs(shop, "node1")
    shop.run_for(10)
    assert (shop.job().state, shop.part("node2").note) == ("partly", "disk too small")


def test_a_node_that_got_its_image_by_a_second_try_is_switched_while_the_rest_is_awaited(
    tmp_path: Path,
) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_node("node2", state="failed", note="no disk"))
    shop.run()
    shop.keep(a_node("node2"))
    shop.run_for(12)
    assert shop.switched() == [("reset-soft", "node1"), ("reset-soft", "node2")]


@pytest.mark.parametrize("ends", ["ready", "failed"])
def test_a_node_that_is_called_a_second_time_is_waited_for_while_the_rest_is_switched(
    tmp_path: Path, ends: str
) -> None:
    shop = a_site(tmp_path)
    writing = a_job(2, kind=JobKind.WRITE_SLOT, nodes=NODES, state="running", due_at=NOON + 2 * HOUR)
    shop.keep(a_node("node2", state="waiting"), writing)
    with shop.store.transaction("calendar") as change:
        change.put_job_parts([JobPart(2, "node1", outcome=Outcome.OK), JobPart(2, "node2")])
    shop.run()
    runs(shop, "node1")
    shop.run_for(30)
    assert (shop.job().state, shop.part("node2").step) == ("running", "placing")
    shop.keep(a_node("node2", state=ends, note="no disk"), replace(writing, state="partly"))
    shop.run_for(12)
    is_switched = ("reset-soft", "node2") in shop.switched()
    assert (shop.job().state, is_switched) == (("running", True) if ends == "ready" else ("partly", False))
    assert ends == "ready" or shop.part("node2").note == "no disk"


def test_a_lun_pair_is_flipped_to_the_side_of_the_image(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    active, _ = a_pair().sides
    shop.keep(replace(a_pair(), sides=(active, LunSide("roots-b", "staged", IMAGE, "sha256:2", NOON))))
    lun = {"slot": None, "group": "roots", "role": Role.ROOT, "side": 1, "digest": "sha256:2"}
    shop.keep(a_deployment(flipped_at=None, state="lun-ready", **lun))
    shop.run()
    pair = shop.store.find(LunPair, "roots")
    assert pair is not None
    assert pair.active == 1


def on_clones(shop: Workshop, *logged_in: str) -> None:
    """Have node1 and node2 say that they run from clones that are exported to them."""
    lun = {"slot": None, "group": "roots", "role": Role.ROOT, "side": 0, "digest": "sha256:1"}
    shop.keep(a_pair(), a_deployment(flipped_at=None, state="lun-ready", **lun))
    shop.luns.create("roots-a", 4096)
    for node in NODES:
        clone, chap = a_clone(node), Chap(node, "secret-secret")
        shop.luns.clone("roots-a", clone.volume)
        shop.luns.export(clone.volume, clone.initiator, chap)
        if node in logged_in:
            shop.luns.log_in(clone.volume, clone.initiator, chap)
        shop.keep(clone, a_node(node, device="", volume=clone.volume))
    shop.run()
    shop.keep(*(a_node(node, state="running", device="", volume=a_clone(node).volume) for node in NODES))


def test_nodes_that_run_and_are_logged_in_leave_no_doubt(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    on_clones(shop, *NODES)
    shop.run_for(12)
    assert (shop.job().state, shop.job().note) == ("done", "2 nodes: 2 ok")


def test_node_that_runs_by_its_word_and_is_not_logged_in_is_ok_and_named(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    on_clones(shop, "node1")
    shop.run_for(12)
    assert shop.job().state == "done"
    assert (
        shop.job().note
        == "2 nodes: 2 ok; in doubt: node2 not logged in, by the target's table, and said to run"
    )


def test_node_that_says_it_runs_and_is_logged_in_to_its_old_clone_is_switched(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    on_clones(shop, "node1")
    clone, chap = a_clone("node2", volume="roots-old"), Chap("old", "secret-secret")
    shop.luns.clone("roots-a", clone.volume)
    shop.luns.export(clone.volume, clone.initiator, chap)
    shop.luns.log_in(clone.volume, clone.initiator, chap)
    shop.run_for(12)
    assert (shop.job().state, shop.part("node2").outcome) == ("running", Outcome.OPEN)
    node = shop.store.find(DeployedNode, "1/node2")
    assert node is not None
    assert (node.state, shop.part("node1").outcome) == ("ready", Outcome.OK)
    shop.run_for(shop.settings.up_s)
    assert shop.switched()[-2:] == [("off", "node2"), ("on", "node2")]
    own = a_clone("node2")
    shop.luns.log_in(own.volume, own.initiator, Chap("node2", "secret-secret"))
    shop.keep(replace(node, state="running"))
    shop.run_for(12)
    assert (shop.job().state, shop.job().note) == ("done", "2 nodes: 2 ok")


def test_target_that_does_not_answer_leaves_no_doubt_and_holds_up_nobody(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    on_clones(shop)
    shop.luns.faults.plant(Unreachable(), "sessions", times=None)
    shop.run_for(12)
    assert (shop.job().state, shop.job().note) == ("done", "2 nodes: 2 ok")


def test_a_lun_that_holds_nothing_fails_its_image_and_the_reason_is_told(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_pair())
    lun = {"slot": None, "group": "roots", "role": Role.ROOT, "side": 1}
    shop.keep(a_deployment(flipped_at=None, state="lun-ready", **lun))
    shop.run()
    assert (deployment(shop).state, shop.job().state) == ("failed", "failed")
    assert "holds nothing" in shop.part("node1").note
    assert shop.switched() == []


def test_a_lun_pair_that_is_gone_fails_its_image_and_the_reservation_begins_all_the_same(
    tmp_path: Path,
) -> None:
    shop = a_site(tmp_path)
    shop.keep(a_deployment(flipped_at=None, nodes=("node1",)), a_deployment(2, flipped_at=None))
    lun = {"slot": None, "group": "roots", "role": Role.ROOT, "side": 1, "nodes": ("node2",)}
    shop.keep(a_deployment(2, flipped_at=None, state="lun-ready", **lun))
    shop.run()
    assert (state(shop), deployment(shop, 2).state) == ("active", "failed")
    assert shop.switched() == [("reset-soft", "node1")]


def test_a_node_without_power_driver_counts_when_it_comes_up_by_itself(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    with shop.store.transaction("anna") as change:
        change.put_host(a_host(2))
    shop.run_for(5)
    assert "has no setting 'power'" in shop.part("node2").note
    runs(shop, *NODES)
    shop.run_for(5)
    assert shop.job().state == "done"


def test_killed_at_each_call_the_next_worker_goes_on(tmp_path: Path) -> None:
    for number, done in enumerate((False, True)):
        shop = a_site(tmp_path / str(number))
        shop.power.faults.plant(Crash(done=done), "reset-soft", "node2")
        shop.run()
        assert state(shop) == "active"
        assert {start.node for start in shop.power.starts} == set(NODES)
        runs(shop, *NODES)
        shop.run_for(10)
        assert shop.job().state == "done"


def test_a_second_try_begins_with_the_nodes_that_are_not_ok(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.power.faults.plant(Unreachable(), "reset-soft", "node2", times=8)
    shop.power.faults.plant(Unreachable(), "off", "node2", times=8)
    shop.run()
    runs(shop, "node1")
    shop.run_for(900)
    assert shop.job().state == "partly"
    shop.keep(replace(shop.job(), state="waiting", step="", facts={}, due_at=shop.clock(), ended_at=None))
    shop.run()
    assert shop.switched()[-1] == ("reset-soft", "node2")
    assert shop.outcomes() == {"node1": Outcome.OK, "node2": Outcome.OPEN}


def test_taken_back_by_a_person_it_ends_and_the_reservation_goes_on(tmp_path: Path) -> None:
    shop = a_site(tmp_path)
    shop.run()
    shop.keep(replace(shop.job(), facts={**shop.job().facts, "cancelled_by": "bob"}, due_at=shop.clock()))
    shop.run()
    assert (shop.job().state, shop.job().note) == ("cancelled", "taken back by bob")
    assert state(shop) == "active"
