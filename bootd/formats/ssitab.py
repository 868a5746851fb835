"""ssitab: one line a node, `MAC IP NODE-NUMBER LOCAL-BOOT [BOOT-DEVICE] [key=value …]`.

Columns are separated by blanks, `#` starts a comment. LOCAL-BOOT is yes|no|y|n|1|0, and a
node that boots locally names its device. `-` stands for an IP address or number that is not
known. A value with blanks, `"` or `#` in it is written in double quotes, with `\\` before `"`
and `\\`. A device after `no` is remembered as the setting boot-device.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bootd.formats.fields import Checker, Row, default_name
from bootd.model import Host

PARKED = "boot-device"  # setting that keeps the device of a node that does not boot from it

_TRUE, _FALSE = ("yes", "y", "1"), ("no", "n", "0")
_BLANK = " \t\r\f\v"
_PIECE = re.compile(r'[ \t\r\f\v]*((?:[^ \t\r\f\v"#]|"(?:[^"\\]|\\.)*")+)')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_FIELDS = ("name", "role", "groups")  # keys that are fields of their own, in the order they are written
_WIDTHS = (17, 15, 5, 10, 11)
_HEADINGS = ("# MAC", "IP", "NODE", "LOCAL-BOOT", "BOOT-DEVICE", "facts")
HEADER = "  ".join(word.ljust(width) for word, width in zip(_HEADINGS, (*_WIDTHS, 0), strict=True)) + "\n"


@dataclass(frozen=True, slots=True)
class Line:
    """A line cut up: its words as written, with where they stand, and what follows them."""

    text: str
    words: tuple[str, ...]
    starts: tuple[int, ...]
    rest: str  # comment, or what could not be read


def cut(text: str) -> Line:
    """Split a line into words and comment; *rest* starts with neither blank nor ``#`` if it is broken."""
    words, starts, at = [], [], 0
    while match := _PIECE.match(text, at):
        words.append(match[1])
        starts.append(match.start(1))
        at = match.end()
    return Line(text, tuple(words), tuple(starts), text[at:].strip(_BLANK))


def parse(text: str, source: str = "ssitab") -> tuple[Row, ...]:
    """Return the rows of *text*; raises `BadText` with every mistake in it."""
    checker, rows = Checker(), []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        host = _read(checker, number, cut(line))
        if host is not None:
            rows.append(Row(host, number))
    return checker.finish(source, rows)


def _read(checker: Checker, number: int, line: Line) -> Host | None:
    """Return the host of a line; None for a line without one, or with mistakes."""
    if line.rest and not line.rest.startswith("#"):
        checker.wrong(number, f"a double quote is not closed: {line.rest}")
        return None
    if not line.words:
        return None
    columns, pairs = _columns(line.words)
    before = len(checker.mistakes)
    given = dict(zip(("mac", "ip", "number"), (c if c != "-" else "" for c in columns), strict=False))
    settings = _pairs(checker, number, pairs, given)
    if len(columns) < 4:
        missing = ("MAC", "IP", "NODE-NUMBER", "LOCAL-BOOT")[len(columns) :]
        checker.wrong(number, f"{' '.join(missing)} missing; a line is MAC IP NODE-NUMBER LOCAL-BOOT …")
    else:
        _local_boot(checker, number, columns[3:], given, settings)
    if len(columns) > 5:
        extra = " ".join(columns[5:])
        checker.wrong(number, f"{extra!r} is one column too many; other facts are written key=value")
    if not columns:
        return None
    host = checker.host(number, given, settings)
    return host if len(checker.mistakes) == before else None


