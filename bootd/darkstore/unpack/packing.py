"""A part of an unpacked disk made small for those who send it: its zeros take no time on the way."""

from pathlib import Path

from bootd.darkstore.source import Unpacked
from bootd.darkstore.unpack.places import DISK, digest_of, held
from bootd.darkstore.unpack.programs import Beat, Limits, Pipe

TOOLS = ("dd", "zstd")
_PACKED = "disk.zst"
_ROOM = 16 << 20  # octets by which noise grows at most, and then some


def pack(root: Path, name: str, start: int, size: int, beat: Beat) -> Unpacked:
    """Compress octets *start* to *start* + *size* of the disk in the folder *name* of *root*, which goes.

    The same octets give the same file with the same zstd. Raises `ToolFailed`, `MissingTool`, `NoRoom`,
    `Held`, and what *beat* raises.
    """
    with held(root, name) as folder:
        packed = folder / _PACKED
        numbers = [f"skip={start}", f"count={size}", "iflag=skip_bytes,count_bytes"]
        read = ["dd", f"if={folder / DISK}", "bs=1M", "status=none", *numbers]
        # the number of threads is in what comes out
        with Pipe(
            [read, ["zstd", "-q", "-1", "-T4", "-f", "-o", str(packed)]], folder, Limits(size + _ROOM)
        ) as pipe:
            pipe.wait(beat)
        (folder / DISK).unlink()
        return Unpacked(packed, packed.stat().st_size, digest_of(packed, beat))


def packed(root: Path, name: str, size: int, digest: str) -> Unpacked | None:
    """Return what was packed there with that size and digest; None where it is gone."""
    path = root / name / _PACKED
    is_there = path.is_file() and path.stat().st_size == size
    return Unpacked(path, size, digest) if is_there else None
