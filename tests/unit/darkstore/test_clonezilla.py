"""Clonezilla's folders: described whole, or refused with all that is missing."""

from collections.abc import Callable

import pytest

from bootd.darkstore.clonezilla import Description, describe, looks_like
from bootd.darkstore.errors import BadImage
from tests.helpers.clonezilla import (
    LOG,
    PARTED,
    MemoryFolder,
    clonezilla_files,
    part_files,
    partclone,
)

Files = dict[str, bytes]
GZ = "sda1.ext4-ptcl-img.gz"


def described(files: Files) -> Description:
    return describe(MemoryFolder(files), "meshlab/debian")


def refused(files: Files) -> list[str]:
    with pytest.raises(BadImage) as caught:
        described(files)
    assert all(line.startswith("meshlab/debian: ") for line in str(caught.value).splitlines())
    return [mistake.message for mistake in caught.value.mistakes]


def test_a_saved_disk_is_described() -> None:
    found = described(clonezilla_files())
    assert (found.whole, found.saved_at) == (True, "2023-05-17 12:03:45 UTC")
    [disk] = found.disks
    assert (disk.name, disk.label, disk.sector_size, disk.size) == ("sda", "gpt", 512, 131072 * 512)
    root, swap, esp = disk.partitions
    assert (root.number, root.device, root.file_system, root.start, root.size) == (
        1, "sda1", "ext4", 2048 * 512, 40960 * 512,
    )  # fmt: skip
    assert (root.used, root.tool, root.compression) == (5 * 1024, "partclone", "gz")
    assert root.files == (f"{GZ}.aa", f"{GZ}.ab")
    assert (swap.file_system, swap.tool, swap.files) == ("swap", "mkswap", ())
    assert (esp.file_system, esp.used, esp.files) == ("vfat", 3 * 512, ("sda3.vfat-ptcl-img.gz",))


@pytest.mark.parametrize("compression", ["gz", "xz", "bz2", "zst", "lz4", "uncomp"])
@pytest.mark.parametrize("split", [None, 1000])
def test_every_compression_is_read_and_the_used_space_known(compression: str, split: int | None) -> None:
    """Where the header cannot be read without other programs, Clonezilla's log has it."""
    files = clonezilla_files(compression=compression, split=split)
    root = described(files).disks[0].partitions[0]
    assert (root.compression, root.used, root.needs) == (compression, 5 * 1024, 20480 * 1024)
    assert len(root.files) == 1 if split is None else len(root.files) > 4


def test_what_is_kept_is_plain() -> None:
    import json

    plain = described(clonezilla_files()).plain()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["disks"][0]["partitions"][0]["files"] == [f"{GZ}.aa", f"{GZ}.ab"]


def test_partitions_alone_are_described_too() -> None:
    """`saveparts` writes no `disk`, and the table still has the others."""
    files = clonezilla_files()
    del files["disk"], files["sda3.vfat-ptcl-img.gz"]
    files["parts"] = b"sda1\n"
    found = described(files)
    assert not found.whole
    assert [(each.device, each.tool) for each in found.disks[0].partitions] == [
        ("sda1", "partclone"),
        ("sda2", "mkswap"),
        ("sda3", ""),
    ]


def test_an_old_sfdisk_and_an_mbr_are_read() -> None:
    files = clonezilla_files()
    del files["sda3.vfat-ptcl-img.gz"], files["sda-gpt-1st"]
    files["parts"] = b"sda1\n"
    files["sda-pt.parted"] = PARTED.replace("gpt", "msdos").encode()
    files["sda-pt.sf"] = (
        b"# partition table of /dev/sda\nunit: sectors\n\n"
        b"/dev/sda1 : start=     2048, size=    40960, Id=83, bootable\n"
        b"/dev/sda2 : start=    43008, size=    16384, Id=82\n"
        b"/dev/sda3 : start=        0, size=        0, Id= 0\n"
        b"/dev/sda4 : start=        0, size=        0, Id= 0\n"
    )
    [disk] = described(files).disks
    assert (disk.label, [each.device for each in disk.partitions]) == ("dos", ["sda1", "sda2"])


