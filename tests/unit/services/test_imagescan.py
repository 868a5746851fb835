"""A scan: what lies in the dark store against what is registered."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.darkstore.tree import Tree
from bootd.model import DiskImage, Project
from bootd.services import images
from bootd.services.imagescan import Scan, scan
from bootd.store import Store
from tests.helpers.clonezilla import clonezilla_files, write
from tests.helpers.site import NOON, HandClock, memory_store

SDA1 = "sda1.ext4-ptcl-img.gz"


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store() as opened:
        with opened.transaction("anna") as change:
            change.keep(Project("mesh", "anna", NOON))
            change.keep(Project("closed", "anna", NOON, state="retired"))
        yield opened


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A dark store with one good image in it, that nobody registered."""
    write(tmp_path / "dark/mesh/debian", clonezilla_files())
    return Tree(tmp_path / "dark")


def scanned(store: Store, tree: Tree, *, dry_run: bool = False) -> Scan:
    return scan(store, "anna", tree, clock=HandClock(), dry_run=dry_run)


def found(store: Store, tree: Tree) -> dict[str, str]:
    return {each.folder: each.what for each in scanned(store, tree).findings}


def verified(store: Store, tree: Tree) -> DiskImage:
    images.verify(store, "anna", tree, images.images(store), clock=HandClock())
    return images.find(store, "mesh/debian")


def test_what_is_new_is_registered_without_reading_it_through(store: Store, tree: Tree) -> None:
    assert found(store, tree) == {"mesh/debian": "new"}
    image = images.find(store, "mesh/debian@1")
    assert (image.state, image.folder, image.added_at) == ("registered", "mesh/debian", NOON)
    assert {part.sha256 for part in image.parts} == {""}
    assert image.description["disks"][0]["name"] == "sda"
    assert found(store, tree) == {"mesh/debian": "registered"}


def test_the_first_verification_takes_the_digests_and_the_second_compares_them(
    store: Store, tree: Tree
) -> None:
    scanned(store, tree)
    [first] = images.verify(store, "anna", tree, images.images(store), clock=HandClock())
    assert (first.first, first.image.state) == (True, "dark")
    assert all(len(part.sha256) == 64 for part in first.image.parts)
    (tree.root / "mesh/debian/Info-lshw.txt").write_bytes(b"QEMU\n")
    [second] = images.verify(store, "anna", tree, images.images(store), clock=HandClock())
    assert (second.first, second.image.state) == (False, "damaged")
    assert "Info-lshw.txt changed" in second.problems[0]


def test_a_dry_run_says_the_same_and_keeps_nothing(store: Store, tree: Tree) -> None:
    before = store.generation()
    assert [each.what for each in scanned(store, tree, dry_run=True).findings] == ["new"]
    assert store.generation() == before


def test_half_copied_images_are_refused_by_name_and_the_good_ones_taken(store: Store, tree: Tree) -> None:
    files = clonezilla_files(split=1000)
    del files[f"{SDA1}.ab"], files["parts"]
    write(tree.root / "mesh/torn", files)
    result = scanned(store, tree)
    [torn] = result.refused
    assert (torn.folder, torn.what) == ("mesh/torn", "refused")
    assert f"{SDA1}.ab is missing" in torn.notes
    assert "parts is missing: half copied, or saving did not end" in torn.notes
    assert [image.name for image in images.images(store)] == ["debian"]


@pytest.mark.parametrize(
    ("project", "told"), [("strangers", "bootd projects add strangers"), ("closed", "is retired")]
)
def test_an_image_of_no_project_is_told_and_left(store: Store, tree: Tree, project: str, told: str) -> None:
    write(tree.root / project / "x", {"disk.raw": bytes(512)})
    [homeless] = scanned(store, tree).refused
    assert homeless.what == "no-project"
    assert told in homeless.notes[0]
    assert [image.project for image in images.images(store)] == ["mesh"]


def test_versions_lie_beside_each_other(store: Store, tree: Tree) -> None:
    write(tree.root / "mesh/debian@4", {"disk.raw": bytes(512)})
    scanned(store, tree)
    assert [image.version for image in images.versions(store, "mesh/debian")] == [4, 1]


def test_a_copy_that_went_on_is_described_anew_while_nobody_verified_it(store: Store, tree: Tree) -> None:
    scanned(store, tree)
    (tree.root / "mesh/debian/Info-more.txt").write_bytes(b"x")
    assert found(store, tree) == {"mesh/debian": "changed"}
    assert "Info-more.txt" in {part.file for part in images.find(store, "mesh/debian").parts}
    assert verified(store, tree).state == "dark"


def test_a_verified_image_whose_files_differ_is_damaged(store: Store, tree: Tree) -> None:
    scanned(store, tree)
    before = verified(store, tree)
    (tree.root / "mesh/debian/sda-mbr").write_bytes(bytes(1024))
    [damaged] = scanned(store, tree).refused
    assert damaged.notes == ("sda-mbr has 1024 octets, 512 when it was registered",)
    after = images.find(store, "mesh/debian")
    assert (after.state, after.parts) == ("damaged", before.parts)


def test_a_folder_that_went_is_unavailable_and_found_again(store: Store, tree: Tree) -> None:
    scanned(store, tree)
    write(tree.root / "mesh/other", {"disk.raw": bytes(512)})
    (tree.root / "mesh/debian").rename(tree.root / ".aside")
    assert found(store, tree) == {"mesh/other": "new", "mesh/debian": "missing"}
    assert images.find(store, "mesh/debian").state == "unavailable"
    (tree.root / ".aside").rename(tree.root / "mesh/debian")
    assert found(store, tree)["mesh/debian"] == "found"
    assert images.find(store, "mesh/debian").state == "registered"


@pytest.mark.parametrize("mount_point_stays", [True, False])
def test_a_vanished_mount_loses_nothing(store: Store, tree: Tree, mount_point_stays: bool) -> None:
    scanned(store, tree)
    before = verified(store, tree)
    tree.root.rename(tree.root.with_name("unmounted"))
    if mount_point_stays:
        tree.root.mkdir()
    result = scanned(store, tree)
    assert str(tree.root) in result.away
    after = images.find(store, "mesh/debian")
    assert (after.state, after.parts, after.verified_at) == ("unavailable", before.parts, before.verified_at)


def test_a_root_that_is_no_mount_where_it_must_be_is_away_and_nothing_in_it_taken(
    store: Store, tree: Tree
) -> None:
    strict = Tree(tree.root, must_be_mount=True)
    assert "is not mounted" in scanned(store, strict).away
    assert images.images(store) == []


def test_a_retired_image_is_left_alone(store: Store, tree: Tree) -> None:
    scanned(store, tree)
    images.retire(store, "anna", "mesh/debian")
    before = store.generation()
    assert found(store, tree) == {"mesh/debian": "retired"}
    (tree.root / "mesh/debian").rename(tree.root / ".aside")
    assert found(store, tree) == {}
    assert store.generation() == before
