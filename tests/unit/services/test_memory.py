"""Memory images: copied whole or not at all, replaced in one step, checked, removed."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bootd.errors import BadText, BadValue, NotFound, Refused
from bootd.model import Assignment, MemoryImage, Override, Target, TargetKind
from bootd.services import memory, shelf
from bootd.services.memory import Recipe
from bootd.store import Store
from tests.helpers.namespace import need_root
from tests.helpers.site import NOON, HandClock, a_host, a_kernel, memory_store

ROOT = Path(__file__).parents[3]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(clock: HandClock) -> Iterator[Store]:
    with memory_store(clock) as opened:
        yield opened


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with the files of an image."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "vmlinuz").write_bytes(a_kernel())
    (folder / "initrd.gz").write_bytes(b"\x1f\x8binitrd")
    return folder


def recipe(source: Path, **changes: object) -> Recipe:
    standard: dict[str, object] = {
        "name": "debian",
        "kernel": source / "vmlinuz",
        "initrds": [source / "initrd.gz"],
        "cmdline": "quiet",
    }
    return Recipe(**standard | changes)  # type: ignore[arg-type]


def add(store: Store, data: Path, wanted: Recipe, clock: HandClock) -> MemoryImage:
    return memory.add(store, "anna", data, wanted, clock=clock)


def kept_files(data: Path) -> set[str]:
    files = data / "files"
    return {path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file()}


def test_files_lie_under_their_digest_and_are_recorded(
    store: Store, tmp_path: Path, source: Path, clock: HandClock
) -> None:
    image = add(store, tmp_path, recipe(source), clock)
    assert store.memory_image("debian") == image
    assert (image.cmdline, image.added_at) == ("quiet", NOON)
    assert image.kernel.path == f"memory/debian/{image.kernel.sha256[:16]}/vmlinuz"
    assert kept_files(tmp_path) == {file.path for file in image.files}
    assert (tmp_path / "files" / image.kernel.path).read_bytes() == a_kernel()
    assert list((tmp_path / "incoming").iterdir()) == []


def test_initrds_of_one_name_are_told_apart(
    store: Store, tmp_path: Path, source: Path, clock: HandClock
) -> None:
    twice = recipe(source, initrds=[source / "initrd.gz", source / "initrd.gz"])
    assert [file.name for file in add(store, tmp_path, twice, clock).initrds] == ["initrd.gz", "2-initrd.gz"]


def test_names_that_no_script_could_carry_are_made_plain(
    store: Store, tmp_path: Path, source: Path, clock: HandClock
) -> None:
    odd = source / "..kérnel ${x} #1"
    odd.write_bytes(a_kernel())
    assert add(store, tmp_path, recipe(source, kernel=odd), clock).kernel.name == "k-rnel---x---1"


def test_everything_wrong_with_the_files_is_told_and_nothing_kept(
    store: Store, tmp_path: Path, source: Path, clock: HandClock
) -> None:
    (source / "empty").touch()
    (source / "vmlinux").write_bytes(b"\x7fELF" + bytes(5000))
    os.mkfifo(source / "pipe")
    bad = [source / "missing", source / "empty", source, source / "pipe"]
    with pytest.raises(BadText) as caught:
        add(store, tmp_path, recipe(source, kernel=source / "vmlinux", initrds=bad), clock)
    told = [mistake.message.removeprefix(f"{source}") for mistake in caught.value.mistakes]
    assert told == [
        "/vmlinux: not a Linux kernel image (vmlinuz, bzImage) or an EFI program:"
        " it is an ELF file, such as vmlinux",
        "/missing: No such file or directory",
        "/empty: the file is empty",
        ": not a file",
        "/pipe: not a file",
    ]
    assert store.generation() == 0
    assert not (tmp_path / "files").exists()


@pytest.mark.parametrize(
    ("head", "good"),
    [
        pytest.param(a_kernel(), True, id="bzImage"),
        pytest.param(bytes(0x38) + b"ARM\x64" + bytes(64), True, id="arm64"),
        pytest.param(bytes(0x38) + b"RSC\x05" + bytes(64), True, id="riscv"),
        pytest.param(b"MZ" + bytes(0x3A) + b"\x40\0\0\0PE\0\0", True, id="efi"),
        pytest.param(b"MZ" + bytes(0x3A) + b"\xff\xff\xff\xff", False, id="dos-program"),
        pytest.param(b"\x1f\x8b" + bytes(4000), False, id="gzip"),
        pytest.param(b"#!/bin/sh\n", False, id="script"),
    ],
)
def test_what_can_be_a_kernel(head: bytes, good: bool) -> None:
    assert (memory.kernel_problem(head) == "") is good


@pytest.mark.parametrize(
    "changes", [{"name": "a/b"}, {"name": ".."}, {"cmdline": "a\nb"}, {"cmdline": "x" * 1700}]
)
def test_a_name_or_command_line_that_does_not_fit_is_refused(
    store: Store, tmp_path: Path, source: Path, clock: HandClock, changes: dict[str, str]
) -> None:
    with pytest.raises(BadValue):
        add(store, tmp_path, recipe(source, **changes), clock)


def test_progress_is_told_to_the_end(store: Store, tmp_path: Path, source: Path, clock: HandClock) -> None:
    told: list[tuple[str, int, int]] = []
    memory.add(store, "anna", tmp_path, recipe(source), clock=clock, progress=lambda *step: told.append(step))
    assert told == [("vmlinuz", 8192, 8192), ("initrd.gz", 8, 8)]


def test_a_replaced_version_stays_a_while_for_machines_half_way(
    store: Store, tmp_path: Path, source: Path, clock: HandClock
) -> None:
    old = add(store, tmp_path, recipe(source), clock)
    (source / "vmlinuz").write_bytes(a_kernel(b"n"))
    new = add(store, tmp_path, recipe(source), clock)
    assert store.memory_images() == [new]
    assert kept_files(tmp_path) == {file.path for file in (*old.files, *new.files)}
    clock.move(seconds=shelf.KEEP_REPLACED_S + 1)
    add(store, tmp_path, recipe(source), clock)
    assert kept_files(tmp_path) == {file.path for file in new.files}


def test_the_same_files_again_are_the_same_image(
    store: Store, tmp_path: Path, source: Path, clock: HandClock
) -> None:
    first = add(store, tmp_path, recipe(source), clock)
    again = add(store, tmp_path, recipe(source, cmdline="verbose"), clock)
    assert again.files == first.files
    assert kept_files(tmp_path) == {file.path for file in first.files}
    assert {verdict.problem for verdict in memory.verify(store, tmp_path, "debian")} == {""}


def test_a_changed_and_a_missing_file_are_found(
    store: Store, tmp_path: Path, source: Path, clock: HandClock
) -> None:
    image = add(store, tmp_path, recipe(source), clock)
    (tmp_path / "files" / image.kernel.path).write_bytes(b"bit rot")
    (tmp_path / "files" / image.initrds[0].path).unlink()
    problems = [verdict.problem for verdict in memory.verify(store, tmp_path, "debian")]
    assert problems[0].startswith("changed: its SHA-256 is ")
    assert problems[1] == "cannot be read: No such file or directory"


def test_an_image_in_use_is_removed_by_force_only(
    store: Store, tmp_path: Path, source: Path, clock: HandClock
) -> None:
    add(store, tmp_path, recipe(source), clock)
    with store.transaction("anna") as change:
        change.put_host(a_host())
        change.put_assignment(Assignment("node1", Target(TargetKind.MEMORY, "debian"), NOON))
    with pytest.raises(Refused, match="is what node1 boot"):
        memory.remove(store, "anna", tmp_path, "debian", clock=clock)
    assert kept_files(tmp_path)
    assert memory.remove(store, "anna", tmp_path, "debian", clock=clock, force=True) == ["node1"]
    assert (store.memory_images(), kept_files(tmp_path)) == ([], set())


def test_an_expired_order_does_not_hold_an_image(
    store: Store, tmp_path: Path, source: Path, clock: HandClock
) -> None:
    add(store, tmp_path, recipe(source), clock)
    with store.transaction("anna") as change:
        change.put_host(a_host())
        target = Target(TargetKind.MEMORY, "debian")
        change.put_override(Override(1, "node1", target, NOON, NOON + timedelta(hours=1)))
    with pytest.raises(Refused):
        memory.remove(store, "anna", tmp_path, "debian", clock=clock)
    clock.move(hours=1)
    assert memory.remove(store, "anna", tmp_path, "debian", clock=clock) == []


def test_an_unknown_image_is_not_removed(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="bootd memory add ghost"):
        memory.remove(store, "anna", tmp_path, "ghost", clock=HandClock())
    assert list(tmp_path.iterdir()) == []


def test_what_root_copies_belongs_to_the_owner_of_the_data_folder(
    store: Store, tmp_path: Path, source: Path, clock: HandClock
) -> None:
    need_root()  # nobody else may give files away
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 1234, 2345)
    add(store, data, recipe(source), clock)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in data.rglob("*")} == {(1234, 2345)}


_KILLED = """
import os, sys
from pathlib import Path
from bootd.clock import utc_now
from bootd.services import memory
from bootd.store import open_store
data, source = Path(sys.argv[1]), Path(sys.argv[2])
def half_way(name, done, total):
    if name == "initrd.gz":
        print("half-way", flush=True)
        sys.stdin.read()
