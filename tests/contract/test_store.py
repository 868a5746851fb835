"""What every store does: rows, their journal, snapshots and changes."""

import threading
from datetime import timedelta

import pytest

from bootd.boot.snapshot import Policy, apply_changes
from bootd.errors import Conflict, NotFound, Refused
from bootd.model import (
    Assignment,
    Observation,
    Override,
    Project,
    Reservation,
    Sighting,
    Target,
    TargetKind,
)
from bootd.store import Store
from tests.helpers.site import NOON, HandClock, a_host, an_image

LOCAL = Target(TargetKind.LOCAL)
DEBIAN = Target(TargetKind.MEMORY, "debian")


def an_override(host: str = "node1", id: int = 1) -> Override:  # noqa: A002
    return Override(id, host, DEBIAN, NOON, NOON + timedelta(hours=1))


def seen(text: str, *, at: float = 0, host: str = "node1", mac: str = "52:54:00:00:00:01") -> Observation:
    return Observation(NOON + timedelta(seconds=at), mac, host, "tftp.read_completed", text, 10, 0.5)


def test_what_is_put_is_read_back_whole(store: Store) -> None:
    host = a_host(role="mesh", local_boot="/dev/sda1", groups=("b", "a"), settings={"x": 'é "#'})
    with store.transaction("anna") as change:
        change.put_host(host)
        change.put_memory_image(an_image())
        change.put_assignment(Assignment("node1", LOCAL, NOON))
        change.put_override(an_override())
        change.put_document("note", "line\n")
    assert store.host("node1") == host
    assert store.memory_images() == [an_image()]
    assert store.assignments() == [Assignment("node1", LOCAL, NOON)]
    assert store.overrides() == [an_override()]
    assert store.document("note") == "line\n"


def test_what_is_not_there_is_none(store: Store) -> None:
    assert (store.host("x"), store.memory_image("x"), store.document("x")) == (None, None, None)
    assert store.generation() == 0


def test_each_changed_row_is_journalled_with_before_and_after(store: Store, clock: HandClock) -> None:
    with store.transaction("anna", "hosts add") as change:
        change.put_host(a_host())
    clock.move(minutes=1)
    with store.transaction("ben", "hosts set") as change:
        change.put_host(a_host(ip="10.0.0.9"))
    newest, first = store.journal()
    assert (first.action, first.actor, first.what, first.before) == ("added", "anna", "hosts add", None)
    assert (newest.action, newest.actor, newest.at) == ("changed", "ben", NOON + timedelta(minutes=1))
    assert newest.before is not None
    assert newest.after is not None
    assert (newest.before["ip"], newest.after["ip"]) == ("10.0.0.1", "10.0.0.9")
    assert store.generation() == newest.id


