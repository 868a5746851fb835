"""What the database complains about, in words that say what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from bootd.errors import BootdError, StoreBusy, StoreFailed, StoreFull


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn the database's exceptions into `StoreFailed` and its kin."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a bug of ours: another thread's connection, a wrong number of values
    except sqlite3.Error as error:
        raise translate(path, error) from error


def translate(path: str, error: sqlite3.Error) -> BootdError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low octet is the class of the error
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(f"{path} is held by another process; nothing was changed, try again")
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"no room left to write {path}; nothing was changed")
        case sqlite3.SQLITE_NOTADB:
            return StoreFailed(f"{path} is not a database of bootd")
        case sqlite3.SQLITE_CORRUPT:
            return StoreFailed(f"{path} is damaged ({error}): restore it from a copy")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreFailed(
                f"no permission to write {path}, or a disk that is read-only: use sudo, or act as its owner"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return StoreFailed(f"cannot open {path}: no permission (use sudo), or its folder is gone")
    return StoreFailed(f"{path}: {error}")
