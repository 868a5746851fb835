"""The decision: every rule, and that they hold in their order."""

from datetime import UTC, datetime, timedelta

import pytest

from bootd.boot.decide import BootLocal, BootMemory, ChainLoader, Diagnose, Silent, decide
from bootd.boot.snapshot import Changes, Policy, Snapshot, apply_changes
from bootd.model import Assignment, Host, ImageFile, MemoryImage, Override, parse_target
from netboot.arch import architecture
from netboot.hwaddr import swap_guid
from netboot.request import BootRequest, Stage

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
