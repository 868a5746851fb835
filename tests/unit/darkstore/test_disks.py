"""Raw and qcow2 files: what a header says, and which disks are refused."""

import pytest

from bootd.darkstore import disks
from bootd.darkstore.errors import BadImage
from bootd.model import ImageKind
from tests.helpers.clonezilla import MemoryFolder, qcow2


def described(data: bytes) -> tuple[ImageKind, dict[str, object]]:
    return disks.describe(MemoryFolder({"disk.img": data}), "disk.img", "meshlab/debian")


def mbr() -> bytes:
    return bytes(446) + b"\x80" + bytes(3) + b"\x83" + bytes(59) + b"\x55\xaa"


@pytest.mark.parametrize(
    ("head", "label"), [(mbr(), "dos"), (bytes(512) + b"EFI PART", "gpt"), (b"\xeb\x3c" * 200, "")]
)
def test_a_raw_disk_is_as_large_as_its_file(head: bytes, label: str) -> None:
    kind, found = described(head.ljust(4096, b"\0"))
    assert (kind, found) == (ImageKind.RAW, {"file": "disk.img", "virtual_size": 4096, "label": label})


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
