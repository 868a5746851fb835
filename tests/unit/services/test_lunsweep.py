"""Clones that no node may still use go, and nothing else does."""

from dataclasses import replace
from pathlib import Path

import pytest

from bootd.drivers.faults import Refuse, Unreachable
from bootd.drivers.lun import LunUnreachable, volume_name
from bootd.model import Deployment, JobKind, LunClone
from bootd.services import jobs, luns
from bootd.services.lunsweep import UNKNOWN, Left, Swept, sweep
from bootd.workers.handlers import HANDLERS
from tests.helpers.lunshop import GROUP, NODES, SIZE, LunShop
from tests.helpers.site import NOON, a_host

CLONES = tuple(f"rack.b.{node}.1" for node in NODES)


@pytest.fixture
def shop(tmp_path: Path) -> LunShop:
    return LunShop(HANDLERS, tmp_path)


@pytest.fixture
def over(shop: LunShop) -> Deployment:
    """A booking that is over, and nobody tidied up after it."""
    deployment = shop.staged()
    shop.activate(deployment)
    shop.end(shop.deployment(deployment.id))
    return shop.deployment(deployment.id)


def sweeps(shop: LunShop, **manner: bool) -> Swept:
    return sweep(shop.store, shop.luns, "anna", **manner)


def records(shop: LunShop) -> set[str]:
    return {clone.volume for clone in shop.store.every(LunClone)}


# -- what goes


def test_clones_of_a_booking_that_is_over_go_with_their_records(shop: LunShop, over: Deployment) -> None:
    assert sweeps(shop) == Swept(CLONES)
    assert shop.volumes() == {"rack.b"}
    assert records(shop) == set()
    assert sweeps(shop) == Swept()


def test_dry_run_names_the_same_and_deletes_nothing(shop: LunShop, over: Deployment) -> None:
    shop.log_in(shop.clone("node2"))
    told = sweeps(shop, dry_run=True)
    assert shop.volumes() == {"rack.b", *CLONES}
    assert records(shop) == set(CLONES)
    assert sweeps(shop) == told
    assert [left.volume for left in told.left] == ["rack.b.node2.1"]


def test_clones_that_no_record_names_any_more_go_too(shop: LunShop, over: Deployment) -> None:
    with shop.store.transaction("anna") as change:
        luns.drop_clones(change, CLONES)
    assert sweeps(shop) == Swept(CLONES)


def test_clones_of_a_pair_that_was_removed_go_and_its_sides_wait_for_a_person(
    shop: LunShop, over: Deployment
) -> None:
    luns.remove(shop.store, "anna", GROUP)
    assert sweeps(shop) == Swept(CLONES, (Left("rack.b", "its pair was removed: bootd luns gc deletes it"),))
    assert shop.volumes() == {"rack.b"}
    assert sweeps(shop, unknown=True) == Swept(("rack.b",))
    assert sweeps(shop, unknown=True) == Swept()


def test_side_of_a_removed_pair_goes_after_its_clones(shop: LunShop, over: Deployment) -> None:
    luns.remove(shop.store, "anna", GROUP)
    assert sweeps(shop, unknown=True).removed == (*CLONES, "rack.b")


def test_sides_of_a_pair_that_was_added_again_stay(shop: LunShop, over: Deployment) -> None:
    luns.remove(shop.store, "anna", GROUP)
    luns.add(shop.store, "anna", GROUP, SIZE, clock=shop.clock)
    sweeps(shop, unknown=True)
    assert shop.volumes() == {"rack.b"}


def test_volume_of_a_group_that_never_had_an_image_is_not_ours(shop: LunShop, over: Deployment) -> None:
    shop.luns.create("field.a", SIZE)
    luns.remove(shop.store, "anna", GROUP)
    sweeps(shop, unknown=True)
    assert shop.volumes() == {"field.a"}


