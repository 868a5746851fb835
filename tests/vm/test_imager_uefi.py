"""A machine that starts by UEFI: its disk is divided with GPT, written, and starts with and without us."""

from dataclasses import replace
from pathlib import Path

import pytest

from bootd.boot.places import slot_helper
from bootd.imagebuild import slotboot
from netboot.arch import Firmware
from tests.helpers.imager import SCHEME, SLOT, Imaging
from tests.helpers.lab import PATIENCE_S
from tests.helpers.partitions import clonezilla_part, root_partition
from tests.helpers.places import a_slot_place
from tests.helpers.qemu import SERVER, boot
from tests.helpers.web import MAC, Site, a_host, a_snapshot, running

pytestmark = pytest.mark.vm

MARKER = "SLOT-SEVEN-STARTED"
NOBODY = f"http://{SERVER}:1/away.ipxe"  # a server that is away


async def test_uefi_machine_is_imaged_and_starts_its_slot_steered_and_by_itself(tmp_path: Path) -> None:
    source = clonezilla_part(tmp_path / "parts", root_partition(tmp_path / "root.raw", MARKER))
    imaging = Imaging(tmp_path, source, scheme=replace(SCHEME, label="gpt"))
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(512 << 20)
    said = await imaging.run(disk, uefi=True)
    assert [word for word, _ in imaging.words][-1:] == ["leaving"], said
    assert ("verified", imaging.image.identity) in imaging.words
    by_itself = await boot(tmp_path, NOBODY, MAC, until=[MARKER], patience_s=PATIENCE_S, disk=disk, uefi=True)
    assert f"bootd: slot {SLOT} (hd0,gpt{SLOT})" in by_itself
    assert f"{MARKER} in hd0,gpt{SLOT}" in by_itself
    assert f"{MARKER} in hd0,gpt{SLOT}" in await steered(tmp_path, disk)


async def steered(folder: Path, disk: Path) -> str:
    """Start the machine as a booking has it; return what its console said."""
    host = replace(a_host(), ip="127.0.0.1")
    place = a_slot_place(slot=SLOT, device=f"/dev/vda{SLOT}")
    site = Site(replace(a_snapshot(host), places={host.name: place}))
    site.parts = replace(site.parts, address=SERVER)
    program = slotboot.build(folder / "program", Firmware.UEFI, "hd0", SLOT)
    site.serve_file(slot_helper(Firmware.UEFI, "hd0", SLOT), program)
    async with running(site):
        script = f"http://{SERVER}:{site.port}/boot/{MAC}.ipxe"
        said = await boot(folder, script, MAC, until=[MARKER], patience_s=PATIENCE_S, disk=disk, uefi=True)
    assert f"bootd: starting slot {SLOT} (hd0,{SLOT})" in said
    return said
