"""The dark store on a disk: what has a place in it, what leaves it, and when it is away."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootd.darkstore.errors import BadImage, DarkStoreAway
from bootd.darkstore.incoming import check_room, incoming
from bootd.darkstore.tree import Tree, folder_of, inspect, reachable
from bootd.errors import BadValue, Refused
from bootd.model import ImageKind, ImageRef
from tests.helpers.clonezilla import clonezilla_files, qcow2, write


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "dark").mkdir()
    return Tree(tmp_path / "dark")


def mistakes(caught: "pytest.ExceptionInfo[BadImage]") -> list[str]:
    return [mistake.message for mistake in caught.value.mistakes]


def test_places_are_projects_images_and_versions(tree: Tree) -> None:
    for folder in ("mesh/debian", "mesh/debian@2", "other/x@7", ".incoming/x", "lost+found/x"):
        (tree.root / folder).mkdir(parents=True)
    (tree.root / "README").write_text("hello")
    walk = tree.walk()
    assert {str(place.ref): place.folder for place in walk.places} == {
        "mesh/debian@1": "mesh/debian",
        "mesh/debian@2": "mesh/debian@2",
        "other/x@7": "other/x@7",
    }
    assert walk.problems == ()
    assert tree.versions("mesh", "debian") == [1, 2]
    assert tree.versions("nobody", "x") == []


def test_what_has_no_place_is_told(tree: Tree) -> None:
    for folder in ("mesh/a b", "mesh/debian", "mesh/debian@1", "mesh/x@new"):
        (tree.root / folder).mkdir(parents=True)
    write(tree.root / "lonely", clonezilla_files())
    walk = tree.walk()
    assert [place.folder for place in walk.places] == ["mesh/debian"]
    assert [problem.partition(":")[0] for problem in walk.problems] == [
        "lonely",
        "mesh/a b",
        "mesh/debian@1",
        "mesh/x@new",
    ]


@pytest.mark.parametrize(("version", "folder"), [(None, "p/i"), (1, "p/i"), (12, "p/i@12")])
def test_a_version_has_one_folder(version: int | None, folder: str) -> None:
    assert folder_of(ImageRef("p", "i", version)) == folder


def test_a_folder_of_an_odd_name_does_not_stop_the_counting(tree: Tree) -> None:
    for folder in ("mesh/debian@new", "mesh/debian@3", "mesh/debian-old"):
        (tree.root / folder).mkdir(parents=True)
    assert tree.versions("mesh", "debian") == [3]


# -- away -----------------------------------------------------------------------------------


def test_a_root_that_is_not_there_is_away(tree: Tree) -> None:
    tree.root.rmdir()
    with pytest.raises(DarkStoreAway, match="is not there"):
        tree.check()


def test_a_root_that_cannot_be_read_is_away(tree: Tree) -> None:
    (tree.root / "loop").symlink_to("loop")
    with pytest.raises(DarkStoreAway, match="cannot be read: Too many levels"):
        Tree(tree.root / "loop").check()


def test_an_empty_root_is_away_only_where_there_should_be_images(tree: Tree) -> None:
    tree.check(expected=0)
    with pytest.raises(DarkStoreAway, match="is empty, with 3 images registered: is it mounted"):
        tree.check(expected=3)


def test_a_root_that_must_be_a_mount_is_away_while_it_is_none(tree: Tree) -> None:
    (tree.root / "mesh").mkdir()
    with pytest.raises(DarkStoreAway, match="is not mounted"):
        Tree(tree.root, must_be_mount=True).check()
    Tree(tree.root, must_be_mount=True, is_mount=lambda path: True).check()
    Tree(Path("/proc"), must_be_mount=True).check()


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT])
def test_a_file_server_that_is_gone_is_no_broken_image(number: int) -> None:
    with pytest.raises(DarkStoreAway, match="x cannot be reached"), reachable("x"):
        raise OSError(number, os.strerror(number))


def test_a_disk_error_is_not_taken_for_a_server_that_is_gone() -> None:
    with pytest.raises(OSError, match="Input/output"), reachable("x"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


# -- looking at an image --------------------------------------------------------------------


def test_a_clonezilla_folder_is_described_with_its_files(tree: Tree) -> None:
    files = clonezilla_files()
    write(tree.root / "mesh/debian", files)
    (tree.root / "mesh/debian/.nfs0000001").write_bytes(b"")  # an NFS client's own
    found = tree.inspect("mesh/debian")
    assert found.kind is ImageKind.CLONEZILLA
    assert found.sizes == {name: len(data) for name, data in sorted(files.items())}
    assert found.description["disks"][0]["label"] == "gpt"


@pytest.mark.parametrize("name", ["disk.raw", "debian.img"])
def test_one_disk_in_a_folder_is_an_image(tree: Tree, name: str) -> None:
    write(tree.root / "mesh/debian", {name: bytes(4096), "notes.txt": b"mine"})
    found = tree.inspect("mesh/debian")
    assert (found.kind, found.description["file"]) == (ImageKind.RAW, name)
    assert set(found.sizes) == {name, "notes.txt"}


def test_a_file_alone_is_an_image(tmp_path: Path) -> None:
    (tmp_path / "whatever").write_bytes(qcow2())
    assert inspect(tmp_path / "whatever", "x").kind is ImageKind.QCOW2


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a.raw": bytes(512), "b.img": bytes(512)}, "more than one disk in it: a.raw, b.img"),
        ({"README": b"x"}, "no image in it"),
        ({}, "no image in it"),
        ({"disk.raw": bytes(512), "disk.raw.part": b""}, "disk.raw.part is left over from a copy"),
        ({"disk.raw": bytes(512), ".disk.raw.a1B2c3": b""}, ".disk.raw.a1B2c3 is left over from a copy"),
    ],
)
def test_a_folder_without_one_image_is_refused(tree: Tree, files: dict[str, bytes], told: str) -> None:
    write(tree.root / "mesh/debian", files)
    with pytest.raises(BadImage) as caught:
        tree.inspect("mesh/debian")
    assert mistakes(caught)[0].startswith(told)


def test_a_folder_or_a_pipe_within_an_image_is_refused(tree: Tree) -> None:
    folder = write(tree.root / "mesh/debian", {"disk.raw": bytes(512)})
    (folder / "below").mkdir()
    os.mkfifo(folder / "pipe")
    with pytest.raises(BadImage) as caught:
        tree.inspect("mesh/debian")
    assert mistakes(caught) == ["below: a folder within an image", "pipe: not a file"]


def test_links_may_lead_within_the_tree_and_not_out_of_it(tree: Tree, tmp_path: Path) -> None:
    write(tree.root / "mesh/debian", {"disk.raw": bytes(512)})
    (tree.root / "mesh/again").symlink_to("debian")
    assert tree.inspect("mesh/again").kind is ImageKind.RAW
    write(tmp_path / "outside", {"disk.raw": bytes(512)})
    (tree.root / "mesh/out").symlink_to(tmp_path / "outside")
    with pytest.raises(BadImage, match="leaves the dark store"):
        tree.inspect("mesh/out")
    (tree.root / "mesh/file").mkdir()
    (tree.root / "mesh/file/disk.raw").symlink_to(tmp_path / "outside/disk.raw")
    with pytest.raises(BadImage, match=r"disk\.raw: a link that leaves the dark store"):
        tree.inspect("mesh/file")


@pytest.mark.parametrize("folder", ["../x", "mesh/../../etc", "mesh", "mesh/..", "/etc/x"])
def test_a_name_that_is_a_path_is_not_looked_up(tree: Tree, folder: str) -> None:
    with pytest.raises(BadValue):
        tree.path(folder)


# -- copying in -----------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"octets" * 1000)
    return path


def hidden(tree: Tree) -> Iterator[str]:
    return (path.name for path in (tree.root / ".incoming").iterdir())


def test_a_copy_is_seen_when_it_is_placed_and_not_before(tree: Tree, source: Path) -> None:
    told: list[int] = []
    with incoming(tree.root) as coming:
        part, digests = coming.copy(source, "disk.raw", ["md5"], told.append)
        assert tree.walk().places == ()
        coming.place("mesh/debian")
    assert (part.file, part.size, sum(told)) == ("disk.raw", 6000, 6000)
    assert set(digests) == {"sha256", "md5"}
    assert (tree.root / "mesh/debian/disk.raw").read_bytes() == source.read_bytes()
    assert list(hidden(tree)) == []


def test_what_is_not_placed_is_gone(tree: Tree, source: Path) -> None:
    def stopped(octets: int) -> None:
        raise KeyboardInterrupt

    with incoming(tree.root) as coming, pytest.raises(KeyboardInterrupt):
        coming.copy(source, "disk.raw", [], stopped)
    assert list(hidden(tree)) == []


def test_what_is_placed_can_be_taken_back(tree: Tree, source: Path) -> None:
    with incoming(tree.root) as coming:
        coming.copy(source, "disk.raw", [], lambda octets: None)
        coming.place("mesh/debian")
        coming.take_back()
    assert not (tree.root / "mesh/debian").exists()
    assert list(hidden(tree)) == []


def test_nothing_is_placed_over_what_is_there(tree: Tree, source: Path) -> None:
    write(tree.root / "mesh/debian", {"disk.raw": b"old"})
    with incoming(tree.root) as coming:
        coming.copy(source, "disk.raw", [], lambda octets: None)
        with pytest.raises(Refused, match="nothing in the dark store is overwritten"):
            coming.place("mesh/debian")
    assert list(hidden(tree)) == []
    assert (tree.root / "mesh/debian/disk.raw").read_bytes() == b"old"


def test_what_dead_processes_left_goes_and_what_living_ones_copy_stays(tree: Tree, source: Path) -> None:
    with incoming(tree.root) as coming:
        coming.copy(source, "disk.raw", [], lambda octets: None)
        write(tree.root / ".incoming/dead", {"disk.raw": b"half"})
        with incoming(tree.root):
            assert len(list(hidden(tree))) == 2
            assert not (tree.root / ".incoming/dead").exists()
        coming.place("mesh/debian")
    assert (tree.root / "mesh/debian/disk.raw").exists()


def test_what_cannot_fit_is_refused_before_it_is_copied(tree: Tree) -> None:
    with pytest.raises(Refused, match=r"has room for .* octets, the image needs 4,611,686,018,427,387,904"):
        check_room(tree.root, {"disk.raw": 1 << 62})
