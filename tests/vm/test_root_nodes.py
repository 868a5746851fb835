"""Root nodes for real: what `make demo-lun` shows, and afterwards what a target that goes away does to them.

A BIOS machine and a UEFI machine without disks boot from an iSCSI target by booking, their root file system
on their own clone; image A has an MBR and image B a GPT, so each firmware is seen with each. A is raw and B
qcow2; the BIOS machine gets iPXE by TFTP, as a card without one.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import pytest

from bootd.clock import utc_now
from bootd.lab import Lab, roots, servers, target
from bootd.lab.roots import NODES, A, B
from bootd.model import LunClone
from bootd.outfit import chap_of
from bootd.store import open_store
from tests.helpers.initiator import Initiator, LoginRefused
from tests.helpers.lab import PATIENCE_S, lab_name, steps, wait_for_step
from tests.helpers.namespace import Namespace

pytestmark = pytest.mark.vm

NAMES = [spec.name for spec in NODES]
FIRMWARE = {spec.name: spec.kind.firmware for spec in NODES}
READY = re.compile(
    r"BOOTD-READY node=(?P<node>\S+) image=(?P<image>\S+) firmware=(?P<firmware>\S+) root=(?P<root>\S+)"
    r" on=(?P<on>\S+) boots=(?P<boots>\d+) writers=(?P<writers>\S+)"
)


@dataclass
class Shown:
    lab: Lab
    said: str  # by the demonstration

    def boots(self, node: str) -> list[dict[str, str]]:
        """Return what *node* said of itself, boot by boot, while the demonstration ran."""
        return [found.groupdict() for found in READY.finditer(self.said) if found["node"] == node]


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    """Run the demonstration once; its lab stays up for the tests."""
    lab = Lab(lab_name("roots"))
    command = [sys.executable, "-m", "bootd", "lab", "demo-lun", "--keep", "--name", lab.name]
    try:
        done = subprocess.run(
            command, env=servers.bootd_environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield Shown(lab, done.stdout)
    finally:
        lab.down()


@pytest.mark.parametrize("node", NAMES)
def test_each_boot_has_its_root_file_system_on_the_lun_with_the_image_of_that_moment(
    shown: Shown, node: str
) -> None:
    boots = shown.boots(node)
    assert [boot["image"] for boot in boots] == [A, B, A]  # a file that the image's build has written
    assert {(boot["root"], boot["on"]) for boot in boots} == {("/dev/sda2", "/dev/sda2")}
    assert {boot["firmware"] for boot in boots} == {FIRMWARE[node]}


@pytest.mark.parametrize("node", NAMES)
def test_each_node_finds_what_it_wrote_and_nothing_of_the_others(shown: Shown, node: str) -> None:
    assert [(boot["boots"], boot["writers"]) for boot in shown.boots(node)] == [
        ("1", node),
        ("1", node),  # the next image is another disk
        ("2", node),  # rolled back: its old clone, with what it wrote there
    ]


def test_next_image_is_staged_while_the_nodes_run_and_the_flip_starts_them_anew(shown: Shown) -> None:
    staging = shown.said.index("job 3, stage-lun: done")
    flipped = shown.said.index("$ bootd luns flip")
    second = [found.start() for found in READY.finditer(shown.said)][2]
    assert staging < flipped < second
    assert "console: BOOTD-RESTARTING" not in shown.said[:flipped]
    for node in NAMES:
        assert f"{node}  console: BOOTD-RESTARTING" in shown.said[flipped:second]


def test_each_boot_begins_with_a_loader_by_tftp_and_goes_on_with_the_lun(shown: Shown) -> None:
    for node, loader in (("bios1", "undionly.kpxe"), ("uefi1", "snponly.efi")):
        seen = steps(shown.lab, node)
        loads, scripts = seen.fetched(loader), seen.of("http.script_sent")
        assert {row["event"] for row in loads} == {"tftp.read_completed"}
        kinds = (
            "loader" if row in loads else "script" for row in seen.rows if row in loads or row in scripts
        )
        order = [kind for kind, _ in groupby(kinds)]  # a ROM that is iPXE asks for a script before it, too
        assert order[-6:] == ["loader", "script"] * 3, seen.rows
        assert "lun:" in scripts[-1]["text"]


def test_next_image_was_qcow2_and_lies_unpacked_on_its_side(shown: Shown) -> None:
    kinds = json.loads(shown.lab.bootd("images", "list", "--json").stdout)
    assert {one["image"]: one["kind"] for one in kinds} == {A: "raw", B: "qcow2"}
    assert f'"image": "{B}"' in shown.lab.bootd("luns", "show", roots.GROUP, "--json").stdout


def test_demonstration_ends_with_its_times_and_the_targets_own_table(shown: Shown) -> None:
    lines = shown.said.splitlines()
    for node in NAMES:
        (times,) = [line for line in lines if node in line and line.startswith("│")]
        assert len(re.findall(r"\d+\.\d s", times)) == 3
        (own,) = [line for line in lines if re.search(rf"roots\.b\.{node}\.\d+ .*:{node} 10\.99\.0\.", line)]
        assert own.startswith(node)
    assert "To try next:" in shown.said


def test_the_booking_runs_by_the_nodes_own_word(shown: Shown) -> None:
    told = shown.lab.bootd("reservations", "show", "1").stdout
    assert f"root  {A}  LUN pair roots  run" in told
    assert "lun-ready → run  (reports by bootd)" in told


def log_in(lab: Lab, clone: LunClone, initiator: str, secret: str) -> None:
    """Log in from inside the lab, and out again."""
    space = Namespace(lab.network.boot, "")

    def login() -> None:
        target_name = clone.target
        Initiator(initiator, clone.portals[0], target_name, clone.lun, clone.chap_user, secret).log_out()

    space.run(login)


def test_the_lun_of_another_node_is_refused_by_the_target_itself(shown: Shown) -> None:
    with open_store(f"sqlite:///{shown.lab.data_dir}/bootd.db", clock=utc_now) as store:
        clones = {clone.node: clone for clone in store.every(LunClone) if clone.side == 1}
        secrets = {node: chap_of(store)(clone).secret for node, clone in clones.items()}
    first, second = (clones[node] for node in NAMES)
    log_in(shown.lab, first, first.initiator, secrets[first.node])  # so does the node itself
    with pytest.raises(LoginRefused):
        log_in(shown.lab, first, second.initiator, secrets[first.node])  # who knows the secret by chance
    with pytest.raises(LoginRefused):
        log_in(shown.lab, first, first.initiator, secrets[second.node])  # who takes the name


def test_target_that_is_down_is_said_on_the_screen_and_boots_by_what_comes_back_of_it(shown: Shown) -> None:
    lab, node = shown.lab, NAMES[0]
    lab.stop_target()
    lab.reset(node)
    lab.wait_for(node, r"try 1 of 4", PATIENCE_S)
    lab.start_target(target.PORTALS[1:])  # the first portal stays dead
    ready = READY.search(lab.wait_for(node, READY.pattern, PATIENCE_S).group(0))
    assert ready is not None
    assert (ready["image"], ready["boots"], ready["writers"]) == (A, "3", node)
    lab.wait_for(node, "BOOTD-REPORTED", PATIENCE_S)
    wait_for_step(lab, node, "node.reported", count=4)
    (own,) = [clone for clone in roots.clones(lab) if clone.node == node and clone.sessions]
    # iPXE's own session is there too: it does not log out when the system takes over
    assert {each.partition(" ")[0].rpartition(":")[2] for each in own.sessions} == {node}
