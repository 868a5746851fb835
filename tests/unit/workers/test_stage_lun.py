"""STAGE_LUN: the image is on its side, verified, and each node has its clone; or nothing is left of it."""

import errno
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootd.drivers.faults import Crash, Fail, Refuse, Slow, Unreachable
from bootd.drivers.lun import LunError
from bootd.drivers.lun.fake import FakeLuns
from bootd.model import (
    ImageKind,
    Job,
    JobKind,
    LunClone,
    Outcome,
)
from bootd.services import images, jobs, luns
from bootd.services.lunsweep import sweep
from bootd.workers import lunclones
from bootd.workers.engine import Engine
from bootd.workers.stage_lun import SIDE_TAKEN_S, StageLun
from bootd.workers.work import LEASE_S, GivenUp
from tests.helpers.deeds import a_reservation
from tests.helpers.lunshop import GROUP, IMAGE, NODES, OTHER, SIZE, LunShop
from tests.helpers.site import NOON


@pytest.fixture
def shop(tmp_path: Path) -> LunShop:
    return LunShop({JobKind.STAGE_LUN: StageLun()}, tmp_path)


# -- how it goes ----------------------------------------------------------------------------


def test_each_node_can_log_in_to_its_own_clone_of_the_image_and_to_no_other(shop: LunShop) -> None:
    deployment = shop.staged()
    assert (deployment.state, deployment.side) == ("lun-ready", 1)
    assert shop.sides() == [("active", ""), ("staged", "mesh/debian@1")]
    assert shop.outcomes() == dict.fromkeys(NODES, Outcome.OK)
    for name in NODES:
        node, clone = shop.node(name), shop.clone(name)
        assert (node.state, clone.node) == ("ready", name)
        assert shop.content(clone.volume) == IMAGE.ljust(SIZE, b"\0")
        shop.log_in(clone)
    with pytest.raises(LunError):
        shop.log_in(replace(shop.clone("node1"), initiator=shop.clone("node2").initiator))


