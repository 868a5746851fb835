"""From power-on to a shell in memory that reports in, on each kind of machine."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.lab import Kind, Lab, servers
from bootd.lab.console import ESCAPE
from tests.helpers.lab import PATIENCE_S, READY, REPORTED, plug_in, steps, wait_for_step

pytestmark = pytest.mark.vm

LOADERS = Path("/usr/lib/ipxe")
NODES = {
    "bios": Kind.BIOS,
    "e1000": Kind.BIOS_E1000,
    "chain": Kind.BIOS,
    "uefi": Kind.UEFI,
    "http": Kind.UEFI_HTTP,
    "off": Kind.BIOS,
}


@pytest.fixture(scope="module")
def booting(lab: Lab) -> Iterator[Lab]:
    """Power all of them on together; each test waits for its own."""
    for name, kind in NODES.items():
        settings = {"ipxe": "chain"} if name == "chain" else {}
        plug_in(lab, name, kind, **settings)
    lab.bootd("boot", ",".join(NODES), "memory:hello")
    add_hello_that_ends(lab)
    lab.bootd("boot", "off", "memory:ends")
    for name in NODES:
        lab.power_on(name)
    yield lab
    for name in NODES:
        lab.power_off(name)


def add_hello_that_ends(lab: Lab) -> None:
    """Add the hello image a second time, told to turn the machine off after its report."""
    kept = lab.data_dir / "files/memory/hello"
    kernel, initrd = (str(next(kept.rglob(name))) for name in ("vmlinuz", "initrd.gz"))
    words = "console=ttyS0 quiet bootd.after=poweroff"
    lab.bootd("memory", "add", "ends", "--kernel", kernel, "--initrd", initrd, "--cmdline", words)


def assert_whole_image_by_http(lab: Lab, name: str) -> None:
    """Each file went out once, whole: the sizes are those that `bootd memory` keeps."""
    found = steps(lab, name)
    kept = lab.data_dir / "files/memory/hello"
    for file in ("vmlinuz", "initrd.gz"):
        size = next(kept.rglob(file)).stat().st_size
        assert [(row["event"], row["octets"]) for row in found.fetched(file)] == [("http.file_sent", size)]


def test_a_bios_machine_goes_from_its_rom_to_a_shell_that_reports(booting: Lab) -> None:
    ready = booting.wait_for("bios", READY, PATIENCE_S).group(0)
    assert "node=bios image=hello firmware=bios address=10.99.0." in ready
    booting.wait_for("bios", REPORTED, PATIENCE_S)
    found = wait_for_step(booting, "bios", "node.reported")
    assert found.of("http.script_sent")
    assert_whole_image_by_http(booting, "bios")


def test_a_rom_that_is_ipxe_itself_loads_no_other(booting: Lab) -> None:
    booting.wait_for("bios", READY, PATIENCE_S)
    assert not steps(booting, "bios").fetched("undionly.kpxe")


def test_a_machine_without_a_driver_for_its_card_says_so_and_gives_a_shell(booting: Lab) -> None:
    ready = booting.wait_for("e1000", READY, PATIENCE_S).group(0)
    assert "address=none" in ready
    booting.wait_for("e1000", "NO NETWORK: this kernel has no driver", PATIENCE_S)
    booting.wait_for("e1000", r"built-in shell \(ash\)", PATIENCE_S)
    assert_whole_image_by_http(booting, "e1000")
    assert not steps(booting, "e1000").of("node.reported")


def test_a_machine_that_must_use_our_ipxe_loads_it_once_and_goes_on(booting: Lab) -> None:
    booting.wait_for("chain", REPORTED, PATIENCE_S)
    found = wait_for_step(booting, "chain", "node.reported")
    (loader,) = found.fetched("undionly.kpxe")
    assert loader["event"] == "tftp.read_completed"
    assert loader["octets"] == (LOADERS / "undionly.kpxe").stat().st_size
    assert len(found.of("http.script_sent")) == 2  # to the ROM, then to the one we gave it
    assert_whole_image_by_http(booting, "chain")


def test_a_uefi_machine_reads_its_loader_by_tftp(booting: Lab) -> None:
    ready = booting.wait_for("uefi", READY, PATIENCE_S).group(0)
    assert "firmware=uefi" in ready
    booting.wait_for("uefi", REPORTED, PATIENCE_S)
    found = wait_for_step(booting, "uefi", "node.reported")
    (loader,) = found.fetched("snponly.efi")
    assert loader["event"] == "tftp.read_completed"
    assert loader["octets"] == (LOADERS / "snponly.efi").stat().st_size
    assert_whole_image_by_http(booting, "uefi")


def test_uefi_http_boot_needs_no_tftp(booting: Lab) -> None:
    ready = booting.wait_for("http", READY, PATIENCE_S).group(0)
    assert "firmware=uefi" in ready
    booting.wait_for("http", REPORTED, PATIENCE_S)
    found = wait_for_step(booting, "http", "node.reported")
    (loader,) = found.fetched("snponly.efi")
    assert loader["event"] == "http.file_sent"
    assert loader["octets"] == (LOADERS / "snponly.efi").stat().st_size
    assert not [row for row in found.rows if row["event"].startswith("tftp.")]
    assert_whole_image_by_http(booting, "http")


def test_a_machine_told_to_turns_itself_off_after_its_report(booting: Lab) -> None:
    booting.wait_for("off", "BOOTD-POWEROFF", PATIENCE_S)
    assert wait_for_step(booting, "off", "node.reported").of("node.reported")
    machine = booting.node("off").process
    assert machine is not None
    assert machine.wait(PATIENCE_S)
    assert booting.power("off") == "off"


def test_the_console_can_be_joined_and_left(booting: Lab) -> None:
    booting.wait_for("bios", REPORTED, PATIENCE_S)
    command = servers.bootd_command(booting.config, "lab", "console", "bios", "--name", booting.name)
    with subprocess.Popen(
        command,
        env=servers.bootd_environment(),
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as terminal:
        assert terminal.stdin is not None
        terminal.stdin.write(b"echo typed-$((6*7))\n")
        booting.wait_for("bios", "typed-42", PATIENCE_S)  # the log goes on while somebody is attached
        terminal.stdin.write(ESCAPE)
        said, _ = terminal.communicate()
    assert terminal.returncode == 0
    assert b"typed-42" in said
