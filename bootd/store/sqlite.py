"""The store on SQLite: WAL, one BEGIN IMMEDIATE a transaction, plain sqlite3 on the hot paths."""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from bootd.boot.snapshot import Changes, Policy, Snapshot, apply_changes
from bootd.clock import Clock
from bootd.errors import Conflict, NotFound, Refused
from bootd.model import Assignment, Host, JobPart, MemoryImage, Observation, Override, Place, Sighting
from bootd.store import rows
from bootd.store.asking import chunks, marks
from bootd.store.base import Store, Transaction
from bootd.store.deeds import DEPLOYED_NODE, DEPLOYMENT, LUN_CLONE, PART_COLUMNS, part_values
from bootd.store.entries import AnyRecord, JournalEntry, Numbered, Record
from bootd.store.failures import translated
from bootd.store.records import KINDS, RESERVATION
from bootd.store.rows import ASSIGNMENT, DOCUMENT, HOST, MEMORY_IMAGE, OVERRIDE, Kind
from bootd.store.sqlite_reads import SqliteReads

R = TypeVar("R")
SECRET_SIZE = 32  # octets
_NAME_NODES = (RESERVATION.name, DEPLOYMENT.name, LUN_CLONE.name)
# those named before count as well: what a row no longer names, or a row that is gone, gave them something
_NODES_NAMED = " UNION ".join(
    sql
    for side in ("before", "after")
    for sql in (
        f"SELECT each.value AS node FROM journal, json_each(journal.{side}, '$.nodes') AS each"
        " WHERE journal.id > :generation AND kind IN ('reservation', 'deployment')",
        f"SELECT json_extract({side}, '$.node') FROM journal"
        f" WHERE id > :generation AND kind = 'lun_clone' AND {side} IS NOT NULL",
    )
)
_UNIQUE = (("mac", "MAC address"), ("ip", "IP address"), ("number", "node number"))


class SqliteStore(SqliteReads, Store):
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
                places=self.places(),
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
            places = self._places_now(generation, touched)
        return Changes(newest, hosts, images, assignments, overrides, places)

    def _places_now(
        self, generation: int, touched: Mapping[str, Sequence[str]]
    ) -> Mapping[str, Place | None]:
        """Return the places of all hosts whose place may have changed, None for those that have none now."""
        hosts = {key.partition("/")[2] for key in touched.get(DEPLOYED_NODE.name, ())}
        if not touched.keys().isdisjoint(_NAME_NODES):
            found = self._ask(_NODES_NAMED, {"generation": generation})
            hosts.update(row["node"] for row in found)
        if not hosts:
            return {}
        return dict.fromkeys(hosts) | self.places(hosts)

    def _now(self, kind: Kind[R], touched: Mapping[str, Sequence[str]]) -> Mapping[str, R | None]:
        """Return the rows of *kind* that were touched as they are now, None for those that are gone."""
        keys = touched.get(kind.name, ())
        found: dict[str, R | None] = dict.fromkeys(keys)
        columns = ", ".join(kind.columns)
        for chunk in chunks(keys):
            where = f"{kind.key} IN ({marks(chunk)})"
            for row in self._ask(f"SELECT {columns} FROM {kind.table} WHERE {where}", chunk):
                found[str(row[kind.key])] = kind.from_row(kind.decode(row))
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


class _SqliteTransaction(SqliteReads, Transaction):
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
        if not _is_quiet(kind, before, row):
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

    def keep(self, record: AnyRecord) -> bool:
        kind = KINDS[type(record)]
        key = kind.to_row(record)[kind.key]
        return self._put(kind, record, before=self._one(kind, key))

    def discard(self, kind: type[Record], key: str | int) -> bool:
        return self._remove(KINDS[kind], key)

    def next_id(self, kind: type[Numbered]) -> int:
        return self._next(KINDS[kind].table)

    def put_job_parts(self, parts: Iterable[JobPart]) -> None:
        columns = ", ".join(PART_COLUMNS)
        with translated(self._path):
            self._connection.executemany(
                f"INSERT OR REPLACE INTO job_parts ({columns}) VALUES ({marks(PART_COLUMNS)})",
                [part_values(part) for part in parts],
            )

    def take_lease(self, name: str, holder: str, *, now: datetime, until: datetime) -> bool:
        lease = self.lease(name)
        # until + as long again: another's clock was read after ours while we waited for our turn
        if lease is not None and lease.holder != holder and now < lease.until <= until + (until - now):
            return False
        self._ask(
            "INSERT OR REPLACE INTO leases (name, holder, until) VALUES (?, ?, ?)",
            (name, holder, rows.instant(until)),
        )
        return True

    def drop_lease(self, name: str, holder: str) -> None:
        self._ask("DELETE FROM leases WHERE name = ? AND holder = ?", (name, holder))

    def drop_leases_of(self, holder: str) -> None:
        self._ask("DELETE FROM leases WHERE holder = ?", (holder,))

    def make_secret(self, name: str) -> bytes:
        self._ask(
            "INSERT OR IGNORE INTO secrets (name, value) VALUES (?, ?)",
            (name, secrets.token_bytes(SECRET_SIZE)),
        )
        made = self.secret(name)
        assert made is not None
        return made

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


def _is_quiet(kind: Kind[R], before: R | None, after: Mapping[str, object]) -> bool:
    """Tell whether nothing changed that anybody would want to read back."""
    if before is None or not kind.quiet:
        return False
    old = kind.to_row(before)
    return all(old[column] == after[column] for column in kind.columns if column not in kind.quiet)
