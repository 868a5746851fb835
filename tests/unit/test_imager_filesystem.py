"""What the imager makes of a file system, by its own shell functions; tests/vm has it done in machines."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.imagershell import ImagerShell
from tests.helpers.partitions import UUID, btrfs_root, root_partition, xfs_root

NEW = "11111111-2222-3333-4444-555555555555"
MADE = {"ext": root_partition, "xfs": xfs_root, "btrfs": btrfs_root}
# what the rest of the imager knows: the slot, the kind of its table and of its file system
SWAP = "disk_swap() { echo LABEL=bootd-swap; }\n"
KNOWN = f"slot=7 kind=ext old_uuid={UUID} new_uuid={NEW}\nlabel() {{ echo dos; }}\n{SWAP}"


@pytest.fixture
def shell(tmp_path: Path) -> ImagerShell:
    (tmp_path / "shell/mnt/boot").mkdir(parents=True)
    (tmp_path / "shell/name").write_text("imager\n")
    return ImagerShell(tmp_path / "shell", sourced=("filesystem",))


async def said(shell: ImagerShell, command: str) -> str:
    done = await shell.run(KNOWN + command)
    assert (done.code, done.errors) == (0, "")
    return done.out.decode()


@pytest.mark.parametrize("kind", MADE)
async def test_kind_and_uuid_of_a_file_system_are_read_from_it(
    tmp_path: Path, shell: ImagerShell, kind: str
) -> None:
    make: Callable[..., Path] = MADE[kind]
    partition = make(tmp_path / "root", "MARKER")
    assert (
        await said(shell, f"kind=$(kind_of {partition}); echo $kind; uuid_of {partition}")
        == f"{kind}\n{UUID}"
    )


async def test_what_is_no_file_system_has_no_kind(tmp_path: Path, shell: ImagerShell) -> None:
    (tmp_path / "noise").write_bytes(b"\xeb\x3c" * 50_000)
    assert await said(shell, f"kind_of {tmp_path}/noise") == ""


async def test_tools_that_are_missing_are_named_with_the_image_that_has_them(shell: ImagerShell) -> None:
    done = await shell.run("PATH=/nowhere\ncan_treat ext4 && can_treat '' && can_treat xfs || echo \"$why\"")
    told = "imager has no tools for xfs: bootd memory build imager-full; "
    assert done.out.decode() == told + 'imaging.memory_image = "imager-full"\n'


async def test_fstab_names_the_slot_the_disk_s_swap_and_no_file_system_of_the_old_disk(
    tmp_path: Path, shell: ImagerShell
) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_text(
        f"# a comment\nUUID={UUID} / btrfs subvol=@rootfs 0 0\nUUID={UUID} /home btrfs subvol=@home 0 0\n"
        "/dev/sda2 none swap sw 0 0\nUUID=1111-2222 /boot/efi vfat umask=0077 0 1\n"
        "tmpfs /tmp tmpfs defaults 0 0\n/dev/sr0 /cdrom iso9660 noauto 0 0\nnas:/home /srv nfs ro 0 0\n"
    )
    await said(shell, f"fix_fstab {fstab}")
    assert fstab.read_text().splitlines() == [
        "# a comment",
        f"UUID={NEW} / btrfs subvol=@rootfs 0 0",
        f"UUID={NEW} /home btrfs subvol=@home 0 0",
        "LABEL=bootd-swap none swap sw 0 0",
        "# not in this slot: UUID=1111-2222 /boot/efi vfat umask=0077 0 1",
        "tmpfs /tmp tmpfs defaults 0 0",
        "/dev/sr0 /cdrom iso9660 noauto 0 0",
        "nas:/home /srv nfs ro 0 0",
    ]


async def test_swap_that_the_disk_has_not_is_left_out_and_a_file_of_the_image_s_own_is_not(
    tmp_path: Path, shell: ImagerShell
) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_text("/dev/sda2 none swap sw 0 0\n/swapfile none swap sw 0 0\n")
    await said(shell, f"disk_swap() {{ :; }}\nfix_fstab {fstab}")
    left_out = "# not in this slot: /dev/sda2 none swap sw 0 0"
    assert fstab.read_text().splitlines() == [left_out, "/swapfile none swap sw 0 0"]


async def test_disk_s_swap_is_named_once(tmp_path: Path, shell: ImagerShell) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_text("/dev/sda2 none swap sw 0 0\nUUID=1-2 none swap sw 0 0\n")
    await said(shell, f"fix_fstab {fstab}")
    left_out = "# not in this slot: UUID=1-2 none swap sw 0 0"
    assert fstab.read_text().splitlines() == ["LABEL=bootd-swap none swap sw 0 0", left_out]


@pytest.mark.parametrize(("label", "place"), [("dos", "hd0,msdos7"), ("gpt", "hd0,gpt7")])
async def test_menu_finds_the_slot_wherever_it_was_made(
    tmp_path: Path, shell: ImagerShell, label: str, place: str
) -> None:
    menu = tmp_path / "grub.cfg"
    menu.write_text(
        f"set root='hd0,gpt2'\nsearch --fs-uuid --hint-bios=hd0,msdos1 {UUID}\n"
        f"linux /vmlinuz root=UUID={UUID} ro\nlinux /vmlinuz root=/dev/sda1 quiet\n"
        "linux /vmlinuz root=PARTUUID=0a1b-02 ro\n"
    )
    await said(shell, f"label() {{ echo {label}; }}\nfix_menu {menu}")
    assert menu.read_text() == (
        f"set root='{place}'\nsearch --fs-uuid --hint-bios={place} {NEW}\n"
        f"linux /vmlinuz root=UUID={NEW} ro\nlinux /vmlinuz root=UUID={NEW} quiet\n"
        f"linux /vmlinuz root=UUID={NEW} ro\n"
    )


async def test_image_without_a_menu_gets_one_with_its_newest_kernel(
    tmp_path: Path, shell: ImagerShell
) -> None:
    boot = tmp_path / "shell/mnt/@rootfs/boot"
    boot.mkdir(parents=True)
    for name in ("vmlinuz-6.1.0-9", "vmlinuz-6.1.0-12", "initrd.img-6.1.0-12", "initrd.img-6.1.0-9"):
        (boot / name).touch()
    await said(shell, "make_menu /mnt/@rootfs @rootfs".replace("/mnt", f"{tmp_path}/shell/mnt"))
    assert (boot / "grub/grub.cfg").read_text() == (
        'set timeout=0\nmenuentry "slot" {\n'
        f"  linux /@rootfs/boot/vmlinuz-6.1.0-12 root=UUID={NEW} ro rootflags=subvol=@rootfs\n"
        "  initrd /@rootfs/boot/initrd.img-6.1.0-12\n}\n"
    )


@pytest.mark.parametrize(
    ("folders", "name"),
    [
        (("@rootfs/etc", "@home"), "@rootfs"),
        (("@/etc",), "@"),
        (("root/etc",), "root"),
        (("etc", "@/etc"), ""),
    ],
    ids=["debian", "ubuntu", "fedora", "top"],
)
async def test_system_of_a_btrfs_is_found_in_its_subvolume(
    tmp_path: Path, shell: ImagerShell, folders: tuple[str, ...], name: str
) -> None:
    for folder in folders:
        (tmp_path / "shell/mnt" / folder).mkdir(parents=True)
    assert (await said(shell, "kind=btrfs; subvolume")).strip() == name
    assert await said(shell, "kind=ext; subvolume") == ""