def test_clone_of_a_node_whose_name_does_not_fit_into_a_volumes_is_known_by_all_that_were(
    shop: LunShop,
) -> None:
    name = "node9.example.org"
    with shop.store.transaction("anna") as change:
        change.put_hosts([a_host(9, name=name)])
    shop.book(nodes=(name,))
    shop.run_for(60)
    own = volume_name(GROUP, "b", name, "1")
    assert shop.node(name).volume == own
    shop.luns.clone("rack.b", "somebody-0123456789ab")
    with shop.store.transaction("anna") as change:
        change.keep(replace(shop.deployment(), state="dark"))
        luns.drop_clones(change, [own])
    assert sweeps(shop) == Swept((own,))


def test_only_the_group_that_was_named_is_swept(shop: LunShop, over: Deployment) -> None:
    assert sweep(shop.store, shop.luns, "anna", groups=["another"]) == Swept()
    assert sweep(shop.store, shop.luns, "anna", groups=[GROUP]).removed == CLONES


def test_records_of_clones_that_are_gone_from_the_backend_go(shop: LunShop, over: Deployment) -> None:
    for name in CLONES:
        shop.luns.unexport(name)
        shop.luns.delete(name)
    assert sweeps(shop) == Swept()
    assert records(shop) == set()


# -- what stays


@pytest.mark.parametrize("state", ["sched", "deploy-lun", "lun-ready", "run"])
def test_what_a_deployment_may_still_boot_stays(shop: LunShop, state: str) -> None:
    deployment = shop.staged()
    with shop.store.transaction("anna") as change:
        change.keep(replace(deployment, state=state))
    assert sweeps(shop, force=True, unknown=True) == Swept()
    assert records(shop) == set(CLONES)


def test_clones_of_both_sides_stay_for_a_deployment_that_was_flipped_by_hand(shop: LunShop) -> None:
    deployment = shop.staged()
    with shop.store.transaction("anna") as change:
        change.keep(replace(deployment, side=0, state="run"))
    assert sweeps(shop) == Swept()


def test_what_a_job_is_still_at_is_left_to_the_job(shop: LunShop, over: Deployment) -> None:
    with shop.store.transaction("calendar") as change:
        job = jobs.add(change, JobKind.END, by="calendar", now=NOON, reservation=over.reservation)
    assert sweeps(shop) == Swept()
    with shop.store.transaction("calendar") as change:
        change.keep(replace(job, state="done"))
    assert sweeps(shop).removed == CLONES


def test_clone_that_a_machine_is_logged_in_to_stays_and_is_named(shop: LunShop, over: Deployment) -> None:
    clone = shop.clone("node2")
    shop.log_in(clone)
    swept = sweeps(shop)
    assert swept.removed == tuple(name for name in CLONES if name != clone.volume)
    (left,) = swept.left
    assert (left.volume, len(left.sessions)) == (clone.volume, 1)
    assert left.why == f"in use by {clone.initiator}: bootd luns gc --force ends that"
    assert records(shop) == {clone.volume}
    shop.luns.log_out(clone.volume, clone.initiator)
    assert sweeps(shop) == Swept((clone.volume,))


def test_force_ends_the_sessions_of_what_nobody_needs(shop: LunShop, over: Deployment) -> None:
    shop.log_in(shop.clone("node2"))
    assert sweeps(shop, dry_run=True, force=True).removed == CLONES
    assert sweeps(shop, force=True) == Swept(CLONES)


def test_what_bootd_did_not_make_is_never_touched(shop: LunShop, over: Deployment) -> None:
    shop.luns.create("rack.a.node1.77", SIZE)  # no clone
    shop.luns.create("tape", SIZE)
    shop.luns.clone("tape", "rack.b.node1.78")  # of no side
    shop.luns.clone("rack.b", "copy-of-anna")
    shop.luns.clone("rack.b", "rack.a.node1.79")  # of another side than it says
    others = shop.volumes() - set(CLONES)
    sweeps(shop, force=True, unknown=True)
    assert shop.volumes() == others