def test_progress_of_writing_and_of_reading_back_is_shown_with_its_rate(shop: LunShop) -> None:
    shop.book()
    shop.luns.faults.plant(Slow(4), "write.chunk", times=None)
    shop.run()
    written = [(part.octets, part.size, part.rate) for part in shop.looks if part.step == "write"]
    assert written[-1] == (len(IMAGE), len(IMAGE), len(IMAGE) // 12)
    assert [octets for octets, _, _ in written] == sorted(octets for octets, _, _ in written)
    assert (shop.part("").step, shop.part("").note) == ("clone", "4 of 4 clones")


def test_long_writing_keeps_the_lease_against_another_worker(shop: LunShop) -> None:
    job = shop.book()
    shop.luns.faults.plant(Slow(40), "write.chunk", times=None)
    shop.run()
    lasted = shop.clock() - NOON
    assert lasted > timedelta(seconds=2 * LEASE_S)
    assert shop.job(job.id).state == "done"


def test_worker_that_lost_its_lease_stops_writing_and_leaves_the_job_to_the_other(shop: LunShop) -> None:
    job = shop.book()
    shop.luns.faults.plant(Slow(LEASE_S + 1), "write.chunk")

    def rob(seconds: float) -> None:
        shop.clock.move(seconds=seconds)
        with shop.store.transaction("calendar") as change:
            until = shop.clock() + timedelta(seconds=LEASE_S)
            assert change.take_lease(f"job/{job.id}", "another", now=shop.clock(), until=until)

    shop.luns.faults._wait = rob
    shop.run()
    assert (shop.job(job.id).state, shop.job(job.id).step) == ("running", "write")
    assert not shop.luns.volume("rack.b").is_whole
    shop.holder = "another"
    shop.run()
    assert shop.deployment().state == "lun-ready"


def test_image_that_its_side_still_holds_is_cloned_anew_and_not_written(shop: LunShop) -> None:
    first = shop.staged()
    old = shop.clone("node1")
    shop.end(first)
    shop.luns.faults.plant(Refuse(), "write", times=None)
    second = shop.staged()
    assert second.side == first.side
    assert shop.clone("node1", second.id).volume != old.volume
    assert old.volume not in shop.volumes()
    assert shop.store.find(LunClone, old.volume) is None


def test_image_that_the_active_side_holds_is_cloned_from_there(shop: LunShop) -> None:
    shop.activate(shop.staged())
    shop.luns.faults.plant(Refuse(), "write", times=None)
    second = shop.staged()
    assert second.side == 1
    assert shop.sides() == [("inactive", ""), ("active", "mesh/debian@1")]


def test_clones_of_a_booking_under_way_are_untouched_while_the_next_is_staged(shop: LunShop) -> None:
    first = shop.staged()
    shop.activate(first)
    shop.log_in(shop.clone("node1"))
    second = shop.staged(shop.add_image(OTHER))
    assert second.side == 0
    assert shop.luns.sessions(shop.clone("node1").volume)
    assert shop.content(shop.clone("node1", second.id).volume).startswith(OTHER)
    assert shop.content(shop.clone("node1").volume).startswith(IMAGE)


def test_clones_left_by_an_ended_booking_go_but_one_that_a_machine_is_logged_in_to(shop: LunShop) -> None:
    first = shop.staged()
    old = shop.clone("node1")
    shop.log_in(old)
    shop.end(first)
    shop.staged(shop.add_image(OTHER))
    assert len(shop.volumes()) == 1 + 1 + len(NODES)
    assert shop.luns.sessions(old.volume)
    assert shop.store.find(LunClone, old.volume) == old
    assert [left.volume for left in sweep(shop.store, shop.luns, "calendar").left] == [old.volume]
    shop.luns.log_out(old.volume, old.initiator)
    assert sweep(shop.store, shop.luns, "calendar").removed == (old.volume,)


def test_clones_that_the_end_of_a_booking_is_about_to_remove_are_left_to_it(shop: LunShop) -> None:
    first = shop.staged()
    shop.end(first)
    with shop.store.transaction("calendar") as change:
        jobs.add(change, JobKind.END, by="calendar", now=shop.clock() + timedelta(hours=1), reservation=1)
    second = shop.book(shop.add_image(OTHER))
    shop.run()
    assert shop.job(second.id).state == "done"
    assert shop.clone("node1").volume in shop.volumes()


def test_job_waits_for_a_side_while_both_are_needed(shop: LunShop) -> None:
    shop.activate(shop.staged())
    shop.staged(shop.add_image(OTHER))
    job = shop.book(shop.add_image(b"third".ljust(512)))
    shop.run_for(20 * SIDE_TAKEN_S, each=SIDE_TAKEN_S)
    assert shop.job(job.id).state == "running"
    assert "waits: side a of rack has mesh/debian@2 for reservation 2" in shop.job(job.id).note
    shop.end(shop.deployment(1))
    shop.activate(shop.deployment(2))
    shop.run_for(2 * SIDE_TAKEN_S, each=SIDE_TAKEN_S)
    assert (shop.job(job.id).state, shop.deployment(job.id).side) == ("done", 1)


def test_volume_of_a_pair_that_was_removed_is_made_anew_in_the_new_size(shop: LunShop) -> None:
    shop.end(shop.staged())
    luns.remove(shop.store, "anna", GROUP)
    luns.add(shop.store, "anna", GROUP, 2 * SIZE, clock=shop.clock)
    shop.staged()
    assert shop.luns.volume("rack.b").size == 2 * SIZE


def test_volume_that_went_from_the_backend_is_written_again_whatever_the_record_says(shop: LunShop) -> None:
    shop.end(shop.staged())
    shop.luns.delete("rack.b")
    assert shop.staged().side == 1
    assert shop.content("rack.b").startswith(IMAGE)


def test_active_volume_that_went_from_the_backend_is_replaced_by_the_other_side(shop: LunShop) -> None:
    shop.activate(shop.staged())
    shop.luns.delete("rack.b")
    second = shop.staged()
    assert second.side == 0
    assert shop.sides() == [("staged", "mesh/debian@1"), ("active", "")]


def test_image_that_was_first_verified_after_the_booking_is_told_by_its_digest(shop: LunShop) -> None:
    shop.book(digest="ref:mesh/debian@1")
    shop.run()
    assert shop.deployment().digest == shop.image.identity


# -- what stands against it -----------------------------------------------------------------


def failed(shop: LunShop, job: Job) -> str:
    """Return why the job failed; nothing is left of it."""
    shop.run_for(1200, each=10)
    assert (shop.job(job.id).state, shop.deployment(job.id).state) == ("failed", "failed")
    assert shop.outcomes(job.id) == dict.fromkeys(NODES, Outcome.FAILED)
    assert shop.store.clones(GROUP) == []
    assert shop.volumes() <= {"rack.a", "rack.b"}
    assert [state for state, _ in shop.sides()] == ["active", "inactive"]
    return shop.job(job.id).note


def test_image_larger_than_the_lun_is_refused_before_anything_is_written(shop: LunShop) -> None:
    why = failed(shop, shop.book(shop.add_image(bytes(SIZE) + OTHER)))
    assert why == "mesh/debian@2 is a disk of 4,198,400 octets, the LUN has 4,194,304: nothing was written"
    assert shop.volumes() == set()


def test_full_backend_ends_the_job_and_what_was_half_written_is_no_image(shop: LunShop) -> None:
    shop.luns.faults.plant(Fail(OSError(errno.ENOSPC, "no space")), "write.chunk", after=1)
    assert "no space" in failed(shop, shop.book())
    assert shop.sides()[1] == ("inactive", "")


def test_backend_that_does_not_answer_for_a_while_is_tried_again(shop: LunShop) -> None:
    shop.luns.faults.plant(Unreachable(), "write", times=3)
    shop.luns.faults.plant(Unreachable(done=True), "create", times=2)
    shop.luns.faults.plant(Unreachable(done=True), "export", times=2)
    job = shop.book()
    shop.run_for(120)
    assert shop.job(job.id).state == "done"


def test_dark_store_that_is_away_is_waited_for_and_then_the_job_says_unavailable(shop: LunShop) -> None:
    away = shop.tree.root.with_name("unmounted")
    shop.tree.root.rename(away)
    assert "image mesh/debian@1 is unavailable: the dark store" in failed(shop, shop.book())
    job = shop.book()
    shop.run_for(10)
    away.rename(shop.tree.root)
    shop.run_for(120)
    assert shop.job(job.id).state == "done"


def test_damaged_image_is_noted_as_damaged_and_not_staged(shop: LunShop) -> None:
    disk = shop.tree.root / shop.image.folder / "disk.raw"
    disk.write_bytes(b"!" + IMAGE[1:])
    assert "image mesh/debian@1 is damaged: mesh/debian/disk.raw changed" in failed(shop, shop.book())
    found = images.find(shop.store, "mesh/debian@1")
    assert found.state == "damaged"
    disk.write_bytes(IMAGE[:512])
    assert "is damaged: a digest does not match" in failed(shop, shop.book())


def test_image_with_a_missing_file_is_damaged_before_anything_is_written(shop: LunShop) -> None:
    (shop.tree.root / shop.image.folder / "disk.raw").unlink()
    (shop.tree.root / shop.image.folder / "note").write_text("x")
    assert "is damaged: disk.raw is missing" in failed(shop, shop.book())
    assert shop.volumes() == set()


@pytest.mark.parametrize("state", ["retired", "damaged"])
def test_image_that_may_not_be_used_is_refused(shop: LunShop, state: str) -> None:
    shop.keep(replace(shop.image, state=state))
    assert f"image mesh/debian@1 is {state}" in failed(shop, shop.book())


def test_image_of_a_kind_that_no_lun_takes_is_refused_with_the_way_out(shop: LunShop) -> None:
    shop.keep(replace(shop.image, kind=ImageKind.CLONEZILLA))
    assert "bootd images add mesh/debian makes it the next version" in failed(shop, shop.book())


def test_site_without_a_backend_fails_the_job_and_touches_no_record(shop: LunShop) -> None:
    def none() -> FakeLuns:
        raise GivenUp("the site has no LUN backend")

    job = shop.book()
    Engine(replace(shop.context, luns=none), shop.handlers).run_due()
    assert (shop.job(job.id).state, shop.job(job.id).note) == ("failed", "the site has no LUN backend")
    assert shop.deployment().side is None


def test_volume_that_does_not_read_back_is_written_once_more_and_then_given_up(shop: LunShop) -> None:
    spoil_after_write(shop, times=1)
    job = shop.book()
    shop.run()
    assert shop.job(job.id).state == "done"
    assert shop.content("rack.b").startswith(IMAGE)
    shop.end(shop.deployment())
    spoil_after_write(shop, times=2)
    why = failed(shop, shop.book(shop.add_image(OTHER)))
    assert why == "volume rack.b does not read back as it was written, twice"


def spoil_after_write(shop: LunShop, times: int) -> None:
    """Let the backend lose an octet of what it wrote, so many times."""

    def spoil(seconds: float) -> None:
        with shop.luns.path("rack.b").open("r+b") as file:
            file.write(b"?")

    shop.luns.faults._wait = spoil
    shop.luns.faults.plant(Slow(0), "read", times=times)


# -- single nodes ---------------------------------------------------------------------------


def test_node_whose_clone_fails_for_good_is_left_out_and_the_others_go_on(shop: LunShop) -> None:
    job = shop.book()
    sick = luns.clone_volume(shop.deployment(), 1, "node2")
    shop.luns.faults.plant(Refuse("out of initiators"), "export", sick, times=None)
    shop.run_for(10)
    assert (shop.job(job.id).state, shop.deployment().state) == ("partly", "lun-ready")
    assert "without node2" in shop.job(job.id).note
    assert "out of initiators" in shop.node("node2").note
    assert {name: shop.node(name).state for name in NODES} == {
        name: "failed" if name == "node2" else "ready" for name in NODES
    }


def test_node_whose_clone_fails_for_a_while_does_not_hold_up_the_others(shop: LunShop) -> None:
    job = shop.book()
    slow = luns.clone_volume(shop.deployment(), 1, "node1")
    shop.luns.faults.plant(Unreachable(), "clone", slow, times=4)
    shop.run()
    assert [shop.part(name).outcome for name in NODES] == [Outcome.OPEN, *[Outcome.OK] * 3]
    shop.run_for(120)
    assert shop.job(job.id).state == "done"


def test_node_whose_clone_never_answers_is_given_up_after_some_tries(shop: LunShop) -> None:
    job = shop.book()
    dead = luns.clone_volume(shop.deployment(), 1, "node1")
    shop.luns.faults.plant(Unreachable(), "clone", dead, times=None)
    shop.run_for(1000, each=5)
    assert (shop.job(job.id).state, shop.part("node1").tries) == ("partly", lunclones.MOST_TRIES)


def test_job_without_any_clone_fails_and_keeps_the_image_on_its_side(shop: LunShop) -> None:
    shop.luns.faults.plant(Refuse("no licence"), "clone", times=None)
    assert "no node got its clone: volume rack.b.node1.1: no licence" in failed(shop, shop.book())
    assert shop.sides()[1] == ("inactive", "mesh/debian@1")


def test_retry_makes_the_clones_that_lack_and_leaves_the_others_alone(shop: LunShop) -> None:
    job = shop.book()
    sick = luns.clone_volume(shop.deployment(), 1, "node2")
    shop.luns.faults.plant(Refuse(), "export", sick)
    shop.run_for(10)
    shop.log_in(shop.clone("node1"))
    jobs.retry(shop.store, "anna", job.id, clock=shop.clock)
    shop.run_for(10)
    assert (shop.job(job.id).state, shop.node("node2").state) == ("done", "ready")
    assert shop.luns.sessions(shop.clone("node1").volume)


def test_retry_that_fails_again_takes_no_clone_from_those_that_have_one(shop: LunShop) -> None:
    job = shop.book()
    sick = luns.clone_volume(shop.deployment(), 1, "node2")
    shop.luns.faults.plant(Refuse(), "export", sick, times=None)
    shop.run_for(10)
    jobs.retry(shop.store, "anna", job.id, clock=shop.clock)
    shop.run_for(10)
    shop.log_in(shop.clone("node1"))
    assert shop.deployment().state == "lun-ready"
    assert {name: shop.part(name).outcome for name in NODES}["node1"] is Outcome.OK


def test_retry_after_a_failure_begins_anew(shop: LunShop) -> None:
    shop.luns.faults.plant(Refuse("no licence"), "clone", times=len(NODES))
    job = shop.book()
    failed(shop, job)
    jobs.retry(shop.store, "anna", job.id, clock=shop.clock)
    shop.run_for(10)
    assert (shop.job(job.id).state, shop.deployment().state) == ("done", "lun-ready")


# -- taken back, and killed -----------------------------------------------------------------


def test_job_taken_back_while_it_writes_leaves_no_clone_and_a_free_side(shop: LunShop) -> None:
    job = shop.book()
    shop.luns.faults.plant(Unreachable(), "write", times=None)
    shop.run()
    assert shop.deployment().state == "deploy-lun"
    jobs.cancel(shop.store, "anna", job.id, clock=shop.clock)
    shop.run_for(10)
    assert (shop.job(job.id).state, shop.job(job.id).note) == ("cancelled", "taken back by anna")
    assert shop.deployment().state == "dark"
    assert shop.sides()[1] == ("inactive", "")


def test_job_taken_back_while_it_clones_removes_the_clones(shop: LunShop) -> None:
    job = shop.book()
    slow = luns.clone_volume(shop.deployment(), 1, "node4")
    shop.luns.faults.plant(Unreachable(), "clone", slow, times=None)
    shop.run()
    assert len(shop.volumes()) == 4
    jobs.cancel(shop.store, "anna", job.id, clock=shop.clock)
    shop.run_for(200)
    assert (shop.job(job.id).state, shop.deployment().state) == ("cancelled", "dark")
    assert shop.volumes() == {"rack.b"}
    assert shop.store.clones(GROUP) == []
    assert shop.node("node1").state == "failed"


@pytest.mark.parametrize(("state", "after"), [("booked", "failed"), ("cancelled", "dark")])
def test_job_taken_back_while_it_waits_for_a_side_is_not_made_anew(
    shop: LunShop, state: str, after: str
) -> None:
    shop.activate(shop.staged())
    shop.staged(shop.add_image(OTHER))
    job = shop.book(shop.add_image(b"third".ljust(512)))
    shop.run()
    shop.keep(a_reservation(job.id, state=state, nodes=NODES))
    jobs.cancel(shop.store, "anna", job.id, clock=shop.clock)
    shop.run()
    assert (shop.job(job.id).state, shop.deployment(job.id).state) == ("cancelled", after)


def test_backend_that_is_gone_while_tidying_up_leaves_a_note_and_a_side_to_use(
    shop: LunShop,
) -> None:
    job = shop.book()
    shop.luns.faults.plant(Refuse("no licence"), "clone", times=None)
    shop.luns.faults.plant(Unreachable("gone"), "volumes", after=2, times=None)
    shop.run_for(3000, each=30)
    assert shop.job(job.id).state == "failed"
    assert "left behind: gone" in shop.job(job.id).note
    shop.luns.faults.clear()
    shop.keep(replace(shop.deployment(), state="failed"))  # as the planner does with what no job carries
    shop.staged()


DEEDS = {"volumes": 2, "create": 1, "write": 1, "write.chunk": 4, "read": 1, "clone": 4, "export": 4}


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize(
    ("deed", "after"), [(deed, n) for deed, count in DEEDS.items() for n in range(count)]
)
def test_job_killed_in_any_deed_is_resumed_by_the_next_worker(
    shop: LunShop, deed: str, after: int, is_done: bool
) -> None:
    shop.luns.faults.plant(Crash(done=is_done), deed, after=after)
    job = shop.book()
    shop.run_for(10)
    assert shop.holder != "first", "nobody died"
    assert_whole(shop, job)


def assert_whole(shop: LunShop, job: Job) -> None:
    assert (shop.job(job.id).state, shop.deployment().state) == ("done", "lun-ready")
    assert len(shop.volumes()) == 1 + len(NODES)
    for name in NODES:
        assert shop.content(shop.clone(name).volume) == IMAGE.ljust(SIZE, b"\0")
        shop.log_in(shop.clone(name))


VERBS = ("volumes", "create", "write", "write.chunk", "read", "clone", "export", "unexport", "delete")
WOES = (Refuse(), Unreachable(), Unreachable(done=True), Crash(), Crash(done=True), Slow(LEASE_S / 3))
woes = st.lists(
    st.tuples(st.sampled_from(VERBS), st.sampled_from(WOES), st.integers(0, 5), st.sampled_from((1, 2, 20))),
    max_size=4,
)


@settings(max_examples=25)
@given(woes)
def test_whatever_goes_wrong_the_job_ends_with_whole_clones_or_with_nothing(
    planted: list[tuple[str, Refuse | Unreachable | Crash | Slow, int, int]],
) -> None:
    with TemporaryDirectory() as folder:
        shop = LunShop({JobKind.STAGE_LUN: StageLun()}, Path(folder))
        for verb, woe, after, times in planted:
            shop.luns.faults.plant(woe, verb, after=after, times=times)
        job = shop.book()
        for _ in range(120):
            shop.run_for(60, each=60)
            if shop.job(job.id).ended_at is not None:
                break
        shop.luns.faults.clear()
        ended, deployment = shop.job(job.id), shop.deployment()
        assert ended.state in ("done", "partly", "failed")
        if ended.state == "failed":
            assert deployment.state == "failed" or "left behind" in ended.note
            is_clean = shop.volumes() <= {"rack.b"} and not shop.store.clones(GROUP)
            assert is_clean or "left behind" in ended.note
            return
        assert deployment.state == "lun-ready"
        good = [name for name in NODES if shop.part(name).outcome is Outcome.OK]
        assert (len(good) == len(NODES)) is (ended.state == "done")
        for name in good:
            assert shop.content(shop.clone(name).volume) == IMAGE.ljust(SIZE, b"\0")
            shop.log_in(shop.clone(name))
