"""Disks saved as Clonezilla does, by the real partclone, come back whole: tables, file systems, files."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bootd.darkstore.errors import BadImage
from bootd.darkstore.unpack import clonezilla, programs
from bootd.darkstore.unpack.errors import MissingTool, NoRoom, ToolFailed
from bootd.darkstore.unpack.order import Order
from bootd.darkstore.unpack.places import DISK, finished
from bootd.model import ImageKind
from tests.helpers.genuine import GPT, MBR, PACKERS, GenuineDisk, check_parts
from tests.helpers.unpacking import LUN, Unpacking, run


@pytest.fixture(scope="module")
def mbr(tmp_path_factory: pytest.TempPathFactory) -> GenuineDisk:
    return GenuineDisk(tmp_path_factory.mktemp("mbr") / "made", MBR)


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> GenuineDisk:
    return GenuineDisk(tmp_path_factory.mktemp("gpt") / "made", GPT)


@pytest.fixture
def at(tmp_path: Path) -> Unpacking:
    return Unpacking(tmp_path)


def table(disk: Path) -> str:
    """Return the table, but for what depends on the disk's size and name."""
    dump = run("sfdisk", "-d", disk).replace(str(disk), "/dev/sda")
    return re.sub(r"^(device|last-lba): .*\n", "", dump, flags=re.MULTILINE)


def test_mbr_disk_comes_back_with_its_boot_code_and_its_logical_partitions(
    at: Unpacking, mbr: GenuineDisk
) -> None:
    mbr.save(at.image_folder, "gz", split=1 << 20)
    assert len(list(at.image_folder.glob("sda1.ext4-ptcl-img.gz.a?"))) > 2
    image = at.image(ImageKind.CLONEZILLA)
    disk = at.unpack(image)
    assert (disk.size, table(disk.path)) == (mbr.sectors * 512, table(mbr.path))
    octets = disk.path.read_bytes()
    for start in (0, *(part.start for part in mbr.extended())):
        assert octets[start : start + (1 << 20)] == mbr.octets(start, 1 << 20)
    check_parts(disk.path, at.folder / "carved")
    assert disk.path.stat().st_blocks * 512 < disk.size / 2
    assert at.seen == sorted(at.seen)
    assert at.seen[-1] == image.size


def test_gpt_disk_comes_back_with_its_second_header_at_the_end_of_the_lun(
    at: Unpacking, gpt: GenuineDisk
) -> None:
    gpt.save(at.image_folder, "zst")
    disk = at.unpack(at.image(ImageKind.CLONEZILLA))
    assert (disk.size, table(disk.path)) == (LUN, table(gpt.path))
    octets = disk.path.read_bytes()
    assert octets[512:520] == octets[-512:-504] == b"EFI PART"
    assert octets[:440] == gpt.octets(0, 440)
    assert "No errors detected" in run("sfdisk", "--verify", disk.path)
    check_parts(disk.path, at.folder / "carved")


@pytest.mark.parametrize("compression", sorted(PACKERS.keys() - {"gz", "zst", "lz4"}))
def test_every_other_compression_is_undone_too(at: Unpacking, mbr: GenuineDisk, compression: str) -> None:
    mbr.save(at.image_folder, compression, split=2 << 20, raw=[6])
    check_parts(at.unpack(at.image(ImageKind.CLONEZILLA)).path, at.folder / "carved")


def test_partition_saved_octet_by_octet_comes_back(at: Unpacking, mbr: GenuineDisk) -> None:
    mbr.save(at.image_folder, "lz4", raw=[6])
    check_parts(at.unpack(at.image(ImageKind.CLONEZILLA)).path, at.folder / "carved")


def test_table_that_an_old_sfdisk_dumped_is_understood(at: Unpacking, mbr: GenuineDisk) -> None:
    mbr.save(at.image_folder, raw=[1, 6])
    (at.image_folder / "sda-pt.sf").write_text(
        "# partition table of /dev/sda\nunit: sectors\n\n"
        "/dev/sda1 : start=     2048, size=    24576, Id=83, bootable\n"
        "/dev/sda2 : start=    26624, size=    94208, Id= 5\n"
        "/dev/sda3 : start=        0, size=        0, Id= 0\n"
        "/dev/sda4 : start=        0, size=        0, Id= 0\n"
        "/dev/sda5 : start=    28672, size=    16384, Id=82\n"
        "/dev/sda6 : start=    47104, size=    73728, Id= c\n"
    )
    assert table(at.unpack(at.image(ImageKind.CLONEZILLA)).path) == table(mbr.path)


def test_partition_beyond_4_gib_comes_back(at: Unpacking, tmp_path: Path) -> None:
    far = "label: dos\nunit: sectors\n/dev/sda1 : start=10485760, size=24576, type=83\n"
    GenuineDisk(tmp_path / "made", far, 10510336).save(at.image_folder)
    clonezilla.unpack(Order(at.tree, at.image(ImageKind.CLONEZILLA), 6 << 30, at.step), tmp_path)
    check_parts(tmp_path / DISK, at.folder / "carved")


# -- what is wrong ---------------------------------------------------------------------------


def spoilt(name: str, at: int = -40) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        octets = bytearray((folder / name).read_bytes())
        octets[at] ^= 0xFF
        (folder / name).write_bytes(octets)

    return spoil


