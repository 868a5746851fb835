"""What the suite takes of the machine that it runs on."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

GIB = 1 << 30
# Folders; else the end is one worker with one long file.
LONGEST_FIRST = ("vm", "net", "contract", "unit/workers", "unit/darkstore", "unit")
_A_LAB = 4 * GIB  # six machines in it, and their disks
_ROOM = 4 * GIB


def workers(cores: int, memory: int) -> int:
    """Return how many files of tests run at once: each may be a lab of machines that keep a core busy."""
    return max(1, min(cores, memory // _A_LAB))


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def scratch(
    environment: Mapping[str, str],
    memory: int,
    folder: Path = Path("/dev/shm"),
    free: Callable[[Path], int] = _free,
) -> Path | None:
    """Return where tests write, None for where the system says: many an fsync costs no disk in memory."""
    if "TMPDIR" in environment or memory < 2 * _ROOM or not folder.is_dir():
        return None
    return folder if free(folder) >= _ROOM else None


def available(meminfo: str) -> int:
    """Return the octets that programs can still have, of the text of /proc/meminfo."""
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    return int(fields["MemAvailable"].split()[0]) * 1024


def rank(path: Path, tests: Path) -> int:
    """Return the place of a file's folder in `LONGEST_FIRST`; all others come last."""
    folders = [str(folder) for folder in path.relative_to(tests).parents]
    places = [place for place, folder in enumerate(LONGEST_FIRST) if folder in folders]
    return min(places, default=len(LONGEST_FIRST))
