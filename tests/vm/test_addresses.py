"""Machines that get all they need from bootd: address, boot file and image; nobody else gives any."""

from collections.abc import Iterator

import pytest

from bootd.cli.context import cache_dir
from bootd.lab import Kind, Lab
from bootd.lab.demo import add_image
from tests.helpers.lab import PATIENCE_S, READY, REPORTED, lab_name, plug_in, steps, wait_for_step

pytestmark = pytest.mark.vm

CONFIG = """\
[dhcp]
mode = "authoritative"
[dhcp.subnets.lab]
network = "10.99.0.0/24"
router = "10.99.0.1"
domain = "lab.example"
"""
NODES = {
    "bios": (Kind.BIOS, "10.99.0.11"),
    "chain": (Kind.BIOS, "10.99.0.12"),
    "uefi": (Kind.UEFI, "10.99.0.13"),
    "http": (Kind.UEFI_HTTP, "10.99.0.14"),
}


@pytest.fixture(scope="module")
def booting() -> Iterator[Lab]:
    """Power all of them on together; each test waits for its own."""
    lab = Lab(lab_name("addr"))
    with lab.up(config_extra=CONFIG, site_dhcp=False):
        add_image(lab, "hello", cache=cache_dir(), say=print)
        for name, (kind, address) in NODES.items():
            plug_in(lab, name, kind, **({"ipxe": "chain"} if name == "chain" else {}))
            lab.bootd("hosts", "set", name, "--ip", address)
        lab.bootd("boot", ",".join(NODES), "memory:hello")
        for name in NODES:
            lab.power_on(name)
        yield lab


@pytest.mark.parametrize("name", NODES)
def test_machine_boots_with_the_address_of_its_row(booting: Lab, name: str) -> None:
    ready = booting.wait_for(name, READY, PATIENCE_S).group(0)
    assert f"address={NODES[name][1]}/24" in ready
    booting.wait_for(name, REPORTED, PATIENCE_S)
    wait_for_step(booting, name, "node.reported")
    found = steps(booting, name)
    assert all(NODES[name][1] in row["text"] for row in found.of("dhcp.address_given"))
    assert {row["text"].rpartition(" ")[2] for row in found.of("dhcp.address_given")} == {"(selecting)"}
    assert not found.of("dhcp.address_refused")


def test_uefi_machine_boots_from_the_first_answer_and_does_not_ask_a_boot_server(booting: Lab) -> None:
    booting.wait_for("uefi", READY, PATIENCE_S)
    offers = [row["text"] for row in steps(booting, "uefi").of("dhcp.offer_sent")]
    assert offers
    assert not [text for text in offers if "4011" in text]
