"""Which disk the imager takes, and what it finishes on one whose division broke off, by its own functions.

Disks and partitions are files; to mount one is to copy it out, and back. tests/vm has it done in machines.
"""

import hashlib
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bootd.model import SlotScheme
from tests.helpers.divided import divided
from tests.helpers.imagershell import ImagerShell

SCHEME = SlotScheme(disk="/dev/sda", last=9, boot_mib=24, swap_mib=8, spare_mib=8)
SECTOR = 512
BEGUN = "said dividing what was begun before\n"
TASK = "task write\njob 1\nmenu 5 6 7\nboot-sector /files/boot\nmenu-core /files/core\nmenu-efi /files/efi\n"
_HANDS = """
say() {{ echo "said $*"; }}
get() {{ [ ! -e {folder}/away ] && echo "$2" >"$1"; }}
# of a partition that holds nothing it tells what the table says of it
blkid() {{
  command blkid "$@"
  looked=$?
  [ "$looked" = 2 ] || return "$looked"
  case " $* " in *" -s "*) ;; *) echo PART_ENTRY_SCHEME=dos ;; esac
}}
mount() {{
  [ -d {folder}/mnt ] || busybox mkdir {folder}/mnt
  for mounted in "$@"; do case $mounted in {folder}/dev/*) break ;; esac; done
  case " $* " in *" -o ro "*) is_read_only=yes ;; *) is_read_only= ;; esac
  its_kind=$(blkid -p -o value -s TYPE "$mounted") its_label=$(blkid -p -o value -s LABEL "$mounted")
  case "$2 $its_kind" in
    "vfat vfat") mcopy -s -n -i "$mounted" '::*' {folder}/mnt 2>/dev/null || : ;;
    "ext4 ext"*)
      dumpe2fs -h "$mounted" >/dev/null 2>&1 || return 1
      debugfs -R "rdump / {folder}/mnt" "$mounted" 2>/dev/null
      ;;
    *) return 1 ;;
  esac
}}
umount() {{
  case "$is_read_only $its_kind" in
    yes*) ;;
    " vfat") mkfs.fat -n "$its_label" "$mounted" >/dev/null && mcopy -s -i "$mounted" {folder}/mnt/* :: ;;
    *) /sbin/mke2fs -q -F -t ext2 -L "$its_label" -d {folder}/mnt "$mounted" ;;
  esac
  rm -rf {folder}/mnt
}}
disk=sda
"""


@dataclass
class Disk:
    """A disk of ours with a table and nothing else, and the imager's functions."""

    folder: Path
    shell: ImagerShell

    async def run(self, commands: str) -> str:
        said = await self.shell.run(_HANDS.format(folder=self.folder) + commands)
        assert said.errors == ""
        return said.out.decode()

    def partition(self, number: int) -> Path:
        return self.folder / f"dev/sda{number}"

    def holds(self, number: int, *argv: str) -> None:
        subprocess.run([*argv, self.partition(number)], check=True, capture_output=True)

    def file(self, name: str, number: int = 1) -> str:
        argv = ["debugfs", "-R", f"cat {name}", self.partition(number)]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def digests(self) -> list[str]:
        digests = []
        for name in ("sda", "sda1"):
            with (self.folder / "dev" / name).open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        return digests

    def put(self, name: str, text: str) -> None:
        """Write a file into the file system of partition 1."""
        tree = self.folder / "tree"
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
        self.holds(1, "mke2fs", "-q", "-F", "-t", "ext2", "-L", "bootd-grub", "-d", str(tree))

    def what(self, number: int, key: str = "TYPE") -> str:
        argv = ["blkid", "-p", "-o", "value", "-s", key, self.partition(number)]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    folder = tmp_path / "shell"
    shell = ImagerShell(folder, sourced=("functions", "talk", "disk", "filesystem"))
    (folder / "dev").mkdir()
    divided(folder / "dev/sda", SCHEME, 256)
    for number, mib in {1: 24, 2: 8}.items():
        with (folder / f"dev/sda{number}").open("wb") as file:
            file.truncate(mib << 20)
    (folder / "run/task").write_text(TASK)
    return Disk(folder, shell)


# -- which disk ---------------------------------------------------------------------------------


def a_disk(disk: Disk, name: str, **files: str) -> None:
    """Have a disk, of which the kernel tells *files*: two underscores stand for a slash."""
    for each, text in {"device__model": "x", **files}.items():
        path = disk.folder / "block" / name / each.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))


