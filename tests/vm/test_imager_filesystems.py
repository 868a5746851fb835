"""XFS and btrfs in slots: grown, with an identity of their own, started, captured; or refused at once."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest

from bootd.darkstore import saveparts
from bootd.darkstore.captured import Upload
from bootd.darkstore.tree import inspect
from tests.helpers.imager import FAILS, LEAVES, MARKER, SCHEME, SLOT, Imaging, started
from tests.helpers.lab import PATIENCE_S
from tests.helpers.partitions import MIB, UUID, btrfs_root, clonezilla_part, root_partition, torn, xfs_root
from tests.helpers.unpacking import run
from tests.helpers.web import NOON

pytestmark = pytest.mark.vm

OTHER_SLOT = 8
SLOT_MIB = 400
THESIS = b"written last night\n" * 9000


@dataclass(frozen=True)
class Kind:
    name: str
    make: Callable[..., Path]
    root: str  # where its system is
    packed: str  # how its image is compressed
    check: tuple[str, ...]

    def size(self, partition: Path) -> int:
        """Return the octets that the file system takes for its own."""
        if self.name == "xfs":
            told = _said("xfs_db", "-r", "-c", "sb 0", "-c", "p dblocks", str(partition))
            return int(told.split("=")[1]) * 4096
        told = _said("btrfs", "inspect-internal", "dump-super", str(partition))
        return int(next(line.split()[1] for line in told.splitlines() if line.startswith("total_bytes")))


XFS = Kind("xfs", xfs_root, "", "bz2", ("xfs_repair", "-n"))
BTRFS = Kind("btrfs", btrfs_root, "/@rootfs", "uncomp", ("btrfs", "check", "--readonly"))


def _said(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def an_empty_disk(folder: Path) -> Path:
    disk = folder / "disk"
    with disk.open("wb") as file:
        file.truncate(2500 * MIB)
    return disk


def an_imaging(folder: Path, kind: Kind, imager: str) -> Imaging:
    partition = kind.make(folder / "root.raw", MARKER)
    source = clonezilla_part(folder / "parts", partition, kind=kind.name, compression=kind.packed)
    return Imaging(folder, source, scheme=replace(SCHEME, slot_mib=SLOT_MIB), imager=imager)


def place_of(disk: Path, slot: int) -> int:
    """Return where a slot begins, in MiB."""
    row = next(line for line in _said("sfdisk", "-d", str(disk)).splitlines() if f"disk{slot} :" in line)
    return int(row.split("start=")[1].split(",")[0]) // 2048


def slot_of(disk: Path) -> Path:
    """Copy the slot out of the disk."""
    slot = disk.with_name("slot.raw")
    numbers = (f"skip={place_of(disk, SLOT)}", f"count={SLOT_MIB}")
    _said("dd", f"if={disk}", f"of={slot}", "bs=1M", "conv=sparse", "status=none", *numbers)
    return slot


# -- a slot to be captured ----------------------------------------------------------------------


def left_behind(folder: Path, kind: Kind) -> Path:
    """Return a slot whose system lost its power when it had just made sure of what it wrote."""

    def change(at: Path) -> None:
        with (at / kind.root.lstrip("/") / "thesis").open("wb") as file:
            file.write(THESIS)
            file.flush()
            os.fsync(file.fileno())

    # mounted here: no other test on this machine may have one of the same name
    left = torn(kind.make(folder / "left.raw", "LEFT", uuid=str(uuid4())), change)
    assert THESIS.decode() != _found(left, kind)
    return left


def _found(partition: Path, kind: Kind) -> str:
    """Return the thesis, as far as it is in its place without the journal."""
    argv = ["grub-fstest", str(partition), "cat", f"{kind.root}/thesis"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def restored(upload: Upload, to: Path, kind: Kind) -> Path:
    """Restore what was captured as Clonezilla does, to another slot; return it."""
    end = upload.state().end
    assert end is not None
    assert end["note"] == "its journal was replayed: node1 was not shut down"
    saved = saveparts.parse({key: str(end[key]) for key in saveparts.FIELDS}, OTHER_SLOT)
    assert saved.file_system == kind.name
    upload.put_together(saved.prefix, saveparts.texts(saved, at=NOON, words="x"))
    [disk] = inspect(upload.image, "it").description["disks"]
    assert [each["file_system"] for each in disk["partitions"] if each["files"]] == [kind.name]
    with to.open("wb") as file:
        file.truncate(SLOT_MIB * MIB)
    pieces = " ".join(f"'{path}'" for path in sorted(upload.image.glob("*-ptcl-img.zst.*")))
    restore = f"partclone.restore -q -C -s - -O '{to}' -L /dev/null"
    run("bash", "-c", f"set -o pipefail; cat {pieces} | zstd -dc | {restore}")
    return to


@pytest.mark.parametrize("kind", [XFS, BTRFS], ids=["xfs", "btrfs"])
async def test_other_file_systems_are_grown_renamed_and_started_in_their_slot_and_captured_from_another(
    tmp_path: Path, kind: Kind
) -> None:
    imaging, disk = an_imaging(tmp_path, kind, "imager-full"), an_empty_disk(tmp_path)
    left, upload = left_behind(tmp_path, kind), imaging.order_capture(OTHER_SLOT)
    async with imaging.powered(disk) as machine:
        await imaging.heard("joined")
        where = f"seek={place_of(disk, OTHER_SLOT)}"
        _said("dd", f"if={left}", f"of={disk}", "bs=1M", where, "conv=sparse,notrunc", "status=none")
        said = await machine.until(LEAVES, FAILS, patience_s=PATIENCE_S)
    assert ("verified", imaging.image.identity) in imaging.words, said
    assert "cannot be compared" not in said
    slot = slot_of(disk)
    assert SLOT_MIB * MIB - kind.size(slot) < MIB
    fstab = _said("grub-fstest", str(slot), "cat", f"{kind.root}/etc/fstab")
    assert UUID not in fstab
    assert fstab.count("UUID=") == (2 if kind is BTRFS else 1)

    assert FAILS not in said, said
    captured = restored(upload, tmp_path / "captured", kind)
    run(*kind.check, captured)
    assert _found(captured, kind) == THESIS.decode()

    await started(tmp_path, disk, steered=False)
    if kind is XFS:  # which has no boot sector: the program finds the menu
        await started(tmp_path, disk, steered=True)


async def test_root_of_a_whole_qcow2_disk_comes_into_the_slot_without_the_rest(tmp_path: Path) -> None:
    root = root_partition(tmp_path / "root.raw", MARKER)
    whole, packed = tmp_path / "whole.raw", tmp_path / "whole.qcow2"
    with whole.open("wb") as file:
        file.truncate(64 * MIB)
    rows = f"label: gpt\nsize=16MiB,type=U\nsize={root.stat().st_size // MIB}MiB,type=L\n"
    subprocess.run(["sfdisk", "-q", whole], input=rows, text=True, check=True)
    _said("dd", f"if={root}", f"of={whole}", "bs=1M", "seek=17", "conv=notrunc", "status=none")
    _said("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(whole), str(packed))
    imaging, disk = Imaging(tmp_path, packed), tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(512 * MIB)
    said = await imaging.run(disk)
    assert ("verified", imaging.image.identity) in imaging.words, said
    await started(tmp_path, disk, steered=False)


async def test_small_imager_refuses_an_xfs_before_it_touches_the_disk(tmp_path: Path) -> None:
    imaging, disk = an_imaging(tmp_path, XFS, "imager"), an_empty_disk(tmp_path)
    await imaging.run(disk)
    [(word, reason)] = imaging.words
    assert (word, reason.partition(":")[0]) == ("failed", "imager has no tools for xfs")
    assert "imager-full" in reason
    assert disk.stat().st_blocks == 0
