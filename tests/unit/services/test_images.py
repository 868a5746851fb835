"""Disk images: copied in whole or not at all, verified against every digest there is, kept while booked."""

import hashlib
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from bootd.darkstore.errors import BadImage, DarkStoreAway
from bootd.darkstore.tree import Tree
from bootd.errors import BadValue, NotFound, Refused
from bootd.lifecycle import IllegalMove
from bootd.model import Booked, DiskImage, ImageKind, Project, Reservation, Role, parse_image_ref
from bootd.services import images
from bootd.store import Store
from tests.helpers.clonezilla import clonezilla_files, qcow2, with_sums, write
from tests.helpers.site import NOON, HandClock, file_store, memory_store

SDA1 = "sda1.ext4-ptcl-img.gz"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(clock: HandClock) -> Iterator[Store]:
    with memory_store(clock) as opened:
        register(opened, "mesh")
        yield opened


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "dark")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A disk that Clonezilla saved, with its own checksums."""
    return write(tmp_path / "saved", with_sums(clonezilla_files()))


def register(store: Store, name: str, state: str = "registered") -> None:
    with store.transaction("anna") as change:
        change.keep(Project(name, "anna", NOON, state=state))


def add(store: Store, tree: Tree, path: Path, clock: HandClock, name: str = "mesh/debian") -> DiskImage:
    return images.add(store, "anna", tree, name, path, clock=clock)


def verify(store: Store, tree: Tree, clock: HandClock, *refs: str) -> list[images.Verdict]:
    chosen = [images.find(store, ref) for ref in refs] or images.images(store)
    return images.verify(store, "anna", tree, chosen, clock=clock)


def in_the_store(tree: Tree) -> set[str]:
    """Return every file of the dark store, what is on its way into it among them."""
    return {path.relative_to(tree.root).as_posix() for path in tree.root.rglob("*") if path.is_file()}


def book(store: Store, number: int, ref: str, state: str = "booked") -> None:
    booked = (Booked(Role.NONE, parse_image_ref(ref)),)
    ends_at = NOON + timedelta(hours=1)
    with store.transaction("anna") as change:
        change.keep(Reservation(number, "mesh", NOON, ends_at, ("node1",), booked, NOON, "anna", state=state))


# -- adding ---------------------------------------------------------------------------------


def test_an_image_is_copied_described_and_hashed_on_the_way(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    image = add(store, tree, saved, clock)
    assert store.find(DiskImage, "mesh/debian@1") == image
    assert (image.state, image.kind, image.folder, image.added_at) == (
        "registered", ImageKind.CLONEZILLA, "mesh/debian", NOON,
    )  # fmt: skip
    assert image.description["disks"][0]["partitions"][0]["device"] == "sda1"
    for part in image.parts:
        original = (saved / part.file).read_bytes()
        assert (tree.root / image.folder / part.file).read_bytes() == original
        assert (part.size, part.sha256) == (len(original), hashlib.sha256(original).hexdigest())
    assert in_the_store(tree) == {f"mesh/debian/{path.name}" for path in saved.iterdir()}


def test_versions_are_counted_and_none_is_overwritten(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    first = add(store, tree, saved, clock)
    (tree.root / "mesh/debian@2").mkdir()  # somebody's, and nobody registered it
    second = add(store, tree, saved, clock)
    assert (first.folder, second.folder, second.version) == ("mesh/debian", "mesh/debian@3", 3)
    assert images.versions(store, "mesh/debian") == [second, first]
    assert images.find(store, "mesh/debian") == second
    assert images.find(store, "mesh/debian@1") == first


@pytest.mark.parametrize(("data", "kind"), [(bytes(4096), ImageKind.RAW), (qcow2(), ImageKind.QCOW2)])
def test_a_disk_in_one_file_is_copied_under_one_name(
    store: Store, tree: Tree, tmp_path: Path, clock: HandClock, data: bytes, kind: ImageKind
) -> None:
    (tmp_path / "my disk").write_bytes(data)
    image = add(store, tree, tmp_path / "my disk", clock)
    assert (image.kind, [part.file for part in image.parts]) == (kind, [f"disk.{kind}"])
    assert image.description["file"] == f"disk.{kind}"
    assert verify(store, tree, clock)[0].problems == ()


def test_progress_is_told_to_the_last_octet(store: Store, tree: Tree, saved: Path, clock: HandClock) -> None:
    told: list[tuple[str, int, int]] = []
    image = images.add(
        store, "anna", tree, "mesh/debian", saved, clock=clock, progress=lambda *step: told.append(step)
    )
    assert told[-1] == (str(saved), image.size, image.size)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_a_half_copied_folder_is_refused_and_leaves_nothing(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    (saved / f"{SDA1}.aa").unlink()
    (saved / "sda-mbr").unlink()
    with pytest.raises(BadImage) as caught:
        add(store, tree, saved, clock)
    assert [mistake.message for mistake in caught.value.mistakes] == [
        f"{SDA1}.aa is missing",
        "sda-mbr is missing",
    ]
    assert (in_the_store(tree), images.images(store)) == (set(), [])


def test_an_image_that_clonezilla_s_own_checksums_refute_is_not_taken(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    (saved / "Info-lshw.txt").write_bytes(b"rotten")
    (saved / "sda-gpt-1st").unlink()
    with pytest.raises(BadImage) as caught:
        add(store, tree, saved, clock)
    told = [mistake.message for mistake in caught.value.mistakes]
    assert told[0] == "sda-gpt-1st is missing: MD5SUMS names it"
    assert told[1].startswith("Info-lshw.txt: its md5 is ")
    assert (in_the_store(tree), images.images(store)) == (set(), [])


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("mehs/debian", NotFound, "did you mean mesh?"),
        ("else/debian", NotFound, "bootd projects add else"),
        ("closed/debian", Refused, "is retired"),
        ("mesh/debian@4", BadValue, "the version is counted by bootd"),
        ("mesh/../x", BadValue, "PROJECT/NAME"),
        ("debian", BadValue, "PROJECT/NAME"),
    ],
)
def test_a_name_no_image_may_have_is_refused(
    store: Store, tree: Tree, saved: Path, clock: HandClock, name: str, error: type[Exception], told: str
) -> None:
    register(store, "closed", "retired")
    with pytest.raises(error) as caught:
        add(store, tree, saved, clock, name)
    assert told in str(caught.value)


def test_a_store_that_should_be_mounted_is_not_made(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    with pytest.raises(DarkStoreAway):
        add(store, Tree(tree.root, must_be_mount=True), saved, clock)
    assert not tree.root.exists()
    add(store, tree, saved, clock)
    tree.root.rename(tree.root.with_name("unmounted"))
    with pytest.raises(DarkStoreAway):
        add(store, tree, saved, clock)
    assert not tree.root.exists()


@contextmanager
def no_file_above(octets: int) -> Iterator[None]:
    """Let the system refuse to write on, as it does where a disk or a quota is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_keeps_nothing_of_it(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    with no_file_above(5000), pytest.raises(Refused, match="cannot copy"):
        add(store, tree, saved, clock)
    assert (in_the_store(tree), images.images(store)) == (set(), [])
    assert add(store, tree, saved, clock).version == 1


def test_a_copy_that_is_stopped_keeps_nothing_of_it(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    def stopped(what: str, done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        images.add(store, "anna", tree, "mesh/debian", saved, clock=clock, progress=stopped)
    assert (in_the_store(tree), images.images(store)) == (set(), [])


@pytest.mark.parametrize(
    ("change", "told"), [(512, "it grows while it is copied"), (-(1 << 20), "changed while it was copied")]
)
def test_a_file_that_changes_while_it_is_copied_is_refused(
    store: Store, tree: Tree, tmp_path: Path, clock: HandClock, change: int, told: str
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(3 << 20))

    def resized(what: str, done: int, total: int) -> None:
        os.truncate(disk, total + change)

    with pytest.raises(BadImage, match=told):
        images.add(store, "anna", tree, "mesh/debian", disk, clock=clock, progress=resized)
    assert in_the_store(tree) == set()


def test_a_record_that_cannot_be_kept_takes_the_copy_back(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    def closed(what: str, done: int, total: int) -> None:
        if done == total:
            register(store, "mesh", "retired")  # while the last octets were copied

    with pytest.raises(Refused, match="is retired"):
        images.add(store, "anna", tree, "mesh/debian", saved, clock=clock, progress=closed)
    assert in_the_store(tree) == set()


def test_two_copies_at_once_are_two_versions(tmp_path: Path, tree: Tree, saved: Path) -> None:
    with file_store(tmp_path) as store:
        register(store, "mesh")
    both = threading.Barrier(2, timeout=30)
    made: list[DiskImage] = []

    def copy() -> None:
        waited = False

        def together(what: str, done: int, total: int) -> None:
            nonlocal waited
            if not waited:
                waited = True
                both.wait()  # neither ends before the other has begun

        with file_store(tmp_path) as own:
            made.append(
                images.add(own, "anna", tree, "mesh/debian", saved, clock=HandClock(), progress=together)
            )

    threads = [threading.Thread(target=copy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(image.folder for image in made) == ["mesh/debian", "mesh/debian@2"]
    with file_store(tmp_path) as store:
        assert len(images.versions(store, "mesh/debian")) == 2
        assert all(not verdict.problems for verdict in verify(store, tree, HandClock()))


# -- verifying ------------------------------------------------------------------------------


def test_an_image_that_is_as_it_was_copied_is_dark(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    image = add(store, tree, saved, clock)
    clock.move(hours=1)
    [verdict] = verify(store, tree, clock)
    assert (verdict.problems, verdict.first) == ((), False)
    kept = images.find(store, "mesh/debian")
    assert (kept.state, kept.verified_at, kept.parts) == ("dark", NOON + timedelta(hours=1), image.parts)


def test_a_damaged_image_names_its_parts_until_it_is_mended(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    image = add(store, tree, saved, clock)
    rotten, gone = tree.root / image.folder / f"{SDA1}.ab", tree.root / image.folder / "sda-mbr"
    rotten.write_bytes(rotten.read_bytes()[:-1] + b"!")
    gone.unlink()
    (tree.root / image.folder / "extra").write_bytes(b"x")
    [verdict] = verify(store, tree, clock)
    kept = images.find(store, "mesh/debian")
    assert (kept.state, kept.parts) == ("damaged", image.parts)
    assert list(verdict.problems) == kept.description[images.DAMAGE]
    told = "\n".join(verdict.problems)
    assert "sda-mbr is missing" in told
    assert f"{SDA1}.ab changed: its SHA-256 is " in told
    assert f"{SDA1}.ab: its md5 is " in told
    assert "extra was not there when it was registered" in told
    (tree.root / image.folder / "extra").unlink()
    for name in (f"{SDA1}.ab", "sda-mbr"):
        (tree.root / image.folder / name).write_bytes((saved / name).read_bytes())
    assert verify(store, tree, clock)[0].problems == ()
    kept = images.find(store, "mesh/debian")
    assert (kept.state, images.DAMAGE in kept.description) == ("dark", False)


def test_a_truncated_part_is_told_with_both_sizes(
    store: Store, tree: Tree, tmp_path: Path, clock: HandClock
) -> None:
    (tmp_path / "d.raw").write_bytes(bytes(4096))
    image = add(store, tree, tmp_path / "d.raw", clock)
    (tree.root / image.folder / "disk.raw").write_bytes(bytes(512))
    assert verify(store, tree, clock)[0].problems == ("disk.raw has 512 octets, 4096 when it was registered",)


def test_a_store_that_is_away_makes_images_unavailable_and_never_lost(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    image = add(store, tree, saved, clock)
    verify(store, tree, clock)
    tree.root.rename(tree.root.with_name("unmounted"))
    tree.root.mkdir()  # the mount point alone
    [verdict] = verify(store, tree, clock)
    assert verdict.away
    assert "is it mounted?" in verdict.problems[0]
    assert images.find(store, "mesh/debian").state == "unavailable"
    assert [each.away for each in verify(store, tree, clock)] == [True]  # again: still so
    tree.root.rmdir()
    tree.root.with_name("unmounted").rename(tree.root)
    assert verify(store, tree, clock)[0].problems == ()
    kept = images.find(store, "mesh/debian")
    assert (kept.state, kept.parts) == ("dark", image.parts)


def test_one_folder_that_went_is_unavailable_beside_others_that_are_dark(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    add(store, tree, saved, clock)
    add(store, tree, saved, clock, "mesh/other")
    (tree.root / "mesh/other").rename(tree.root / ".aside")
    verify(store, tree, clock)
    assert [image.state for image in images.images(store)] == ["dark", "unavailable"]


def test_each_image_is_kept_as_it_was_found_also_where_reading_is_stopped(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    add(store, tree, saved, clock)
    add(store, tree, saved, clock, "mesh/other")

    def stopped(what: str, done: int, total: int) -> None:
        if what.startswith("mesh/other"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        images.verify(store, "anna", tree, images.images(store), clock=clock, progress=stopped)
    assert [image.state for image in images.images(store)] == ["dark", "registered"]


def test_progress_of_reading_ends_with_all_of_it(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    image = add(store, tree, saved, clock)
    told: list[tuple[str, int, int]] = []
    images.verify(store, "anna", tree, [image], clock=clock, progress=lambda *step: told.append(step))
    assert told[-1] == ("mesh/debian@1", image.size, image.size)


# -- looking up, retiring -------------------------------------------------------------------


def test_a_name_that_is_almost_right_is_answered_with_the_right_one(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    add(store, tree, saved, clock)
    with pytest.raises(NotFound, match="did you mean mesh/debian"):
        images.find(store, "mesh/debain")
    with pytest.raises(NotFound, match="versions: 1"):
        images.find(store, "mesh/debian@5")
    with pytest.raises(NotFound, match="bootd images list"):
        images.versions(store, "mesh/zzz")
    with pytest.raises(NotFound, match="did you mean mesh"):
        images.images(store, "mehs")


def test_a_booked_image_is_not_retired_and_its_bookings_are_named(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    add(store, tree, saved, clock)
    book(store, 7, "mesh/debian@1")
    book(store, 8, "mesh/debian@1", "active")
    book(store, 9, "mesh/debian@1", "cancelled")
    with pytest.raises(Refused, match="is booked by reservations 7, 8: cancel"):
        images.retire(store, "anna", "mesh/debian")
    book(store, 7, "mesh/debian@1", "cancelled")
    book(store, 8, "mesh/debian@1", "ended")
    assert images.retire(store, "anna", "mesh/debian").state == "retired"
    assert in_the_store(tree)  # its files stay


def test_a_booking_of_another_version_does_not_hold_an_image(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    add(store, tree, saved, clock)
    add(store, tree, saved, clock)
    book(store, 7, "mesh/debian@2")
    with pytest.raises(Refused, match="name the one to retire: mesh/debian@2, mesh/debian@1"):
        images.retire(store, "anna", "mesh/debian")
    assert images.retire(store, "anna", "mesh/debian@1").version == 1


def test_a_retired_image_is_neither_verified_nor_retired_again(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    add(store, tree, saved, clock)
    images.retire(store, "anna", "mesh/debian")
    with pytest.raises(IllegalMove):
        verify(store, tree, clock, "mesh/debian")
    with pytest.raises(IllegalMove):
        images.retire(store, "anna", "mesh/debian")


def test_the_path_of_an_image_can_be_read_back(
    store: Store, tree: Tree, saved: Path, clock: HandClock
) -> None:
    add(store, tree, saved, clock)
    verify(store, tree, clock)
    images.retire(store, "anna", "mesh/debian")
    told = [(entry.what, entry.key) for entry in store.journal(kinds=["disk_image"])]
    assert told == [(f"images {verb}", "mesh/debian@1") for verb in ("retire", "verify", "add")]
