"""LUN pairs: one side active, no image taken from under a booking, and a clone of its own for each node."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootd.drivers.lun import Export
from bootd.drivers.lun.names import check_chap, check_initiator, check_volume
from bootd.errors import BadValue, BootdError, Conflict, NotFound, Refused
from bootd.lifecycle import DEPLOYMENT, LUN
from bootd.model import Deployment, ImageRef, LunClone, LunPair, Role
from bootd.services import lunneeds, luns
from bootd.store import Store, Transaction
from tests.helpers.site import NOON, HandClock, a_host, memory_store

DEBIAN, UBUNTU = ImageRef("mesh", "debian", 1), ImageRef("orbit", "ubuntu", 1)
BASE = "iqn.2026-01.org.example"


def add(store: Store, group: str) -> LunPair:
    return luns.add(store, "anna", group, 2 << 30, clock=HandClock())


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store() as opened:
        add(opened, "root")
        yield opened


def test_volume_that_another_group_names_already_is_refused(store: Store) -> None:
    held = add(store, "lab")
    with store.transaction("anna") as change:
        change.discard(LunPair, "lab")
        change.keep(replace(held, group="other"))
    with pytest.raises(Conflict, match=r"volume 'lab\.a' already belongs to group 'other'"):
        add(store, "lab")
    assert {pair.group for pair in store.every(LunPair)} == {"root", "other"}


def a_deployment(number: int = 1, image: ImageRef = DEBIAN, **fields: object) -> Deployment:
    standard: dict[str, object] = {
        "id": number,
        "reservation": number + 10,
        "role": Role.ROOT,
        "image": image,
        "digest": f"sha256:{image.name}",
        "nodes": ("node1", "node2"),
        "created_at": NOON,
        "group": "root",
    }
    return Deployment(**standard | fields)  # type: ignore[arg-type]


def begin(change: Transaction, deployment: Deployment) -> Deployment:
    """Stage it as its job does."""
    _, side = luns.stage(change, deployment, NOON)
    begun = replace(deployment, state="deploy-lun", side=side)
    change.keep(begun)
    return begun


def finish(change: Transaction, begun: Deployment) -> Deployment:
    luns.staged(change, "root", begun.side or 0, begun.image, begun.digest, NOON)
    done = replace(begun, state="lun-ready")
    change.keep(done)
    return done


def put(store: Store, number: int, image: ImageRef = DEBIAN) -> Deployment:
    with store.transaction("calendar") as change:
        return finish(change, begin(change, a_deployment(number, image)))


def end(store: Store, deployment: Deployment) -> None:
    with store.transaction("calendar") as change:
        change.keep(replace(deployment, state="dark"))
        luns.release(change, deployment)


def sides(store: Store) -> list[tuple[str, str]]:
    return [(side.state, str(side.image or "")) for side in luns.named(store, "root").sides]


# -- pairs ----------------------------------------------------------------------------------


def test_new_pair_has_two_volumes_and_an_empty_active_side(store: Store) -> None:
    pair = luns.named(store, "root")
    assert (pair.size, pair.active) == (2 << 30, 0)
    assert [side.volume for side in pair.sides] == ["root.a", "root.b"]
    assert sides(store) == [("active", ""), ("inactive", "")]


def test_group_has_one_pair_and_no_two_groups_name_one_volume(store: Store) -> None:
    with pytest.raises(Refused, match="has a LUN pair already, of 2,147,483,648 octets"):
        add(store, "root")
    for group in ("Root", "root.a", "root_a", "root-a"):
        add(store, group)
    volumes = [side.volume for pair in store.every(LunPair) for side in pair.sides]
    assert len(set(volumes)) == len(volumes) == 10
    for volume in volumes:
        check_volume(volume)


@pytest.mark.parametrize("size", ["20", "20X", "", "-1G", "1048577", "2000T", "512k"])
def test_size_that_no_disk_has_is_refused(size: str) -> None:
    with pytest.raises(BadValue, match=r"--size.*such as 20G or 500GB"):
        luns.octets_of(size)


def test_size_is_held_to_the_same_where_it_comes_as_octets(store: Store) -> None:
    assert luns.octets_of("20G") == 20 << 30
    with pytest.raises(BadValue):
        luns.add(store, "anna", "lab", 1000, clock=HandClock())


def test_unknown_pair_is_refused_with_a_near_miss_or_the_way_to_make_it(store: Store) -> None:
    with pytest.raises(NotFound, match="did you mean root"):
        luns.named(store, "roots")
    with pytest.raises(NotFound, match="bootd luns add xyz --size 20G"):
        luns.named(store, "xyz")


def test_host_has_the_pair_of_the_first_of_its_groups_with_one(store: Store) -> None:
    add(store, "lab")
    found = luns.pair_of(store, ("desk", "lab", "root"))
    assert found is not None
    assert found.group == "lab"
    assert luns.pair_of(store, ("desk",)) is None


def test_pair_goes_when_no_booking_counts_on_it_and_says_what_it_leaves(store: Store) -> None:
    held = put(store, 1)
    with pytest.raises(Refused, match="needed by reservations 11: cancel them first"):
        luns.remove(store, "anna", "root")
    with store.transaction("calendar") as change:
        luns.keep_clone(change, luns.new_clone(held, 1, "node1", BASE), an_export(held))
    end(store, held)
    left = ["root.a", "root.b", luns.clone_volume(held, 1, "node1")]
    assert luns.remove(store, "anna", "root", dry_run=True) == left
    assert luns.named(store, "root")
    assert luns.remove(store, "anna", "root") == left
    assert not store.every(LunPair)
    assert not store.every(LunClone)


def test_show_has_the_hosts_bookings_and_clones_of_the_pair(store: Store) -> None:
    held = put(store, 1)
    with store.transaction("anna") as change:
        change.put_hosts([a_host(1, groups=("root",)), a_host(2), a_host(3, groups=("lab", "root"))])
        clone = luns.keep_clone(change, luns.new_clone(held, 1, "node1", BASE), an_export(held))
    shown = luns.show(store, "root")
    assert (shown.hosts, shown.clones, shown.deployments) == (("node1", "node3"), (clone,), (held,))


# -- staging --------------------------------------------------------------------------------


def test_image_goes_to_the_inactive_side_while_the_active_one_serves(store: Store) -> None:
    with store.transaction("calendar") as change:
        begun = begin(change, a_deployment())
        assert begun.side == 1
        assert luns.named(change, "root").sides[1].state == "staging"
        finish(change, begun)
    assert sides(store) == [("active", ""), ("staged", "mesh/debian@1")]


def test_side_that_another_booking_needs_is_not_taken(store: Store) -> None:
    first = put(store, 1)
    with store.transaction("calendar") as change, pytest.raises(luns.SideTaken, match=r"b of root.* 11"):
        luns.stage(change, a_deployment(2, UBUNTU), NOON)
    with store.transaction("calendar") as change:
        luns.activate(change, first, now=NOON)
    second = put(store, 2, UBUNTU)
    assert second.side == 0
    with store.transaction("calendar") as change, pytest.raises(luns.SideTaken, match=r"a of root.* 12"):
        luns.stage(change, a_deployment(3, ImageRef("mesh", "third", 1)), NOON)


def test_image_that_the_active_side_holds_is_neither_written_nor_flipped(store: Store) -> None:
    first = put(store, 1)
    with store.transaction("calendar") as change:
        luns.activate(change, first, now=NOON)
        before = luns.named(change, "root")
        second = begin(change, a_deployment(2))
        assert second.side == first.side
        finish(change, second)
        assert luns.activate(change, second, now=NOON) == before


def test_staged_side_is_shared_by_bookings_of_one_image_and_dropped_by_the_last(store: Store) -> None:
    first, second = put(store, 1), put(store, 2)
    assert first.side == second.side == 1
    end(store, first)
    assert sides(store)[1][0] == "staged"
    end(store, second)
    assert sides(store)[1] == ("inactive", "mesh/debian@1")


def test_side_that_is_being_written_is_not_shared_yet(store: Store) -> None:
    put(store, 9, UBUNTU)
    end(store, a_deployment(9, UBUNTU, side=1))
    with store.transaction("calendar") as change:
        begin(change, a_deployment(1, UBUNTU))
        with pytest.raises(luns.SideTaken):
            luns.stage(change, a_deployment(2, UBUNTU), NOON)


def test_image_that_is_still_there_from_an_earlier_booking_is_kept_on_the_record(store: Store) -> None:
    end(store, put(store, 1))
    with store.transaction("calendar") as change:
        pair, side = luns.stage(change, a_deployment(2), NOON)
        assert pair.sides[side].image == DEBIAN
        assert luns.stage_failed(change, "root", side).sides[side].image == DEBIAN
        pair, side = luns.stage(change, a_deployment(3, UBUNTU), NOON)
        assert (pair.sides[side].image, pair.sides[side].digest) == (None, "")
        assert luns.stage_failed(change, "root", side).sides[side].image is None


def test_side_left_by_a_job_that_could_not_tidy_up_is_taken_again(store: Store) -> None:
    with store.transaction("calendar") as change:
        begun = begin(change, a_deployment(1))
        change.keep(replace(begun, state="dark"))
        assert begin(change, a_deployment(2, UBUNTU)).side == 1


def test_side_that_was_given_away_is_not_said_to_hold_the_image(store: Store) -> None:
    put(store, 1)
    with store.transaction("calendar") as change, pytest.raises(Refused, match="holds mesh/debian@1 and not"):
        luns.staged(change, "root", 1, UBUNTU, "sha256:ubuntu", NOON)


# -- flipping -------------------------------------------------------------------------------


def test_flip_makes_the_staged_side_active_and_rollback_brings_the_old_one_back(store: Store) -> None:
    first = put(store, 1)
    with store.transaction("calendar") as change:
        luns.activate(change, first, now=NOON)
    second = put(store, 2, UBUNTU)
    with store.transaction("calendar") as change:
        luns.activate(change, second, now=NOON)
    assert sides(store) == [("active", "orbit/ubuntu@1"), ("inactive", "mesh/debian@1")]
    with store.transaction("anna") as change:
        luns.rollback(change, "root", NOON)
    assert sides(store) == [("inactive", "orbit/ubuntu@1"), ("active", "mesh/debian@1")]


def test_no_flip_to_a_side_that_is_empty_or_being_written(store: Store) -> None:
    with store.transaction("anna") as change:
        with pytest.raises(Refused, match="side b of root holds nothing that could be booted"):
            luns.rollback(change, "root", NOON)
        begin(change, a_deployment())
        with pytest.raises(Refused, match="side b of root is being written"):
            luns.flip(change, "root", now=NOON)


def test_rollback_does_not_begin_the_next_booking(store: Store) -> None:
    put(store, 1)
    with store.transaction("anna") as change, pytest.raises(Refused, match="the next image and not the last"):
        luns.rollback(change, "root", NOON)


def test_deployment_without_a_side_cannot_be_active(store: Store) -> None:
    with store.transaction("anna") as change, pytest.raises(Refused, match="of reservation 11 is on no LUN"):
        luns.activate(change, a_deployment(), now=NOON)


# -- clones ---------------------------------------------------------------------------------


def an_export(deployment: Deployment, node: str = "node1") -> Export:
    volume = luns.clone_volume(deployment, 1, node)
    return Export(volume, f"{BASE}:{node}", volume, f"iqn.2026-01.bootd.fake:{volume}", 1, ("10.0.0.1:3260",))


def test_clone_of_each_node_side_booking_and_generation_has_a_name_of_its_own() -> None:
    names = {
        luns.clone_volume(a_deployment(number), side, node, generation)
        for number in (1, 2)
        for side in (0, 1)
        for node in ("node1", "Node1", "node1.lab", "n" * 64)
        for generation in (1, 2, 12)
    }
    assert len(names) == 48
    for name in names:
        check_volume(name)


@pytest.mark.parametrize("node", ["node1", "Node_1", "node1.lab", "n" * 64])
def test_login_of_any_node_suits_every_target(node: str) -> None:
    clone = luns.new_clone(a_deployment(), 1, node, BASE)
    chap = luns.chap_of(b"k" * 32, clone.volume)
    check_initiator(clone.volume, clone.initiator)
    check_chap(clone.volume, chap)
    assert chap.user == clone.chap_user
    assert re.fullmatch(r"[A-Za-z0-9._]{16}", chap.secret)


def test_secret_depends_on_the_site_and_on_the_volume_and_on_nothing_else() -> None:
    assert luns.chap_of(b"k", "v") == luns.chap_of(b"k", "v")
    assert not [n for n in range(500) if luns.chap_of(b"k", f"v{n}").secret.startswith("-")]
    assert len({luns.chap_of(site, volume).secret for site in (b"k", b"l") for volume in "vw"}) == 4


def test_clones_are_kept_with_how_to_log_in_and_forgotten_by_name(store: Store) -> None:
    held = put(store, 1)
    with store.transaction("calendar") as change:
        clone = luns.keep_clone(change, luns.new_clone(held, 1, "node1", BASE), an_export(held))
    assert (clone.target, clone.portals) == (f"iqn.2026-01.bootd.fake:{clone.volume}", ("10.0.0.1:3260",))
    assert store.clones("root") == [clone]
    names = {luns.clone_volume(held, side, node) for side in (0, 1) for node in held.nodes}
    assert set(luns.clone_volumes(store, held)) == names
    with store.transaction("calendar") as change:
        luns.drop_clones(change, [clone.volume, "never.was"])
    assert store.clones("root") == []


def test_clone_is_stale_once_no_deployment_needs_it(store: Store) -> None:
    held = put(store, 1)
    with store.transaction("calendar") as change:
        clone = luns.keep_clone(change, luns.new_clone(held, 1, "node1", BASE), an_export(held))
    assert lunneeds.stale_clones(store, "root") == []
    end(store, held)
    assert lunneeds.stale_clones(store, "root") == [clone]


# -- whatever happens -----------------------------------------------------------------------

DEEDS = ("stage", "staged", "fail", "activate", "release")
deeds = st.lists(
    st.tuples(st.sampled_from((*DEEDS, *DEEDS, "flip", "rollback", "lost")), st.integers(1, 4)), max_size=30
)


class Life:
    """A pair and four deployments, two of each image, in the hands of chance."""

    def __init__(self, store: Store) -> None:
        self.store = store
        with store.transaction("anna") as change:
            for number in range(1, 5):
                change.keep(a_deployment(number, DEBIAN if number % 2 else UBUNTU))

    def do(self, deed: str, number: int) -> None:
        """Do it if it can be done, in one transaction as workers do."""
        try:
            with self.store.transaction("calendar") as change:
                getattr(self, f"_{deed}")(change, change.find(Deployment, number))
        except BootdError:
            return

    def _move(self, change: Transaction, deployment: Deployment, event: str) -> Deployment:
        moved = replace(deployment, state=DEPLOYMENT.after(deployment.state, event))
        change.keep(moved)
        return moved

    def _stage(self, change: Transaction, deployment: Deployment) -> None:
        self._move(change, deployment, "deploy-lun")
        begin(change, deployment)

    def _staged(self, change: Transaction, deployment: Deployment) -> None:
        self._move(change, deployment, "staged")
        finish(change, deployment)

    def _fail(self, change: Transaction, deployment: Deployment) -> None:
        failed = self._move(change, deployment, "fail")
        luns.release(change, failed)
        self._move(change, failed, "retry")

    def _activate(self, change: Transaction, deployment: Deployment) -> None:
        if deployment.state == "lun-ready":
            luns.activate(change, deployment, now=NOON)

    def _release(self, change: Transaction, deployment: Deployment) -> None:
        luns.release(change, self._move(change, deployment, "remove"))

    def _flip(self, change: Transaction, deployment: Deployment) -> None:
        luns.flip(change, "root", now=NOON)

    def _rollback(self, change: Transaction, deployment: Deployment) -> None:
        luns.rollback(change, "root", NOON)

    def _lost(self, change: Transaction, deployment: Deployment) -> None:
        side = deployment.id % 2
        if not any(each.side == side for each in luns.users(change, "root")):
            luns.lost(change, "root", side)


@given(deeds)
def test_whatever_happens_one_side_is_active_and_no_image_is_taken_from_a_booking(
    history: list[tuple[str, int]],
) -> None:
    with memory_store() as store:
        add(store, "root")
        life = Life(store)
        for deed, number in history:
            life.do(deed, number)
            pair = luns.named(store, "root")
            assert [side.state for side in pair.sides].count("active") == 1
            for side in pair.sides:
                assert side.state in LUN.states
                assert side.state != "staged" or side.image is not None
                assert (side.image is None) == (side.digest == "")
            for each in store.deployments_in(("lun-ready",)):
                assert each.side is not None
                assert pair.sides[each.side].digest == each.digest
                assert pair.sides[each.side].state != "staging"


def test_a_node_logs_in_as_itself_where_the_target_knows_it_by_one_name() -> None:
    deployments = (a_deployment(), replace(a_deployment(), id=77))
    clones = [luns.new_clone(one, 1, "node1", BASE, one_login=True) for one in deployments]
    assert len({clone.volume for clone in clones}) == 2
    assert {clone.chap_user for clone in clones} == {"node.node1"}
    own = [luns.new_clone(one, 1, "node1", BASE).chap_user for one in deployments]
    assert own == [clone.volume for clone in clones]
