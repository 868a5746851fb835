"""A slot that somebody changed is captured from a real machine, and boots in another slot of another one."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bootd.lab import Lab
from bootd.model import DiskImage
from bootd.store import Reads
from tests.helpers.lab import PATIENCE_S, lab_name
from tests.helpers.meshlab import MeshLab
from tests.helpers.unpacking import PATH, run

pytestmark = pytest.mark.vm

SLOT, OTHER_SLOT = 5, 8
BEFORE, AFTER = "AS-IT-CAME", "AS-SOMEBODY-LEFT-IT"
_LONG_S = 2 * PATIENCE_S


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[MeshLab]:
    made = MeshLab(Lab(lab_name("capture")), tmp_path, ("mesh1", "mesh2"))
    try:
        yield made.up(transport="http")
    finally:
        made.lab.down()


@contextmanager
def mounted(disk: Path, slot: int, at: Path) -> Iterator[Path]:
    """Mount a slot of a disk that no machine uses."""
    table = json.loads(run("sfdisk", "--json", disk))["partitiontable"]["partitions"]
    [start] = [each["start"] for each in table if each["node"].endswith(f"disk{slot}")]
    at.mkdir(exist_ok=True)
    run("mount", "-o", f"loop,offset={start * 512}", disk, at)
    try:
        yield at
    finally:
        run("umount", at)


def change(disk: Path, slot: int, at: Path) -> None:
    """Change files of a slot, and switch the machine off in the middle: its journal is left behind."""
    with mounted(disk, slot, at) as root:
        menu = root / "boot/grub/grub.cfg"
        menu.write_text(menu.read_text().replace(BEFORE, AFTER))
        (root / "thesis").write_bytes(b"written last night\n" * 9000)
        run("sync", "-f", root)
        torn = disk.with_suffix(".torn")
        shutil.copyfile(disk, torn)
    torn.replace(disk)


def wait_for_end(lab: MeshLab, job: int) -> dict[str, str]:
    until = time.monotonic() + _LONG_S
    while True:
        now: dict[str, str] = json.loads(lab.lab.bootd("jobs", "show", str(job), "--json").stdout)
        if now["state"] in ("done", "failed", "cancelled"):
            return now
        assert time.monotonic() < until, (now, lab.lab.console("mesh1").tail())
        time.sleep(1)


def restored(folder: Path, to: Path, size: int) -> Path:
    """Restore the image as Clonezilla does: its pieces through zstd and partclone, onto a partition."""
    pieces = sorted(folder.glob("vda5.ext4-ptcl-img.zst.*"))
    with to.open("wb") as file:
        file.truncate(size)
    words = " ".join(f"'{piece}'" for piece in pieces)
    for tool in (
        f"partclone.restore -q -C -s - -O '{to}' -L /dev/null",
        "partclone.chkimg -s - -L /dev/null",
    ):
        pipe = f"set -o pipefail; cat {words} | zstd -dc | {tool}"
        subprocess.run(["bash", "-c", pipe], check=True, env=PATH)
    return to


def test_captured_slot_boots_in_another_slot_of_another_machine(lab: MeshLab, tmp_path: Path) -> None:
    image = lab.add_image("debian", BEFORE)
    lab.book(image, ["mesh1"])
    lab.lab.wait_for("mesh1", f"{BEFORE} in hd0,msdos{SLOT}", _LONG_S)
    disk = tmp_path / "mesh1.disk"
    lab.lab.power_off("mesh1")
    change(disk, SLOT, tmp_path / "mnt")
    lab.lab.power_on("mesh1", is_held=True)

    words = ("images", "capture", "mesh1", str(SLOT), "mesh/mine", "--yes", "--no-follow", "--json")
    ended = wait_for_end(lab, json.loads(lab.lab.bootd(*words).stdout)["job"])
    assert ended["state"] == "done", (ended, lab.lab.console("mesh1").tail())
    assert ended["note"] == "image mesh/mine@1 (its journal was replayed: mesh1 was not shut down)"
    lab.lab.wait_for("mesh1", f"{AFTER} in hd0,msdos{SLOT}", _LONG_S)  # as it was decided for it

    def found(reads: Reads) -> DiskImage | None:
        return reads.find(DiskImage, "mesh/mine@1")

    captured = lab.ask(found)
    assert captured is not None
    assert lab.lab.bootd("images", "verify", "mesh/mine").returncode == 0
    partition = restored(lab.lab.data_dir / "dark" / captured.folder, tmp_path / "restored", 256 << 20)
    run("e2fsck", "-f", "-n", partition)
    run("debugfs", "-R", f"dump /thesis {tmp_path}/thesis", partition)
    assert (tmp_path / "thesis").read_bytes() == b"written last night\n" * 9000

    order = ("deploy", "mesh/mine", "--nodes", "mesh2", "--slot", str(OTHER_SLOT), "--no-follow")
    lab.lab.bootd(*order)
    lab.lab.wait_for("mesh2", f"{AFTER} in hd0,msdos{OTHER_SLOT}", _LONG_S)
