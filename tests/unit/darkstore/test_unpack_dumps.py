"""Clonezilla's texts as other programs want them: only what is known is handed on."""

from bootd.darkstore.unpack.dumps import Swap, parse_swap, table_script
from tests.helpers.clonezilla import SFDISK


def test_table_is_freed_of_what_depends_on_the_disk_it_was_on() -> None:
    assert table_script(SFDISK, "gpt").splitlines() == [
        "label: gpt",
        "unit: sectors",
        "label-id: 9F9B2751-B74E-464B-B8D5-2AAED2144DAC",
        "first-lba: 2048",
        *(line.replace("/dev/sda", "/dev/disk") for line in SFDISK.splitlines() if line.startswith("/dev")),
    ]


def test_partitions_of_every_kind_of_disk_keep_their_numbers_and_unused_entries_go() -> None:
    dump = "/dev/nvme0n1p2 : start= 1, size= 2, Id=83\n/dev/sda3 : start= 0, size= 0, Id= 0\nrubbish\n"
    assert table_script(dump, "dos") == "label: dos\nunit: sectors\n/dev/disk2 : start= 1, size= 2, Id=83\n"


def test_swap_keeps_its_uuid_and_its_label() -> None:
    uuid = "9f0f3d29-19ef-4c3f-8a57-0a6f46a1e1f7"
    assert parse_swap(f'UUID="{uuid}"\nLABEL="resume"\n') == Swap(uuid, "resume")
    assert parse_swap(f"UUID={uuid}\nLABEL=\n") == Swap(uuid, "")
    assert parse_swap('UUID="--help"\nLABEL="a label of more than 15"\n') == Swap("", "")
