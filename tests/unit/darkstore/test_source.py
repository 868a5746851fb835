"""An image as a stream: the same octets each time, and none of a file that is not as it was registered."""

import errno
import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootd.darkstore import source
from bootd.darkstore.errors import BadImage, DarkStoreAway
from bootd.darkstore.source import Damaged, NotForLun, Unpacked, open_folder, open_source
from bootd.darkstore.tree import Tree
from bootd.model import DiskImage, ImageKind, ImagePart
from tests.helpers.bookings import a_disk_image

DISK = bytes(range(256)) * 9000 + b"end"  # more than two chunks, and no whole number of them


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "dark")


def put(tree: Tree, files: dict[str, bytes], kind: ImageKind = ImageKind.RAW, **fields: Any) -> DiskImage:
    folder = tree.root / "mesh" / "debian"
    folder.mkdir(parents=True)
    for name, octets in files.items():
        (folder / name).write_bytes(octets)
    parts = tuple(ImagePart(name, len(o), hashlib.sha256(o).hexdigest()) for name, o in files.items())
    return replace(a_disk_image(), folder="mesh/debian", parts=parts, kind=kind, **fields)


def read(stream: source.ImageSource) -> bytes:
    return b"".join(stream.chunks())


def read_into(got: list[bytes], stream: source.ImageSource) -> None:
    for chunk in stream.chunks():
        got.append(chunk)


def disk_of(tree: Tree) -> Path:
    return tree.root / "mesh" / "debian" / "disk.raw"


def test_raw_image_is_its_disk_each_time_it_is_read(tree: Tree) -> None:
    files = {"disk.raw": DISK, "SHA256SUMS": b"beside it"}
    stream = open_source(tree, put(tree, files, description={"file": "disk.raw"}))
    assert stream.size == len(DISK)
    assert read(stream) == read(stream) == DISK
    assert stream.digest == hashlib.sha256(DISK).hexdigest()
    assert stream.failure is None


def test_disk_whose_digest_is_another_is_never_read_to_its_end(tree: Tree) -> None:
    image = put(tree, {"disk.raw": DISK})
    disk_of(tree).write_bytes(b"!" + DISK[1:])
    stream, got = open_source(tree, image), list[bytes]()
    with pytest.raises(Damaged, match=r"mesh/debian/disk.raw changed: its SHA-256 is [0-9a-f]{64}, not"):
        read_into(got, stream)
    assert 0 < sum(map(len, got)) < len(DISK)
    assert isinstance(stream.failure, Damaged)
    assert stream.digest == ""


@pytest.mark.parametrize(
    ("octets", "reason"),
    [(DISK[:-1], r"has 2304002 octets, 2304003 when"), (DISK + b"!", r"has more than the 2304003 octets")],
)
def test_disk_that_changes_its_size_after_it_was_looked_at_is_refused(
    tree: Tree, octets: bytes, reason: str
) -> None:
    stream = open_source(tree, put(tree, {"disk.raw": DISK}))
    disk_of(tree).write_bytes(octets)
    with pytest.raises(Damaged, match=reason):
        read(stream)


def test_disk_without_a_digest_yet_is_read_and_gets_one(tree: Tree) -> None:
    image = put(tree, {"disk.raw": DISK})
    stream = open_source(tree, replace(image, parts=(ImagePart("disk.raw", len(DISK), ""),)))
    assert read(stream) == DISK
    assert stream.digest == image.parts[0].sha256


@pytest.mark.parametrize("octets", [b"", DISK[:5], DISK + b"!"])
def test_disk_of_another_size_is_refused_before_it_is_read(tree: Tree, octets: bytes) -> None:
    image = put(tree, {"disk.raw": DISK})
    disk_of(tree).write_bytes(octets)
    with pytest.raises(BadImage, match=f"disk.raw has {len(octets)} octets, 2304003 when it was registered"):
        open_source(tree, image)
    disk_of(tree).unlink()
    with pytest.raises(BadImage, match=r"disk\.raw is missing"):
        open_source(tree, image)


def test_link_that_leaves_the_dark_store_is_not_followed(tree: Tree, tmp_path: Path) -> None:
    image = put(tree, {"disk.raw": DISK})
    disk_of(tree).unlink()
    (tmp_path / "elsewhere").write_bytes(DISK)
    disk_of(tree).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadImage, match="leaves the dark store"):
        open_source(tree, image)