@pytest.mark.parametrize(
    ("disk", "part"), [("nvme0n1", "nvme0n1p1"), ("mmcblk0", "mmcblk0p1"), ("cciss/c0d0", "cciss/c0d0p1")]
)
def test_disks_of_every_name_are_told_from_their_partitions(disk: str, part: str) -> None:
    base = disk.replace("/", "-")
    files = {
        "disk": disk.encode(),
        "parts": part.encode(),
        f"{base}-pt.sf": f"label: gpt\nsector-size: 4096\n/dev/{part} : start=256, size=5120\n".encode(),
        f"{base}-mbr": bytes(512),
        **part_files(f"{base}p1.ext4", partclone("EXTFS", blocks=20480, used=5, block=1024), "gz", None),
    }
    [found] = described(files).disks
    assert (found.name, found.sector_size) == (disk, 4096)
    assert [(each.number, each.device, each.start) for each in found.partitions] == [(1, part, 256 * 4096)]


def test_bytes_copied_as_they_are_need_no_header() -> None:
    files = clonezilla_files(split=None)
    files["sda1.dd-ptcl-img.gz"] = part_files("sda1.dd", b"as it was", "gz", None)["sda1.dd-ptcl-img.gz"]
    del files[GZ]
    found = described(files).disks[0].partitions[0]
    assert (found.tool, found.file_system, found.compression) == ("dd", "ext4", "gz")


@pytest.mark.parametrize("tool", ["dd", "ntfsclone"])
def test_older_kinds_of_files_are_read_by_what_they_begin_with(tool: str) -> None:
    files = clonezilla_files(split=None)
    packed = files.pop(GZ)
    name = "sda1.dd-img" if tool == "dd" else "sda1.ntfs-img"
    files[f"{name}.aa"], files[f"{name}.ab"] = packed[:5000], packed[5000:]
    files["sda1.dd-img.info"] = b"partition=x\n"
    found = described(files).disks[0].partitions[0]
    assert (found.tool, found.compression, len(found.files)) == (tool, "gz", 2)


# -- what is refused ------------------------------------------------------------------------


