"""Raw and qcow2 files: what a header says, and which disks are refused."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from bootd.darkstore import disks
from bootd.darkstore.errors import BadImage
from bootd.model import ImageKind, SlotScheme
from bootd.services.disklayout import MIB, plan
from tests.helpers.clonezilla import MemoryFolder, qcow2
from tests.helpers.divided import divided
from tests.helpers.partitions import btrfs_root, root_partition, xfs_root


def described(data: bytes) -> tuple[ImageKind, dict[str, object]]:
    return disks.describe(MemoryFolder({"disk.img": data}), "disk.img", "meshlab/debian")


def mbr() -> bytes:
    return bytes(446) + b"\x80" + bytes(3) + b"\x83" + bytes(59) + b"\x55\xaa"


@pytest.mark.parametrize(
    ("head", "label"), [(mbr(), "dos"), (bytes(512) + b"EFI PART", "gpt"), (b"\xeb\x3c" * 200, "")]
)
def test_a_raw_disk_is_as_large_as_its_file(head: bytes, label: str) -> None:
    kind, found = described(head.ljust(4096, b"\0"))
    rows = {"partitions": []} if label else {}
    assert (kind, found) == (
        ImageKind.RAW,
        {"file": "disk.img", "virtual_size": 4096, "label": label, **rows},
    )


@pytest.mark.parametrize("label", ["dos", "gpt"])
def test_partitions_of_a_raw_disk_are_those_that_sfdisk_made(tmp_path: Path, label: str) -> None:
    scheme = SlotScheme(boot_mib=64, swap_mib=8, spare_mib=8, label=label)
    divided(tmp_path / "disk", scheme)
    with (tmp_path / "disk").open("rb") as disk:
        found = disks.describe_raw(disk.read(disks.HEAD), 4096 << 20)
    planned = [part for part in plan(scheme, 4096 * MIB) if label == "gpt" or part.number < 5]
    assert [tuple(row.values()) for row in found["partitions"]] == [
        (part.number, part.start, part.size, part.type) for part in planned
    ]


def test_forged_table_is_read_as_far_as_it_goes() -> None:
    head = bytearray((bytes(512) + b"EFI PART").ljust(disks.HEAD, b"\xff"))
    assert disks.describe_raw(bytes(head), len(head))["partitions"] == []
    head[584:600] = struct.pack("<QII", 2, 4_000_000_000, 1)
    assert disks.describe_raw(bytes(head), len(head))["partitions"] == []
    assert disks.describe_raw(bytes(head[:600]), len(head))["partitions"] == []


@pytest.mark.parametrize(
    ("name", "make"), [("ext4", root_partition), ("xfs", xfs_root), ("btrfs", btrfs_root)]
)
def test_file_system_of_a_raw_partition_is_seen(tmp_path: Path, name: str, make: Callable[..., Path]) -> None:
    with make(tmp_path / "root", "MARKER").open("rb") as partition:
        assert disks.describe_raw(partition.read(disks.HEAD), 1 << 30)["file_system"] == name


@pytest.mark.parametrize("version", [2, 3])
def test_qcow2_is_known_by_its_mark_not_its_name(version: int) -> None:
    kind, found = described(qcow2(version=version, size=5 << 20))
    assert kind is ImageKind.QCOW2
    assert found == {"file": "disk.img", "virtual_size": 5 << 20, "version": version, "cluster_size": 1 << 16}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(qcow2(backing=600), "it lies on a backing file", id="backing-file"),
        pytest.param(qcow2(crypt=2), "it is encrypted", id="encrypted"),
        pytest.param(qcow2(version=4), "qcow2 version 4", id="version"),
        pytest.param(qcow2(features=1), "not closed cleanly", id="dirty"),
        pytest.param(qcow2(features=2), "marked corrupt", id="corrupt"),
        pytest.param(qcow2(features=4), "its data is in another file", id="data-file"),
        pytest.param(qcow2(features=1 << 40), "features that are not known: 0x10000000000", id="feature"),
        pytest.param(qcow2(size=0), "its header makes no sense", id="no-size"),
        pytest.param(qcow2()[:50], "cut off within the header", id="header-cut"),
        pytest.param(qcow2()[:80], "cut off within the header", id="header-3-cut"),
        pytest.param(qcow2()[: 1 << 16], "cut short: 65536 octets do not hold its tables", id="tables-cut"),
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(bytes(1000), "no whole sectors of 512", id="half-sector"),
        pytest.param(b"\x1f\x8b".ljust(512), "compressed (gz); unpack it first", id="gzip"),
        pytest.param(b"KDMV".ljust(512), "a VMware disk", id="vmdk"),
    ],
)
def test_a_disk_that_cannot_be_used_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(BadImage) as caught:
        described(data)
    assert told in str(caught.value)
    assert str(caught.value).startswith("meshlab/debian: disk.img: ")


def test_features_that_do_no_harm_are_taken() -> None:
    assert described(qcow2(features=1 << 3 | 1 << 4))[0] is ImageKind.QCOW2


def test_everything_wrong_with_a_disk_is_told() -> None:
    with pytest.raises(BadImage) as caught:
        described(qcow2(backing=600, crypt=1, features=2))
    assert len(caught.value.mistakes) == 3
