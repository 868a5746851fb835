"""A slot comes piece by piece: what counts is on the disk, whole, in its order, and of one stream."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from bootd.darkstore import captured
from bootd.darkstore.captured import BadPiece, Piece, Upload, letters, sweep
from tests.helpers.capturing import put

SMALL = 1000  # octets of a piece in these tests
STREAM = bytes(n % 251 for n in range(4 * SMALL + 300))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "PIECE", SMALL)
    monkeypatch.setattr(captured, "VOLUME", 2 * SMALL)
    monkeypatch.setattr(captured, "SPARE", 0)


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    made = Upload(tmp_path, 7)
    made.begin(1)
    return made


def piece(number: int, stream: bytes = STREAM) -> tuple[Piece, bytes]:
    content = stream[number * SMALL : (number + 1) * SMALL]
    return Piece(number, hashlib.sha256(content).hexdigest(), 10 * (number + 1), 50), content


def all_sent(upload: Upload, stream: bytes = STREAM) -> Upload:
    for number in range(-(-len(stream) // SMALL)):
        put(upload, *piece(number, stream))
    return upload


def refused(reason: str, call: Callable[[], object]) -> None:
    with pytest.raises(BadPiece) as error:
        call()
    assert error.value.reason == reason


# -- as it should go ----------------------------------------------------------------------------


def test_pieces_become_files_of_equal_size_as_split_makes_them(upload: Upload) -> None:
    all_sent(upload)
    digest = upload.put_together("sda7.ext4-ptcl-img.zst", {"parts": b"sda7\n"})
    files = {path.name: path.stat().st_size for path in upload.image.iterdir()}
    name = "sda7.ext4-ptcl-img.zst"
    assert files == {f"{name}.aa": 2000, f"{name}.ab": 2000, f"{name}.ac": 300, "parts": 5}
    assert b"".join(path.read_bytes() for path in sorted(upload.image.glob("*.a?"))) == STREAM
    assert digest == hashlib.sha256(STREAM).hexdigest()


def test_putting_together_can_be_repeated_and_begun_by_another(upload: Upload) -> None:
    all_sent(upload)
    upload.image.mkdir()
    (upload.folder / "volumes" / "aa").rename(upload.image / "x.aa")  # killed after the first
    assert upload.put_together("x", {}) == upload.put_together("x", {})


def test_state_says_how_much_was_read(upload: Upload) -> None:
    state = put(upload, *piece(0))
    assert (state.pieces, state.octets, state.read, state.used) == (1, SMALL, 10, 50)
    assert Upload(upload.folder.parents[1], 7).state() == state


def test_nothing_lies_where_images_are_looked_for(upload: Upload) -> None:
    all_sent(upload)
    assert upload.folder.parent.name.startswith(".")


# -- again, and after a kill --------------------------------------------------------------------


def test_piece_that_comes_twice_counts_once(upload: Upload) -> None:
    for number in (0, 0, 1, 0, 1, 1):
        put(upload, *piece(number))
    assert upload.state().pieces == 2


def test_last_piece_may_come_twice_too(upload: Upload) -> None:
    all_sent(upload)
    put(upload, *piece(4))
    assert upload.state().octets == len(STREAM)


def test_pieces_of_another_stream_are_not_mixed_in(upload: Upload) -> None:
    put(upload, *piece(0))
    refused("other-content", lambda: put(upload, *piece(0, STREAM[::-1])))


def test_what_a_killed_worker_left_behind_the_last_piece_is_overwritten(upload: Upload) -> None:
    put(upload, *piece(0))
    with (upload.folder / "volumes" / "aa").open("ab") as file:
        file.write(b"half a piece, the next of which nobody wrote down")
    all_sent(upload)
    upload.put_together("x", {})
    assert b"".join(path.read_bytes() for path in sorted(upload.image.iterdir())) == STREAM


def test_another_process_goes_on_behind_the_last_piece(upload: Upload) -> None:
    put(upload, *piece(0))
    other = Upload(upload.folder.parents[1], 7)
    other.begin(1)
    assert put(other, *piece(1)).pieces == 2


def test_second_round_begins_with_nothing(upload: Upload) -> None:
    put(upload, *piece(0))
    upload.begin(2)
    assert (upload.state().round, upload.state().pieces) == (2, 0)
    refused("not-wanted", lambda: put(upload, *piece(1)))
    assert put(upload, *piece(0), round_=2).pieces == 1


# -- what is not taken --------------------------------------------------------------------------


def test_piece_that_changed_on_its_way_does_not_count(upload: Upload) -> None:
    wanted, content = piece(0)
    refused("bad-digest", lambda: put(upload, wanted, content[:-1] + b"!"))
    assert upload.state().pieces == 0
    assert put(upload, wanted, content).pieces == 1


def test_piece_that_is_not_the_next_is_refused(upload: Upload) -> None:
    refused("out-of-order", lambda: put(upload, *piece(1)))


def test_nothing_comes_after_a_short_piece(upload: Upload) -> None:
    short = STREAM[:500]
    put(upload, Piece(0, hashlib.sha256(short).hexdigest()), short)
    refused("out-of-order", lambda: put(upload, *piece(1)))


def test_piece_that_is_too_large_is_cut_off(upload: Upload) -> None:
    refused("too-large", lambda: put(upload, Piece(0, "0" * 64), bytes(SMALL + 1)))
    assert [path.name for path in upload.folder.glob("coming-*")] == []


def test_disk_that_is_too_full_is_told_beforehand(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=SMALL))
    upload.check_room(SMALL)
    refused("no-room", lambda: upload.check_room(SMALL + 1))


def test_end_that_does_not_fit_to_what_came_is_refused(upload: Upload) -> None:
    put(upload, *piece(0))
    refused("out-of-order", lambda: upload.end(1, {"pieces": 2, "octets": 2 * SMALL}))
    assert upload.end(1, {"pieces": 1, "octets": SMALL}).end is not None
    refused("not-wanted", lambda: put(upload, *piece(1)))


def test_nothing_is_taken_for_a_job_that_is_over(upload: Upload) -> None:
    put(upload, *piece(0))
    upload.discard()
    refused("not-wanted", lambda: put(upload, *piece(1)))
    assert not upload.folder.exists()


# -- tidying up ---------------------------------------------------------------------------------


def test_sweep_removes_what_no_open_job_has(tmp_path: Path) -> None:
    for number in (1, 2):
        Upload(tmp_path, number).begin(1)
    (tmp_path / ".capturing" / "job-x").mkdir()
    sweep(tmp_path, lambda number: number == 2)
    assert [path.name for path in (tmp_path / ".capturing").iterdir()] == ["job-2"]


def test_names_of_files_go_on_as_split_has_them() -> None:
    assert [letters(number) for number in (0, 25, 26, 675)] == ["aa", "az", "ba", "zz"]
    refused("too-large", lambda: letters(676))
