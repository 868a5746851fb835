"""The schema and how an older one becomes it; a migration that was released is never edited."""

import sqlite3

from sqlite_utils import Database, Migrations

steps = Migrations("bootd")


@steps()
def first_tables(db: Database) -> None:
    """Everything bootd 0.1 keeps. STRICT: a number in a text column is a bug and not a surprise."""
    for statement in _FIRST.split(";\n"):
        db.execute(statement)


_FIRST = """
CREATE TABLE hosts (
  name TEXT PRIMARY KEY, mac TEXT NOT NULL UNIQUE, ip TEXT UNIQUE, number INTEGER UNIQUE,
  role TEXT NOT NULL, local_boot TEXT, groups TEXT NOT NULL, settings TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE memory_images (
  name TEXT PRIMARY KEY, kernel TEXT NOT NULL, initrds TEXT NOT NULL, cmdline TEXT NOT NULL,
  added_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE assignments (
  host TEXT PRIMARY KEY REFERENCES hosts(name), target TEXT NOT NULL, set_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE overrides (
  id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL UNIQUE REFERENCES hosts(name),
  target TEXT NOT NULL, set_at TEXT NOT NULL, expires_at TEXT NOT NULL
) STRICT;
CREATE TABLE documents (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE journal (
  id INTEGER PRIMARY KEY AUTOINCREMENT, change INTEGER NOT NULL, at TEXT NOT NULL, actor TEXT NOT NULL,
  what TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, action TEXT NOT NULL, before TEXT, after TEXT
) STRICT;
CREATE INDEX journal_by_change ON journal(change);
CREATE TABLE observations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, mac TEXT NOT NULL, host TEXT NOT NULL,
  event TEXT NOT NULL, text TEXT NOT NULL, octets INTEGER NOT NULL, seconds REAL NOT NULL
) STRICT;
CREATE INDEX observations_by_mac ON observations(mac, id);
CREATE INDEX observations_by_host ON observations(host, id);
CREATE TABLE sightings (
  mac TEXT PRIMARY KEY, arch TEXT NOT NULL, first_seen_at TEXT NOT NULL, last_seen_at TEXT NOT NULL,
  questions INTEGER NOT NULL, reason TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""


@steps()
def lifecycle_tables(db: Database) -> None:
    """Projects, disk images and reservations."""
    for statement in _LIFECYCLE.split(";\n"):
        db.execute(statement)


_LIFECYCLE = """
CREATE TABLE projects (
  name TEXT PRIMARY KEY, owner TEXT NOT NULL, members TEXT NOT NULL, mail TEXT NOT NULL,
  limits TEXT NOT NULL, state TEXT NOT NULL, registered_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE disk_images (
  ref TEXT PRIMARY KEY, project TEXT NOT NULL REFERENCES projects(name), name TEXT NOT NULL,
  version INTEGER NOT NULL, kind TEXT NOT NULL, folder TEXT NOT NULL UNIQUE, parts TEXT NOT NULL,
  description TEXT NOT NULL, state TEXT NOT NULL, added_at TEXT NOT NULL, verified_at TEXT,
  UNIQUE (project, name, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE reservations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL REFERENCES projects(name),
  starts_at TEXT NOT NULL, ends_at TEXT NOT NULL, nodes TEXT NOT NULL, images TEXT NOT NULL,
  state TEXT NOT NULL, note TEXT NOT NULL, series TEXT NOT NULL, uid TEXT NOT NULL,
  created_at TEXT NOT NULL, created_by TEXT NOT NULL
) STRICT;
CREATE INDEX reservations_by_end ON reservations(ends_at, starts_at);
CREATE INDEX reservations_by_project ON reservations(project)
"""


def apply(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date; the caller holds the write lock, so nobody else does the same."""
    # Third-party sqlite-utils plugins have no business in a daemon.
    steps.apply(Database(connection, execute_plugins=False, recursive_triggers=False))
