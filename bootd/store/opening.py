"""Opening a store: from URL to a database of the right version, owned by whom it must be."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootd.clock import Clock
from bootd.errors import BadValue, StoreFailed, StoreTooNew
from bootd.store.failures import translated
from bootd.store.sqlite import SqliteStore

SCHEMA = 5  # number of migrations this bootd knows
APPLICATION = 0x626F6F74  # "boot", kept in application_id: tells our files from other people's
_MODE = 0o640


def open_store(url: str, *, clock: Clock, busy_timeout_s: float = 5.0, durable: bool = True) -> SqliteStore:
    """Open the store at *url*, making it where there is none: ``sqlite:////path`` or ``sqlite://`` (memory).

    *durable*: a commit survives a power cut; without it the last moments may be lost, never the whole.
    Raises `StoreTooNew`, `StoreFailed`, `BadValue`.
    """
    scheme, separator, rest = url.partition("://")
    if scheme != "sqlite" or not separator or (rest and not rest.startswith("//")):
        raise BadValue("store.url", url, 'a URL such as "sqlite:////var/lib/bootd/bootd.db"')
    path = rest[1:] or ":memory:"
    with translated(path):
        connection = _connect(path, busy_timeout_s)
        try:
            _prepare(connection, path)
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
    return SqliteStore(connection, path, clock)


def _connect(path: str, busy_timeout_s: float) -> sqlite3.Connection:
    uri = path
    if path != ":memory:":
        _create(Path(path))
        uri = Path(path).as_uri() + "?mode=rw"
    # isolation_level None: the module begins no transactions of its own, ours are all BEGIN IMMEDIATE
    connection = sqlite3.connect(uri, timeout=busy_timeout_s, isolation_level=None, uri=path != ":memory:")
    connection.row_factory = sqlite3.Row
    return connection


def _create(path: Path) -> None:
    """Make an empty file for a new database, readable by its group only and owned like its folder.

    SQLite gives -wal and -shm the mode of the database, and as root its owner too: a command
    run by root then leaves nothing that the daemon, no longer root, could not write.
    """
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o755, parents=True)
    except FileExistsError:
        if not path.parent.is_dir():  # else another process made it just now
            raise StoreFailed(f"cannot create {path}: {path.parent} is not a folder") from None
    except OSError as error:
        raise _cannot_create(path, error) from error
    try:
        # O_EXCL: opening and closing an existing database would drop the locks this process has on it
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, _MODE)
    except FileExistsError:
        return
    except OSError as error:
        raise _cannot_create(path, error) from error
    try:
        os.fchmod(descriptor, _MODE)
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)


def _cannot_create(path: Path, error: OSError) -> StoreFailed:
    denied = "; use sudo, or act as the user who owns it" if isinstance(error, PermissionError) else ""
    return StoreFailed(f"cannot create {path}: {error.strerror}{denied}")


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Check the version and bring it up to date; two processes at once take turns."""
    if _version(connection, path) == SCHEMA and _journal_mode(connection) in ("wal", "memory"):
        return
    with _turn(path):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection, path) < SCHEMA:
                from bootd.store import migrations  # sqlite-utils costs 90 ms, and few starts need it

                migrations.apply(connection)
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _version(connection: sqlite3.Connection, path: str) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and application != APPLICATION:
        raise StoreFailed(f"{path} is a database of another program")
    if version > SCHEMA:
        raise StoreTooNew(path, version, SCHEMA)
    return version


def _journal_mode(connection: sqlite3.Connection) -> str:
    mode: str = connection.execute("PRAGMA journal_mode").fetchone()[0]
    return mode


@contextmanager
def _turn(path: str) -> Iterator[None]:
    """Hold the folder's lock: a switch to WAL does not wait out the busy timeout, so two must not meet."""
    if path == ":memory:":
        yield
        return
    folder = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
