"""The schema and how an older one becomes it; a migration that was released is never edited."""

import re
import sqlite3

from sqlite_utils import Database, Migrations

steps = Migrations("bootd")


def _run(db: Database, script: str) -> None:
    """Run each statement by itself: `executescript` would commit what the caller began."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""
    if statement.strip():
        db.execute(statement)


@steps()
def first_tables(db: Database) -> None:
    """Everything bootd 0.1 keeps. STRICT: a number in a text column is a bug and not a surprise."""
    _run(db, _FIRST)


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
    _run(db, _LIFECYCLE)


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


@steps()
def calendar_tables(db: Database) -> None:
    """Slots, LUN pairs, deployments, jobs and their leases."""
    _run(db, _CALENDAR)


_CALENDAR = """
CREATE TABLE slots (
  key TEXT PRIMARY KEY, host TEXT NOT NULL, number INTEGER NOT NULL, image TEXT, digest TEXT NOT NULL,
  state TEXT NOT NULL, pinned INTEGER NOT NULL, last_used_at TEXT, UNIQUE (host, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX slots_by_content ON slots(number, state, image, pinned, host, last_used_at);
CREATE TABLE slot_schemes (
  key TEXT PRIMARY KEY, disk TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  boot_mib INTEGER NOT NULL, swap_mib INTEGER NOT NULL, spare_mib INTEGER NOT NULL, slot_mib INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE lun_pairs (
  key TEXT PRIMARY KEY, size INTEGER NOT NULL, sides TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE lun_clones (
  volume TEXT PRIMARY KEY, group_name TEXT NOT NULL, side INTEGER NOT NULL, node TEXT NOT NULL,
  initiator TEXT NOT NULL, chap_user TEXT NOT NULL, target TEXT NOT NULL, lun INTEGER NOT NULL,
  portals TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX lun_clones_by_group ON lun_clones(group_name, side);
CREATE TABLE deployments (
  id INTEGER PRIMARY KEY AUTOINCREMENT, reservation INTEGER NOT NULL, role TEXT NOT NULL,
  image TEXT NOT NULL, digest TEXT NOT NULL, nodes TEXT NOT NULL, created_at TEXT NOT NULL, slot INTEGER,
  group_name TEXT, state TEXT NOT NULL, side INTEGER, flipped_at TEXT, note TEXT NOT NULL
) STRICT;
CREATE INDEX deployments_by_reservation ON deployments(reservation);
CREATE INDEX deployments_by_state ON deployments(state);
CREATE TABLE deployed_nodes (
  key TEXT PRIMARY KEY, deployment INTEGER NOT NULL, node TEXT NOT NULL, state TEXT NOT NULL,
  device TEXT NOT NULL, volume TEXT NOT NULL, note TEXT NOT NULL, changed_at TEXT,
  UNIQUE (deployment, node)
) STRICT, WITHOUT ROWID;
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, reservation INTEGER, deployment INTEGER,
  nodes TEXT NOT NULL, created_at TEXT NOT NULL, created_by TEXT NOT NULL, due_at TEXT NOT NULL,
  state TEXT NOT NULL, step TEXT NOT NULL, note TEXT NOT NULL, facts TEXT NOT NULL, began_at TEXT,
  ended_at TEXT
) STRICT;
CREATE INDEX jobs_by_state ON jobs(state, due_at);
CREATE INDEX jobs_by_reservation ON jobs(reservation);
CREATE TABLE job_parts (
  job INTEGER NOT NULL, node TEXT NOT NULL, step TEXT NOT NULL, outcome TEXT NOT NULL, since TEXT,
  tries INTEGER NOT NULL, octets INTEGER NOT NULL, size INTEGER NOT NULL, rate INTEGER NOT NULL,
  note TEXT NOT NULL, word TEXT NOT NULL, word_detail TEXT NOT NULL, word_at TEXT,
  PRIMARY KEY (job, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_parts_by_node ON job_parts(node);
CREATE TABLE leases (
  name TEXT PRIMARY KEY, holder TEXT NOT NULL, until TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE calendar_feeds (
  id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, digest TEXT NOT NULL UNIQUE,
  created_at TEXT NOT NULL, created_by TEXT NOT NULL
) STRICT;
CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE reservation_nodes (
  node TEXT NOT NULL, reservation INTEGER NOT NULL, PRIMARY KEY (node, reservation)
) STRICT, WITHOUT ROWID;
CREATE INDEX journal_by_key ON journal(kind, key);
CREATE INDEX reservations_by_state ON reservations(state, starts_at);
CREATE TRIGGER reservation_nodes_added AFTER INSERT ON reservations BEGIN
  INSERT OR IGNORE INTO reservation_nodes SELECT value, NEW.id FROM json_each(NEW.nodes)
    WHERE NEW.state IN ('booked', 'active');
END;
CREATE TRIGGER reservation_nodes_changed AFTER UPDATE OF nodes, state ON reservations
  WHEN OLD.nodes != NEW.nodes
    OR (OLD.state IN ('booked', 'active')) != (NEW.state IN ('booked', 'active')) BEGIN
  DELETE FROM reservation_nodes WHERE reservation = OLD.id
    AND node IN (SELECT value FROM json_each(OLD.nodes));
  INSERT OR IGNORE INTO reservation_nodes SELECT value, NEW.id FROM json_each(NEW.nodes)
    WHERE NEW.state IN ('booked', 'active');
END;
CREATE TRIGGER reservation_nodes_removed AFTER DELETE ON reservations BEGIN
  DELETE FROM reservation_nodes WHERE reservation = OLD.id
    AND node IN (SELECT value FROM json_each(OLD.nodes));
END;
INSERT OR IGNORE INTO reservation_nodes
  SELECT value, reservations.id FROM reservations, json_each(reservations.nodes)
  WHERE reservations.state IN ('booked', 'active')
"""


@steps()
def kinds_of_partition_table(db: Database) -> None:
    """Disks of machines that start by UEFI are divided with GPT."""
    _run(db, "ALTER TABLE slot_schemes ADD COLUMN label TEXT NOT NULL DEFAULT 'dos'")


@steps()
def generations_of_clones(db: Database) -> None:
    """A clone knows for whom, when and of what it was made.

    Of one that a node boots now that is known; of one kept from before a flip it is not, so that
    node gets a new one when it is flipped back.
    """
    _run(db, _GENERATIONS)
    for volume, number in db.execute("SELECT volume, made_for FROM lun_clones").fetchall():
        digits = volume.rpartition(".")[2]  # GROUP.SIDE.NODE.DEPLOYMENT, unless that was too long
        if not number and _NUMBER.match(digits):
            db.execute("UPDATE lun_clones SET made_for = ? WHERE volume = ?", (int(digits), volume))


_NUMBER = re.compile(r"[1-9][0-9]{0,9}\Z")
_GENERATIONS = """
ALTER TABLE lun_clones ADD COLUMN made_for INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lun_clones ADD COLUMN digest TEXT NOT NULL DEFAULT '';
ALTER TABLE lun_clones ADD COLUMN made_at TEXT;
UPDATE lun_clones SET made_for = each.deployment,
  digest = CASE WHEN each.side = lun_clones.side THEN each.digest ELSE '' END
FROM (
  SELECT n.volume, n.deployment, d.side, d.digest
  FROM deployed_nodes n JOIN deployments d ON d.id = n.deployment
) AS each WHERE each.volume = lun_clones.volume
"""


def apply(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date; the caller holds the write lock, so nobody else does the same."""
    # Third-party sqlite-utils plugins have no business in a daemon.
    steps.apply(Database(connection, execute_plugins=False, recursive_triggers=False))
