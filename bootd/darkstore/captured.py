"""A slot on its way into the dark store: its octets piece by piece, in a folder that nobody lists.

``ROOT/.capturing/job-N``: on the dark store's own file system, so that no octet is copied at the end.
A piece counts once it is on the disk and its digest was right; then ``state.json`` says so. Whoever comes
after a kill goes on behind the last piece that counts.
"""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from bootd.darkstore.errors import DarkStoreAway
from bootd.darkstore.incoming import CHUNK, owned_alike, said
from bootd.darkstore.tree import reachable
from bootd.errors import BootdError
from bootd.folders import lock_folder, sync_folder

PIECE = 16 << 20  # octets of each piece but the last
VOLUME = 64 * PIECE  # octets of each file but the last, as split -b makes them
SPARE = 64 << 20  # octets left to the others of that file system
_HIDDEN = ".capturing"
_STATE, _VOLUMES, _IMAGE = "state.json", "volumes", "image"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class BadPiece(BootdError):
    """A piece that does not fit to what is there, or is not what it says; *reason* is a stable slug."""

    code = "bad-piece"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of the stream, as its sender names it."""

    number: int  # from 0
    sha256: str
    read: int = 0  # octets of the slot that its sender had read by then
    used: int = 0  # octets of the slot that it will have read at the end


@dataclass(frozen=True, slots=True)
class State:
    """How much has come, in which round of the job, and what the sender said at the end."""

    round: int = 0
    pieces: int = 0
    octets: int = 0
    read: int = 0
    used: int = 0
    end: Mapping[str, Any] | None = None


class Upload:
    """What one job has captured so far; several may hold one, in any thread or process."""

    def __init__(self, root: Path, job: int) -> None:
        self._root = root
        self.folder = root / _HIDDEN / f"job-{job}"

    @property
    def image(self) -> Path:
        """The folder of the image, once `put_together`."""
        return self.folder / _IMAGE

    def begin(self, round_: int) -> None:
        """Make room for the pieces of a round, those of an earlier one are gone; one that began goes on."""
        with said("write to", self._root):
            for folder in (self.folder.parent, self.folder):
                folder.mkdir(mode=0o750, exist_ok=True)
                owned_alike([folder], self._root)
            with self._locked():
                if self.state().round != round_:
                    self._empty()
                    self._write_state(State(round_))

    def state(self) -> State:
        """Return how far it is; as nothing has come where there is nothing to be read."""
        try:
            with reachable(str(self.folder)):
                kept = json.loads((self.folder / _STATE).read_text())
            return State(**kept)
        except (FileNotFoundError, ValueError, TypeError):
            return State()

    def check_room(self, octets: int) -> None:
        """Raise `BadPiece` where *octets* more do not fit, `DarkStoreAway` where that cannot be told."""
        with self._reachable():
            free = shutil.disk_usage(self.folder).free
        if octets + SPARE > free:
            raise BadPiece("no-room", f"the dark store has room for {max(0, free - SPARE):,} octets more")

    def receive(self) -> "Receiving":
        """Return a place for one piece to come in; raises `BadPiece`, `DarkStoreAway`."""
        path = self.folder / f"coming-{secrets.token_hex(4)}"
        with self._reachable():
            return Receiving(self, path, path.open("xb"))

    def put(self, piece: Piece, round_: int, came: "Receiving") -> State:
        """Have a piece count; one that does already is only compared. Raises `BadPiece`, `DarkStoreAway`."""
        digest, octets = came.close()
        if digest != piece.sha256:
            raise BadPiece("bad-digest", f"piece {piece.number} did not arrive as it was sent")
        with self._reachable(), self._locked():
            state = self.state()
            if state.round != round_ or state.end is not None:
                raise BadPiece("not-wanted", "this round of the job is over")
            if piece.number < state.pieces:
                self._compare(piece, octets, state)
                return state
            if piece.number > state.pieces or state.octets != state.pieces * PIECE:
                raise BadPiece("out-of-order", f"piece {state.pieces} is the next, not {piece.number}")
            self._append(state.octets, came.path)
            new = replace(
                state,
                pieces=state.pieces + 1,
                octets=state.octets + octets,
                read=max(state.read, piece.read),
                used=max(state.used, piece.used),
            )
            self._write_state(new)
            return new

    def end(self, round_: int, end: Mapping[str, Any]) -> State:
        """Keep what the sender says at the end: no piece comes after it."""
        with self._reachable(), self._locked():
            state = self.state()
            if state.round != round_:
                raise BadPiece("not-wanted", "this round of the job is over")
            if (state.pieces, state.octets) != (end["pieces"], end["octets"]):
                told = f"{end['pieces']} pieces with {end['octets']} octets"
                raise BadPiece("out-of-order", f"{told} were sent, {state.pieces} with {state.octets} came")
            new = replace(state, end=dict(end))
            self._write_state(new)
            return new

    def put_together(
        self, prefix: str, texts: Mapping[str, bytes], beat: Callable[[], None] = lambda: None
    ) -> str:
        """Give the volumes their names, ``PREFIX.aa`` and on, and lay *texts* beside them; may be repeated.

        Return the SHA-256 of all their octets; *beat* is called at least once for each MiB that is read.
        """
        with said("write to", self.folder), self._locked():
            count = -(-self.state().octets // VOLUME)
            self.image.mkdir(mode=0o750, exist_ok=True)
            paths = [self.image / f"{prefix}.{letters(number)}" for number in range(count)]
            for number, path in enumerate(paths):
                if not path.exists():
                    self._volume(number).rename(path)
            for name, text in texts.items():
                (self.image / name).write_bytes(text)
            return _digest(paths, beat)

    def discard(self) -> None:
        """Remove all that has come."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- on the disk ---------------------------------------------------------------------------

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Tell a folder that was discarded from a dark store that is away, or full."""
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise BadPiece("no-room", "the dark store is full") from error
            if isinstance(error, FileNotFoundError) and self._is_discarded():
                raise BadPiece("not-wanted", "what came was discarded: the job is over") from error
            raise DarkStoreAway(f"{self.folder} cannot be written: {error.strerror}") from error

    def _is_discarded(self) -> bool:
        return self.folder.parent.is_dir() and not self.folder.exists()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        held = lock_folder(self.folder, fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(held)

    def _volume(self, number: int) -> Path:
        return self.folder / _VOLUMES / letters(number)

    def _empty(self) -> None:
        for name in (_VOLUMES, _IMAGE):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / _VOLUMES).mkdir(mode=0o750)

    def _append(self, at: int, source: Path) -> None:
        """Copy a piece behind what counts; what a killed worker left there is overwritten."""
        number, offset = divmod(at, VOLUME)
        path = self._volume(number)
        with source.open("rb") as reading, path.open("r+b" if offset else "wb") as writing:
            writing.truncate(offset)
            writing.seek(offset)
            shutil.copyfileobj(reading, writing, CHUNK)
            writing.flush()
            os.fchmod(writing.fileno(), 0o640)
            os.fsync(writing.fileno())
        if not offset:
            sync_folder(path.parent)

    def _compare(self, piece: Piece, octets: int, state: State) -> None:
        """An answer may get lost, so that a piece comes twice; another stream must not be mixed in."""
        number, offset = divmod(piece.number * PIECE, VOLUME)
        size = min(PIECE, state.octets - piece.number * PIECE)
        with self._volume(number).open("rb") as file:
            file.seek(offset)
            digest = hashlib.sha256(file.read(size)).hexdigest()
        if (digest, size) != (piece.sha256, octets):
            raise BadPiece("other-content", f"piece {piece.number} came already, and was another")

    def _write_state(self, state: State) -> None:
        path = self.folder / _STATE
        fresh = path.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump(asdict(state), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        sync_folder(self.folder)


class Receiving:
    """A piece as it comes in."""

    def __init__(self, upload: Upload, path: Path, file: BinaryIO) -> None:
        self._upload, self.path, self._file = upload, path, file
        self._digest, self.octets = hashlib.sha256(), 0

    def take(self, chunk: bytes) -> None:
        """Write what came; raises `BadPiece` where it is too much or does not fit."""
        self.octets += len(chunk)
        if self.octets > PIECE:
            raise BadPiece("too-large", f"a piece has {PIECE} octets at most")
        self._digest.update(chunk)
        with self._upload._reachable():
            self._file.write(chunk)

    def close(self) -> tuple[str, int]:
        """Return digest and length of what came."""
        with self._upload._reachable():
            self._file.close()
        return self._digest.hexdigest(), self.octets

    def discard(self) -> None:
        """Remove it; what was put lies elsewhere by then."""
        with suppress(OSError):  # a dark store that is away is swept when it is back
            self._file.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def sweep(root: Path, is_needed: Callable[[int], bool]) -> None:
    """Discard what jobs have left that nobody needs any more."""
    hidden = root / _HIDDEN
    for folder in hidden.iterdir() if hidden.is_dir() else ():
        number = folder.name.removeprefix("job-")
        if not (number.isascii() and number.isdecimal() and is_needed(int(number))):
            shutil.rmtree(folder, ignore_errors=True)


def letters(number: int) -> str:
    """Return how ``split -a 2`` names the files of a stream: aa, ab …; raises `BadPiece` after zz."""
    if number >= 26 * 26:
        raise BadPiece("too-large", f"an image has {26 * 26 * VOLUME} octets at most")
    return chr(ord("a") + number // 26) + chr(ord("a") + number % 26)


def _digest(paths: list[Path], beat: Callable[[], None]) -> str:
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                whole.update(chunk)
                beat()
    return whole.hexdigest()
