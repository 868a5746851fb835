"""How the lab's machines are entered into bootd's host table: the real command, and no machine."""

from pathlib import Path

import pytest

from bootd.drivers.power import Powers
from bootd.drivers.power.qemu import QemuPower
from bootd.drivers.tools import Tools
from bootd.lab import Lab, LabError, servers
from bootd.lab.demo import store_opener
from bootd.lab.machines import Kind, NodeSpec, complete
from bootd.lab.state import Node
from bootd.model import Host


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab as its folder tells, with one machine that is off."""
    lab = Lab("one", root=tmp_path)
    with lab.run.change() as state:
        state.nodes["n1"] = Node(complete("one", NodeSpec("n1", Kind.BIOS)), "tap0")
    lab.config.write_text(servers.bootd_config(lab.run.path))
    return lab


def registered(lab: Lab) -> Host:
    with store_opener(lab)() as store:
        [host] = store.hosts()
    return host


def test_a_machine_can_be_switched_by_its_qmp_socket(lab: Lab, tmp_path: Path) -> None:
    lab.register("n1")
    host = registered(lab)
    assert host == Host(
        "n1",
        lab.node("n1").spec.mac,
        settings={"power": "qmp", "power-qmp": f"{tmp_path}/one/n-n1.qmp"},
    )
    assert isinstance(Powers(Tools(tmp_path)).of(host), QemuPower)


def test_what_is_given_outweighs_what_goes_without_saying(lab: Lab) -> None:
    lab.register("n1", ipxe="chain", power="fake")
    settings = registered(lab).settings
    assert (settings["ipxe"], settings["power"]) == ("chain", "fake")


def test_a_machine_the_lab_does_not_have_is_not_entered(lab: Lab) -> None:
    with pytest.raises(LabError, match="has no machine 'n2'"):
        lab.register("n2")
    with store_opener(lab)() as store:
        assert store.hosts() == []
