"""qcow2 files unpacked by the real qemu-img: the same disk, and never a file that the header points at."""

import hashlib
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from bootd.darkstore.errors import BadImage, DarkStoreAway
from bootd.darkstore.source import NotForLun
from bootd.darkstore.unpack import programs
from bootd.darkstore.unpack.errors import MissingTool, NoRoom
from bootd.darkstore.unpack.places import DISK, Held, finished, held, sweep
from bootd.darkstore.unpack.unpack import octets_of
from bootd.model import DiskImage, ImageKind
from tests.helpers.clonezilla import qcow2 as forged
from tests.helpers.unpacking import Unpacking, run

DATA = bytes(range(256)) * 4096 + bytes(8 << 20) + b"the end".ljust(512)  # with a hole
SECRET = b"what another file of the server holds".ljust(1 << 20, b"!")


@pytest.fixture
def at(tmp_path: Path) -> Unpacking:
    (tmp_path / "disk.raw").write_bytes(DATA)
    return Unpacking(tmp_path)


def qcow2(at: Unpacking, *options: str, **fields: object) -> DiskImage:
    """Put the disk in as qcow2."""
    made = at.image_folder / "disk.qcow2"
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, at.folder / "disk.raw", made)
    return at.image(ImageKind.QCOW2, **fields)


def sneaked(at: Unpacking, *options: str, **fields: object) -> DiskImage:
    """Put a forged qcow2 in, which was not looked at when it was registered."""
    run("qemu-img", "create", "-q", "-f", "qcow2", *options, at.image_folder / "disk.qcow2", "1M")
    return at.image(ImageKind.QCOW2, description={"file": "disk.qcow2"})


@pytest.mark.parametrize(
    "options", [(), ("-c",), ("-o", "compat=0.10"), ("-c", "-o", "compression_type=zstd")], ids=str
)
def test_unpacked_disk_is_the_one_that_was_packed_with_holes_for_zeros(
    at: Unpacking, options: tuple[str, ...]
) -> None:
    disk = at.unpack(qcow2(at, *options))
    assert disk.path.read_bytes() == DATA
    assert (disk.size, disk.digest) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    assert disk.path.stat().st_blocks * 512 < len(DATA) / 2
    assert {entry.name for entry in disk.path.parent.iterdir()} == {DISK, "done.json"}


def test_progress_rises_to_all_octets_that_are_read(at: Unpacking) -> None:
    image = qcow2(at)
    at.unpack(image)
    assert at.seen == sorted(at.seen)
    assert at.seen[-1] == octets_of(image) == 2 * image.size


def test_disk_that_is_unpacked_already_is_not_unpacked_again(at: Unpacking) -> None:
    image = qcow2(at)
    first = at.unpack(image)
    at.seen.clear()
    shutil.rmtree(at.tree.root)
    assert (at.unpack(image), at.seen) == (first, [])


def test_disk_larger_than_the_lun_is_refused_with_both_sizes(at: Unpacking) -> None:
    image = qcow2(at)
    for known in (image, replace(image, description={"file": "disk.qcow2"})):
        with pytest.raises(NotForLun, match=r"mesh/debian@1 is a disk of 9,437,696 octets, the LUN has 512:"):
            at.unpack(known, lun=512)


# -- other files of the server -------------------------------------------------------------------


def test_backing_file_is_never_read(at: Unpacking) -> None:
    secret = at.folder / "secret"
    secret.write_bytes(SECRET)
    with pytest.raises(BadImage, match="lies on a backing file"):
        at.unpack(sneaked(at, "-b", str(secret), "-F", "raw"))
    assert finished(at.root / "job-1") is None


def test_data_file_is_never_read(at: Unpacking) -> None:
    secret = at.folder / "secret"
    image = sneaked(at, "-o", f"data_file={secret},data_file_raw=on")
    secret.write_bytes(SECRET)
    with pytest.raises(BadImage, match="its data is in another file"):
        at.unpack(image)
    assert finished(at.root / "job-1") is None


