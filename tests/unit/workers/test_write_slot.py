"""An image comes into a slot of many disks; only a node's own word makes its slot ready."""

from dataclasses import replace
from pathlib import Path

import pytest

from bootd.drivers.faults import Refuse
from bootd.drivers.transport import SessionMissing
from bootd.drivers.transport.course import Fate
from bootd.model import (
    DeployedNode,
    Outcome,
    Slot,
    Target,
    TargetKind,
)
from bootd.services import jobs
from bootd.services.tasks import task_text
from tests.helpers.imaging import NODES, PACE, SIZE, Shop, a_shop, ready
from tests.helpers.site import a_host


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return a_shop(tmp_path)


# -- as it should go --------------------------------------------------------------------------


def test_every_node_has_the_image_by_its_own_word(shop: Shop) -> None:
    shop.book()
    shop.live()
    assert (shop.job().state, shop.job().note) == ("done", "3 of 3 nodes have the image")
    assert shop.slots() == shop.nodes_of() == ready(*NODES)
    assert shop.deployment().state == "hd-ready"
    [slot] = {replace(slot, host="") for slot in shop.store.every(Slot)}
    assert (slot.image, slot.digest) == (shop.image.ref, shop.image.identity)


def test_while_it_is_written_no_slot_can_be_booted(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    assert set(shop.slots().values()) == {"writing"}
    assert set(shop.nodes_of().values()) == {"waiting"}
    assert shop.deployment().state == "deploy-hd"


def test_the_nodes_boot_the_imager_once_and_are_power_cycled(shop: Shop) -> None:
    seen: list[tuple[str, Target]] = []
    shop.power.started = lambda start: seen.extend((o.host, o.target) for o in shop.store.overrides())
    shop.book(("node1",))
    shop.live()
    assert seen == [("node1", Target(TargetKind.MEMORY, "imager"))]
    assert shop.switched() == [("off", "node1"), ("on", "node1")]


def test_orders_that_nobody_used_are_gone_at_the_end(shop: Shop) -> None:
    shop.asleep.update(NODES)
    shop.book()
    shop.live(until="watch")
    assert len(shop.store.overrides()) == 3
    shop.live()
    assert shop.store.overrides() == []


def test_a_person_s_later_order_is_left_alone(shop: Shop) -> None:
    shop.asleep.add("node1")
    shop.book(("node1",))
    shop.live(until="watch")
    [ours] = shop.store.overrides()
    with shop.store.transaction("bob") as change:
        change.put_override(replace(ours, id=change.next_override_id(), target=Target(TargetKind.LOCAL)))
    shop.live()
    assert [override.target for override in shop.store.overrides()] == [Target(TargetKind.LOCAL)]


def test_a_node_that_holds_the_image_is_not_touched(shop: Shop) -> None:
    shop.keep(Slot("node2", 7, shop.image.ref, shop.image.identity, "ready"))
    shop.book()
    shop.live()
    assert "node2" not in {node for _, node in shop.switched()}
    assert (shop.part("node2").note, shop.nodes_of()) == ("had the image already", ready(*NODES))


def test_where_every_node_holds_the_image_nothing_is_sent(shop: Shop) -> None:
    shop.keep(*(Slot(node, 7, shop.image.ref, shop.image.identity, "ready") for node in NODES))
    shop.book()
    shop.run()
    assert (shop.job().state, shop.deployment().state, shop.switched()) == ("done", "hd-ready", [])


def test_the_device_is_that_of_the_node_s_scheme(shop: Shop) -> None:
    shop.book()
    shop.live()
    assert {node.device for node in shop.store.every(DeployedNode)} == {"/dev/sda7"}


def test_people_see_how_far_it_is(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    shop.live(6)
    part = shop.part("node1")
    assert part.step == "receiving"
    assert 0 < part.octets < part.size
    assert part.rate == PACE.rate // 8
    assert shop.job().note == "sending: 0 of 3 nodes have the image"


def test_what_is_sent_is_the_whole_folder(shop: Shop) -> None:
    shop.book()
    shop.live()
    assert shop.transport.order("job1-1").image.size > SIZE
    octets = b"".join(shop.transport.received("job1-1", "node1"))
    assert b"a disk" in octets


# -- nodes that fail --------------------------------------------------------------------------


def test_a_node_that_wrote_something_else_is_tried_once_more_and_left_out(shop: Shop) -> None:
    shop.says["node2"] = ("verified", "sha256:other")
    shop.book()
    shop.live(300)
    assert shop.transport.order("job1-2").receivers == ("node2",)
    assert [shop.transport.order(f"job1-{number}").singly for number in (1, 2)] == [False, True]
    assert shop.slots() == {**ready("node1", "node3"), "node2": "damaged"}
    assert shop.nodes_of() == {**ready("node1", "node3"), "node2": "failed"}
    assert (shop.job().state, shop.deployment().state) == ("partly", "hd-ready")
    assert shop.part("node2").note == "it wrote sha256:other"


def test_a_node_that_succeeds_the_second_time_counts(shop: Shop) -> None:
    shop.says["node2"] = ("failed", "disk error")
    shop.book()
    shop.live(until="verify")
    shop.live(5)
    del shop.says["node2"]
    shop.live(300)
    assert (shop.job().state, shop.slots()) == ("done", ready(*NODES))
    assert [start.node for start in shop.power.starts].count("node2") == 2


def test_a_node_whose_imager_waits_is_called_again_without_a_restart(shop: Shop) -> None:
    shop.says["node2"] = ("failed", "the stream ended early")
    shop.book()
    shop.live(until="verify")
    shop.waiting = {"node2"}
    shop.live(5)
    del shop.says["node2"]
    assert (shop.job().facts["round"], shop.job().step, shop.store.overrides()) == (2, "watch", [])
    assert task_text(shop.store, "node2").startswith("task write\n")
    shop.live(60)
    assert (shop.job().state, shop.slots()) == ("done", ready(*NODES))
    assert [start.node for start in shop.power.starts].count("node2") == 1


def test_nodes_that_have_the_image_do_not_wait_for_the_second_try_of_others(shop: Shop) -> None:
    shop.says["node2"] = ("failed", "disk error")
    shop.book()
    shop.run()
    while shop.job().facts["round"] == 1:
        shop.live(1)
    assert (shop.job().state, shop.deployment().state) == ("running", "hd-ready")
    assert shop.nodes_of() == {**ready("node1", "node3"), "node2": "waiting"}
    shop.live(300)
    assert (shop.job().state, shop.deployment().state) == ("partly", "hd-ready")
    assert shop.nodes_of() == {**ready("node1", "node3"), "node2": "failed"}


def test_a_word_of_the_first_session_does_not_count_in_the_second(shop: Shop) -> None:
    shop.says["node2"] = ("failed", "disk error")
    shop.book()
    shop.live(100)
    assert shop.job().facts["round"] == 2
    shop.silent.add("node2")
    shop.live(700)
    assert shop.part("node2").outcome is Outcome.FAILED


def test_the_reason_a_node_gives_is_kept(shop: Shop) -> None:
    shop.says["node2"] = ("failed", "/dev/sda7 is too small")
    shop.book()
    shop.live(300)
    assert shop.part("node2").note == "/dev/sda7 is too small"
    [node] = [node for node in shop.store.deployed_nodes(1) if node.node == "node2"]
    assert node.note == "/dev/sda7 is too small"


def test_a_node_that_never_says_that_it_is_right_is_not_ready(shop: Shop) -> None:
    shop.silent.add("node3")
    shop.book()
    shop.live(800)
    assert shop.slots() == {**ready("node1", "node2"), "node3": "damaged"}
    assert "said nothing for 300 s" in shop.part("node3").note


def test_a_node_that_does_not_join_is_left_out_and_holds_up_nobody(shop: Shop) -> None:
    shop.transport.fates["node1"] = Fate(joins_after_s=None)
    shop.book()
    shop.live(120)
    assert shop.outcomes()["node2"] is Outcome.OK
    shop.live(200)
    assert (shop.job().state, shop.part("node1").note) == ("partly", "did not join within 60 s")


def test_a_node_that_dies_in_the_middle_is_left_out(shop: Shop) -> None:
    shop.transport.fates["node1"] = Fate(dies_at=SIZE // 2)
    shop.book()
    shop.live(300)
    assert (shop.job().state, shop.slots()["node1"]) == ("partly", "damaged")


def test_where_no_node_has_it_the_deployment_has_failed(shop: Shop) -> None:
    shop.says = dict.fromkeys(NODES, ("failed", "no disk"))
    shop.book()
    shop.live(300)
    assert (shop.job().state, shop.deployment().state) == ("failed", "failed")
    assert set(shop.slots().values()) == {"damaged"}


def test_a_node_that_cannot_be_switched_does_not_keep_the_others_waiting(shop: Shop) -> None:
    with shop.store.transaction("anna") as change:
        change.put_host(a_host(2))
    shop.book()
    shop.live(200)
    assert shop.transport.order("job1-1").receivers == ("node1", "node3")
    assert (shop.job().state, "has no setting 'power'" in shop.part("node2").note) == ("partly", True)


def test_where_no_node_can_be_switched_nothing_is_sent(shop: Shop) -> None:
    shop.power.faults.plant(Refuse(), "off", times=None)
    shop.book()
    shop.live(100)
    assert shop.job().state == "failed"
    with pytest.raises(SessionMissing):
        shop.transport.order("job1-1")


def test_a_second_try_of_the_job_is_for_the_nodes_left_out(shop: Shop) -> None:
    shop.says["node2"] = ("failed", "no disk")
    shop.book()
    shop.live(300)
    shop.says.clear()
    jobs.retry(shop.store, "bob", 1, clock=shop.clock)
    before = len(shop.power.starts)
    shop.live(200)
    assert (shop.job().state, shop.slots()) == ("done", ready(*NODES))
    assert [start.node for start in shop.power.starts[before:]] == ["node2"]
    assert shop.transport.order("job1-3").receivers == ("node2",)


# -- what is refused --------------------------------------------------------------------------


def test_without_the_imager_nothing_is_touched_and_the_way_out_is_named(shop: Shop) -> None:
    with shop.store.transaction("anna") as change:
        change.remove_memory_image("imager")
    shop.book()
    shop.run()
    assert (shop.job().state, shop.deployment().state, shop.slots()) == ("failed", "failed", {})
    assert "bootd memory add imager" in shop.job().note


def test_an_image_that_was_found_damaged_is_not_sent(shop: Shop) -> None:
    shop.keep(replace(shop.image, state="damaged"))
    shop.book()
    shop.run()
    assert (shop.job().state, shop.job().note) == ("failed", "image mesh/debian@1 is damaged")


def test_a_dark_store_that_is_away_is_waited_for(shop: Shop) -> None:
    root = shop.tree.root
    root.rename(root.with_name("elsewhere"))
    shop.book()
    shop.live(20)
    assert (shop.job().state, shop.slots()) == ("running", {})
    assert "unavailable" in shop.job().note
    root.with_name("elsewhere").rename(root)
    shop.live(200)
    assert shop.job().state == "done"


# -- what nodes are told, and tell ------------------------------------------------------------


def test_image_that_is_no_single_partition_is_refused_before_any_node_is_switched(shop: Shop) -> None:
    whole = bytearray(SIZE)
    whole[510:512] = b"\x55\xaa"
    for at in (446, 462):
        whole[at + 4], whole[at + 12] = 0x83, 1
    shop.book(image=shop.add_image(bytes(whole), "mesh/whole"))
    shop.run()
    assert shop.job().state == "failed"
    assert "is a whole disk (dos) with the partitions 1, 2 and a slot takes one" in shop.job().note
    assert shop.switched() == []


def test_nodes_are_told_how_to_take_part_while_the_session_runs(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    told = task_text(shop.store, "node1")
    assert told.startswith("task write\n")
    assert f"\naddress {shop.session().channel.address}\n" in told
    shop.live()
    assert task_text(shop.store, "node1") == "task none\n"


def test_a_node_that_says_what_it_does_is_waited_for(shop: Shop) -> None:
    shop.silent = set(NODES)
    shop.book()
    shop.live(until="verify")
    for _ in range(4):
        shop.say("node1", "fitting", "40")
        shop.run_for(shop.settings.up_s * 0.6, each=5.0)
    assert (shop.part("node1").step, shop.part("node1").outcome) == ("received", Outcome.OPEN)
    assert shop.part("node2").step != "received"
