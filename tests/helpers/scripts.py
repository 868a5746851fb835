"""Decisions to render, to be changed in the one place a test is about."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bootd.boot.decide import BootLocal, BootLun, BootMemory, BootSlot, Diagnose
from bootd.boot.places import Chap
from bootd.boot.render import ScriptFacts
from bootd.model import Host, ImageFile, MemoryImage
from netboot.arch import BY_NAME
from tests.helpers.places import CLONE, a_lun_place, a_slot_place

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
MAC = "52:54:00:ab:cd:01"
NODE = Host("node1", MAC, ip="10.0.0.17", local_boot="/dev/sda1", settings={"rack": "4"})
FOLDER = "memory/rescue/0123456789abcdef"
RESCUE = MemoryImage(
    "rescue",
    ImageFile("vmlinuz", f"{FOLDER}/vmlinuz", "0" * 64, 14_000_000),
    (
        ImageFile("initrd.gz", f"{FOLDER}/initrd.gz", "1" * 64, 1_200_000),
        ImageFile("site.cpio", f"{FOLDER}/site.cpio", "2" * 64, 5_000),
    ),
    "console=ttyS0 quiet",
    NOON,
)


def a_memory_boot(**changes: Any) -> BootMemory:
    return replace(BootMemory(NODE, "assigned", RESCUE, None, chain=False), **changes)


def a_local_boot(**changes: Any) -> BootLocal:
    return replace(BootLocal(NODE, "local-default", "/dev/sda1", None, chain=False), **changes)


def a_slot_boot(**changes: Any) -> BootSlot:
    return replace(BootSlot(NODE, "reserved", a_slot_place(), 7, chain=False), **changes)


def a_lun_boot(**changes: Any) -> BootLun:
    return replace(BootLun(NODE, "reserved", a_lun_place(), CLONE, chain=False), **changes)


def a_diagnosis(**changes: Any) -> Diagnose:
    problem = "given memory:rescue 4 times in a minute, and each time it came back"
    return replace(Diagnose(NODE, "going-in-circles", problem, None), **changes)


def script_facts(arch: str = "x86-bios", **changes: Any) -> ScriptFacts:
    facts = ScriptFacts(
        base_url="http://10.0.0.2:8080",
        arch=BY_NAME[arch],
        attempt="0-525400abcd01-00000000",
        token="T" * 48,
        loader={"x86-bios": "undionly.kpxe", "x64-uefi": "snponly.efi"}.get(arch),
        local_helper="localboot-x64.efi",
        slot_bios="loaders/slot7-hd0-pc.0",
        slot_efi="loaders/slot7-hd0-x64.efi",
        chap=Chap("node1", "s3cretOfTheClone"),
    )
    return replace(facts, **changes)
