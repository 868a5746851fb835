"""The one way a question is put to SQLite, and how rows of a kind come back."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from bootd.store.failures import translated
from bootd.store.rows import Kind

R = TypeVar("R")
AMONG = "IN (SELECT value FROM json_each(?))"  # any number of keys, see `as_list`
_CHUNK = 500  # keys in one question; SQLite's limit on variables is far above


class Asking:
    """A connection, asked always to the end: a cursor left open pins the WAL."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection, self._path = connection, path

    def _ask(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        with translated(self._path):
            return self._connection.execute(sql, values).fetchall()

    def _all(self, kind: Kind[R], order: str, where: str = "", values: Sequence[Any] = ()) -> list[R]:
        columns = ", ".join(kind.columns)
        found = self._ask(f"SELECT {columns} FROM {kind.table} {where} ORDER BY {order}", values)
        return [kind.from_row(row) for row in kind.decode_all(found)]

    def _one(self, kind: Kind[R], key: str | int) -> R | None:
        found = self._all(kind, kind.key, f"WHERE {kind.key} = ?", (key,))
        return found[0] if found else None


def chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    """Yield *keys* in pieces that one question can name."""
    listed = list(keys)
    for start in range(0, len(listed), _CHUNK):
        yield listed[start : start + _CHUNK]


def marks(values: Collection[Any]) -> str:
    """Return the question marks for ``IN (…)``."""
    return ", ".join("?" * len(values))


def as_list(values: Iterable[str | int]) -> str:
    """Return *values* for ``IN (SELECT value FROM json_each(?))``: any number of them in one question."""
    return json.dumps(list(values))