FOUND = 'find_disk "$rule" && echo "found $disk" || echo "why $why"'


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("/dev/sda", "found sda"),
        ("serial:S3Z9NB0K", "found sdb"),
        ("serial:QM0001", "found sdc"),
        ("wwn:naa.5000c500a1b2", "found sdb"),
        ("wwn:eui.0025385", "found nvme0n1"),
        ("serial:S5", "found nvme0n1"),
        ("/dev/sdx", "why there is no disk /dev/sdx here, but: loop0 nvme0c1n1 nvme0n1 sda sdb sdc"),
        ("serial:QM*", "why there is no disk serial:QM* here, but: loop0 nvme0c1n1 nvme0n1 sda sdb sdc"),
    ],
)
async def test_disk_is_found_by_what_it_calls_itself(disk: Disk, rule: str, found: str) -> None:
    a_disk(disk, "sda")
    a_disk(disk, "sdb", serial=" S3Z9NB0K\n", device__wwid="naa.5000c500a1b2\n")
    a_disk(disk, "sdc", device__vpd_pg80="\0\x80\0\x08  QM0001")
    a_disk(disk, "nvme0n1", device__serial="S5   \n", wwid="eui.0025385\n", hidden="0\n")
    a_disk(disk, "nvme0c1n1", device__serial="S5   \n", wwid="eui.0025385\n", hidden="1\n")  # a way to it
    (disk.folder / "block/loop0").mkdir()
    assert await disk.run(f"rule='{rule}'; {FOUND}") == f"{found}\n"


@pytest.mark.parametrize("rule", ["serial:1234567890", "wwn:naa.1"])
async def test_of_two_disks_that_match_neither_is_taken(disk: Disk, rule: str) -> None:
    for name in ("sda", "sdb", "sdd"):
        a_disk(
            disk, name, serial="1234567890\n" if name != "sda" else "1\n", wwid="naa.1\n" * (name != "sda")
        )
    told = f"why {rule} is not one disk here, but several: sdb sdd"
    assert await disk.run(f'rule={rule}; {FOUND}; echo "disk $disk"') == f"{told}\ndisk \n"


# -- what was begun -----------------------------------------------------------------------------


async def finished(disk: Disk) -> str:
    return await disk.run('finish_division || echo "why $why"')


def assert_starts(disk: Disk) -> None:
    """Assert that the disk has GRUB, its menu of all slots, and swap."""
    menu = disk.file("/boot/grub/grub.cfg")
    assert [f"--id slot{number}" in menu for number in (4, 5, 6, 7, 8)] == [False, True, True, True, False]
    assert (disk.what(1, "LABEL"), disk.what(2), disk.what(2, "LABEL")) == (
        "bootd-grub",
        "swap",
        "bootd-swap",
    )
    with (disk.folder / "dev/sda").open("rb") as file:
        assert file.read(SECTOR).startswith(b"/files/boot")
        assert file.read(SECTOR).startswith(b"/files/core")


async def test_disk_that_has_a_table_and_nothing_else_gets_all_of_it(disk: Disk) -> None:
    assert await finished(disk) == BEGUN
    assert_starts(disk)
    assert await finished(disk) == ""


async def test_division_that_broke_off_before_its_menu_is_finished_by_the_next_task(disk: Disk) -> None:
    (disk.folder / "away").touch()
    assert await finished(disk) == f"{BEGUN}why GRUB could not be fetched: bootd has no /files/core\n"
    assert (disk.what(1, "LABEL"), disk.file("/boot/grub/grub.cfg")) == ("bootd-grub", "")
    (disk.folder / "away").unlink()
    swap = disk.what(2, "UUID")
    assert await finished(disk) == BEGUN
    assert_starts(disk)
    assert disk.what(2, "UUID") == swap


@pytest.mark.parametrize("name", ["grub.cfg.new", "grub.cfg"])
async def test_menu_that_is_not_whole_is_written_again(disk: Disk, name: str) -> None:
    disk.put(f"boot/grub/{name}", "load_env\n" if name.endswith("new") else "")
    assert await finished(disk) == BEGUN
    assert_starts(disk)


async def test_file_system_of_ours_that_is_broken_is_made_anew(disk: Disk) -> None:
    disk.put("boot/grub/grub.cfg", "--id slot7\n")
    with disk.partition(1).open("r+b") as file:
        file.seek(1024 + 0x18)
        file.write(b"\x20\0\0\0")  # of its size of blocks
    assert await finished(disk) == BEGUN
    assert_starts(disk)


@pytest.mark.parametrize(
    "argv",
    [
        ("mke2fs", "-q", "-F", "-t", "ext2", "-L", "grub"),
        ("mke2fs", "-q", "-F", "-t", "ext4"),
        ("mkfs.fat", "-n", "DELL"),
        ("mkfs.xfs", "-q", "-f"),
        ("mkswap",),
    ],
    ids=["ext2", "ext4", "fat", "xfs", "swap"],
)
async def test_partition_of_somebody_else_is_left_alone(disk: Disk, argv: tuple[str, ...]) -> None:
    if argv[0] == "mkfs.xfs":  # refuses to make a small one
        with disk.partition(1).open("r+b") as file:
            file.truncate(320 << 20)
    disk.holds(1, *argv)
    before = disk.digests()
    assert await finished(disk) == ""
    assert disk.digests() == before
    assert disk.what(2) == ""


