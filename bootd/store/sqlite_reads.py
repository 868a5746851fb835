"""Questions about machines, images and reservations, on SQLite."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime

from bootd.model import (
    Assignment,
    Deployment,
    DiskImage,
    Host,
    ImageRef,
    MemoryImage,
    Observation,
    Override,
    Reservation,
    Sighting,
)
from bootd.store import rows
from bootd.store.asking import AMONG, as_list
from bootd.store.deeds import DEPLOYMENT
from bootd.store.entries import Held, JournalEntry, Kept, Record
from bootd.store.records import DISK_IMAGE, KINDS, RESERVATION
from bootd.store.rows import ASSIGNMENT, DOCUMENT, HOST, MEMORY_IMAGE, OVERRIDE
from bootd.store.sqlite_deeds import DeedReads
from bootd.store.sqlite_slots import SlotReads


class SqliteReads(DeedReads, SlotReads):
    """The questions, the same inside and outside a transaction."""

    def generation(self) -> int:
        newest: int = self._ask("SELECT coalesce(max(id), 0) FROM journal")[0][0]
        return newest

    def host(self, name: str) -> Host | None:
        return self._one(HOST, name)

    def hosts(self) -> list[Host]:
        return self._all(HOST, "number IS NULL, number, name")

    def hosts_named(self, names: Iterable[str]) -> dict[str, Host]:
        where = "WHERE name IN (SELECT value FROM json_each(?))"
        return {host.name: host for host in self._all(HOST, "name", where, (as_list(names),))}

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

    def times_changed(self, kind: str) -> dict[str, tuple[int, datetime]]:
        # SQLite takes a column without an aggregate from the row that max() found
        sql = "SELECT key, count(*) AS times, max(id), at FROM journal WHERE kind = ? GROUP BY key"
        return {row["key"]: (row["times"], rows.parse_instant(row["at"])) for row in self._ask(sql, (kind,))}

    def entries_about(self, kind: str, keys: Iterable[str]) -> list[JournalEntry]:
        sql = f"SELECT * FROM journal WHERE kind = ? AND key {AMONG} ORDER BY id"
        return [_entry(row) for row in self._ask(sql, (kind, as_list(keys)))]

    def deployments_with(self, image: ImageRef) -> list[Deployment]:
        if image.version is not None:
            return self._all(DEPLOYMENT, "id", "WHERE image = ?", (str(image),))
        return self._all(DEPLOYMENT, "id", "WHERE substr(image, 1, ?) = ?", (len(f"{image}@"), f"{image}@"))

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

    def last_seen(self, mac: str, event: str, *, by: datetime, begins: str = "") -> Observation | None:
        found = self._ask(
            "SELECT * FROM observations WHERE mac = ? AND event = ? AND at <= ?"
            " AND substr(text, 1, ?) = ? ORDER BY id DESC LIMIT 1",
            (mac, event, rows.instant(by), len(begins), begins),
        )
        return rows.observation(found[0]) if found else None

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
        lists = json.loads(f"[{','.join(row[3] for row in found)}]")  # one call for thousands of lists
        return [
            Held(number, at(start), at(end), held)
            for (number, start, end, _), held in zip(found, lists, strict=True)
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
