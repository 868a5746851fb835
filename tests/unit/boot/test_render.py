import re
from dataclasses import replace

import pytest

from bootd.boot.dialect import DIALECTS
from bootd.boot.render import Renderer, _values
from bootd.errors import NotFound
from bootd.resources import share
from netboot.ipxe import PCBIOS_LACKS
from tests.helpers.golden import assert_golden
from tests.helpers.script_readers import read_script
from tests.helpers.scripts import RESCUE, a_diagnosis, a_local_boot, a_memory_boot, script_facts

SHIPPED = Renderer()
DECISIONS = {
    "memory": a_memory_boot(),
    "local": a_local_boot(),
    "diagnose": a_diagnosis(),
}
CHAINED = [a_memory_boot(chain=True), a_local_boot(chain=True)]


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
    assert names <= {"echo", "kernel", "initrd", "boot", "exit"}


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
