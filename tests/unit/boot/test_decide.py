"""The decision: every rule, and that they hold in their order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bootd.boot.decide import (
    BootLocal,
    BootLun,
    BootMemory,
    BootSlot,
    ChainLoader,
    Diagnose,
    Silent,
    decide,
)
from bootd.boot.snapshot import Changes, Policy, Snapshot, apply_changes
from bootd.model import Assignment, Host, ImageFile, MemoryImage, Override, parse_target
from netboot.arch import architecture
from netboot.hwaddr import swap_guid
from netboot.request import BootRequest, Stage
from tests.helpers.places import CLONE, a_lun_place, a_slot_place

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
MAC = "52:54:00:00:00:01"
GUID = "4c4c4544-0042-3510-8052-b4c04f4e3132"
FILE = ImageFile("vmlinuz", "memory/rescue/abc/vmlinuz", "0" * 64, 10)
RESCUE = MemoryImage("rescue", FILE, (), "quiet", NOON)
POLICY = Policy(loaders={"x86-bios": "undionly.kpxe", "x64-uefi": "snponly.efi"})


def a_host(**changes):
    return Host(**{"name": "node1", "mac": MAC, **changes})


def a_snapshot(host=None, *, assigned=None, once=None, images=(RESCUE,)):
    host = host or a_host()
    return apply_changes(
        Snapshot(policy=POLICY),
        Changes(
            1,
            hosts={host.name: host},
            memory_images={image.name: image for image in images},
            assignments={host.name: Assignment(host.name, parse_target(assigned), NOON)} if assigned else {},
            overrides={host.name: Override(7, host.name, parse_target(once), NOON, NOON + timedelta(hours=1))}
            if once
            else {},
        ),
    )


def a_request(**changes):
    base = {"mac": MAC, "arch": architecture(0), "stage": Stage.IPXE, "received_at": NOON, "http": True}
    return BootRequest(**{**base, **changes})


def test_unknown_machine_is_left_to_other_servers():
    assert decide(a_snapshot(), a_request(mac="52:54:00:00:00:99")) == Silent("unknown-machine")


def test_known_machine_with_nothing_to_boot_is_left_alone():
    assert decide(a_snapshot(), a_request()) == Silent("nothing-assigned", a_host())


def test_host_set_to_ignore_is_left_alone_whatever_is_assigned():
    host = a_host(settings={"boot": "ignore"})
    assert decide(a_snapshot(host, assigned="memory:rescue"), a_request()) == Silent("host-ignored", host)


def test_ipxe_boots_the_assigned_memory_image():
    decision = decide(a_snapshot(assigned="memory:rescue"), a_request())
    assert decision == BootMemory(a_host(), "assigned", RESCUE, override=None, chain=False)


@pytest.mark.parametrize(
    ("code", "loader"),
    [pytest.param(0, "undionly.kpxe", id="bios"), pytest.param(7, "snponly.efi", id="uefi")],
)
def test_rom_is_first_given_the_loader_of_its_architecture(code, loader):
    decision = decide(
        a_snapshot(assigned="memory:rescue"), a_request(stage=Stage.ROM, http=False, arch=architecture(code))
    )
    assert decision == ChainLoader(a_host(), "assigned", loader, parse_target("memory:rescue"))


def test_ipxe_without_http_is_given_a_better_one():
    decision = decide(a_snapshot(assigned="memory:rescue"), a_request(http=False))
    assert isinstance(decision, ChainLoader)


def test_rom_of_an_architecture_without_loader_is_left_alone():
    request = a_request(stage=Stage.ROM, arch=architecture(0x1F))
    assert decide(a_snapshot(assigned="local"), request) == Silent("no-loader-for-architecture", a_host())


def test_loader_of_the_host_beats_that_of_the_architecture():
    host = a_host(settings={"loader": "ipxe.pxe"})
    decision = decide(a_snapshot(host, assigned="local"), a_request(stage=Stage.ROM))
    assert isinstance(decision, ChainLoader)
    assert decision.loader == "ipxe.pxe"


def test_override_beats_the_assignment_until_it_expires():
    snapshot = a_snapshot(assigned="local", once="memory:rescue")
    assert decide(snapshot, a_request()) == BootMemory(a_host(), "once", RESCUE, override=7, chain=False)
    late = a_request(received_at=NOON + timedelta(hours=1))
    assert decide(snapshot, late) == BootLocal(a_host(), "assigned", None, override=None, chain=False)


def test_asking_twice_gets_the_same_answer_twice():
    snapshot = a_snapshot(once="memory:rescue")
    assert decide(snapshot, a_request()) == decide(snapshot, a_request())


def test_host_table_says_local_where_nobody_said_anything_else():
    host = a_host(local_boot="/dev/sda1")
    assert decide(a_snapshot(host), a_request()) == BootLocal(
        host, "local-default", "/dev/sda1", None, chain=False
    )


def test_machine_going_in_circles_gets_a_diagnosis():
    decision = decide(a_snapshot(assigned="memory:rescue"), a_request(repeats=3))
    assert isinstance(decision, Diagnose)
    assert decision.rule == "going-in-circles"
    assert "memory:rescue" in decision.problem


def test_rom_that_repeats_itself_still_gets_its_loader():
    request = a_request(stage=Stage.ROM, http=False, repeats=99)
    assert isinstance(decide(a_snapshot(assigned="local"), request), ChainLoader)


def test_ipxe_without_http_in_a_loop_gets_a_diagnosis_too():
    assert isinstance(decide(a_snapshot(assigned="local"), a_request(http=False, repeats=3)), Diagnose)


def test_missing_memory_image_is_told_on_the_screen():
    decision = decide(a_snapshot(assigned="memory:gone"), a_request())
    assert isinstance(decision, Diagnose)
    assert decision.rule == "memory-image-gone"


@pytest.mark.parametrize("guid", [GUID, swap_guid(GUID)], ids=["as-written", "smbios-order"])
def test_host_is_found_by_its_uuid_in_either_byte_order(guid):
    host = a_host(settings={"uuid": GUID}, local_boot="/dev/sda1")
    decision = decide(a_snapshot(host), a_request(mac="02:00:00:00:00:09", guid=guid))
    assert isinstance(decision, BootLocal)


def test_changed_host_leaves_the_index_with_its_old_address():
    snapshot = a_snapshot(a_host(local_boot="/dev/sda1"))
    moved = apply_changes(snapshot, Changes(2, hosts={"node1": a_host(mac="52:54:00:00:00:02")}))
    assert set(moved.hosts_by_mac) == {"52:54:00:00:00:02"}
    assert set(snapshot.hosts_by_mac) == {MAC}


def test_two_hosts_that_swap_addresses_in_one_change_are_both_found():
    first, second = a_host(), a_host(name="node2", mac="52:54:00:00:00:02")
    before = apply_changes(Snapshot(), Changes(1, hosts={"node1": first, "node2": second}))
    swapped = {"node1": a_host(mac=second.mac), "node2": a_host(name="node2", mac=MAC)}
    after = apply_changes(before, Changes(2, hosts=swapped))
    assert {mac: host.name for mac, host in after.hosts_by_mac.items()} == {MAC: "node2", second.mac: "node1"}
    gone = apply_changes(after, Changes(3, hosts={"node1": None, "node2": None}))
    assert not gone.hosts_by_mac
    assert not gone.hosts


# -- places of reservations --------------------------------------------------------------------


def reserved(host=None, *, place=None, **orders):
    """Return a snapshot in which *host* has a place."""
    host = host or a_host()
    return replace(a_snapshot(host, **orders), places={host.name: place or a_slot_place()})


def test_active_reservation_is_booted_from_its_slot():
    place = a_slot_place(slot=7)
    assert decide(reserved(place=place), a_request()) == BootSlot(
        a_host(), "reserved", place, slot=7, chain=False
    )


def test_active_reservation_is_booted_from_the_nodes_own_clone():
    place = a_lun_place()
    host = a_host(settings={"ipxe": "chain"})
    assert decide(reserved(host, place=place), a_request()) == BootLun(
        host, "reserved", place, place.clone, chain=True
    )


@pytest.mark.parametrize("place", [a_slot_place(), a_lun_place()], ids=["slot", "lun"])
def test_node_that_runs_its_image_boots_it_again_after_a_reset(place):
    decision = decide(reserved(place=replace(place, state="running")), a_request())
    assert isinstance(decision, BootSlot | BootLun)


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        (a_slot_place(state="waiting"), "mesh/debian@2 of reservation 4: the image is not in its place yet"),
        (a_slot_place(state="waiting", note="50 of 80 nodes"), "reservation 4: 50 of 80 nodes; asking again"),
        (a_slot_place(slot=None), "no slot is named"),
        (a_lun_place(clone=None), "it has no clone of the LUN yet"),
        (a_lun_place(clone=replace(CLONE, target="")), "its LUN is not exported yet"),
        (a_lun_place(clone=replace(CLONE, portals=())), "its LUN is not exported yet"),
    ],
)
def test_place_that_is_not_all_there_is_waited_for(place, problem):
    decision = decide(reserved(place=place), a_request())
    assert isinstance(decision, Diagnose)
    assert (decision.rule, decision.target) == ("reserved-waiting", place)
    assert problem in decision.problem


@pytest.mark.parametrize(
    ("note", "words"), [("two tries, disk error", "two tries, disk error"), ("", "no reason is written down")]
)
def test_place_that_failed_is_told_with_its_reason(note, words):
    decision = decide(reserved(place=a_lun_place(state="failed", note=note)), a_request())
    assert isinstance(decision, Diagnose)
    assert decision.rule == "reserved-failed"
    assert decision.problem == f"mesh/debian@2 of reservation 4 failed: {words}"


def test_rom_gets_its_loader_before_the_place_is_spoken_of():
    place = a_slot_place(state="waiting")
    request = a_request(stage=Stage.ROM, http=False)
    assert decide(reserved(place=place), request) == ChainLoader(
        a_host(), "reserved-waiting", "undionly.kpxe", place
    )


def test_one_shot_order_goes_before_the_reservation_until_it_expires():
    snapshot = reserved(once="memory:rescue")
    assert decide(snapshot, a_request()).rule == "once"
    assert decide(snapshot, a_request(received_at=NOON + timedelta(hours=1))).rule == "reserved"


def test_reservation_goes_before_the_assignment_and_the_host_table():
    host = a_host(local_boot="/dev/sda1")
    assert decide(reserved(host, assigned="local"), a_request()).rule == "reserved"


def test_host_left_to_others_is_left_to_them_by_a_reservation_too():
    host = a_host(settings={"boot": "ignore"})
    assert decide(reserved(host), a_request()) == Silent("host-ignored", host)


@pytest.mark.parametrize(
    ("place", "answer"), [(a_slot_place(), "slot:7 mesh/debian@2"), (a_lun_place(), "lun:rack mesh/debian@2")]
)
def test_machine_that_comes_back_from_its_place_again_and_again_is_told_so(place, answer):
    decision = decide(reserved(place=place), a_request(repeats=3))
    assert isinstance(decision, Diagnose)
    assert decision.problem == f"given {answer} 3 times in a minute, and each time it came back"


def test_place_that_is_gone_gives_the_host_back_to_its_default():
    host = a_host(local_boot="/dev/sda1")
    ended = apply_changes(reserved(host), Changes(2, places={host.name: None}))
    assert decide(ended, a_request()).rule == "local-default"
