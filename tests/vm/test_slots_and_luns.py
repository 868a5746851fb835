"""Slots and LUNs really started: iPXE in a ROM, our scripts and programs, GRUB, and a real iSCSI target."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bootd.boot.places import Chap, slot_helper
from bootd.drivers.lun import Chap as Login
from bootd.drivers.lun.tgt import TgtLuns
from bootd.drivers.source import BytesSource
from bootd.drivers.tools import Tools
from bootd.events import ScriptSent
from bootd.imagebuild import grubimage, slotboot
from bootd.model import LunClone, Place
from netboot.arch import Firmware
from tests.helpers.lab import PATIENCE_S
from tests.helpers.places import a_lun_place, a_slot_place
from tests.helpers.qemu import SERVER, boot
from tests.helpers.slotted import boot_sector, efi_slotted_disk, slotted_disk
from tests.helpers.tgtd import PrivateTgtd, private_tgtd
from tests.helpers.web import MAC, Site, a_host, a_snapshot, running

pytestmark = pytest.mark.vm

DEFAULT, SLOT, MENU, LUN = "DISK-DEFAULT", "SLOT-STARTED", "MENU-STARTED", "LUN-STARTED"
SECRET = "s3cretOfNode1.._"
GIVEN_UP = "trying again in a minute"


def a_site(place: Place, files: dict[str, Path] | None = None, *, secret: str = SECRET) -> Site:
    """Return a site whose node1 has *place*, asked from loopback."""
    host = replace(a_host(), ip="127.0.0.1")  # behind QEMU's router
    site = Site(replace(a_snapshot(host), places={"node1": place}))
    desk = replace(site.parts.desk, chap=lambda clone: Chap(clone.chap_user, secret))
    site.parts = replace(site.parts, desk=desk, address=SERVER)
    for name, path in (files or {}).items():
        site.serve_file(name, path)
    return site


async def booted(site: Site, folder: Path, *until: str, path: str = "", **machine: object) -> str:
    async with running(site):
        script = f"http://{SERVER}:{site.port}{path or f'/boot/{MAC}.ipxe'}"
        return await boot(folder, script, MAC, until=until, patience_s=PATIENCE_S, **machine)


# -- slots -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slot", "marker"), [(7, SLOT), (9, DEFAULT)], ids=["the-slot", "without-a-sector"])
async def test_bios_machine_starts_its_slot_or_else_what_its_disk_would(
    tmp_path: Path, slot: int, marker: str
) -> None:
    disk = slotted_disk(tmp_path / "disk", DEFAULT, {5: "WRONG-SLOT", 7: SLOT, 11: "WRONG-SLOT"})
    program = slotboot.build(tmp_path / "program", Firmware.BIOS, "hd0", slot)
    site = a_site(
        a_slot_place(slot=slot, device=f"/dev/vda{slot}"), {slot_helper(Firmware.BIOS, "hd0", slot): program}
    )
    said = await booted(site, tmp_path, SLOT, DEFAULT, "WRONG-SLOT", disk=disk)
    assert marker in said
    assert ("the default of the disk itself" in said) == (marker == DEFAULT)
    assert [event.answer for event in site.of_kind(ScriptSent)] == [f"slot:{slot} mesh/debian@2"]


async def test_bios_machine_is_left_to_its_disk_where_the_server_has_no_program(tmp_path: Path) -> None:
    disk = slotted_disk(tmp_path / "disk", DEFAULT, {7: SLOT})
    assert DEFAULT in await booted(a_site(a_slot_place()), tmp_path, SLOT, DEFAULT, disk=disk)


@pytest.mark.parametrize(
    ("slot", "marker"), [(7, SLOT), (8, MENU), (9, DEFAULT)], ids=["program", "menu", "neither"]
)
async def test_uefi_machine_starts_the_program_or_the_menu_of_its_slot(
    tmp_path: Path, slot: int, marker: str
) -> None:
    disk = efi_slotted_disk(tmp_path / "disk", DEFAULT, program={7: SLOT}, menu=MENU)
    program = slotboot.build(tmp_path / "program", Firmware.UEFI, "hd0", slot)
    site = a_site(
        a_slot_place(slot=slot, device=f"/dev/vda{slot}"), {slot_helper(Firmware.UEFI, "hd0", slot): program}
    )
    assert marker in await booted(site, tmp_path, SLOT, MENU, DEFAULT, uefi=True, disk=disk)


async def test_grub_from_the_network_starts_the_slot_by_its_own_configuration(tmp_path: Path) -> None:
    disk = slotted_disk(tmp_path / "disk", DEFAULT, {7: SLOT})
    site = a_site(a_slot_place())
    async with running(site):
        config = f"configfile (http,{SERVER}:{site.port})/boot/{MAC}.grub\n"
        modules = ("biosdisk", "part_msdos", "chain", "boot", "echo", "sleep", "test", "configfile")
        site.serve_file(
            "net.0",
            grubimage.build(
                tmp_path / "net.0",
                grubimage.PC_NETWORK,
                config,
                (*modules, "pxe", "net", "http"),
                what="GRUB",
            ),
        )
        script = f"http://{SERVER}:{site.port}/files/net.0"
        said = await boot(tmp_path, script, MAC, until=[SLOT, DEFAULT], patience_s=PATIENCE_S, disk=disk)
    assert SLOT in said


# -- LUNs --------------------------------------------------------------------------------------


class Target:
    """A clone on a real target, as the daemon would have made it."""

    def __init__(self, folder: Path, tgtd: PrivateTgtd, image: bytes) -> None:
        self.luns = TgtLuns(Tools(folder / "luns"), socket=tgtd.socket)
        self.luns.create("rack-a", 64 << 20)
        self.luns.write("rack-a", BytesSource(image))
        self.luns.clone("rack-a", "rack-a-node1")
        login = Login("rack-a-node1", SECRET)
        export = self.luns.export("rack-a-node1", "iqn.2026-01.lab:node1", login)
        self._port = tgtd.portal.rpartition(":")[2]
        self.clone = LunClone(
            "rack-a-node1", "rack", 0, "node1", export.initiator, login.user, export.target, export.lun
        )

    def place(self, *, dead_first: bool = False) -> Place:
        portals = (f"{SERVER}:1", f"{SERVER}:{self._port}") if dead_first else (f"{SERVER}:{self._port}",)
        return a_lun_place(clone=replace(self.clone, portals=portals))


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with private_tgtd() as tgtd:
        yield Target(tmp_path, tgtd, boot_sector(tmp_path, LUN))


async def test_bios_machine_boots_its_clone_with_its_own_name_and_secret(
    tmp_path: Path, target: Target
) -> None:
    said = await booted(a_site(target.place()), tmp_path, LUN, GIVEN_UP)
    assert LUN in said
    assert SECRET not in said


async def test_gpxe_script_boots_the_clone_by_its_one_root_path(tmp_path: Path, target: Target) -> None:
    """iPXE, which came of gPXE, reads gPXE's scripts by that name: no gPXE was to be had."""
    site = a_site(target.place())
    said = await booted(site, tmp_path, LUN, "Could not", path=f"/boot/{MAC}.gpxe")
    assert LUN in said
    assert SECRET not in said
    assert [event.dialect for event in site.of_kind(ScriptSent)] == ["gpxe"]


async def test_portal_that_is_down_is_passed_over(tmp_path: Path, target: Target) -> None:
    assert LUN in await booted(a_site(target.place(dead_first=True)), tmp_path, LUN, GIVEN_UP)


async def test_wrong_secret_is_refused_by_the_target_and_said_on_the_screen(
    tmp_path: Path, target: Target
) -> None:
    said = await booted(a_site(target.place(), secret="notTheSecret0000"), tmp_path, LUN, GIVEN_UP)
    assert LUN not in said
    assert f"try 4 of 4: {target.clone.target} does not start" in said.replace("\n", "")
    assert "notTheSecret0000" not in said


async def test_uefi_machine_boots_its_clone_by_the_same_script(tmp_path: Path) -> None:
    disk = efi_slotted_disk(tmp_path / "disk", LUN, program={}, menu=MENU)
    with private_tgtd() as tgtd:
        target = Target(tmp_path, tgtd, disk.read_bytes())
        said = await booted(a_site(target.place()), tmp_path, LUN, GIVEN_UP, uefi=True)
    assert LUN in said
