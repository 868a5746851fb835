"""Node sets: how commands name many hosts at once.

``node[01-40,!07]``, ``@all``, ``@role:mesh``, ``@GROUP``, a name, a MAC address; several of
them with commas between; ``!`` before one takes its hosts away again.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from bootd.errors import BadValue, NotFound
from bootd.formats.fields import nearest
from bootd.model import Host, Role
from netboot.errors import LocalError
from netboot.hwaddr import parse_mac

LIMIT = 65536  # names one set may spell out
_TERM = re.compile(r"(?:[^,\[\]]|\[[^\[\]]*\])+")
_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})\Z")
_RANGE = re.compile(r"(!?)([0-9]{1,9})(?:-([0-9]{1,9}))?\Z")


def parse(text: str, hosts: Iterable[Host]) -> list[Host]:
    """Return the hosts of *hosts* that *text* names, in the order it names them, each once.

    Raises `BadValue` for a text that is no node set, `NotFound` with every name
    that no host has, or where none is left.
    """
    table = {host.name: host for host in hosts}
    chosen: dict[str, Host] = {}
    unknown: list[str] = []
    terms = _terms(text)
    if terms[0].startswith("!"):
        chosen = dict(table)
    for term in terms:
        for name in _names(term.removeprefix("!"), table, unknown):
            if term.startswith("!"):
                chosen.pop(name, None)
            else:
                chosen[name] = table[name]
    if unknown:
        hint = nearest(unknown[0], table).removeprefix("; ") if len(unknown) == 1 else ""
        raise NotFound("host", ", ".join(dict.fromkeys(unknown)), hint)
    if not chosen:
        raise NotFound("host in", text)
    return list(chosen.values())


def _terms(text: str) -> list[str]:
    """Cut at the commas that are not inside brackets."""
    stripped = "".join(text.split())
    terms = _TERM.findall(stripped)
    if not terms or ",".join(terms) != stripped:
        raise BadValue("node set", text, "such as node[01-40,!07], @role:mesh, @group, @all or a name")
    return terms


def _names(term: str, table: dict[str, Host], unknown: list[str]) -> list[str]:
    """Return the host names of one term; what no host is called goes to *unknown*."""
    if term.startswith("@"):
        return _members(term[1:], table)
    if "[" in term:
        names = list(_spelled_out(term))
        unknown += [name for name in names if name not in table]
        return [name for name in names if name in table]
    if term in table:
        return [term]
    found = _with_mac(term, table.values())
    if found is None:
        unknown.append(term)
        return []
    return [found.name]


def _members(word: str, table: dict[str, Host]) -> list[str]:
    if word == "all":
        return list(table)
    kind, _, value = word.partition(":")
    if kind == "role" and value:
        known = [str(role) for role in Role if role]
        if value not in known:
            raise BadValue("role", value, "one of " + ", ".join(known))
        return [name for name, host in table.items() if host.role == value]
    group = value if kind == "group" and value else word
    members = [name for name, host in table.items() if group in host.groups]
    if not members:
        known_groups = {each for host in table.values() for each in host.groups}
        raise NotFound("host in group", group, nearest(group, known_groups).removeprefix("; "))
    return members


def _with_mac(text: str, hosts: Iterable[Host]) -> Host | None:
    try:
        mac = parse_mac(text)
    except LocalError:
        return None
    return next((host for host in hosts if host.mac == mac), None)


def _spelled_out(term: str) -> Iterator[str]:
    """Yield every name of a term with brackets; several pairs of them multiply."""
    parts = re.split(r"\[([^\[\]]*)\]", term)
    choices: Sequence[Sequence[str]] = [
        _numbers(part) if index % 2 else [part] for index, part in enumerate(parts)
    ]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > LIMIT:
        raise BadValue("node set", term, f"at most {LIMIT} names")
    for combination in itertools.product(*choices):
        yield "".join(combination)


def _numbers(inside: str) -> list[str]:
    """Return the numbers between brackets, as wide as they are written: ``08-10`` is 08 09 10."""
    numbers: dict[str, None] = {}
    for piece in inside.split(","):
        match = _RANGE.match(piece)
        if match is None:
            raise BadValue("node set", f"[{inside}]", "numbers and ranges such as [01-40,!07]")
        first, last = match[2], match[3] or match[2]
        if int(last) < int(first) or int(last) - int(first) >= LIMIT:
            raise BadValue("node set", f"[{inside}]", f"a range from low to high of at most {LIMIT}")
        for number in range(int(first), int(last) + 1):
            name = str(number).zfill(len(first))
            if match[1]:
                numbers.pop(name, None)
            else:
                numbers[name] = None
    return list(numbers)


def fold(names: Iterable[str]) -> str:
    """Return the short text that `parse` reads as just these names: ``node[01-40],r1n1``."""
    digits: dict[str, list[str]] = {}  # what stands before the number -> numbers as they are written
    folded: list[str] = []
    for name in sorted(set(names)):
        stem, number = _cut(name)
        if number:
            digits.setdefault(stem, []).append(number)
        else:
            folded.append(name)
    for stem, numbers in digits.items():
        is_padded = any(number.startswith("0") for number in numbers)
        widths: dict[int, list[int]] = {}
        for number in numbers:
            widths.setdefault(len(number) if is_padded else 1, []).append(int(number))
        folded.append(_term(stem, [run for width in sorted(widths) for run in _runs(widths[width], width)]))
    return ",".join(sorted(folded))


@lru_cache(maxsize=1 << 16)  # lists fold the same names again and again
def _cut(name: str) -> tuple[str, str]:
    """Return what stands before the number at the end of *name*, and the number; "" where there is none."""
    match = _NUMBERED.match(name)
    return (name, "") if match is None else (match[1], match[2])


def _term(stem: str, runs: Sequence[str]) -> str:
    alone = len(runs) == 1 and "-" not in runs[0]
    return f"{stem}{runs[0]}" if alone else f"{stem}[{','.join(runs)}]"


def _runs(numbers: Sequence[int], width: int) -> Iterator[str]:
    for _, run in itertools.groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        found = [number for _, number in run]
        first, last = str(found[0]).zfill(width), str(found[-1]).zfill(width)
        yield first if first == last else f"{first}-{last}"
