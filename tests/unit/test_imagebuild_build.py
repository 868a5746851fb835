"""A recipe becomes an image, the same bytes every time; what is missing is named with the way out."""

import fcntl
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bootd.imagebuild import BadRecipe, BuildFailed, efilocal, recipe, slotboot
from bootd.imagebuild import build as build_image
from bootd.imagebuild.debian import Packages
from bootd.imagebuild.image import contents
from bootd.imagebuild.kernel import PACKAGE, Kernel
from bootd.resources import share
from netboot.arch import Firmware
from tests.helpers.apt import METAPACKAGE, REAL, FakeApt, a_kernel_tree

RECIPE = """\
[image]
description = "for tests"
cmdline = "console=ttyS0"
[packages]
kernel = "linux-image-cloud-amd64"
busybox = "busybox-static"
[kernel]
modules = ["virtio-net"]
"""


def a_recipe(tmp_path: Path, text: str = RECIPE) -> Path:
    folder = tmp_path / "tiny"
    (folder / "files/etc").mkdir(parents=True)
    (folder / "recipe.toml").write_text(text)
    (folder / "init").write_text("#!/bin/sh\n")
    (folder / "files/etc/motd").write_text("hello\n")
    return folder


@pytest.fixture
def apt() -> FakeApt:
    return FakeApt()


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, apt: FakeApt) -> None:
    folder = a_recipe(tmp_path)
    one = build_image(folder, cache=tmp_path / "one", progress=lambda _: None, run=apt)
    shutil.copytree(folder, tmp_path / "elsewhere/tiny")  # other inodes, other times, other place
    two = build_image(tmp_path / "elsewhere/tiny", cache=tmp_path / "two", progress=lambda _: None, run=apt)
    assert one.initrds[0].read_bytes() == two.initrds[0].read_bytes()
    assert one.kernel.read_bytes() == b"kernel"
    assert one.cmdline == "console=ttyS0"


def test_packages_are_fetched_once_and_serve_without_network(tmp_path: Path, apt: FakeApt) -> None:
    folder, said = a_recipe(tmp_path), []
    build_image(folder, cache=tmp_path / "cache", progress=said.append, run=apt)
    apt.down = True
    build_image(folder, cache=tmp_path / "cache", progress=said.append, run=apt)
    assert apt.downloads == [f"{REAL}=1:2.0-1", "busybox-static=1:2.0-1"]
    assert any("from the cache" in line for line in said)