def test_entries_of_one_transaction_share_its_change(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_hosts([a_host(1), a_host(2)])
    with store.transaction("anna") as change:
        change.put_host(a_host(3))
    assert [entry.change for entry in store.journal()] == [3, 1, 1]
    assert [entry.key for entry in store.entries(1)] == ["node1", "node2"]


def test_putting_what_is_there_already_writes_nothing(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_host(a_host())
    with store.transaction("anna") as change:
        assert change.put_host(a_host()) is False
        assert change.remove_host("nobody") is False
    assert store.generation() == 1


def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction("anna") as change:  # noqa: PT012
        change.put_host(a_host())
        1 / 0  # noqa: B018
    assert store.hosts() == []
    assert store.journal() == []


def test_a_second_host_with_the_same_address_is_a_conflict(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_host(a_host(1))
    for field in ({"mac": a_host(1).mac}, {"ip": "10.0.0.1"}, {"number": 1}):
        taken = pytest.raises(Conflict, match="already belongs to host 'node1'")
        with taken, store.transaction("anna") as change:
            change.put_host(a_host(2, **field))
    assert [host.name for host in store.hosts()] == ["node1"]


def test_hosts_put_together_may_swap_their_addresses(store: Store) -> None:
    one, two = a_host(1), a_host(2)
    with store.transaction("anna") as change:
        change.put_hosts([one, two])
    swapped = [a_host(1, mac=two.mac, ip=two.ip), a_host(2, mac=one.mac, ip=one.ip)]
    with store.transaction("anna") as change:
        assert change.put_hosts(swapped) == 2
    assert store.hosts() == swapped


def test_hosts_without_address_or_number_are_many(store: Store) -> None:
    hosts = [a_host(n, ip=None, number=None) for n in (1, 2)]
    with store.transaction("anna") as change:
        change.put_hosts(hosts)
    assert store.hosts() == hosts


def test_a_removed_host_takes_its_orders_along(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_host(a_host())
        change.put_assignment(Assignment("node1", LOCAL, NOON))
        change.put_override(an_override())
    with store.transaction("anna") as change:
        change.remove_host("node1")
    assert (store.hosts(), store.assignments(), store.overrides()) == ([], [], [])
    assert [entry.kind for entry in store.entries(4)] == ["assignment", "override", "host"]


def test_orders_need_their_host(store: Store) -> None:
    with pytest.raises(NotFound), store.transaction("anna") as change:
        change.put_assignment(Assignment("nobody", LOCAL, NOON))
    with pytest.raises(NotFound), store.transaction("anna") as change:
        change.put_override(an_override("nobody"))


def test_an_override_id_never_comes_back(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_host(a_host())
        change.put_override(an_override(id=change.next_override_id()))
    with store.transaction("anna") as change:
        change.remove_override("node1")
        assert change.next_override_id() == 2
        change.put_override(an_override(id=2))
    assert [override.id for override in store.overrides()] == [2]


def test_expired_overrides_are_left_out_where_a_time_is_given(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_host(a_host())
        change.put_override(an_override())
    assert store.overrides(NOON + timedelta(minutes=59)) == [an_override()]
    assert store.overrides(NOON + timedelta(hours=1)) == []
    assert store.overrides() == [an_override()]


def test_evidence_of_an_old_override_leaves_the_new_one(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_host(a_host())
        change.put_override(an_override(id=2))
    with store.transaction("bootd") as change:
        assert change.remove_override("node1", 1) is False
        assert change.remove_override("node1", 2) is True


def test_changes_bring_an_old_snapshot_to_the_new_one(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_hosts([a_host(n) for n in range(1, 6)])
        change.put_memory_image(an_image())
        change.put_assignment(Assignment("node2", DEBIAN, NOON))
    old = store.load_snapshot(Policy(repeat_limit=7))
    with store.transaction("anna") as change:
        change.remove_host("node2")
        change.put_host(a_host(3, mac="52:54:00:00:00:02"))
        change.put_override(an_override("node4"))
        change.remove_memory_image("debian")
    changes = store.changes_since(old.generation)
    assert set(changes.hosts) == {"node2", "node3"}
    assert changes.hosts["node2"] is None
    assert apply_changes(old, changes) == store.load_snapshot(Policy(repeat_limit=7))


def test_no_journal_entry_means_no_changes(store: Store) -> None:
    with store.transaction("bootd") as change:
        change.add_observations([seen("read snponly.efi")])
    assert store.changes_since(0).generation == 0


def test_observations_are_read_oldest_first_and_followed(store: Store) -> None:
    with store.transaction("bootd") as change:
        change.add_observations([seen(str(n), at=n, host="node1" if n % 2 else "node2") for n in range(6)])
    assert [kept.observation.text for kept in store.observations(limit=3)] == ["3", "4", "5"]
    assert [kept.observation.text for kept in store.observations(host="node1")] == ["1", "3", "5"]
    after = store.observations(limit=3)[0].id
    assert [kept.observation.text for kept in store.observations(since_id=after)] == ["4", "5"]
    assert store.observations(limit=1)[0].observation == seen("5", at=5)


def test_mac_or_host_finds_what_was_seen_before_registration(store: Store) -> None:
    with store.transaction("bootd") as change:
        change.add_observations([seen("before", host=""), seen("after", mac="52:54:00:00:00:77")])
    found = store.observations(mac="52:54:00:00:00:01", host="node1")
    assert [kept.observation.text for kept in found] == ["before", "after"]


def test_an_observation_may_hold_any_text(store: Store) -> None:
    with store.transaction("bootd") as change:
        change.add_observations([seen("read \udcff\0\n")])
    assert store.observations()[0].observation.text == "read ?\0\n"


def test_sightings_add_up(store: Store) -> None:
    first = Sighting("52:54:00:00:00:09", "x86-bios", NOON, NOON, 2, "unknown-machine")
    later = NOON + timedelta(minutes=1)
    again = Sighting("52:54:00:00:00:09", "x64-uefi", later, later, 3, "unknown-machine")
    for sighting in (first, again):
        with store.transaction("bootd") as change:
            change.add_sightings([sighting])
    assert store.sightings() == [Sighting("52:54:00:00:00:09", "x64-uefi", NOON, later, 5, "unknown-machine")]


def test_a_registered_machine_is_no_longer_a_sighting(store: Store) -> None:
    with store.transaction("bootd") as change:
        change.add_sightings([Sighting(a_host().mac, "x86-bios", NOON, NOON, 1, "unknown-machine")])
        change.put_host(a_host())
    assert store.sightings() == []


def test_trimming_keeps_the_newest(store: Store) -> None:
    with store.transaction("bootd") as change:
        change.add_observations([seen(str(n), at=n) for n in range(10)])
        change.add_sightings(
            Sighting(a_host(n).mac, "x", NOON, NOON + timedelta(seconds=n), 1, "y") for n in range(1, 5)
        )
    with store.transaction("bootd") as change:
        gone = change.trim(before=NOON + timedelta(seconds=2), observations=5, sightings=2)
    assert [kept.observation.text for kept in store.observations()] == list("56789")
    assert [sighting.mac for sighting in store.sightings()] == [a_host(4).mac, a_host(3).mac]
    assert gone == 7


def test_a_change_is_reverted_with_all_that_hung_on_it(store: Store) -> None:
    with store.transaction("anna") as change:
        change.put_hosts([a_host(1), a_host(2)])
        change.put_assignment(Assignment("node1", LOCAL, NOON))
        change.put_document("layout", "old")
    with store.transaction("anna") as change:
        change.remove_host("node1")
        change.put_hosts([a_host(2, ip="10.0.0.1"), a_host(3)])
        change.put_document("layout", "new")
    second = store.journal(limit=1)[0].change
    with store.transaction("anna") as change:
        change.revert(second)
    assert store.hosts() == [a_host(1), a_host(2)]
    assert store.assignments() == [Assignment("node1", LOCAL, NOON)]
    assert store.document("layout") == "old"


def test_a_host_changed_again_is_not_reverted(store: Store) -> None:
    for ip in ("10.0.0.1", "10.0.0.2"):
        with store.transaction("anna") as change:
            change.put_host(a_host(ip=ip))
    with pytest.raises(Refused, match="changed again"), store.transaction("anna") as change:
        change.revert(1)
    assert store.host("node1") == a_host(ip="10.0.0.2")


def test_changes_of_a_kind_are_named_newest_first(store: Store) -> None:
    with store.transaction("anna", "hosts add") as change:
        change.put_hosts([a_host(1), a_host(2)])
    with store.transaction("anna", "memory add") as change:
        change.put_memory_image(an_image())
    with store.transaction("anna", "hosts set") as change:
        change.put_host(a_host(1, ip=None))
    assert store.changes_of("host") == [(4, "hosts set"), (1, "hosts add")]


def test_a_store_belongs_to_its_thread(store: Store) -> None:
    errors: list[Exception] = []

    def use() -> None:
        try:
            store.hosts()
        except Exception as error:  # noqa: BLE001  whatever it is, it must not go unnoticed
            errors.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(errors) == 1


def test_what_is_held_at_a_time_is_told_by_state_and_project(store: Store) -> None:
    span = (NOON, NOON + timedelta(hours=1))
    with store.transaction("anna") as change:
        for number, project in enumerate(("orbit", "mesh", "orbit"), 1):
            change.keep(Project(project, "anna", NOON))
            state = "cancelled" if number == 3 else "booked"
            change.keep(Reservation(number, project, *span, ("a", "b"), (), NOON, "anna", state=state))
    first = store.held_between(*span, states=["booked", "cancelled"], project="orbit")
    assert first == [(1, *span, ["a", "b"]), (3, *span, ["a", "b"])]
    assert [held.id for held in store.held_between(*span, states=["booked"])] == [1, 2]
    assert [held.id for held in store.held_between(*span, states=["booked"], nodes={"b", "x"})] == [1, 2]
    assert store.held_between(*span, states=["booked"], nodes={"x"}) == []
    later = (span[1], span[1] + timedelta(hours=1))
    assert store.held_between(*later, states=["booked"]) == []


def test_the_last_of_one_event_is_found_by_time_and_beginning(store: Store) -> None:
    with store.transaction("bootd") as change:
        rows = [("read a", 0), ("read b", 5), ("lost", 6), ("read c", 9)]
        change.add_observations(seen(text, at=at) for text, at in rows)
    event, mac = "tftp.read_completed", "52:54:00:00:00:01"
    assert store.last_seen(mac, event, by=NOON + timedelta(seconds=9)) == seen("read c", at=9)
    assert store.last_seen(mac, event, by=NOON + timedelta(seconds=8)) == seen("lost", at=6)
    assert store.last_seen(mac, event, by=NOON + timedelta(seconds=8), begins="read") == seen("read b", at=5)
    assert store.last_seen(mac, event, by=NOON - timedelta(seconds=1)) is None
    assert store.last_seen(mac, "http.file_sent", by=NOON + timedelta(days=1)) is None
    assert store.last_seen("52:54:00:00:00:02", event, by=NOON + timedelta(days=1)) is None
