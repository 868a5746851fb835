"""The store on SQLite: WAL, one BEGIN IMMEDIATE a transaction, plain sqlite3 on the hot paths."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from bootd.boot.snapshot import Changes, Policy, Snapshot, apply_changes
from bootd.clock import Clock
from bootd.errors import Conflict, NotFound, Refused
from bootd.model import (
    Assignment,
    DiskImage,
    Host,
    MemoryImage,
    Observation,
    Override,
    Project,
    Reservation,
    Sighting,
)
from bootd.store import rows
from bootd.store.base import Held, JournalEntry, Kept, Reads, Record, Store, Transaction
from bootd.store.failures import translated
from bootd.store.records import DISK_IMAGE, KINDS, RESERVATION
from bootd.store.rows import ASSIGNMENT, DOCUMENT, HOST, MEMORY_IMAGE, OVERRIDE, Kind

R = TypeVar("R")
_CHUNK = 500  # keys in one question; SQLite's limit on variables is far above
_UNIQUE = (("mac", "MAC address"), ("ip", "IP address"), ("number", "node number"))


class _SqliteReads(Reads):
    """The questions, the same inside and outside a transaction."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection, self._path = connection, path

    def _ask(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        # always to the end: a cursor left open pins the WAL
        with translated(self._path):
            return self._connection.execute(sql, values).fetchall()

    def _all(self, kind: Kind[R], order: str, where: str = "", values: Sequence[Any] = ()) -> list[R]:
        columns = ", ".join(kind.columns)
        found = self._ask(f"SELECT {columns} FROM {kind.table} {where} ORDER BY {order}", values)
        return [kind.from_row(kind.decode(row)) for row in found]

    def _one(self, kind: Kind[R], key: str | int) -> R | None:
        found = self._all(kind, kind.key, f"WHERE {kind.key} = ?", (key,))
        return found[0] if found else None

    def generation(self) -> int:
        newest: int = self._ask("SELECT coalesce(max(id), 0) FROM journal")[0][0]
        return newest

    def host(self, name: str) -> Host | None:
        return self._one(HOST, name)

    def hosts(self) -> list[Host]:
        return self._all(HOST, "number IS NULL, number, name")

    def memory_image(self, name: str) -> MemoryImage | None:
        return self._one(MEMORY_IMAGE, name)

    def memory_images(self) -> list[MemoryImage]:
        return self._all(MEMORY_IMAGE, "name")

    def assignments(self) -> list[Assignment]:
        return self._all(ASSIGNMENT, "host")

    def overrides(self, at: datetime | None = None) -> list[Override]:
        if at is None:
            return self._all(OVERRIDE, "host")
        return self._all(OVERRIDE, "host", "WHERE expires_at > ?", (rows.instant(at),))

    def document(self, name: str) -> str | None:
        found = self._one(DOCUMENT, name)
        return None if found is None else found.text

    def journal(self, *, limit: int = 100, kinds: Sequence[str] = ()) -> list[JournalEntry]:
        where = f"WHERE kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        found = self._ask(f"SELECT * FROM journal {where} ORDER BY id DESC LIMIT ?", (*kinds, limit))
        return [_entry(row) for row in found]

    def changes_of(self, kind: str) -> list[tuple[int, str]]:
        found = self._ask(
            "SELECT DISTINCT change, what FROM journal WHERE kind = ? ORDER BY change DESC", (kind,)
        )
        return [(row["change"], row["what"]) for row in found]

    def entries(self, change: int) -> list[JournalEntry]:
        return [
            _entry(row) for row in self._ask("SELECT * FROM journal WHERE change = ? ORDER BY id", (change,))
        ]

    def observations(
        self, *, mac: str | None = None, host: str | None = None, since_id: int = 0, limit: int = 1000
    ) -> list[Kept]:
        named = [("mac", mac), ("host", host)]
        wanted = [(column, value) for column, value in named if value is not None]
        which = " OR ".join(f"{column} = ?" for column, _ in wanted) or "1"
        values = (since_id, *(value for _, value in wanted), limit)
        direction = "ASC" if since_id else "DESC"
        found = self._ask(
            f"SELECT * FROM observations WHERE id > ? AND ({which}) ORDER BY id {direction} LIMIT ?", values
        )
        ordered = found if since_id else reversed(found)
        return [Kept(row["id"], rows.observation(row)) for row in ordered]

    def find(self, kind: type[Record], key: str | int) -> Record | None:
        found: Record | None = self._one(KINDS[kind], key)
        return found

    def every(self, kind: type[Record]) -> list[Record]:
        table = KINDS[kind]
        found: list[Record] = self._all(table, table.key)
        return found

    def image_versions(self, project: str, name: str) -> list[DiskImage]:
        return self._all(DISK_IMAGE, "version DESC", "WHERE project = ? AND name = ?", (project, name))

    def reservations_between(self, starts_at: datetime, ends_at: datetime) -> list[Reservation]:
        span = (rows.instant(starts_at), rows.instant(ends_at))
        return self._all(RESERVATION, "starts_at, id", "WHERE ends_at > ? AND starts_at < ?", span)

    def held_between(
        self,
        starts_at: datetime,
        ends_at: datetime,
        *,
        states: Sequence[str],
        project: str | None = None,
        nodes: AbstractSet[str] | None = None,
    ) -> list[Held]:
        marks = ", ".join("?" * len(states))
        which, values = ("AND project = ?", [project]) if project is not None else ("", [])
        found = self._ask(
            "SELECT id, starts_at, ends_at, nodes FROM reservations"
            f" WHERE ends_at > ? AND starts_at < ? AND state IN ({marks}) {which}",
            [rows.instant(starts_at), rows.instant(ends_at), *states, *values],
        )
        at = rows.parse_instant
        return [
            Held(number, at(start), at(end), held)
            for number, start, end, text in found
            for held in (json.loads(text),)
            if nodes is None or not nodes.isdisjoint(held)
        ]

    def sightings(self) -> list[Sighting]:
        found = self._ask("SELECT * FROM sightings ORDER BY last_seen_at DESC, mac")
        return [rows.sighting(row) for row in found]


def _entry(row: sqlite3.Row) -> JournalEntry:
    values = dict(row)
    for side in ("before", "after"):
        values[side] = None if row[side] is None else json.loads(row[side])
    return JournalEntry(**values | {"at": rows.parse_instant(row["at"])})


class SqliteStore(_SqliteReads, Store):
    """See `Store`; made by `open_store`."""

    def __init__(self, connection: sqlite3.Connection, path: str, clock: Clock) -> None:
        super().__init__(connection, path)
        self._clock = clock

    def load_snapshot(self, policy: Policy) -> Snapshot:
        with self._reading():
            everything = Changes(
                generation=self.generation(),
                hosts={host.name: host for host in self.hosts()},
                memory_images={image.name: image for image in self.memory_images()},
                assignments={assignment.host: assignment for assignment in self.assignments()},
                overrides={override.host: override for override in self.overrides()},
            )
        return apply_changes(Snapshot(policy=policy), everything)

    def changes_since(self, generation: int) -> Changes:
        with self._reading():
            touched: dict[str, list[str]] = {}
            for row in self._ask("SELECT DISTINCT kind, key FROM journal WHERE id > ?", (generation,)):
                touched.setdefault(row["kind"], []).append(row["key"])
            newest = self.generation() if touched else generation
            hosts = self._now(HOST, touched)
            images = self._now(MEMORY_IMAGE, touched)
            assignments = self._now(ASSIGNMENT, touched)
            overrides = self._now(OVERRIDE, touched)
        return Changes(newest, hosts, images, assignments, overrides)

    def _now(self, kind: Kind[R], touched: Mapping[str, Sequence[str]]) -> Mapping[str, R | None]:
        """Return the rows of *kind* that were touched as they are now, None for those that are gone."""
        keys = touched.get(kind.name, ())
        found: dict[str, R | None] = dict.fromkeys(keys)
        columns = ", ".join(kind.columns)
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            marks = ", ".join("?" * len(chunk))
            for row in self._ask(f"SELECT {columns} FROM {kind.table} WHERE {kind.key} IN ({marks})", chunk):
                found[row[kind.key]] = kind.from_row(kind.decode(row))
        return found

    def data_version(self) -> int:
        version: int = self._ask("PRAGMA data_version")[0][0]
        return version

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Let every question in the block see the same instant; inside a transaction they do anyway."""
        if self._connection.in_transaction:
            yield
            return
        self._ask("BEGIN")
        try:
            yield
        finally:
            self._ask("COMMIT")

    @contextmanager
    def transaction(self, actor: str, what: str = "") -> Iterator[Transaction]:
        self._ask("BEGIN IMMEDIATE")  # not BEGIN: a later upgrade to writing would not wait for its turn
        try:
            yield _SqliteTransaction(self._connection, self._path, actor, what, self._clock())
            self._ask("COMMIT")
        finally:
            if self._connection.in_transaction:  # also after a COMMIT that found the disk full
                self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


class _SqliteTransaction(_SqliteReads, Transaction):
    """See `Transaction`. The lock is held: what is read here stays true until the commit."""

    def __init__(
        self, connection: sqlite3.Connection, path: str, actor: str, what: str, at: datetime
    ) -> None:
        super().__init__(connection, path)
        self._actor, self._what, self._at = actor, what, at
        self._change: int | None = None

    def _put(self, kind: Kind[R], record: R, *, before: R | None) -> bool:
        """Write *record* and its journal entry; *before* is what is there under its key."""
        if record == before:
            return False
        row = kind.to_row(record)
        columns, marks = ", ".join(kind.columns), ", ".join("?" * len(kind.columns))
        updates = ", ".join(f"{c} = excluded.{c}" for c in kind.columns if c != kind.key)
        self._ask(
            f"INSERT INTO {kind.table} ({columns}) VALUES ({marks})"
            f" ON CONFLICT({kind.key}) DO UPDATE SET {updates}",
            kind.encode(row),
        )
        self._note(kind, str(row[kind.key]), before, record)
        return True

    def _remove(self, kind: Kind[R], key: str | int) -> bool:
        before = self._one(kind, key)
        if before is None:
            return False
        self._ask(f"DELETE FROM {kind.table} WHERE {kind.key} = ?", (key,))
        self._note(kind, str(key), before, None)
        return True

    def _note(self, kind: Kind[R], key: str, before: R | None, after: R | None) -> None:
        action = "removed" if after is None else "added" if before is None else "changed"
        sides = [None if side is None else rows.as_text(kind.to_row(side)) for side in (before, after)]
        values = (rows.instant(self._at), self._actor, self._what, kind.name, key, action, *sides)
        change = self._change if self._change is not None else self._next("journal")
        self._change = change
        self._ask(
            "INSERT INTO journal (change, at, actor, what, kind, key, action, before, after)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (change, *values),
        )

    def _next(self, table: str) -> int:
        """Return the id that the next row of an AUTOINCREMENT table gets."""
        found = self._ask("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
        return int(found[0]["seq"]) + 1 if found else 1

    def put_hosts(self, hosts: Iterable[Host]) -> int:
        wanted = {host.name: host for host in hosts}
        before = {host.name: host for host in self.hosts()} if len(wanted) > 1 else self._named(wanted)
        changed = [host for host in wanted.values() if host != before.get(host.name)]
        for host in changed:
            self._vacate(host.name)
        for host in changed:
            self._check_free(host)
            self._put(HOST, host, before=before.get(host.name))
            self._ask("DELETE FROM sightings WHERE mac = ?", (host.mac,))
        return len(changed)

    def _named(self, wanted: Iterable[str]) -> dict[str, Host]:
        found = [self.host(name) for name in wanted]
        return {host.name: host for host in found if host is not None}

    def _vacate(self, name: str) -> None:
        """Free what must be unique, so that hosts changed together may take it from each other."""
        sql = "UPDATE hosts SET mac = '-' || name, ip = NULL, number = NULL WHERE name = ?"
        self._ask(sql, (name,))

    def _check_free(self, host: Host) -> None:
        row = HOST.to_row(host)
        for column, field in _UNIQUE:
            value = row[column]
            holder = self._ask(f"SELECT name FROM hosts WHERE {column} = ? AND name != ?", (value, host.name))
            if holder:
                raise Conflict("host", field, str(value), holder[0]["name"])

    def remove_host(self, name: str) -> bool:
        self.remove_assignment(name)
        self.remove_override(name)
        return self._remove(HOST, name)

    def put_memory_image(self, image: MemoryImage) -> bool:
        return self._put(MEMORY_IMAGE, image, before=self.memory_image(image.name))

    def remove_memory_image(self, name: str) -> bool:
        return self._remove(MEMORY_IMAGE, name)

    def put_assignment(self, assignment: Assignment) -> bool:
        self._need_host(assignment.host)
        return self._put(ASSIGNMENT, assignment, before=self._one(ASSIGNMENT, assignment.host))

    def remove_assignment(self, host: str) -> bool:
        return self._remove(ASSIGNMENT, host)

    def next_override_id(self) -> int:
        return self._next("overrides")

    def put_override(self, override: Override) -> bool:
        self._need_host(override.host)
        before = self._one(OVERRIDE, override.host)
        if before == override:
            return False
        # not an UPDATE of the id: the sequence that keeps ids from coming back follows inserts only
        self._ask("DELETE FROM overrides WHERE host = ?", (override.host,))
        return self._put(OVERRIDE, override, before=before)

    def remove_override(self, host: str, override: int | None = None) -> bool:
        held = self._one(OVERRIDE, host)
        if held is None or (override is not None and held.id != override):
            return False
        return self._remove(OVERRIDE, host)

    def _need_host(self, name: str) -> None:
        if not self._ask("SELECT 1 FROM hosts WHERE name = ?", (name,)):
            raise NotFound("host", name)

    def put_document(self, name: str, text: str) -> bool:
        return self._put(DOCUMENT, rows.Document(name, text), before=self._one(DOCUMENT, name))

    def remove_document(self, name: str) -> bool:
        return self._remove(DOCUMENT, name)

    def keep(self, record: Project | DiskImage | Reservation) -> bool:
        kind = KINDS[type(record)]
        key = kind.to_row(record)[kind.key]
        return self._put(kind, record, before=self._one(kind, key))

    def discard(self, kind: type[Record], key: str | int) -> bool:
        return self._remove(KINDS[kind], key)

    def next_reservation_id(self) -> int:
        return self._next(RESERVATION.table)

    def revert(self, change: int) -> list[JournalEntry]:
        entries = self.entries(change)
        hosts = [entry for entry in entries if entry.kind == HOST.name]
        for entry in hosts:
            now = self.host(entry.key)
            if now != (None if entry.after is None else HOST.from_row(entry.after)):
                raise Refused(f"host {entry.key!r} was changed again since then: it is left as it is")
        for entry in hosts:
            if entry.before is None:
                self.remove_host(entry.key)
        self.put_hosts(HOST.from_row(entry.before) for entry in hosts if entry.before is not None)
        for entry in entries:
            self._put_back(entry)
        return entries

    def _put_back(self, entry: JournalEntry) -> None:
        """Give back what a host lost with its row, and the layout of the table."""
        before = entry.before
        match entry.kind:
            case DOCUMENT.name if before is None:
                self.remove_document(entry.key)
            case DOCUMENT.name if before is not None:
                self.put_document(entry.key, DOCUMENT.from_row(before).text)
            case ASSIGNMENT.name if before is not None:
                self.put_assignment(ASSIGNMENT.from_row(before))
            case OVERRIDE.name if before is not None:
                self.put_override(OVERRIDE.from_row(before))

    def add_observations(self, observations: Iterable[Observation]) -> None:
        columns, marks = ", ".join(rows.OBSERVATION_COLUMNS), ", ".join("?" * len(rows.OBSERVATION_COLUMNS))
        with translated(self._path):
            self._connection.executemany(
                f"INSERT INTO observations ({columns}) VALUES ({marks})",
                [rows.observation_values(seen) for seen in observations],
            )

    def add_sightings(self, sightings: Iterable[Sighting]) -> None:
        columns, marks = ", ".join(rows.SIGHTING_COLUMNS), ", ".join("?" * len(rows.SIGHTING_COLUMNS))
        with translated(self._path):
            self._connection.executemany(
                f"INSERT INTO sightings ({columns}) VALUES ({marks})"
                " ON CONFLICT(mac) DO UPDATE SET arch = excluded.arch, last_seen_at = excluded.last_seen_at,"
                " questions = questions + excluded.questions, reason = excluded.reason",
                [rows.sighting_values(seen) for seen in sightings],
            )

    def trim(self, *, before: datetime, observations: int, sightings: int) -> int:
        count = self._connection.total_changes
        oldest = rows.instant(before)
        self._ask("DELETE FROM observations WHERE at < ?", (oldest,))
        self._ask(
            "DELETE FROM observations WHERE id <="
            " (SELECT id FROM observations ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (observations,),
        )
        self._ask("DELETE FROM sightings WHERE last_seen_at < ?", (oldest,))
        self._ask(
            "DELETE FROM sightings WHERE mac IN"
            " (SELECT mac FROM sightings ORDER BY last_seen_at DESC LIMIT -1 OFFSET ?)",
            (sightings,),
        )
        return self._connection.total_changes - count