def test_clone_that_no_record_knows_waits_for_a_person(shop: LunShop) -> None:
    """As all would be with another database by mistake."""
    shop.luns.create("rack.b", SIZE)
    shop.luns.clone("rack.b", "rack.b.node1.77")
    (left,) = sweeps(shop).left
    assert left == Left("rack.b.node1.77", "no record knows it: bootd luns gc deletes it")
    assert "rack.b.node1.77" in shop.volumes()
    assert sweeps(shop, unknown=True) == Swept(("rack.b.node1.77",))


def test_clone_of_a_node_that_was_never_in_its_deployment_is_unknown(shop: LunShop, over: Deployment) -> None:
    shop.luns.clone("rack.b", "rack.b.node77.1")
    assert [left.volume for left in sweeps(shop).left] == ["rack.b.node77.1"]


# -- when the backend does not do it


@pytest.mark.parametrize("fault", [Unreachable("away"), Refuse("no")])
def test_what_cannot_be_deleted_keeps_no_other_from_going(
    shop: LunShop, over: Deployment, fault: Unreachable | Refuse
) -> None:
    shop.luns.faults.plant(fault, "delete", "rack.b.node2.1")
    swept = sweeps(shop)
    assert swept.left == (Left("rack.b.node2.1", f"volume rack.b.node2.1: {fault.reason}"),)
    assert len(swept.removed) == 3
    assert records(shop) == {"rack.b.node2.1"}
    assert sweeps(shop).removed == ("rack.b.node2.1",)


def test_backend_that_is_away_loses_nothing(shop: LunShop, over: Deployment) -> None:
    shop.luns.faults.plant(Unreachable("away"), "volumes")
    with pytest.raises(LunUnreachable):
        sweeps(shop)
    assert records(shop) == set(CLONES)


def test_deployment_that_is_tried_again_meanwhile_keeps_its_clones(shop: LunShop, over: Deployment) -> None:
    first = shop.luns.delete

    def delete(name: str) -> None:
        first(name)
        with shop.store.transaction("anna") as change:
            change.keep(replace(over, state="sched"))

    shop.luns.delete = delete  # type: ignore[method-assign]
    assert sweeps(shop).removed == CLONES[:1]
    assert records(shop) == set(CLONES[1:])


# -- what a kill left of a volume that was being made


def half_made(shop: LunShop, *names: str) -> None:
    """Leave the files that a process had made when it was killed."""
    for name in names:
        (shop.folder / "luns" / f"{name}.img").write_bytes(b"half")


def test_what_was_left_of_a_clone_or_a_side_goes_by_itself(shop: LunShop, over: Deployment) -> None:
    half_made(shop, "rack.a", "rack.a.node1.1", "rack.a.node7.99", "backup", "other.a.node1.1")
    assert sweeps(shop, dry_run=True).removed == (*CLONES, "rack.a", "rack.a.node1.1")
    swept = sweeps(shop)
    assert swept.removed == (*CLONES, "rack.a", "rack.a.node1.1")
    assert [(each.volume, each.why) for each in swept.left] == [("rack.a.node7.99", UNKNOWN)]
    assert shop.luns.scraps() == ["backup", "other.a.node1.1", "rack.a.node7.99"]
    assert sweeps(shop, unknown=True).removed == ("rack.a.node7.99",)
    assert shop.luns.scraps() == ["backup", "other.a.node1.1"]  # by their names, no pair's


def test_what_was_left_of_a_pair_goes_with_that_pair_alone(shop: LunShop, over: Deployment) -> None:
    half_made(shop, "rack.a")
    assert "rack.a" not in sweep(shop.store, shop.luns, "anna", groups=["other"]).removed
    assert "rack.a" in sweep(shop.store, shop.luns, "anna", groups=["rack"]).removed


def test_a_record_of_a_clone_outlives_what_was_left_of_it(shop: LunShop) -> None:
    deployment = shop.staged()
    name = shop.clone("node1").volume
    (shop.folder / "luns" / f"{name}.json").unlink()
    assert sweeps(shop).removed == (name,)
    assert name in records(shop)
    assert deployment.state != "dark"
