"""QEMU command lines, names and addresses of the lab's machines."""

from pathlib import Path

import pytest

from bootd.errors import BadValue
from bootd.lab.machines import Kind, NodeSpec, Places, command, complete, machine_uuid, parse_spec

PLACES = Places(Path("/run/lab/one"), "n-a")


def argv(kind: Kind, **fields: str) -> list[str]:
    return command("one", complete("one", NodeSpec("a", kind, **fields)), "tap0", PLACES)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_machine_runs_under_tcg_with_the_plain_processor(kind: Kind) -> None:
    words = argv(kind)
    assert words[words.index("-accel") + 1] == "tcg"
    assert words[words.index("-cpu") + 1] == "qemu64"
    assert not any("kvm" in word for word in words)


@pytest.mark.parametrize("kind", list(Kind))
def test_the_console_is_logged_though_nobody_is_attached(kind: Kind) -> None:
    chardev = next(word for word in argv(kind) if word.startswith("socket,"))
    assert f"logfile={PLACES.console_log},logappend=on" in chardev
    assert "wait=off" in chardev


def test_a_machine_that_is_held_stands_before_its_firmwares_first_instruction() -> None:
    spec = complete("one", NodeSpec("a"))
    held, free = (command("one", spec, "tap0", PLACES, is_held=held) for held in (True, False))
    assert held == [*free, "-S"]


def test_uefi_uses_the_firmwares_own_pxe_client() -> None:
    card = next(word for word in argv(Kind.UEFI) if word.startswith("virtio-net-pci"))
    assert ",romfile=," in card


def test_a_bios_machine_keeps_the_rom_of_its_card() -> None:
    assert not any("romfile" in word for word in (*argv(Kind.BIOS), *argv(Kind.BIOS_E1000)))
    assert any(word.startswith("e1000,") for word in argv(Kind.BIOS_E1000))


def test_http_boot_machines_try_no_pxe_first() -> None:
    off = "name=opt/org.tianocore/IPv4PXESupport,string=n"
    assert off in argv(Kind.UEFI_HTTP)
    assert off not in argv(Kind.UEFI)


@pytest.mark.parametrize("kind", list(Kind))
def test_the_disk_comes_after_the_network(kind: Kind) -> None:
    # seen with SeaBIOS: `-boot n` does not outweigh the bootindex of the disk, the card needs its own
    words = argv(kind, disk="/tmp/d.raw")
    assert "virtio-blk-pci,drive=disk0,bootindex=2" in words
    assert any("bootindex=1" in word for word in words if "netdev=net0,mac=" in word)


def test_two_labs_and_two_machines_have_four_addresses_and_uuids() -> None:
    pairs = [(lab, node) for lab in ("one", "two") for node in ("a", "b")]
    assert len({complete(lab, NodeSpec(node)).mac for lab, node in pairs}) == 4
    assert len({machine_uuid(lab, node) for lab, node in pairs}) == 4


def test_a_given_mac_is_kept_in_canonical_form() -> None:
    assert complete("one", NodeSpec("a", mac="52-54-00-AA-BB-CC")).mac == "52:54:00:aa:bb:cc"


def test_a_made_up_mac_belongs_to_no_vendor_and_to_one_machine() -> None:
    first = int(complete("one", NodeSpec("a")).mac[:2], 16)
    assert first & 0b11 == 0b10  # locally administered, not a group


def test_a_spec_is_a_name_and_a_kind() -> None:
    assert parse_spec("x1:bios-e1000") == NodeSpec("x1", Kind.BIOS_E1000)


@pytest.mark.parametrize("text", ["x1", "x1:", ":bios", "x1:arm", "../x:bios", "x" * 33 + ":bios"])
def test_a_wrong_spec_says_what_is_known(text: str) -> None:
    with pytest.raises(BadValue, match="bios-e1000, uefi, uefi-http"):
        parse_spec(text)