def test_encrypted_disk_is_refused(at: Unpacking) -> None:
    (at.image_folder / "disk.qcow2").write_bytes(forged(crypt=2))
    image = at.image(ImageKind.QCOW2, description={"file": "disk.qcow2"})
    with pytest.raises(BadImage, match="it is encrypted"):
        at.unpack(image)


def test_header_that_grows_a_backing_file_after_it_was_looked_at_is_not_what_is_converted(
    at: Unpacking,
) -> None:
    """What is converted is the copy whose digest was compared, so a change in between is found."""
    image = qcow2(at)
    path = at.image_folder / "disk.qcow2"
    (at.folder / "secret").write_bytes(SECRET)
    octets = bytearray(path.read_bytes())
    name = str(at.folder / "secret").encode()
    struct.pack_into(">QI", octets, 8, 512, len(name))
    octets[512 : 512 + len(name)] = name
    path.write_bytes(octets)
    with pytest.raises(BadImage, match=r"disk\.qcow2 changed: its SHA-256 is"):
        at.unpack(image)


# -- what is wrong -------------------------------------------------------------------------------


def test_damaged_file_is_told_by_its_digest_and_where_there_is_none_by_qemu_img(at: Unpacking) -> None:
    image = qcow2(at)
    path = at.image_folder / "disk.qcow2"
    octets = bytearray(path.read_bytes())
    (table,) = struct.unpack_from(">Q", octets, 40)
    octets[table : table + 8] = struct.pack(">Q", 1 << 63 | 7 << 40)  # its first table: far beyond the end
    path.write_bytes(octets)
    with pytest.raises(BadImage, match="changed"):
        at.unpack(image)
    with pytest.raises(BadImage, match="qemu-img check finds it corrupt"):
        at.unpack(at.image(ImageKind.QCOW2, digests=False))


def test_file_that_is_no_qcow2_any_more_is_refused(at: Unpacking) -> None:
    (at.image_folder / "disk.qcow2").write_bytes(DATA)
    with pytest.raises(BadImage, match="registered as qcow2, it is raw"):
        at.unpack(at.image(ImageKind.QCOW2, description={"file": "disk.qcow2"}))


def test_dark_store_that_is_away_is_no_damage(at: Unpacking) -> None:
    image = qcow2(at)
    at.tree.root.rename(at.folder / "unmounted")
    with pytest.raises(DarkStoreAway):
        at.unpack(image)


def test_missing_program_is_named_with_its_package(at: Unpacking, monkeypatch: pytest.MonkeyPatch) -> None:
    image = qcow2(at)
    monkeypatch.setattr(programs, "_PATH", str(at.folder))
    with pytest.raises(MissingTool, match=r"setpriv, .*qemu-img are not .* util-linux coreutils qemu-utils"):
        at.unpack(image)


def test_lack_of_room_is_told_before_anything_is_read(at: Unpacking, monkeypatch: pytest.MonkeyPatch) -> None:
    image = qcow2(at)
    usage = shutil.disk_usage(at.folder)._replace(free=17 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(NoRoom, match=r"needs 1,\d+,\d+ octets, the file system of .* has 17,825,792 left"):
        at.unpack(image)
    assert at.seen == []


# -- those that end early ------------------------------------------------------------------------


def test_unpacking_that_is_cancelled_leaves_no_disk_and_can_begin_anew(at: Unpacking) -> None:
    image = qcow2(at)

    class Cancelled(Exception):
        pass

    def cancel(octets: int) -> None:
        if octets > image.size // 2:
            raise Cancelled

    at.step = cancel
    with pytest.raises(Cancelled):
        at.unpack(image)
    assert finished(at.root / "job-1") is None
    at.step = lambda octets: None
    assert at.unpack(image).path.read_bytes() == DATA


def test_folder_in_which_another_worker_unpacks_is_left_to_it(at: Unpacking) -> None:
    image = qcow2(at)
    with held(at.root, "job-1"):
        with pytest.raises(Held, match="job-1 is held by another worker"):
            at.unpack(image)
        sweep(at.root, lambda name: False)
        assert (at.root / "job-1").is_dir()
    sweep(at.root, lambda name: name == "job-1")
    assert (at.root / "job-1").is_dir()
    sweep(at.root, lambda name: False)
    assert not (at.root / "job-1").exists()