def test_damaged_part_is_named(at: Unpacking, mbr: GenuineDisk) -> None:
    mbr.save(at.image_folder, "zst", split=1 << 20)
    image = at.image(ImageKind.CLONEZILLA)
    spoilt("sda1.ext4-ptcl-img.zst.ab")(at.image_folder)
    with pytest.raises(BadImage, match=r"sda1\.ext4-ptcl-img\.zst\.ab changed: its SHA-256"):
        at.unpack(image)


@pytest.mark.parametrize(
    ("compression", "spoil", "why"),
    [
        ("gz", spoilt("sda1.ext4-ptcl-img.gz"), r"sda1\.ext4-ptcl-img\.gz: gzip ended with status 1"),
        ("zst", spoilt("sda1.ext4-ptcl-img.zst"), "zstd ended with status 1"),
        ("uncomp", spoilt("sda1.ext4-ptcl-img.uncomp", 2 << 20), r"partclone\.restore .* CRC error"),
    ],
)
def test_part_that_was_damaged_before_it_had_a_digest_is_found_by_the_program_that_reads_it(
    at: Unpacking, mbr: GenuineDisk, compression: str, spoil: Callable[[Path], None], why: str
) -> None:
    mbr.save(at.image_folder, compression)
    spoil(at.image_folder)
    with pytest.raises(BadImage, match=why):
        at.unpack(at.image(ImageKind.CLONEZILLA))


def test_file_system_larger_than_its_partition_overwrites_no_other(at: Unpacking, mbr: GenuineDisk) -> None:
    """What is packed with zstd can be looked into only here."""
    mbr.save(at.image_folder, "zst")
    shutil.copy(at.image_folder / "sda6.vfat-ptcl-img.zst", at.image_folder / "sda1.ext4-ptcl-img.zst")
    with pytest.raises(BadImage, match="a file system of 37748736 octets in a partition of 12582912"):
        at.unpack(at.image(ImageKind.CLONEZILLA))


def test_octets_of_another_length_than_their_partition_are_no_partition(
    at: Unpacking, mbr: GenuineDisk
) -> None:
    mbr.save(at.image_folder, "uncomp", raw=[1, 6])
    path = at.image_folder / "sda1.dd-ptcl-img.uncomp"
    whole = path.read_bytes()
    path.write_bytes(whole[:-512])
    with pytest.raises(BadImage, match="12582400 octets of the 12582912"):
        at.unpack(at.image(ImageKind.CLONEZILLA))
    path.write_bytes(whole + bytes(4 << 20))
    with pytest.raises(BadImage, match="goes on after its end"):
        at.unpack(at.image(ImageKind.CLONEZILLA))


def test_table_that_sfdisk_refuses_is_told_in_its_words(at: Unpacking, mbr: GenuineDisk) -> None:
    mbr.save(at.image_folder, raw=[1, 6])
    dump = (at.image_folder / "sda-pt.sf").read_text()
    (at.image_folder / "sda-pt.sf").write_text(dump.replace("start=       28672", "start=       30000"))
    with pytest.raises(ToolFailed, match=r"sfdisk ended with status 1: No free sectors available\."):
        at.unpack(at.image(ImageKind.CLONEZILLA))


def test_missing_programs_are_named_with_their_packages(
    at: Unpacking, mbr: GenuineDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    mbr.save(at.image_folder, "lz4")
    image = at.image(ImageKind.CLONEZILLA)
    monkeypatch.setattr(programs, "_PATH", str(at.folder))
    with pytest.raises(MissingTool, match=r"lz4, mkswap, partclone\.restore, sfdisk are not .* lz4 "):
        at.unpack(image)


# -- those that end early --------------------------------------------------------------------


def test_full_file_system_is_told_and_once_there_is_room_it_is_begun_anew(
    at: Unpacking, mbr: GenuineDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    mbr.save(at.image_folder, "gz")
    image = at.image(ImageKind.CLONEZILLA)
    at.root.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", at.root)
    try:
        with pytest.raises(NoRoom, match=r"needs .* octets, the file system of .*unpacked has"):
            at.unpack(image)
        with monkeypatch.context() as patched:
            patched.setattr(clonezilla, "check_room", lambda folder, octets: None)
            with pytest.raises(NoRoom, match="is full: make room there"):
                at.unpack(image)
        run("mount", "-o", "remount,size=200m", at.root)
        check_parts(at.unpack(image).path, at.folder / "carved")
    finally:
        run("umount", at.root)


def test_unpacking_that_is_cancelled_ends_its_programs(at: Unpacking, mbr: GenuineDisk) -> None:
    mbr.save(at.image_folder, "gz")
    image = at.image(ImageKind.CLONEZILLA)
    ours: list[str] = []

    class Cancelled(Exception):
        pass

    def cancel(octets: int) -> None:
        found = programs_in(at.root / "job-1")
        if "partclone.restore" in found:
            ours.extend(found)
            raise Cancelled

    at.step = cancel
    with pytest.raises(Cancelled):
        at.unpack(image)
    assert len(ours) > 1, "the decompressor beside it, by whatever name it has at that moment"
    assert programs_in(at.root / "job-1") == []
    assert finished(at.root / "job-1") is None


def programs_in(folder: Path) -> list[str]:
    """Return the names of the processes that work in *folder*."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append(Path((process / "cmdline").read_text().split("\0")[0]).name)
        except OSError:
            continue  # it ended meanwhile
    return found
