"""Boot programs of our own: made once, in the order in which machines need them; what is wrong is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from bootd import programs
from bootd.boot.files import Served
from bootd.boot.snapshot import Changes, Snapshot, apply_changes
from bootd.model import Place, Role
from bootd.model.places import STANDARD_SCHEME
from bootd.programs import CORES, HELPING, Programs, awaited_slots, other_slots
from bootd.services.filescan import FileIndex, Root
from tests.helpers.places import a_lun_place, a_slot_place
from tests.helpers.site import a_host

WELL = {CORES: "", HELPING: ""}


class Site:
    """A data folder, and the programs below it."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        (self.data / "files").mkdir(parents=True)
        self.loaders = self.data / "files/loaders"
        self.index = FileIndex([Root(self.data / "files")])
        self.programs = Programs(self.data, self.index)

    async def make(self, snapshot: Snapshot) -> dict[str, str]:
        return await self.programs.make_for_slots(lambda: snapshot)

    def made(self) -> list[str]:
        """Return the names of what is there, the oldest first."""
        found = sorted(self.loaders.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return [path.name for path in found]


# -- the helper for UEFI disks --------------------------------------------------------------


@pytest.fixture
def no_grub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_grub")
def test_helper_that_is_there_is_left_alone(tmp_path: Path) -> None:
    site = Site(tmp_path)
    path = site.data / "files" / programs.HELPER
    path.parent.mkdir()
    path.write_bytes(b"kept")
    assert site.programs.make_helper() == ""
    assert path.read_bytes() == b"kept"


@pytest.mark.usefixtures("no_grub")
def test_helper_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    said = Site(tmp_path).programs.make_helper()
    assert said.startswith("UEFI machines reach their own disk only after a minute: ")
    assert "grub" in said


# -- the programs that start slots ----------------------------------------------------------


def with_places(*places: Place, role: Role = Role.NONE) -> Snapshot:
    hosts = {f"node{n}": a_host(n, role=role) for n in range(1, max(len(places), 1) + 1)}
    given = {f"node{n}": place for n, place in enumerate(places, 1)}
    return apply_changes(Snapshot(), Changes(1, hosts=hosts, places=given))


def test_site_without_mesh_nodes_needs_no_slot_program() -> None:
    snapshot = with_places(a_lun_place(), role=Role.ROOT)
    assert awaited_slots(snapshot) == other_slots(snapshot) == []


def test_mesh_nodes_may_be_told_to_boot_any_standard_slot() -> None:
    assert other_slots(with_places(role=Role.MESH)) == [("hd0", n) for n in range(5, 26)]


def test_slot_that_a_place_names_is_wanted_on_its_disk() -> None:
    places = a_slot_place(slot=31, device="/dev/sdb31"), a_slot_place()
    assert awaited_slots(with_places(*places)) == [("hd0", 7), ("hd1", 31)]


async def test_slot_programs_are_made_once_and_found_at_once(tmp_path: Path) -> None:
    site, snapshot = Site(tmp_path), with_places(a_slot_place())
    assert await site.make(snapshot) == WELL
    names = ("loaders/slot7-hd0-pc.0", "loaders/slot7-hd0-x64.efi")
    assert all(isinstance(site.index.lookup(name), Served) for name in names)
    kept = [(site.data / "files" / name).stat().st_mtime_ns for name in names]
    assert await site.make(snapshot) == WELL
    assert [(site.data / "files" / name).stat().st_mtime_ns for name in names] == kept


@pytest.fixture
def three_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "STANDARD_SCHEME", replace(STANDARD_SCHEME, last=7))


BOOKED = a_slot_place(slot=25, device="/dev/sda25")


@pytest.mark.usefixtures("three_slots")
async def test_what_a_machine_is_to_boot_is_made_before_what_none_asks_for(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert await site.make(with_places(BOOKED, role=Role.MESH)) == WELL
    menu, needed, others = site.made()[:3], site.made()[3:6], site.made()[6:]
    assert set(menu) == {"core-boot.img", "core1-pc.img", "menu-x64.efi"}
    assert set(needed) == {"slot25-hd0-pc.0", "slot25-hd0-x64.efi", "core25-pc.img"}
    assert len(others) == 3 * 3


@pytest.mark.usefixtures("three_slots")
async def test_what_is_booked_meanwhile_comes_before_what_is_not(tmp_path: Path) -> None:
    site = Site(tmp_path)

    def now() -> Snapshot:
        is_booked = (site.loaders / "core5-pc.img").exists()
        return with_places(*[BOOKED] * is_booked, role=Role.MESH)

    assert await site.programs.make_for_slots(now) == WELL
    made = site.made()
    assert made.index("core5-pc.img") < made.index("core25-pc.img") < made.index("core6-pc.img")


async def test_grub_for_disks_is_made_once_for_the_menu_and_each_slot(tmp_path: Path) -> None:
    site, snapshot = Site(tmp_path), with_places(a_slot_place())
    assert await site.make(snapshot) == WELL
    names = ("loaders/core1-pc.img", "loaders/core7-pc.img", "loaders/core-boot.img", "loaders/menu-x64.efi")
    assert all(isinstance(site.index.lookup(name), Served) for name in names)
    kept = [(site.data / "files" / name).stat().st_mtime_ns for name in names]
    assert await site.make(snapshot) == WELL
    assert [(site.data / "files" / name).stat().st_mtime_ns for name in names] == kept
    assert await Site(tmp_path / "other").make(with_places(a_lun_place())) == WELL
    assert not (tmp_path / "other/data/files/loaders").exists()


async def test_programs_that_another_version_made_are_made_anew(tmp_path: Path) -> None:
    site, snapshot = Site(tmp_path), with_places(a_slot_place())
    names = ("localboot-x64.efi", "slot7-hd0-pc.0", "core1-pc.img", "menu-x64.efi")
    loaders = site.data / "files/loaders"

    async def made() -> list[bytes]:
        assert site.programs.make_helper() == ""
        assert await site.make(snapshot) == WELL
        return [(loaders / name).read_bytes() for name in names]

    now = await made()
    for name in (*names, "operators.efi"):
        (loaders / name).write_bytes(b"of an older bootd")
    assert set(await made()) == {b"of an older bootd"}
    (site.data / "programs.made").write_text("an older bootd")
    assert await made() == now
    assert (loaders / "operators.efi").exists()


@pytest.mark.usefixtures("no_grub")
async def test_grub_for_disks_that_cannot_be_made_is_a_sentence_with_the_packages(tmp_path: Path) -> None:
    said = (await Site(tmp_path).make(with_places(a_slot_place())))[CORES]
    assert said.startswith("images written to slots do not start: ")
    assert "grub-pc-bin" in said


@pytest.mark.usefixtures("no_grub")
async def test_slot_programs_that_cannot_be_made_are_a_sentence_with_the_packages(tmp_path: Path) -> None:
    said = (await Site(tmp_path).make(with_places(a_slot_place())))[HELPING]
    assert said.startswith("mesh nodes start the default of their disk instead of their slot: ")
    for package in ("grub-pc-bin", "grub-efi-amd64-bin"):
        assert package in said
