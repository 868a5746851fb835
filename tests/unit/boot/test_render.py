import re
from dataclasses import replace

import pytest

from bootd.boot.dialect import DIALECTS
from bootd.boot.places import Chap
from bootd.boot.render import Renderer, _values
from bootd.errors import NotFound
from bootd.resources import share
from netboot.ipxe import PCBIOS_LACKS
from tests.helpers.golden import assert_golden
from tests.helpers.places import CLONE
from tests.helpers.script_readers import read_script
from tests.helpers.scripts import (
    RESCUE,
    a_diagnosis,
    a_local_boot,
    a_lun_boot,
    a_memory_boot,
    a_slot_boot,
    script_facts,
)

SHIPPED = Renderer()
DECISIONS = {
    "memory": a_memory_boot(),
    "local": a_local_boot(),
    "slot": a_slot_boot(),
    "lun": a_lun_boot(),
    "diagnose": a_diagnosis(),
}
CHAINED = [each(chain=True) for each in (a_memory_boot, a_local_boot, a_slot_boot, a_lun_boot)]


def text(decision, dialect="ipxe", arch="x86-bios", **facts):
    return SHIPPED.render(decision, dialect, script_facts(arch, **facts)).text


@pytest.mark.golden
@pytest.mark.parametrize("kind", DECISIONS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_scripts_are_as_they_were_read_and_approved(dialect, kind):
    assert_golden(f"scripts/{dialect}-{kind}.txt", text(DECISIONS[kind], dialect))


@pytest.mark.parametrize("kind", DECISIONS)
def test_one_ipxe_script_serves_both_firmwares(kind):
    """What DHCP said of the firmware may be wrong or unknown; iPXE itself knows."""
    assert text(DECISIONS[kind], arch="x64-uefi") == text(DECISIONS[kind], arch="x86-bios")


@pytest.mark.golden
@pytest.mark.parametrize("arch", ["x86-bios", "x64-uefi"])
def test_a_host_set_to_chain_first_loads_our_own_ipxe(arch):
    assert_golden(f"scripts/ipxe-memory-chain-{arch}.txt", text(CHAINED[0], arch=arch))


@pytest.mark.golden
def test_local_boot_on_arm_names_its_own_efi_file():
    assert_golden(
        "scripts/ipxe-local-arm64-uefi.txt", text(a_local_boot(), arch="arm64-uefi", local_helper=None)
    )


@pytest.mark.parametrize("kind", DECISIONS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_scripts_are_short_lines_of_ascii_with_lf_only(dialect, kind):
    script = text(DECISIONS[kind], dialect)
    assert script.isascii()
    assert "\r" not in script
    assert "\t" not in script
    assert script.endswith("\n")
    assert max(len(line) for line in script.split("\n")) < 512


@pytest.mark.parametrize("decision", [*DECISIONS.values(), *CHAINED])
def test_bios_scripts_use_only_commands_that_pcbios_builds_have(decision):
    script = text(decision)
    names = {command.name for command in read_script(script)}
    assert names.isdisjoint(PCBIOS_LACKS | {"imgtrust", "imgverify"})
    assert "https:" not in script


@pytest.mark.parametrize("decision", DECISIONS.values())
def test_gpxe_scripts_are_straight_lines(decision):
    script = text(decision, "gpxe")
    assert script.startswith("#!gpxe\n")
    assert not re.search(r"\|\||&&|\$\{|hexhyp|(?m:^ *:)", script)
    names = {command.name for command in read_script(script)}
    assert names <= {"echo", "kernel", "initrd", "boot", "exit", "set", "chain", "sanboot"}


@pytest.mark.parametrize("decision", [*DECISIONS.values(), *CHAINED])
def test_every_ipxe_command_that_may_fail_has_a_way_on(decision):
    """A command that fails at the end of its line ends the script: the machine goes to its next device."""
    cannot_fail = {"#!ipxe", "echo", "exit", "set", "goto", "shell"}
    commands = read_script(text(decision))
    last_words = {c.name for c in commands if not c.ended_by and not c.name.startswith(":")}
    assert last_words <= cannot_fail


def test_labels_that_are_gone_to_exist():
    for decision in (*DECISIONS.values(), *CHAINED):
        commands = read_script(text(decision))
        labels = {c.name for c in commands if c.name.startswith(":")}
        assert {f":{c.words[1]}" for c in commands if c.name == "goto"} <= labels


def test_a_loader_that_cannot_be_told_from_a_rom_is_not_chained():
    """Its script would load it again and again."""
    script = text(CHAINED[0], loader="ipxe.pxe")
    assert "chain --autofree --replace http://10.0.0.2:8080/files/" not in script
    assert "kernel " in script


def test_the_answer_names_what_the_machine_was_told():
    answers = [SHIPPED.render(d, "ipxe", script_facts()).answer for d in DECISIONS.values()]
    assert answers == [
        "memory:rescue",
        "local",
        "slot:7 mesh/debian@2",
        "lun:rack mesh/debian@2",
        "diagnose: given memory:rescue 4 times in a minute, and each time it came back",
    ]


def test_file_addresses_carry_the_attempt_and_the_kernel_its_token():
    kernel = next(c for c in read_script(text(a_memory_boot())) if c.name == "kernel")
    assert kernel.words == (
        "kernel",
        "--name",
        "vmlinuz",
        "http://10.0.0.2:8080/files/memory/rescue/0123456789abcdef/vmlinuz?a=0-525400abcd01-00000000",
        "initrd=initrd.gz",
        "initrd=site.cpio",
        "console=ttyS0",
        "quiet",
        "bootd.node=node1",
        "bootd.mac=52:54:00:ab:cd:01",
        "bootd.image=rescue",
        "bootd.report=http://10.0.0.2:8080/node/v1/report",
        "bootd.token=" + "T" * 48,
    )


def test_without_a_token_the_command_line_is_the_images_own():
    bare = a_memory_boot(image=replace(RESCUE, cmdline="", initrds=()))
    assert "APPEND" not in text(bare, "pxelinux", token="")
    kernel = next(c for c in read_script(text(bare, token="", attempt="")) if c.name == "kernel")
    assert kernel.words[3:] == ("http://10.0.0.2:8080/files/memory/rescue/0123456789abcdef/vmlinuz",)


@pytest.mark.parametrize("decision", DECISIONS.values())
def test_every_value_a_template_gets_is_in_the_readme(decision):
    readme = (share("templates") / "README.md").read_text()
    documented = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]*)`", readme))))
    assert set(_values(decision, script_facts())) <= documented


def test_an_unknown_dialect_is_an_error_of_the_caller():
    with pytest.raises(NotFound, match="no dialect 'lua'"):
        SHIPPED.render(a_memory_boot(), "lua", script_facts())


# -- slots and LUNs ----------------------------------------------------------------------------


def commands(script, name):
    return [c.words for c in read_script(script) if c.name == name]


def test_lun_is_booted_by_one_portal_after_the_other_with_the_nodes_own_name():
    script = text(a_lun_boot())
    assert commands(script, "sanboot") == [
        ("sanboot", "iscsi:10.0.0.5:::1:iqn.2026-01.lab:rack-a-node1"),
        ("sanboot", "iscsi:10.0.1.5::3261:1:iqn.2026-01.lab:rack-a-node1"),
    ]
    assert ("set", "initiator-iqn", "iqn.2026-01.lab:node1") in commands(script, "set")


@pytest.mark.parametrize("dialect", ["ipxe", "gpxe"])
def test_secret_stands_in_a_setting_before_the_lun_is_opened_and_nowhere_else(dialect):
    read = read_script(text(a_lun_boot(), dialect))
    holders = [c.words for c in read if any("s3cret" in word for word in c.words)]
    assert holders == [("set", "password", "s3cretOfTheClone")]
    names = [c.name for c in read]
    assert names.index("sanboot") > [c.words[:2] for c in read].index(("set", "password"))


def test_target_without_chap_is_not_given_a_name():
    script = text(a_lun_boot(), chap=None)
    assert [words[1] for words in commands(script, "set")] == ["initiator-iqn", "tries:int32"]


def test_gpxe_is_given_the_first_portal_alone():
    assert commands(text(a_lun_boot(), "gpxe"), "sanboot") == [
        ("sanboot", "iscsi:10.0.0.5:::1:iqn.2026-01.lab:rack-a-node1")
    ]


@pytest.mark.parametrize(
    ("portal", "lun", "uri"),
    [
        ("10.0.0.5:3260", 0, "iscsi:10.0.0.5:::0:iqn.t"),
        ("10.0.0.5:3261", 26, "iscsi:10.0.0.5::3261:1a:iqn.t"),
        ("[fd99::5]:3260", 1, "iscsi:[fd99::5]:::1:iqn.t"),
    ],
)
def test_address_of_a_lun_is_written_as_rfc_4173_says(portal, lun, uri):
    clone = replace(CLONE, portals=(portal,), lun=lun, target="iqn.t")
    assert commands(text(a_lun_boot(clone=clone)), "sanboot") == [("sanboot", uri)]


@pytest.mark.parametrize("portal", ["10.0.0.5", ":3260", "10.0.0.5:x", "10.0.0.5:3260 || shell"])
def test_portal_that_is_none_becomes_a_diagnosis(portal):
    script = SHIPPED.render(a_lun_boot(clone=replace(CLONE, portals=(portal,))), "ipxe", script_facts())
    assert script.answer.startswith("diagnose: not a portal")


@pytest.mark.parametrize("dialect", ["grub", "pxelinux"])
def test_loader_that_knows_no_iscsi_says_what_the_machine_needs(dialect):
    script = SHIPPED.render(a_lun_boot(), dialect, script_facts())
    assert "let this machine load iPXE instead" in script.text
    assert "s3cret" not in script.text
    assert script.answer.startswith("diagnose: ")


@pytest.mark.parametrize(
    ("device", "disk"),
    [
        ("/dev/sda7", "hd0"),
        ("/dev/vdb7", "hd1"),
        ("/dev/nvme0n1p7", "hd0"),
        ("/dev/nvme2n1p7", "hd2"),
        ("/dev/disk/by-id/x-part7", "hd0"),
        ("", "hd0"),
    ],
)
def test_disk_of_a_slot_is_counted_as_grub_does(device, disk):
    decision = a_slot_boot(place=replace(a_slot_boot().place, device=device))
    assert f"set root='{disk},msdos7'\n" in text(decision, "grub")
    assert f"  APPEND {disk} 7\n" in text(decision, "pxelinux")


@pytest.mark.parametrize("missing", ["slot_bios", "slot_efi"])
def test_slot_program_that_is_not_there_is_not_fetched(missing):
    script = text(a_slot_boot(), **{missing: None})
    [chained] = [words[1] for words in commands(script, "chain") if "/loaders/slot" in words[1]]
    assert chained.endswith("x64.efi" if missing == "slot_bios" else "pc.0")


def test_without_any_slot_program_the_disks_own_default_is_booted():
    script = text(a_slot_boot(), slot_bios=None, slot_efi=None)
    assert "/loaders/slot" not in script
    assert ("sanboot", "--no-describe", "--drive", "0x80") in commands(script, "sanboot")
    assert commands(text(a_slot_boot(), "gpxe", slot_bios=None), "exit") == [("exit",)]


def test_secret_is_not_in_what_a_debugger_or_a_log_would_print():
    facts = script_facts()
    script = SHIPPED.render(a_lun_boot(), "ipxe", facts)
    assert "s3cret" in script.text
    assert "s3cret" not in f"{facts!r} {script!r}"


@pytest.mark.parametrize("secret", ["two words", "a||b", "${net0/mac}", "x\ny", "", "a" * 65])
def test_secret_that_cannot_be_written_is_refused_without_being_shown(secret):
    script = SHIPPED.render(a_lun_boot(), "ipxe", script_facts(chap=Chap("node1", secret)))
    assert "holds characters that a script cannot carry" in script.answer
    assert not secret or secret not in script.text + script.answer


def test_secret_is_masked_in_what_an_overridden_template_complains_of(tmp_path):
    (tmp_path / "ipxe").mkdir()
    (tmp_path / "ipxe/lun.j2").write_text("#!ipxe\n{{ ('-' ~ password) | word }}\n")
    renderer = Renderer([tmp_path])
    script = renderer.render(a_lun_boot(), "ipxe", script_facts())
    assert script.answer == "lun:rack mesh/debian@2"
    [broken] = renderer.problems()
    assert "'-***'" in str(broken)
    assert "s3cret" not in str(broken)