@pytest.mark.parametrize("name", ["boot/grub/grub.cfg", "boot/vmlinuz"])
async def test_menu_or_kernel_of_somebody_else_is_left_alone(disk: Disk, name: str) -> None:
    disk.put(name, "set default=theirs\n")
    assert await finished(disk) == ""
    assert disk.file(f"/{name}") == "set default=theirs\n"


# -- the same on a disk of a machine that starts by UEFI -----------------------------------------


@pytest.fixture
def gpt(disk: Disk) -> Disk:
    divided(disk.folder / "dev/sda", replace(SCHEME, label="gpt"), 256)
    return disk


def on_esp(disk: Disk, name: str) -> str:
    argv = ["mtype", "-i", disk.partition(1), f"::/{name}"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


async def test_efi_system_partition_that_was_begun_is_finished(gpt: Disk) -> None:
    (gpt.folder / "away").touch()
    assert await finished(gpt) == f"{BEGUN}why GRUB could not be fetched: bootd has no /files/efi\n"
    assert gpt.what(1, "LABEL") == "BOOTD-ESP"
    (gpt.folder / "away").unlink()
    assert await finished(gpt) == BEGUN
    assert "--id slot7" in on_esp(gpt, "EFI/bootd/grub.cfg")
    assert on_esp(gpt, "EFI/BOOT/BOOTX64.EFI") == "/files/efi\n"
    assert (gpt.what(1, "LABEL"), gpt.what(2)) == ("BOOTD-ESP", "swap")
    assert await finished(gpt) == ""
    assert await gpt.run("set_default 7; echo $?") == "0\n"
    assert "saved_entry=slot7\n" in on_esp(gpt, "EFI/bootd/grubenv")


@pytest.mark.parametrize(
    ("label", "name"), [("BOOTD-ESP", "EFI/slot7/BOOTX64.EFI"), ("ESP", "EFI/BOOT/BOOTX64.EFI")]
)
async def test_efi_system_partition_with_a_loader_of_somebody_else_is_left_alone(
    gpt: Disk, label: str, name: str
) -> None:
    gpt.holds(1, "mkfs.fat", "-n", label)
    file = gpt.folder / "tree" / name
    file.parent.mkdir(parents=True)
    file.write_text("theirs\n")
    argv = ["mcopy", "-s", "-i", gpt.partition(1), gpt.folder / "tree/EFI", "::"]
    subprocess.run(argv, check=True, capture_output=True)
    assert await finished(gpt) == ""
    assert on_esp(gpt, name) == "theirs\n"


# -- what it starts by itself -------------------------------------------------------------------


async def test_default_is_the_slot_that_was_written_last(disk: Disk) -> None:
    await finished(disk)
    for slot in (7, 5):
        assert await disk.run(f"set_default {slot}; echo $?") == "0\n"
        block = disk.file("/boot/grub/grubenv")
        assert (len(block), block.splitlines()[1]) == (1024, f"saved_entry=slot{slot}")


async def test_default_of_somebody_else_s_menu_is_left_alone(disk: Disk) -> None:
    disk.put("boot/grub/grub.cfg", "set default=theirs\n")
    assert await disk.run("set_default 7; echo $?") == "0\n"
    assert disk.file("/boot/grub/grubenv") == ""


async def test_menu_of_ours_that_cannot_be_mounted_is_no_success(disk: Disk) -> None:
    await finished(disk)
    told = f"1 {disk.partition(1)}, which says what the disk starts, cannot be mounted"
    assert await disk.run('mount() { return 1; }\nset_default 7; echo "$? $why"') == f"{told}\n"
    disk.holds(1, "mkfs.fat")
    assert await disk.run('mount() { return 1; }\nset_default 7; echo "$?"') == "0\n"


# -- swap ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (("mkswap", "-L", "bootd-swap"), "LABEL=bootd-swap"),
        (
            ("mkswap", "-U", "11111111-2222-4333-8444-555555555555", "-L", "other"),
            "UUID=11111111-2222-4333-8444-555555555555",
        ),
        (("mke2fs", "-q", "-F", "-L", "bootd-swap"), ""),
        (("true",), ""),
    ],
    ids=["ours", "theirs", "a-file-system", "nothing"],
)
async def test_swap_is_called_by_what_partition_2_really_has(
    disk: Disk, argv: tuple[str, ...], name: str
) -> None:
    disk.holds(2, *argv)
    assert (await disk.run("disk_swap")).strip() == name
