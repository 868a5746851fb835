"""A target that goes away while a root node starts, or runs: it goes on, or starts anew by itself."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.cli.context import cache_dir
from bootd.imagebuild import disk
from bootd.imagebuild.disk import Table, Words
from bootd.lab import Kind, Lab, NodeSpec, roots
from bootd.lab.roots import NAME, PROJECT, REPORT
from bootd.resources import share
from tests.helpers.lab import PATIENCE_S, lab_name

pytestmark = pytest.mark.vm

NODE = "bios1"
WAIT_S = 45  # that the image waits for its target; a real one waits for ten minutes
COMES_BACK = "BOOTD-LUN-BACK after"
READY = r"BOOTD-READY [^\n]*boots=(\d+) "


def add_image(lab: Lab, folder: Path) -> None:
    """Have the image of the demonstration, of less patience."""
    recipe = folder / "rootdisk"
    shutil.copytree(share("images") / "rootdisk", recipe)
    text = (recipe / "recipe.toml").read_text()
    (recipe / "recipe.toml").write_text(text.replace(" panic=10", f" panic=10 bootd.lun_wait={WAIT_S}"))
    lab.bootd("projects", "add", PROJECT, "--owner", "root")
    of = disk.gather(recipe, cache=cache_dir(), progress=print)
    made = disk.write(of, folder / "root.raw", Words(f"{NAME}@1", REPORT), Table.MBR)
    lab.bootd("images", "add", NAME, str(made))


def booked(lab: Lab) -> None:
    lab.bootd(
        *("reservations", "add", PROJECT, "--nodes", NODE, "--image", f"{NAME}@1"),
        *("--start", "now", "--end", "+2h"),
    )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(lab_name("away"))
    try:
        made.up(luns=True)
        roots.add_machines(made, [NodeSpec(NODE, Kind.BIOS)])
        roots.add_pair(made)
        add_image(made, tmp_path_factory.mktemp("image"))
        booked(made)
        yield made
    finally:
        made.down()


def test_node_goes_on_with_a_target_that_was_away_while_it_started_or_starts_anew(lab: Lab) -> None:
    # before its kernel has logged in
    lab.wait_for(NODE, "bootd: the kernel runs", PATIENCE_S)
    lab.stop_target()
    lab.wait_for(NODE, "bootd: no LUN for 10 s: iscsistart: connect to [^\n]* failed", PATIENCE_S)
    assert "root file system" not in lab.console(NODE).text
    lab.start_target()
    # when it has its root file system, and has not started from it yet
    lab.wait_for(NODE, "bootd: bios1 has its root file system", PATIENCE_S)
    lab.stop_target()
    lab.wait_for(NODE, "BOOTD-LUN-AWAY the target does not answer", PATIENCE_S)
    lab.start_target()
    lab.wait_for(NODE, COMES_BACK, PATIENCE_S)
    assert lab.wait_for(NODE, READY, PATIENCE_S)[1] == "1"
    lab.wait_for(NODE, "BOOTD-REPORTED", PATIENCE_S)
    # for longer than it waits
    lab.console(NODE).restart()
    lab.stop_target()
    lab.wait_for(NODE, f"BOOTD-LUN-LOST after {WAIT_S} s; starting anew", PATIENCE_S)
    lab.wait_for(NODE, r"try 1 of 4", PATIENCE_S)
    lab.start_target()
    assert lab.wait_for(NODE, READY, PATIENCE_S)[1] == "2"
