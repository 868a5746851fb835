"""Which files of a folder hold which partition, in which order (pure)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bootd.darkstore.streams import MAGIC

# sda1.ext4-ptcl-img.gz.aa; partclone's dd is "dd-ptcl", clonezilla before 2018 wrote "dd-img"
_IMAGE = re.compile(
    r"(?P<part>[A-Za-z0-9_-]{1,60})\.(?P<fs>[A-Za-z0-9_+]{1,20})(?P<ptcl>-ptcl)?-img(?P<rest>(?:\.[a-z0-9]+)*)\Z"
)
_PARTIMAGE = re.compile(r"[a-z]{2,6}[0-9]{1,3}\.(?:aa|000)\Z")
_SPLIT = re.compile(r"[a-z]{2,3}\Z")
_LEFTOVER = re.compile(r"\.?.+\.(?:part|partial|filepart|tmp|crdownload)\Z|\..+\.[A-Za-z0-9]{6}\Z")
_TOLD_MAX = 5


@dataclass(frozen=True, slots=True)
class Stream:
    """The files of one partition, in their order."""

    part: str  # as in the file names: "sda1", "cciss-c0d0p1"
    file_system: str  # "" where the bytes were copied as they are
    tool: str  # partclone, dd, ntfsclone
    compression: str  # a key of `MAGIC`; "" where the names do not say
    files: tuple[str, ...]

    @property
    def begins(self) -> bool:
        """Tell whether the first file is the beginning: the whole, or the piece ``aa``."""
        suffix = self.files[0].rpartition(".")[2]
        return suffix in MAGIC or suffix.endswith("-img") or set(suffix) == {"a"}


def is_image_file(name: str) -> bool:
    """Tell whether *name* is that of a partition's data."""
    return _IMAGE.match(name) is not None


def leftovers(names: Iterable[str]) -> list[str]:
    """Return the files that a copy under way, or a broken one, leaves behind."""
    return sorted(name for name in names if _LEFTOVER.match(name))


def made_by_partimage(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if _PARTIMAGE.match(name))


def find_streams(sizes: Mapping[str, int]) -> tuple[list[Stream], list[str]]:
    """Return every stream of a folder, and in sentences what its files lack."""
    groups: dict[tuple[str, str, str, str], dict[str, str]] = {}
    wrong: list[str] = []
    for name in sorted(sizes):
        match = _IMAGE.match(name)
        if match is None or name.endswith(".info"):  # sda1.dd-img.info: a note beside the data
            continue
        words = match["rest"].split(".")[1:]
        suffix = words.pop() if words and words[-1] not in MAGIC and _SPLIT.match(words[-1]) else ""
        if len(words) > 1 or (words and words[0] not in MAGIC):
            known = ", ".join(MAGIC)
            wrong.append(f"{name}: compression {'.'.join(words)!r} is not known; known: {known}")
            continue
        by_partclone = match["ptcl"] and match["fs"] != "dd"  # partclone.dd writes the octets as they are
        tool = "partclone" if by_partclone else {"ntfs": "ntfsclone"}.get(match["fs"], match["fs"])
        key = (match["part"], match["fs"], tool, words[0] if words else "")
        groups.setdefault(key, {})[suffix] = name
    streams = []
    for (part, fs, tool, compression), pieces in groups.items():
        wrong += _gaps(pieces) + _odd_sizes(pieces, sizes)
        files = tuple(pieces[suffix] for suffix in sorted(pieces))
        streams.append(Stream(part, "" if fs == "dd" else fs, tool, compression, files))
    return streams, wrong


def _gaps(pieces: Mapping[str, str]) -> list[str]:
    """Return which files are missing between the first that `split` makes and the last there is."""
    if set(pieces) == {""}:
        return []
    if "" in pieces or len({len(suffix) for suffix in pieces}) > 1:
        return [f"{', '.join(sorted(pieces.values()))}: two copies of one partition"]
    width = len(next(iter(pieces)))
    numbers = {_number(suffix): name for suffix, name in pieces.items()}
    base = next(iter(pieces.values()))[:-width]
    missing = []
    for number in range(max(numbers)):
        if number not in numbers:
            missing.append(f"{base}{_letters(number, width)}")
        if len(missing) > _TOLD_MAX:
            return [*(f"{name} is missing" for name in missing[:_TOLD_MAX]), "… and more after it"]
    return [f"{name} is missing" for name in missing]


def _odd_sizes(pieces: Mapping[str, str], sizes: Mapping[str, int]) -> list[str]:
    """`split` makes all files but the last of one size."""
    names = [pieces[suffix] for suffix in sorted(pieces)]
    wrong = [f"{name} is empty" for name in names if sizes[name] == 0]
    full = max(sizes[name] for name in names)
    return wrong + [
        f"{name} is cut short: {sizes[name]} octets, where the others have {full}"
        for name in names[:-1]
        if 0 < sizes[name] < full
    ]


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("a")
    return number


def _letters(number: int, width: int) -> str:
    letters = ""
    for _ in range(width):
        number, digit = divmod(number, 26)
        letters = chr(ord("a") + digit) + letters
    return letters