def test_dark_store_that_is_away_is_told_from_an_image_that_is_broken(tree: Tree) -> None:
    image = put(tree, {"disk.raw": DISK})
    stream = open_source(tree, image)
    tree.root.rename(tree.root.with_name("unmounted"))
    with pytest.raises(FileNotFoundError):
        read(stream)
    assert isinstance(stream.failure, DarkStoreAway)
    with pytest.raises(DarkStoreAway, match="is not there"):
        open_source(tree, image)
    tree.root.mkdir()
    with pytest.raises(DarkStoreAway, match="is it mounted"):
        open_source(tree, image)
    (tree.root / "other").mkdir()
    with pytest.raises(DarkStoreAway, match="mesh/debian is not in the dark store"):
        open_source(tree, image)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ESTALE, DarkStoreAway),
        (errno.ETIMEDOUT, DarkStoreAway),
        (errno.EACCES, DarkStoreAway),
        (errno.EIO, Damaged),
    ],
)
def test_what_the_file_server_says_is_kept_beside_the_error(
    tree: Tree, code: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = open_source(tree, put(tree, {"disk.raw": DISK}))

    def refuse(self: Path, *how: object) -> None:
        raise OSError(code, "the server's words")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OSError, match="the server's words"):
        read(stream)
    assert isinstance(stream.failure, kind)


@pytest.mark.parametrize("kind", [ImageKind.QCOW2, ImageKind.CLONEZILLA])
def test_image_that_is_no_raw_disk_is_no_stream_for_a_lun_before_it_is_unpacked(
    tree: Tree, kind: ImageKind
) -> None:
    with pytest.raises(NotForLun, match="was not unpacked"):
        open_source(tree, put(tree, {"disk": b"x"}, kind))


def test_unpacked_disk_is_read_and_never_to_its_end_where_it_changed(tree: Tree, tmp_path: Path) -> None:
    image = put(tree, {"disk": b"x"}, ImageKind.QCOW2)
    path = tmp_path / "disk.raw"
    path.write_bytes(DISK)
    stream = open_source(tree, image, Unpacked(path, len(DISK), hashlib.sha256(DISK).hexdigest()))
    assert read(stream) == DISK
    path.write_bytes(b"!" + DISK[1:])
    with pytest.raises(Damaged, match=r"disk.raw changed"):
        read(stream)


def test_raw_image_with_two_disks_and_no_word_which_is_refused(tree: Tree) -> None:
    with pytest.raises(BadImage, match="which of its files is the disk"):
        open_source(tree, put(tree, {"a.raw": b"x", "b.raw": b"y"}))


# -- a folder as tar ------------------------------------------------------------------------

FILES = {"sda1.aa": DISK, "empty": b"", "block": b"b" * 512, "disk": b"sda\n", "n" * 150: b"long name"}


def test_folder_is_a_tar_that_others_can_unpack_and_of_the_size_it_says(tree: Tree) -> None:
    stream = open_folder(tree, put(tree, FILES, ImageKind.CLONEZILLA))
    octets = read(stream)
    assert len(octets) == stream.size
    with tarfile.open(fileobj=io.BytesIO(octets), mode="r:") as tar:
        members = tar.getmembers()
        found = {member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in members}
    assert found == FILES
    assert [member.name for member in members] == sorted(FILES)
    assert {(member.uid, member.gid, member.mtime, member.mode) for member in members} == {(0, 0, 0, 0o444)}


def test_tar_of_the_same_files_is_the_same_whoever_owns_them_and_in_whatever_order(tree: Tree) -> None:
    image = put(tree, FILES)
    first = read(open_folder(tree, image))
    for path in (tree.root / "mesh" / "debian").iterdir():
        path.touch()
        path.chmod(0o600)
    assert read(open_folder(tree, replace(image, parts=image.parts[::-1]))) == first


def test_tar_with_a_damaged_file_ends_before_that_file_does(tree: Tree) -> None:
    image = put(tree, FILES)
    (tree.root / "mesh" / "debian" / "disk").write_bytes(b"sdb\n")
    stream, got = open_folder(tree, image), list[bytes]()
    with pytest.raises(Damaged, match="mesh/debian/disk changed"):
        read_into(got, stream)
    assert b"sdb" not in b"".join(got)
    assert sum(map(len, got)) < stream.size


def test_file_of_more_than_8_gib_has_its_size_in_the_tar(tree: Tree) -> None:
    image = put(tree, {"disk.raw": b""})
    with disk_of(tree).open("r+b") as file:
        file.truncate(9 << 30)
    stream = open_folder(tree, replace(image, parts=(ImagePart("disk.raw", 9 << 30, ""),)))
    assert stream.size == 512 + (9 << 30) + 1024
    header = next(iter(stream.chunks()))
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == 9 << 30
