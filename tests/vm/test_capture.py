"""A slot that somebody changed is captured from a real machine, and boots in another slot of another one."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.lab import Lab
from bootd.lab.demo import store_opener
from bootd.model import DiskImage, Slot
from tests.helpers.lab import PATIENCE_S, lab_name, steps
from tests.helpers.meshlab import MeshLab
from tests.helpers.partitions import root_partition, torn
from tests.helpers.unpacking import run

pytestmark = pytest.mark.vm

SLOT, OTHER_SLOT = 7, 8
BEFORE, AFTER = "AS-IT-CAME", "AS-SOMEBODY-LEFT-IT"
THESIS = b"written last night\n" * 9000
TABLE = """\
label: dos
unit: sectors
start=2048, size=131072, type=83, bootable
start=133120, size=16384, type=82
start=149504, size=16384, type=83
start=165888, size=882688, type=5
start=167936, size=131072, type=83
start=301056, size=131072, type=83
start=434176, size=131072, type=83
start=567296, size=131072, type=83
start=700416, size=131072, type=83
"""
START, SECTORS = 434176, 131072  # of the slot
_LONG_S = 2 * PATIENCE_S


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[MeshLab]:
    made = MeshLab(Lab(lab_name("capture")), tmp_path, ("mesh1", "mesh2"))
    try:
        yield made.up(transport="http")
    finally:
        made.lab.down()


def fill(disk: Path, work: Path) -> None:
    """Divide a disk and put a system into its slot, which somebody changed and switched off at once."""
    run("sfdisk", "-q", "--no-reread", disk, text=TABLE)
    partition = root_partition(work / "root", BEFORE)
    with partition.open("r+b") as file:
        file.truncate(SECTORS * 512)
    run("resize2fs", partition)
    torn(partition, change)
    assert "needs_recovery" in run("tune2fs", "-l", partition)
    run("dd", f"if={partition}", f"of={disk}", "bs=512", f"seek={START}", "conv=notrunc,sparse")


def change(at: Path) -> None:
    menu = at / "boot/grub/grub.cfg"
    menu.write_text(menu.read_text().replace(BEFORE, AFTER))
    (at / "thesis").write_bytes(THESIS)
    run("sync", "-f", at)


def hold(lab: MeshLab, image: DiskImage) -> None:
    """Tell bootd that mesh1 holds the image in its slot."""
    with store_opener(lab.lab)() as store, store.transaction("anna", "test") as transaction:
        transaction.keep(Slot("mesh1", SLOT, image.ref, image.identity, "ready"))


def image_of(lab: MeshLab, ref: str) -> DiskImage:
    found = lab.ask(lambda reads: reads.find(DiskImage, ref))
    assert found is not None
    return found


def wait_for_end(lab: MeshLab, job: int) -> dict[str, str]:
    until = time.monotonic() + _LONG_S
    while True:
        now: dict[str, str] = json.loads(lab.lab.bootd("jobs", "show", str(job), "--json").stdout)
        if now["state"] in ("done", "failed", "cancelled"):
            return now
        assert time.monotonic() < until, (now, lab.lab.console("mesh1").tail())
        time.sleep(1)


def restored(folder: Path, to: Path) -> Path:
    """Restore the image as Clonezilla does: its pieces through zstd and partclone, onto a partition."""
    pieces = " ".join(f"'{path}'" for path in sorted(folder.glob(f"vda{SLOT}.ext4-ptcl-img.zst.*")))
    with to.open("wb") as file:
        file.truncate(SECTORS * 512)
    restore = f"partclone.restore -q -C -s - -O '{to}' -L /dev/null"
    for tool in (restore, "partclone.chkimg -s - -L /dev/null"):
        run("bash", "-c", f"set -o pipefail; cat {pieces} | zstd -dc | {tool}")
    return to


def test_captured_slot_boots_in_another_slot_of_another_machine(lab: MeshLab, tmp_path: Path) -> None:
    ref = lab.add_image("debian", BEFORE)
    fill(tmp_path / "mesh1.disk", tmp_path)
    hold(lab, image_of(lab, ref))
    lab.lab.bootd("boot", "mesh1", "local")
    words = ("images", "capture", "mesh1", str(SLOT), "mesh/mine", "--yes", "--no-follow", "--json")
    ended = wait_for_end(lab, json.loads(lab.lab.bootd(*words).stdout)["job"])
    assert ended["state"] == "done", (ended, lab.lab.console("mesh1").tail())
    assert ended["note"] == "image mesh/mine@1 (its journal was replayed: mesh1 was not shut down)"
    lab.lab.bootd("images", "verify", "mesh/mine")

    captured = image_of(lab, "mesh/mine@1")
    assert captured.size < 12 << 20  # of a slot of 64 MiB
    partition = restored(lab.lab.data_dir / "dark" / captured.folder, tmp_path / "restored")
    run("e2fsck", "-f", "-n", partition)
    run("debugfs", "-R", f"dump /thesis {tmp_path}/thesis", partition)
    assert (tmp_path / "thesis").read_bytes() == THESIS

    lab.lab.bootd("deploy", "mesh/mine", "--nodes", "mesh2", "--slot", str(OTHER_SLOT), "--no-follow")
    lab.lab.wait_for("mesh2", f"{AFTER} in hd0,msdos{OTHER_SLOT}", _LONG_S)
    # the imager was for once: what mesh1 started next is what it was told before
    [*_, last] = steps(lab.lab, "mesh1").of("http.script_sent")
    assert "local" in last["text"]
