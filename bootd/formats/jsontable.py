"""JSON: a list of objects, one a host, with the field names of `Host`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bootd.formats.fields import Checker, Row, nearest
from bootd.model import Host

FIELDS = ("name", "mac", "ip", "number", "role", "local_boot", "groups", "settings")
_SPACE = " \t\r\n"


class _Twice(ValueError):
    """A key is there twice in one object."""


def parse(text: str, source: str = "json") -> tuple[Row, ...]:
    """Return the rows of *text*; raises `BadText` with every mistake, on the line its object starts on."""
    checker, rows = Checker(), []
    for line, value in _items(checker, text.removeprefix("\ufeff")):
        host = _read(checker, line, value)
        rows += [Row(host, line)] if host is not None else []
    return checker.finish(source, rows)


def _items(checker: Checker, text: str) -> Iterator[tuple[int, Any]]:
    """Yield each element of the list with its line; what is not JSON ends the reading."""
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        checker.wrong(_line(text, at), "a list of hosts is expected: [ {…}, … ]")
        return
    at = _skip(text, at + 1)
    more = text[at : at + 1] != "]"
    while more:
        line = _line(text, at)
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            checker.wrong(error.lineno, f"not JSON: {error.msg}")
            return
        except (ValueError, RecursionError) as error:
            checker.wrong(line, f"not JSON that bootd reads: {error}")
            return
        yield line, value
        at = _skip(text, at)
        more = text[at : at + 1] == ","
        if not more and text[at : at + 1] != "]":
            checker.wrong(_line(text, at), "not JSON: ',' or ']' expected")
            return
        at = _skip(text, at + 1) if more else at
    end = _skip(text, at + 1)
    if end < len(text):
        checker.wrong(_line(text, end), "not JSON: something follows the list")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise _Twice("a key is there twice in one object")
    return table


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _read(checker: Checker, line: int, value: Any) -> Host | None:
    if not isinstance(value, dict):
        checker.wrong(line, 'an object such as {"name": …, "mac": …} is expected')
        return None
    before = len(checker.mistakes)
    given: dict[str, str] = {}
    for key, item in value.items():
        if key not in FIELDS:
            checker.wrong(line, f"{key!r} is no field of a host{nearest(key, FIELDS)}")
        elif key not in ("groups", "settings") and item is not None:
            given[key] = _scalar(checker, line, key, item)
    given["groups"] = ",".join(_groups(checker, line, value.get("groups")))
    settings = _settings(checker, line, value.get("settings"))
    host = checker.host(line, given, settings)
    return host if len(checker.mistakes) == before else None


def _scalar(checker: Checker, line: int, key: str, item: Any) -> str:
    if isinstance(item, str) or (key == "number" and type(item) is int):
        return str(item)
    checker.wrong(line, f"{key}: {'a number' if key == 'number' else 'text'} is expected")
    return ""


def _groups(checker: Checker, line: int, item: Any) -> list[str]:
    if item is None:
        return []
    if isinstance(item, list) and all(isinstance(name, str) and "," not in name for name in item):
        return item
    checker.wrong(line, "groups: a list of names is expected")
    return []


def _settings(checker: Checker, line: int, item: Any) -> Mapping[str, str]:
    if item is None:
        return {}
    if isinstance(item, dict) and all(isinstance(value, str) for value in item.values()):
        return item
    checker.wrong(line, "settings: an object of texts is expected")
    return {}


def as_plain(host: Host) -> dict[str, Any]:
    """Return *host* as the values JSON has; what every ``--json`` prints."""
    return {
        "name": host.name,
        "mac": host.mac,
        "ip": host.ip,
        "number": host.number,
        "role": str(host.role) or None,
        "local_boot": host.local_boot,
        "groups": list(host.groups),
        "settings": dict(host.settings),
    }


def format_hosts(hosts: Sequence[Host], layout: str = "") -> str:
    """Write *hosts*, one object a line; *layout* is not used."""
    rows = [json.dumps(as_plain(host), ensure_ascii=False) for host in hosts]
    return "[\n  " + ",\n  ".join(rows) + "\n]\n" if rows else "[]\n"