def _columns(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the leading columns from the key=value words; a column after those is still one."""
    columns = [_unquote(word) for word in words if "=" not in word]
    return columns, [word for word in words if "=" in word]


def _pairs(checker: Checker, number: int, words: Sequence[str], given: dict[str, str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    seen: set[str] = set()
    for word in words:
        key, value = _pair(word)
        if key in seen:
            checker.wrong(number, f"{key}= is there twice")
        elif key in _FIELDS:
            given[key] = value
            if not value:
                checker.wrong(number, f"{key}= has no value")
        else:
            settings[key] = value
        seen.add(key)
    return settings


def _local_boot(
    checker: Checker, number: int, columns: Sequence[str], given: dict[str, str], settings: dict[str, str]
) -> None:
    word, device = columns[0].lower(), columns[1] if len(columns) > 1 else ""
    if word in _TRUE:
        given["local_boot"] = device
        if not device:
            checker.wrong(number, "a node that boots locally must name its BOOT-DEVICE, such as /dev/sda1")
    elif word not in _FALSE:
        checker.wrong(number, f"LOCAL-BOOT: {columns[0]!r} is not yes or no")
    elif device:
        if PARKED in settings:
            checker.wrong(number, f"the device is there twice: as a column and as {PARKED}=")
        settings[PARKED] = device


def _pair(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key, _unquote(value)


def _unquote(word: str) -> str:
    return _QUOTED.sub(lambda match: re.sub(r"\\(.)", r"\1", match[1]), word)


def _quote(value: str) -> str:
    if not value or any(c in value for c in _BLANK + '"#'):
        return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
    return value


def format_hosts(hosts: Sequence[Host], layout: str = "") -> str:
    """Write *hosts*, as far as possible the way *layout* (an earlier text) writes them.

    Its comments, order and unchanged lines stay as they are; a changed host keeps its line's
    spelling where it can; hosts it does not know follow at the end; lines of others go.
    """
    left = {host.name: host for host in hosts}
    by_mac = {host.mac: host.name for host in hosts}
    lines: list[str] = []
    for text in layout.split("\n") if layout else [HEADER.rstrip("\n")]:
        line = cut(text)
        known = _read(Checker(), 1, line)
        if known is None:
            blank = text.strip(_BLANK)[:1] in ("", "#")
            lines += [text] if blank else []  # a line we no longer understand names no host of ours
            continue
        host = left.pop(known.name, None) or left.pop(by_mac.get(known.mac, ""), None)
        if host is not None:
            lines.append(text if host == known else _rewrite(host, known, line))
    while lines and not lines[-1].strip():
        lines.pop()
    return "\n".join([*lines, *(_write(host) for host in left.values())]) + "\n"


def covered(layout: str) -> list[Host]:
    """Return the hosts that *layout* has lines for."""
    found = (_read(Checker(), 1, cut(text)) for text in layout.split("\n"))
    return [host for host in found if host is not None]


def _words(host: Host) -> tuple[list[str], dict[str, str]]:
    """Return the columns of *host* and its key=value words by key."""
    parked = host.settings.get(PARKED) if host.local_boot is None else None
    device = host.local_boot or parked
    columns = [
        host.mac,
        host.ip or "-",
        "-" if host.number is None else str(host.number),
        "yes" if host.local_boot else "no",
        *([device] if device else []),
    ]
    # a device that would not read as a column stays a pair
    if parked is not None and ("=" in parked or _quote(parked) != parked):
        columns.pop()
        parked = None
    facts: dict[str, str] = {}
    if host.number is None or host.name != default_name(host.number):
        facts["name"] = host.name
    if host.role:
        facts["role"] = str(host.role)
    if host.groups:
        facts["groups"] = ",".join(host.groups)
    facts |= {k: host.settings[k] for k in sorted(host.settings) if k != PARKED or parked is None}
    return columns, {key: f"{key}={_quote(value)}" for key, value in facts.items()}


def _write(host: Host) -> str:
    columns, pairs = _words(host)
    columns += [""] * (len(_WIDTHS) - len(columns))  # a machine without a device keeps the column
    padded = [word.ljust(width) for word, width in zip(columns, _WIDTHS, strict=True)]
    return "  ".join([*padded, " ".join(pairs.values())]).rstrip(_BLANK)


def _rewrite(host: Host, known: Host, line: Line) -> str:
    """Return the line of a host that changed: old words where they still say the truth, old columns too."""
    words = _respell(host, known, line)
    out = ""
    for index, word in enumerate(words):
        column = line.starts[index] if index < len(line.starts) else 0
        out = out.ljust(column) if not out or len(out) < column else out + " "
        out += word
    if not line.rest:
        return out
    column = len(line.text.rstrip(_BLANK)) - len(line.rest)
    return (out.ljust(column) if len(out) < column else out + "  ") + line.rest


def _respell(host: Host, known: Host, line: Line) -> list[str]:
    columns, pairs = _words(host)
    old_columns = [word for word in line.words if "=" not in word]
    old_pairs = {_pair(word)[0]: word for word in line.words if "=" in word}
    truth, old_truth = _spelling(columns), _spelling([_unquote(word) for word in old_columns])
    words = [
        old_columns[i] if i < len(old_columns) and truth[i] == old_truth[i] else word
        for i, word in enumerate(columns)
    ]
    default = default_name(host.number) if host.number is not None else ""
    if "name" in old_pairs and host.name == default:
        pairs["name"] = f"name={host.name}"
    same = {key: word for key, word in old_pairs.items() if key in pairs and _pair(pairs[key]) == _pair(word)}
    kept = [same.get(key, pairs[key]) for key in old_pairs if key in pairs]
    return [*words, *kept, *(word for key, word in pairs.items() if key not in old_pairs)]


def _spelling(columns: Sequence[str]) -> list[str]:
    """Return what *columns* mean, whichever way they are spelled."""
    meanings: tuple[Callable[[str], str], ...] = (_mac, str, _number, _truth, str)
    return [meaning(column) for meaning, column in zip(meanings, columns, strict=False)]


def _mac(text: str) -> str:
    return re.sub("[^0-9a-f]", "", text.lower())


def _number(text: str) -> str:
    return text.lstrip("0")


def _truth(text: str) -> str:
    return "yes" if text.lower() in _TRUE else "no"


def join_layouts(old: str, new: str) -> str:
    """Return the layout after *new* was imported into a table laid out as *old*.

    Where *new* speaks of every host of *old*, it takes its place; else it follows it, and the
    lines that *old* had for the same hosts go.
    """
    mentioned = covered(new)
    names, macs = {host.name for host in mentioned}, {host.mac for host in mentioned}
    staying = [host for host in covered(old) if host.name not in names and host.mac not in macs]
    if not staying:
        return new
    return format_hosts(staying, old) + new
