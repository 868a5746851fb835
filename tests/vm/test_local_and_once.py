"""Machines that start their own disk, boot something once, are not ours, or go round in circles."""

from collections.abc import Iterator

import pytest

from bootd.cli.demo import print_troubles
from bootd.lab import Kind, Lab, NodeSpec
from bootd.lab.demo import boot_and_watch
from tests.helpers.disks import MARKER, bios_disk, efi_disk
from tests.helpers.lab import PATIENCE_S, READY, plug_in, status, steps, wait_for_step

pytestmark = pytest.mark.vm

NODES = ("disk-bios", "disk-uefi", "once", "circles", "stranger")
WITHOUT_BOOT = "Nothing to boot|No bootable device|No more network devices"


@pytest.fixture(scope="module")
def running(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Power all of them on together; each test waits for its own."""
    folder = tmp_path_factory.mktemp("disks")
    plug_in(lab, "disk-bios", Kind.BIOS, disk=bios_disk(folder / "bios.raw"))
    # not at the removable path: an installed system need not have put anything there
    plug_in(lab, "disk-uefi", Kind.UEFI, disk=efi_disk(folder / "efi.raw", loader="EFI/debian/shimx64.efi"))
    plug_in(lab, "once", Kind.BIOS, disk=bios_disk(folder / "once.raw"))
    plug_in(
        lab, "circles", Kind.BIOS, disk=bios_disk(folder / "circles.raw", "RESETTING" + "." * 40, resets=True)
    )
    lab.add_node(NodeSpec("stranger", Kind.BIOS))  # in no host table
    lab.bootd("boot", "disk-bios,disk-uefi,once,circles", "local")
    lab.bootd("boot", "once", "memory:hello", "--once")
    for name in NODES:
        lab.power_on(name)
    yield lab
    for name in NODES:
        lab.power_off(name)


@pytest.mark.parametrize("node", ["disk-bios", "disk-uefi"])
def test_a_machine_told_to_boots_its_own_disk(running: Lab, node: str) -> None:
    running.wait_for(node, "boots from its own disk", PATIENCE_S)  # the network was asked first
    running.wait_for(node, MARKER, PATIENCE_S)
    script = wait_for_step(running, node, "http.script_sent").of("http.script_sent")[-1]
    assert "local" in script["text"]


def test_a_machine_nobody_registered_is_left_alone_and_shown(running: Lab) -> None:
    running.wait_for("stranger", WITHOUT_BOOT, PATIENCE_S)
    mac = running.node("stranger").spec.mac
    (seen,) = [row for row in status(running)["unknown_machines"] if row["mac"] == mac]
    assert seen["questions"] >= 1
    assert not steps(running, mac).of("dhcp.offer_sent")
    assert "bootd" not in running.console("stranger").text


def test_a_machine_that_does_not_arrive_is_told_with_what_its_console_said(
    running: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = boot_and_watch(running, ["disk-bios"], lambda step, powered_at: None, patience_s=8)
    assert not outcome.all_arrived
    print_troubles(running, outcome)
    said = capsys.readouterr().out
    assert "disk-bios did not report in" in said
    assert "fetched its ipxe script: local" in said  # what bootd heard
    assert "SeaBIOS" in said  # what the machine said


def test_an_order_for_once_is_carried_out_once(running: Lab) -> None:
    running.wait_for("once", READY, PATIENCE_S)
    assert wait_for_step(running, "once", "boot.override_used").of("boot.override_used")
    assert "memory:hello" not in running.bootd("explain", "once").stdout
    running.reset("once")
    running.wait_for("once", MARKER, PATIENCE_S)
    found = steps(running, "once")
    assert len(found.of("boot.override_used")) == 1
    assert len(found.fetched("vmlinuz")) == 1
    assert ["local" in row["text"] for row in found.of("http.script_sent")] == [False, True]


def test_a_machine_that_goes_in_circles_is_told_what_is_wrong(running: Lab) -> None:
    running.wait_for("circles", "RESETTING(?s:.*)RESETTING", PATIENCE_S)
    running.wait_for("circles", "circles is not booted", PATIENCE_S)
    running.wait_for("circles", "on the server: bootd trace circles", PATIENCE_S)
    assert wait_for_step(running, "circles", "boot.loop_suspected").of("boot.loop_suspected")
