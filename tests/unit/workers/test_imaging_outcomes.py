"""What goes wrong while slots are written has a name in the job, and leaves nothing to be tidied by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from bootd.boot.decide import Order, standing_order
from bootd.boot.snapshot import Policy
from bootd.drivers.faults import Refuse
from bootd.drivers.power.fake import Start
from bootd.drivers.transport.course import Fate
from bootd.model import Assignment, DiskImage, Outcome, Target, TargetKind
from bootd.services import jobs
from tests.helpers.deeds import a_reservation
from tests.helpers.imaging import NODES, SIZE, Shop, a_shop, ready
from tests.helpers.site import NOON

DEFAULT = Target(TargetKind.MEMORY, "hello")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """What node1 boots when nobody wants anything of it is known."""
    made = a_shop(tmp_path)
    with made.store.transaction("anna", "furnish") as change:
        change.put_assignment(Assignment("node1", DEFAULT, NOON))
    return made


def image_file(shop: Shop) -> Path:
    """Return the file of the image in the dark store that holds the most octets."""
    files = [path for path in shop.tree.root.rglob("*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


def boots(shop: Shop, node: str = "node1") -> Order:
    host = shop.store.host(node)
    assert host is not None
    return standing_order(shop.store.load_snapshot(Policy()), host, shop.clock())


# -- the image --------------------------------------------------------------------------------


def test_an_image_with_a_part_cut_off_touches_no_node(shop: Shop) -> None:
    with image_file(shop).open("r+b") as file:
        file.truncate(1000)
    shop.book()
    shop.live(60)
    assert (shop.job().state, shop.slots(), shop.switched()) == ("failed", {}, [])
    assert shop.job().note.startswith("image mesh/debian@1 is damaged: ")
    assert {shop.part(node).note for node in NODES} == {shop.job().note}


def test_an_image_that_is_cut_off_while_its_nodes_are_called_leaves_no_slot_marked_good(shop: Shop) -> None:
    def cut(start: Start) -> None:
        image_file(shop).write_bytes(b"")

    shop.power.started = cut
    shop.book()
    shop.live(60)
    assert (shop.job().state, shop.deployment().state) == ("failed", "failed")
    assert shop.slots() == dict.fromkeys(NODES, "damaged")
    assert {shop.part(node).outcome for node in NODES} == {Outcome.FAILED}
    assert shop.part("node1").note.startswith("image mesh/debian@1 is damaged: ")
    assert boots(shop).target == DEFAULT


def never_verified(shop: Shop) -> DiskImage:
    """Have the shop's image as a scan finds it: nobody knows its digests."""
    parts = tuple(replace(part, sha256="") for part in shop.image.parts)
    image = replace(shop.image, parts=parts, state="registered", verified_at=None)
    shop.keep(image)
    return image


def test_an_image_that_was_never_verified_is_read_before_it_is_sent_and_nodes_compare_with_that(
    shop: Shop,
) -> None:
    image = never_verified(shop)
    assert image.identity == "ref:mesh/debian@1"
    shop.book(image=image)
    shop.keep(a_reservation(9, nodes=NODES, images=()))
    shop.run()
    everybody = shop.part("")
    assert (everybody.step, everybody.octets) == ("compare", image.size)
    shop.keep(a_reservation(9, nodes=NODES, images=(), state="ended"))
    shop.live(60)
    found = shop.store.find(DiskImage, "mesh/debian@1")
    assert found is not None
    assert (found.state, found.identity) == ("dark", shop.image.identity)
    assert (shop.job().state, shop.deployment().digest) == ("done", shop.image.identity)
    assert {slot.digest for slot in shop.store.slots()} == {shop.image.identity}


def test_an_image_that_turns_out_damaged_when_it_is_verified_touches_no_node(shop: Shop) -> None:
    image = never_verified(shop)
    (image_file(shop).parent / "SHA256SUMS").write_text(f"{'0' * 64}  {image_file(shop).name}\n")
    shop.book(image=image)
    shop.live(60)
    assert (shop.job().state, shop.slots(), shop.switched()) == ("failed", {}, [])
    assert "image mesh/debian@1 is damaged: " in shop.job().note
    found = shop.store.find(DiskImage, "mesh/debian@1")
    assert found is not None
    assert found.state == "damaged"


# -- disks and slots --------------------------------------------------------------------------