def without(*names: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        for name in names:
            del files[name]

    return change


def given(**changes: bytes) -> Callable[[Files], None]:
    return lambda files: files.update(changes)


def cut(name: str, octets: int) -> Callable[[Files], None]:
    return lambda files: files.update({name: files[name][: len(files[name]) - octets]})


def set_to(name: str, data: bytes) -> Callable[[Files], None]:
    return lambda files: files.update({name: data})


def test_the_cases_below_have_a_piece_in_the_middle() -> None:
    assert {f"{GZ}.aa", f"{GZ}.ab", f"{GZ}.ac"} <= set(clonezilla_files(split=2000))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(without(f"{GZ}.ab"), f"{GZ}.ab is missing", id="piece-missing"),
        pytest.param(without(f"{GZ}.aa"), f"{GZ}.aa is missing", id="first-piece-missing"),
        pytest.param(without("parts"), "parts is missing: half copied, or saving did not end", id="no-parts"),
        pytest.param(without("sda-pt.sf"), "sda-pt.sf is missing", id="no-table"),
        pytest.param(without("sda-mbr"), "sda-mbr is missing", id="no-mbr"),
        pytest.param(
            without("sda3.vfat-ptcl-img.gz"), "sda3 (vfat): its image is missing", id="partition-missing"
        ),
        pytest.param(set_to("sda-pt.sf", b""), "sda-pt.sf is empty", id="table-empty"),
        pytest.param(set_to("sda-pt.sf", b"label: gpt\n"), "sda-pt.sf: no partition in it", id="table-cut"),
        pytest.param(set_to("sda-mbr", bytes(100)), "sda-mbr is cut short: 100 octets of 512", id="mbr-cut"),
        pytest.param(set_to("disk", b""), "disk is empty", id="disk-empty"),
        pytest.param(set_to("disk", b"sdb"), "parts: sda1: not a partition of sdb", id="another-disk"),
        pytest.param(set_to("parts", b"../x sda1"), "parts: '../x' is no device", id="path-in-parts"),
        pytest.param(set_to("parts", b"sda1 sda3 sda9"), "parts: sda9 is not in sda-pt.sf", id="no-row"),
        pytest.param(set_to("parts", b"sda1"), "sda3.vfat-ptcl-img.gz: sda3 is not in parts", id="unnamed"),
        pytest.param(
            set_to("sda3.vfat-ptcl-img.gz", b""), "sda3.vfat-ptcl-img.gz is empty", id="partition-empty"
        ),
        pytest.param(
            set_to("sda3.vfat-ptcl-img.gz", b"\x1f\x8b\x08"),
            "sda3.vfat-ptcl-img.gz: cut off within the header of gz",
            id="gzip-header-cut",
        ),
        pytest.param(
            set_to("sda3.vfat-ptcl-img.gz", b"\x28\xb5\x2f\xfd" * 9),
            "sda3.vfat-ptcl-img.gz: not gz: it is zst",
            id="another-compression",
        ),
        pytest.param(
            set_to("sda3.vfat-ptcl-img.gz", bytes(900)),
            "sda3.vfat-ptcl-img.gz: not gz: it begins with 00 00 00 00",
            id="holes",
        ),
        pytest.param(
            cut(f"{GZ}.ab", 7),
            f"{GZ}.ab is cut short: 1993 octets, where the others have 2000",
            id="cut",
        ),
        pytest.param(
            cut("sda3.vfat-ptcl-img.gz", 7),
            "sda3.vfat-ptcl-img.gz: cut short: it does not end with the length of its content",
            id="end-cut",
        ),
        pytest.param(
            given(**{"sda3.vfat-ptcl-img.zz9": b"x"}),
            "sda3.vfat-ptcl-img.zz9: compression 'zz9' is not known;",
            id="unknown-compression",
        ),
        pytest.param(
            given(**{"sda3.ntfs-ptcl-img.gz": b"\x1f\x8b"}),
            "sda3.vfat-ptcl-img.gz: a second copy of sda3",
            id="two-copies",
        ),
        pytest.param(given(**{GZ: b"x"}), f"{GZ}, {GZ}.aa", id="split-and-whole"),
        pytest.param(
            given(**{f".{GZ}.ac.Xb3kQz": b"x"}), f".{GZ}.ac.Xb3kQz is left over from a copy", id="rsync"
        ),
        pytest.param(given(**{"sda4.aa": b"x"}), "sda4.aa: saved with partimage", id="partimage"),
        pytest.param(
            given(**{"lvm_vg_dev.list": b"vg /dev/sda4 x\n"}), "lvm_vg_dev.list: LVM volumes are", id="lvm"
        ),
        pytest.param(
            given(**{"luks-dev.list": b"/dev/sda4 u m\n"}), "luks-dev.list: encrypted (LUKS)", id="luks"
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named(change: Callable[[Files], None], told: str) -> None:
    files = clonezilla_files(split=2000)
    change(files)
    assert any(line.startswith(told) for line in refused(files)), refused(files)


def test_all_that_is_wrong_is_told_at_once() -> None:
    files = clonezilla_files(split=1000)
    for name in (f"{GZ}.ab", f"{GZ}.ad", "sda-mbr", "sda3.vfat-ptcl-img.gz"):
        del files[name]
    assert refused(files) == [
        f"{GZ}.ab is missing",
        f"{GZ}.ad is missing",
        "sda-mbr is missing",
        "sda3 (vfat): its image is missing",
    ]


@pytest.mark.parametrize("compression", ["gz", "xz", "uncomp"])
def test_an_end_that_was_cut_off_shows_without_reading_it_all(compression: str) -> None:
    files = clonezilla_files(compression=compression, split=None)
    name = f"sda1.ext4-ptcl-img.{compression}"
    files[name] = files[name][:-100]
    assert any("cut short" in line for line in refused(files))


def test_another_tool_s_stream_is_not_partclone_s() -> None:
    files = clonezilla_files(split=None)
    files |= part_files("sda1.ext4", b"no header of partclone" * 9, "gz", None)
    assert refused(files) == [f"{GZ}: not written by partclone"]


def test_a_file_system_larger_than_its_partition_is_refused() -> None:
    files = clonezilla_files(split=None)
    files |= part_files("sda1.ext4", partclone("EXTFS", blocks=90000, used=5, block=1024), "gz", None)
    assert refused(files) == [f"{GZ}: a file system of 92160000 octets, larger than sda1"]


def test_a_table_of_hostile_numbers_is_refused_not_computed() -> None:
    files = clonezilla_files()
    files["sda-pt.sf"] = b"/dev/sda1 : start=" + b"9" * 5000 + b", size=1\n"
    assert any(line.startswith("sda-pt.sf: line 1 is cut off") for line in refused(files))


def test_what_is_clonezilla_s_is_known_by_any_of_its_marks() -> None:
    for name in ("disk", "sda-pt.sf", f"{GZ}.ac", "clonezilla-img"):
        assert looks_like({name: 1})
    assert not looks_like({"disk.raw": 1, "README": 1})


def test_the_log_tells_nothing_of_a_partition_it_does_not_name() -> None:
    files = clonezilla_files(compression="zst")
    files["clonezilla-img"] = LOG.replace("/dev/sda1", "/dev/sdb1").encode()
    assert described(files).disks[0].partitions[0].used is None
