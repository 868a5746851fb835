"""The lab: takes everything away again, also after its maker was killed; labs do not see each other."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bootd.drivers.power import Power, Powers, PowerState, PowerUnreachable
from bootd.drivers.tools import Tools
from bootd.lab import Kind, Lab, LabError, NodeSpec, servers
from bootd.lab.demo import store_opener
from bootd.lab.process import identify
from bootd.model import Host
from tests.helpers.lab import lab_name

pytestmark = pytest.mark.vm


def bootd(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bootd", *argv],
        env=servers.bootd_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


def namespaces() -> set[str]:
    folder = Path("/run/netns")
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def assert_nothing_is_left(lab: Lab, pids: list[int]) -> None:
    assert not lab.run.path.exists()
    assert not namespaces() & set(lab.network.namespaces)
    for pid in pids:
        process = identify(pid)
        assert process is None or not process.alive


def pids_of(lab: Lab) -> list[int]:
    state = lab.state()
    nodes = [node.process.pid for node in state.nodes.values() if node.process]
    return [process.pid for process in state.servers.values()] + nodes


def test_a_lab_whose_maker_was_killed_is_taken_down_by_another_process() -> None:
    lab = Lab(lab_name("orphan"))
    code = (
        "import os, signal, sys\n"
        "from bootd.lab import Lab, NodeSpec\n"
        "lab = Lab(sys.argv[1]).up()\n"
        "lab.add_node(NodeSpec('n1'))\n"
        "lab.power_on('n1')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    maker = subprocess.run(
        [sys.executable, "-c", code, lab.name],
        env=servers.bootd_environment(),
        capture_output=True,
        check=False,
    )
    try:
        assert maker.returncode == -signal.SIGKILL, maker.stderr.decode()
        pids = pids_of(lab)
        assert len(pids) == 3  # the site's server, bootd, the machine
        shown = json.loads(bootd("lab", "status", "--name", lab.name, "--json").stdout)
        assert shown[0]["servers"] == {"site": "running", "bootd": "running"}
        assert shown[0]["nodes"][0]["power"] == "running"
        done = bootd("lab", "down", "--name", lab.name)
        assert (done.returncode, done.stdout) == (0, f"{lab.name}: down\n")
        assert_nothing_is_left(lab, pids)
    finally:
        lab.down()


def test_what_the_state_file_forgot_is_found_in_the_namespaces() -> None:
    lab = Lab(lab_name("amnesia")).up()
    try:
        pids = pids_of(lab)
        (lab.run.path / "state.json").write_text("{ torn")
        lab.down()
        assert_nothing_is_left(lab, pids)
    finally:
        lab.down()


def test_a_lab_that_cannot_start_leaves_nothing_behind() -> None:
    lab = Lab(lab_name("broken"))
    with pytest.raises(LabError, match="bootd did not start"):
        lab.up(config_extra='[http]\nport = "not a number"\n')
    assert_nothing_is_left(lab, [])


def test_two_labs_have_the_same_addresses_and_do_not_meet() -> None:
    with Lab(lab_name("twin-a")) as one, Lab(lab_name("twin-b")) as two:
        one.bootd("hosts", "add", "only-here", "--mac", "52:54:00:11:22:33")
        assert "only-here" in one.bootd("hosts", "list").stdout
        assert "only-here" not in two.bootd("hosts", "list").stdout
        assert set(pids_of(one)).isdisjoint(pids_of(two))


def power_driver(lab: Lab, name: str, folder: Path) -> tuple[Power, Host]:
    """Return the driver that bootd's host table names for the machine *name*, and its row there."""
    lab.register(name)
    with store_opener(lab)() as store:
        node = store.host(name)
    assert node is not None
    return Powers(Tools(folder)).of(node), node


def test_power_goes_on_off_and_through_reset(tmp_path: Path) -> None:
    with Lab(lab_name("power")) as lab:
        lab.add_node(NodeSpec("n1", Kind.BIOS))
        assert lab.power("n1") == "off"
        lab.power_on("n1")
        lab.wait_for("n1", "SeaBIOS", 60)
        assert lab.power("n1") == "running"
        with pytest.raises(LabError, match="n1 is on already"):
            lab.power_on("n1")
        lab.reset("n1")
        lab.wait_for("n1", "SeaBIOS", 60)  # said again
        power, node = power_driver(lab, "n1", tmp_path)
        lab.console("n1").restart()
        power.reset(node)
        lab.wait_for("n1", "SeaBIOS", 60)
        power.off(node)
        assert power.state(node) is PowerState.OFF
        lab.boot("n1")
        lab.wait_for("n1", "SeaBIOS", 60)
        assert power.state(node) is PowerState.ON
        lab.power_off("n1")
        assert lab.power("n1") == "off"
        with pytest.raises(PowerUnreachable):
            power.state(node)
        with pytest.raises(LabError, match="n1 is off"):
            lab.reset("n1")


def test_an_unknown_machine_of_the_lab_is_told_with_those_there_are() -> None:
    with Lab(lab_name("names")) as lab:
        lab.add_node(NodeSpec("n1"))
        with pytest.raises(LabError, match="has no machine 'n2'; it has: n1"):
            lab.power_on("n2")
        with pytest.raises(LabError, match="already has a machine 'n1'"):
            lab.add_node(NodeSpec("n1"))