def test_a_disk_that_is_too_small_is_named_and_the_other_nodes_finish(shop: Shop) -> None:
    shop.says["node2"] = ("failed", "the disk has 1 GB; its slots need 40 GB")
    shop.book()
    shop.live(300)
    assert (shop.job().state, shop.job().note) == ("partly", "2 of 3 nodes have the image, without node2")
    assert shop.part("node2").note == "the disk has 1 GB; its slots need 40 GB"
    assert shop.slots() == {**ready("node1", "node3"), "node2": "damaged"}


def test_a_node_that_fails_before_it_joins_is_waited_for_by_nobody(shop: Shop) -> None:
    shop.transport.fates["node2"] = Fate(joins_after_s=None)
    shop.book()
    shop.live(until="watch")
    shop.clock.move(seconds=1)
    shop.say("node2", "failed", "the disk has 1 GB; its slots need 40 GB")
    shop.live(30)  # to join it had a minute
    assert [shop.part(node).step for node in ("node1", "node3")] == ["ready", "ready"]
    assert "its slots need 40 GB" in shop.transport.status("job1-1").receivers[1].reason


def test_a_node_that_died_and_cannot_be_called_again_has_both_reasons(shop: Shop) -> None:
    shop.transport.fates["node2"] = Fate(dies_at=SIZE // 2)
    shop.book()
    shop.live(until="watch")
    shop.power.faults.plant(Refuse("nobody there"), "off", "node2", times=None)
    shop.live(300)
    assert (shop.job().state, shop.outcomes()["node2"]) == ("partly", Outcome.FAILED)
    assert "nobody there; the first time: silent for 30 s after " in shop.part("node2").note
    [node] = [node for node in shop.store.deployed_nodes(1) if node.node == "node2"]
    assert node.note == shop.part("node2").note


def test_a_node_whose_token_is_refused_is_left_out_with_that_reason(shop: Shop) -> None:
    shop.transport.fates["node2"] = Fate(joins_after_s=None)
    shop.book()
    shop.live(until="watch")
    shop.clock.move(seconds=1)
    shop.say("node2", "refused", "token-other-machine")
    shop.live(90)
    told = "did not join within 60 s; a token of it was refused: token-other-machine"
    assert shop.job().facts["first"] == {"node2": told}
    assert shop.slots() == {**ready("node1", "node3"), "node2": "writing"}
    shop.live(600)
    assert (shop.slots()["node2"], told in shop.part("node2").note) == ("damaged", True)


# -- the order to boot the imager -------------------------------------------------------------


def test_while_the_job_runs_its_nodes_get_the_imager_and_then_what_is_decided(shop: Shop) -> None:
    seen: list[Order] = []
    fetch = shop.power.started

    def started(start: Start) -> None:
        seen.append(boots(shop, start.node))
        if fetch is not None:
            fetch(start)

    shop.power.started = started
    shop.book(("node1",))
    shop.live()
    assert [(order.rule, order.target) for order in seen] == [("once", Target(TargetKind.MEMORY, "imager"))]
    assert (shop.job().state, boots(shop)) == ("done", Order("assigned", DEFAULT))


def test_a_node_that_failed_is_not_called_when_it_comes_back(shop: Shop) -> None:
    shop.silent.add("node1")
    shop.book(("node1",))
    shop.live(1000)
    assert (shop.job().state, boots(shop)) == ("failed", Order("assigned", DEFAULT))


def test_a_job_that_nobody_goes_on_with_calls_nobody_once_its_order_has_expired(shop: Shop) -> None:
    shop.asleep.add("node1")
    shop.book(("node1",))
    shop.run()
    [order] = shop.store.overrides()
    shop.clock.move(seconds=(order.expires_at - shop.clock()).total_seconds())
    assert boots(shop) == Order("assigned", DEFAULT)


def test_a_job_that_is_taken_back_takes_its_orders_along(shop: Shop) -> None:
    shop.book()
    shop.live(until="watch")
    jobs.cancel(shop.store, "bob", 1, clock=shop.clock)
    shop.run()
    assert (shop.job().state, shop.store.overrides()) == ("cancelled", [])


def test_an_order_of_a_failed_job_does_not_outlive_the_one_that_follows(shop: Shop) -> None:
    shop.silent.add("node1")
    shop.book(("node1",))
    shop.live(1000)
    shop.silent.clear()
    jobs.retry(shop.store, "anna", 1, clock=shop.clock)
    shop.live(200)
    assert (shop.job().state, shop.store.overrides()) == ("done", [])
    assert replace(boots(shop), target=None) == Order("assigned", None)