def test_package_that_another_process_fetches_meanwhile_is_waited_for_and_not_fetched_again(
    tmp_path: Path, apt: FakeApt
) -> None:
    other = Packages(tmp_path, lambda _: None, apt)
    asked = threading.Event()

    def ask(argv: Sequence[str], cwd: Path) -> str:
        said = apt(argv, cwd)
        asked.set()
        return said

    with ThreadPoolExecutor() as pool, (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        late = pool.submit(Packages(tmp_path, lambda _: None, ask).unpacked, "busybox-static")
        asked.wait()
        other._fetch("busybox-static", "1:2.0-1", tmp_path / "busybox-static_1%3a2.0-1")
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert (late.result() / "bin/busybox").exists()
    assert apt.downloads == ["busybox-static=1:2.0-1"]


def test_apt_is_asked_once_for_all_packages(tmp_path: Path, apt: FakeApt) -> None:
    build_image(a_recipe(tmp_path), cache=tmp_path / "cache", progress=lambda _: None, run=apt)
    assert apt.questions == 1


def test_without_network_and_cache_the_reason_comes_through(tmp_path: Path, apt: FakeApt) -> None:
    apt.down = True
    with pytest.raises(BuildFailed, match="apt is down"):
        build_image(a_recipe(tmp_path), cache=tmp_path / "cache", progress=lambda _: None, run=apt)


def test_the_image_holds_init_files_and_modules_in_inserting_order(tmp_path: Path) -> None:
    loaded = recipe.load(a_recipe(tmp_path))
    kernel = Kernel(a_kernel_tree(tmp_path / "tree"))
    table = {entry.path: entry for entry in contents(loaded, b"busybox", kernel.modules(loaded.modules))}
    assert table["lib/modules/order"].data.decode().split() == [
        "failover.ko", "net_failover.ko", "virtio.ko", "virtio_ring.ko", "virtio_net.ko",
    ]  # fmt: skip
    assert table["etc/motd"].data == b"hello\n"
    assert table["init"].mode & 0o111
    assert table["etc/bootd-image"].data == b"tiny\n"


def test_a_built_in_module_is_not_looked_for(tmp_path: Path) -> None:
    assert Kernel(a_kernel_tree(tmp_path)).modules(["af_packet"]) == []


@pytest.mark.parametrize(
    ("module", "message"),
    [
        pytest.param("e1000", "has no module e1000; take it out", id="not in this kernel"),
        pytest.param("half", r"no module not_there \(needed by half\)", id="needs one that is not there"),
        pytest.param("ping", "no module ping", id="needs itself"),
    ],
)
def test_a_module_that_cannot_be_had_is_named(tmp_path: Path, module: str, message: str) -> None:
    with pytest.raises(BuildFailed, match=message):
        Kernel(a_kernel_tree(tmp_path)).modules([module])


def test_a_package_that_is_no_kernel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    with pytest.raises(BuildFailed, match=r"0 of boot/vmlinuz-\*"):
        Kernel(tmp_path)


def test_a_metapackage_is_followed_to_the_real_kernel(tmp_path: Path) -> None:
    packages = Packages(tmp_path, lambda _: None, FakeApt())
    assert packages.behind(METAPACKAGE, PACKAGE) == REAL
    assert packages.behind(REAL, PACKAGE) == REAL


def test_a_package_apt_does_not_know_says_what_to_do(tmp_path: Path) -> None:
    packages = Packages(tmp_path, lambda _: None, lambda argv, cwd: "x:\n  Candidate: (none)\n")
    with pytest.raises(BuildFailed, match="apt knows no package nosuch; apt-get update"):
        packages.unpacked("nosuch")


@pytest.mark.parametrize("name", ["../../etc", "-o=x", "A b"])
def test_a_package_name_is_never_an_option_or_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(BuildFailed, match="not a package name"):
        Packages(tmp_path, lambda _: None, FakeApt()).unpacked(name)


def test_every_mistake_of_a_recipe_is_told_at_once(tmp_path: Path) -> None:
    folder = a_recipe(tmp_path, '[image]\ncmdline = 5\n[kernel]\nmodules = "x"\n[colour]\n')
    (folder / "init").unlink()
    with pytest.raises(BadRecipe) as caught:
        recipe.load(folder)
    text = str(caught.value)
    for part in ("colour", "image.description", "image.cmdline", "packages.kernel", "kernel.modules", "init"):
        assert part in text


def test_every_mistake_of_a_disks_tables_is_told_at_once(tmp_path: Path) -> None:
    text = RECIPE + '[programs]\nopen-iscsi = "sbin/iscsistart"\n[disk]\nroot_mb = 4\nsize = 3\n'
    with pytest.raises(BadRecipe) as caught:
        recipe.load(a_recipe(tmp_path, text))
    for part in (
        "programs.open-iscsi: expected a list",
        "disk.root_mb: expected MiB from 8",
        "disk.size: no such",
    ):
        assert part in str(caught.value)


def test_the_shipped_recipes_are_good() -> None:
    found = [recipe.load(path.parent) for path in sorted(share("images").glob("*/recipe.toml"))]
    assert [r.name for r in found] == ["hello", "imager", "imager-full", "rootdisk", "slotroot"]
    assert all(r.description for r in found)


def test_the_local_boot_program_is_the_same_every_time(tmp_path: Path) -> None:
    one, two = (efilocal.build(tmp_path / name).read_bytes() for name in ("a.efi", "b.efi"))
    assert one == two
    assert one[:2] == b"MZ"


def test_the_local_boot_program_tries_the_removable_path_first() -> None:
    files = efilocal.config().splitlines()[0]
    assert files.startswith("for file in /EFI/BOOT/BOOTX64.EFI ")
    assert "&&" not in efilocal.config()  # GRUB 2.06: syntax error


def test_missing_grub_tools_are_named_with_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildFailed, match="apt-get install grub-common grub-efi-amd64-bin"):
        efilocal.build(tmp_path / "x.efi")


@pytest.mark.parametrize(
    ("firmware", "magic"),
    [(Firmware.BIOS, b"\xb2\x7f\xea\x00\x82"), (Firmware.UEFI, b"MZ")],
    ids=["bios", "uefi"],
)
def test_slot_programs_are_the_same_every_time(tmp_path: Path, firmware: Firmware, magic: bytes) -> None:
    paths = [slotboot.build(tmp_path / name, firmware, "hd0", 7) for name in ("a", "b")]
    one, two = (path.read_bytes() for path in paths)
    assert one == two
    assert one.startswith(magic)
    assert one != slotboot.build(tmp_path / "c", firmware, "hd0", 8).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_program_for_an_esp_is_the_same_every_time_and_finds_slots_beside_itself(tmp_path: Path) -> None:
    one, two = (slotboot.build_menu(tmp_path / name).read_bytes() for name in ("a", "b"))
    assert one == two
    assert one.startswith(b"MZ")
    text = slotboot.menu_config()
    assert text.count("if ") == text.count("fi\n")
    assert text.index("set root=$disk,gpt$1") < text.index("does not start")
    assert text.rstrip().endswith("configfile ($esp)/EFI/bootd/grub.cfg")


@pytest.mark.parametrize("make", [slotboot.pc_config, slotboot.efi_config])
def test_slot_program_tries_the_slot_before_the_disks_own_default(make: Callable[[str, int], str]) -> None:
    text = make("hd1", 12)
    assert "set root=hd1,msdos12" in text or "set disk=hd1\n" in text
    assert text.index("set root=") < text.index("the default of the disk itself")
    assert text.count("if ") == text.count("fi\n")
    assert "&&" not in text  # GRUB 2.06: syntax error


@pytest.mark.parametrize(
    ("firmware", "package"), [(Firmware.BIOS, "grub-pc-bin"), (Firmware.UEFI, "grub-efi-amd64-bin")]
)
def test_what_slot_programs_are_made_of_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, firmware: Firmware, package: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildFailed, match=f"apt-get install grub-common {package}"):
        slotboot.build(tmp_path / "x", firmware, "hd0", 7)
    assert list(tmp_path.iterdir()) == []
