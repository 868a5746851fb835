"""What every store answers about slots and LUN pairs: sums that agree with the slots themselves."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootd.lifecycle.placement import Need
from bootd.model import ImageRef, Slot
from bootd.store import SlotContent, Store, open_store
from tests.helpers.deeds import a_deployment, a_project, a_reservation
from tests.helpers.site import NOON, HandClock, a_host
from tests.helpers.standings import summed_up

DEBIAN, OLD = ImageRef("mesh", "debian", 2), ImageRef("mesh", "old", 1)
# a name that begins another, and characters before and after the "/" of a slot's key
HOSTS = ("node1", "node10", "node1-a", "node1.b", "node2")


def full(host: str, number: int, image: ImageRef = DEBIAN, days_ago: int = 1, **fields: object) -> Slot:
    standard = {"digest": str(image), "state": "ready", "last_used_at": NOON - timedelta(days=days_ago)}
    return Slot(host, number, image, **standard | fields)  # type: ignore[arg-type]


def put(store: Store, *slots: Slot) -> None:
    with store.transaction("anna") as change:
        for slot in slots:
            change.keep(slot)


SLOTS = st.builds(
    Slot,
    host=st.sampled_from(HOSTS),
    number=st.integers(5, 7),
    image=st.sampled_from([None, DEBIAN, OLD]),
    digest=st.sampled_from(["wanted", "other"]),
    state=st.sampled_from(["empty", "writing", "ready", "damaged"]),
    pinned=st.booleans(),
    last_used_at=st.none() | st.integers(0, 9).map(lambda days: NOON - timedelta(days=days)),
)


@given(st.lists(SLOTS, unique_by=lambda slot: slot.key), st.lists(st.sampled_from(HOSTS), unique=True))
def test_standings_are_the_slots_of_just_those_hosts_summed_up(slots: list[Slot], hosts: list[str]) -> None:
    with open_store("sqlite://", clock=HandClock()) as store:
        put(store, *slots)
        assert store.slot_standings(hosts, "wanted") == summed_up(hosts, "wanted", slots)


@pytest.mark.parametrize(
    ("hosts", "number", "keys"),
    [
        pytest.param(None, None, ["node1/5", "node1/6", "node10/5"], id="all"),
        pytest.param(["node1"], None, ["node1/5", "node1/6"], id="of-hosts"),
        pytest.param(None, 5, ["node1/5", "node10/5"], id="of-a-number"),
        pytest.param(["node1", "node2"], 5, ["node1/5"], id="both"),
    ],
)
def test_slots_are_read_by_host_and_number(
    store: Store, hosts: list[str] | None, number: int | None, keys: list[str]
) -> None:
    put(store, full("node1", 5), full("node1", 6), full("node10", 5))
    assert [slot.key for slot in store.slots(hosts, number)] == keys


def test_contents_say_which_hosts_hold_the_same(store: Store) -> None:
    put(
        store,
        full("node1", 5, days_ago=3),
        full("node10", 5, days_ago=2),
        full("node2", 5, OLD),
        full("node2", 6, pinned=True),
    )
    yesterday = NOON - timedelta(days=1)
    found = {(each.number, str(each.image)): each for each in store.slot_contents()}
    same = found[5, "mesh/debian@2"]
    assert (same.state, same.pinned, sorted(same.hosts)) == ("ready", False, ["node1", "node10"])
    assert same.last_used_at == NOON - timedelta(days=2)
    assert found[5, "mesh/old@1"] == SlotContent(5, "ready", OLD, False, yesterday, ["node2"])
    assert found[6, "mesh/debian@2"].pinned
    assert len(found) == 3


def test_contents_of_some_hosts_leave_out_the_others(store: Store) -> None:
    put(store, full("node1", 5), full("node10", 5))
    [only] = store.slot_contents(["node1"])
    assert only.hosts == ["node1"]


def test_needs_are_those_of_live_bookings_that_hold_any_of_the_hosts(store: Store) -> None:
    with store.transaction("anna") as change:
        change.keep(a_project())
        for number, state in enumerate(("booked", "active", "cancelled", "booked", "booked"), 1):
            change.keep(a_reservation(number, state=state))
            elsewhere = {"state": "dark"} if number == 4 else {}
            change.keep(a_deployment(number, number, slot=4 + number, **elsewhere))
        change.keep(a_deployment(6, 1, slot=None, group="rack"))
        change.keep(a_reservation(9, nodes=("node9",)))
        change.keep(a_deployment(9, 9, nodes=("node9",)))
    nodes, image = frozenset({"node1", "node2"}), a_deployment().image
    assert store.slot_needs(["node2", "node7"]) == [
        Need(number, 4 + number, nodes, "sha256:1", image) for number in (1, 2, 5)
    ]


def test_deployments_to_a_pair_are_those_that_are_wanted_at_that_time(store: Store) -> None:
    hour = timedelta(hours=1)
    with store.transaction("anna") as change:
        change.keep(a_project())
        for number in range(1, 6):
            change.keep(
                a_reservation(number, starts_at=NOON + number * hour, ends_at=NOON + (number + 1) * hour)
            )
            fields = {3: {"group": "other"}, 4: {"state": "failed"}}.get(number, {})
            change.keep(a_deployment(number, number, **{"slot": None, "group": "rack"} | fields))
        change.keep(a_reservation(6, starts_at=NOON + 2 * hour, ends_at=NOON + 3 * hour, state="ended"))
        change.keep(a_deployment(6, 6, slot=None, group="rack"))
    assert [each.id for each in store.lun_deployments("rack", NOON + 2 * hour, NOON + 5 * hour)] == [2]


def test_hosts_are_found_by_their_names(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_hosts([a_host(1), a_host(2), a_host(3)])
    assert store.hosts_named(["node3", "node1", "nobody"]) == {"node1": a_host(1), "node3": a_host(3)}
