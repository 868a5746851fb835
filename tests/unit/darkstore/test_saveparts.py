"""What lies beside a captured partition: as Clonezilla writes it, and nothing that a node could make up."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bootd.darkstore.saveparts import parse, texts
from bootd.darkstore.tree import inspect
from bootd.model import ImageKind
from tests.helpers.capturing import TABLE, ZST, a_form

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
GPT = """\
label: gpt
label-id: 9F9B2751-B74E-464B-B8D5-2AAED2144DAC
device: /dev/nvme0n1
unit: sectors
first-lba: 34
sector-size: 512

/dev/nvme0n1p1 : start=2048, size=131072, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="EFI System"
/dev/nvme0n1p7 : start=133120, size=65536, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
"""


def folder(tmp_path: Path, **changes: str) -> Path:
    saved = parse(a_form(**changes), 7)
    for name, text in texts(saved, at=AT, words="bootd images capture node1 7 mesh/mine").items():
        (tmp_path / name).write_bytes(text)
    (tmp_path / f"{saved.prefix}.aa").write_bytes(ZST + bytes(2000))
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "device", "label"),
    [({}, "sda7", "dos"), ({"name": "nvme0n1", "table": GPT}, "nvme0n1p7", "gpt")],
    ids=["mbr", "gpt"],
)
def test_folder_is_one_of_clonezilla_s(
    tmp_path: Path, changes: dict[str, str], device: str, label: str
) -> None:
    found = inspect(folder(tmp_path, **changes), "it")
    assert found.kind is ImageKind.CLONEZILLA
    [disk] = found.description["disks"]
    assert (disk["label"], disk["size"]) == (label, 1000000 * 512)
    [part] = [each for each in disk["partitions"] if each["files"]]
    assert (part["device"], part["file_system"], part["compression"]) == (device, "ext4", "zst")
    assert found.description["whole"] is False
    assert found.description["saved_at"] == "2026-01-05 12:00:00 UTC"


def test_files_are_those_that_restoring_asks_for(tmp_path: Path) -> None:
    names = {path.name for path in folder(tmp_path).iterdir()}
    assert {"parts", "sda-pt.sf", "sda-pt.parted", "sda-mbr", "sda-chs.sf", "dev-fs.list"} < names
    assert {"blkdev.list", "blkid.list", "clonezilla-img", "Info-img-id.txt"} < names
    assert (tmp_path / "parts").read_text() == "sda7\n"
    assert (tmp_path / "sda-pt.sf").read_text() == TABLE
    rows = (tmp_path / "sda-pt.parted").read_text().splitlines()
    assert rows[1:4] == [
        "Disk /dev/sda: 1000000s",
        "Sector size (logical/physical): 512B/512B",
        "Partition Table: msdos",
    ]
    assert " 4  165888s  965887s  800000s  extended" in rows
    assert " 7  167936s  233471s  65536s  logical  ext4" in rows
    assert "/dev/sda7 ext4 32M" in (tmp_path / "dev-fs.list").read_text()
    blkid = (tmp_path / "blkid.list").read_text()
    assert blkid == '/dev/sda7: LABEL="root" UUID="3f1c7e0a-5d64-4c29-9b41-0c5f8e2f7a10" TYPE="ext4"\n'


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "../sda"}, "the disk's name is none"),
        ({"name": "sda\n"}, "the disk's name is none"),
        ({"name": "sdb"}, "that of another disk"),
        ({"filesystem": "ext4/../../x"}, "no such file system"),
        ({"filesystem": "ntfs"}, "no such file system"),
        ({"table": ""}, "no partition in it"),
        ({"table": "label: dos\n/dev/sda1 : start=2048, size=10, type=83\n"}, "there is no sda7"),
        ({"table": TABLE + "\x1b[2J\n"}, "none of sfdisk's"),
        ({"table": TABLE + "#" * 40000}, "none of sfdisk's"),
        ({"table": TABLE.replace("label: dos\n", "")}, "no label"),
        ({"mbr": "00"}, "512 octets"),
        ({"mbr": "xyz"}, "hexadecimal"),
        ({"sectors": "many"}, "invalid literal"),
        ({"uuid": "'; rm"}, "UUID is none"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_what_a_node_makes_up_is_refused(changes: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse(a_form(**changes), 7)


def test_words_of_a_node_are_plain_text_of_a_bound_length() -> None:
    saved = parse(a_form(label='a"\x1b[31m' + "b" * 200, log="x\x00\n" * 5000), 7)
    assert len(saved.label) == 64
    assert saved.log.isprintable() or set(saved.log) == {"x", "?", "\n"}
    assert len(saved.log) <= 8 << 10
    assert '"a?' in texts(saved, at=AT, words="")["blkid.list"].decode()


def test_partition_of_no_known_file_system_is_dd_s() -> None:
    saved = replace(parse(a_form(), 7), file_system="raw")
    assert saved.prefix == "sda7.dd-ptcl-img.zst"