with open_store(f"sqlite:///{data}/bootd.db", clock=utc_now) as store:
    recipe = memory.Recipe("debian", source / "vmlinuz", [source / "initrd.gz"])
    memory.add(store, "x", data, recipe, clock=utc_now, progress=half_way)
"""


def test_an_add_killed_half_way_leaves_no_image_and_its_litter_goes_with_the_next(
    store: Store, tmp_path: Path, source: Path, clock: HandClock
) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path), str(source)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half-way\n"
        living = list((tmp_path / "incoming").iterdir())
        add(store, tmp_path, recipe(source, name="other"), clock)
        assert list((tmp_path / "incoming").iterdir()) == living  # a living process keeps its folder
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "files" / "memory" / "debian").exists()
    add(store, tmp_path, recipe(source, name="other"), clock)
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_failing_commit_leaves_the_old_image_whole(
    store: Store, tmp_path: Path, source: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = add(store, tmp_path, recipe(source), clock)
    (source / "vmlinuz").write_bytes(a_kernel(b"n"))

    def refuse(*arguments: object) -> None:
        raise Refused("the disk is full")

    monkeypatch.setattr(store, "transaction", refuse)
    with pytest.raises(Refused):
        add(store, tmp_path, recipe(source), clock)
    assert store.memory_images() == [old]
    assert {verdict.problem for verdict in memory.verify(store, tmp_path, "debian")} == {""}


def test_two_that_place_files_take_turns(tmp_path: Path) -> None:
    with shelf.Shelf(tmp_path, "debian").locked():
        descriptor = os.open(tmp_path / "files" / "memory" / "debian", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
