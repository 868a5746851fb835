"""Becoming an ordinary user once the ports are bound."""

import encodings
import os
import pwd
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import bootd
from bootd.errors import BootdError

PROGRAM = (encodings.__file__, bootd.__file__)  # Python loads parts of both late


class CannotBecome(BootdError):
    """The user exists, and bootd could not run as it."""

    code = "cannot-become-user"

    def __init__(self, user: str, why: str) -> None:
        super().__init__(
            f'cannot become user {user!r}: {why}; or set server.user to another, or to "" to stay root'
        )
        self.user = user


def is_root() -> bool:
    """Tell whether there is anything to drop."""
    return os.geteuid() == 0


def known(user: str) -> bool:
    """Tell whether the system has *user*."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def below(folder: Path) -> Iterator[Path]:
    """Yield *folder* and everything in it, if it is there; links are named and not followed."""
    if folder.is_dir() and not folder.is_symlink():
        yield folder
        for root, folders, files in os.walk(folder):
            yield from (Path(root) / name for name in (*folders, *files))


def drop(user: str, owned: Iterable[Path], *, program: Sequence[str] = PROGRAM) -> None:
    """Become *user* for good; the files and folders *owned* are given to it first.

    Raises `CannotBecome`, with nothing changed, where there is no *user* or it may not
    read the *program* it would run.
    """
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise CannotBecome(user, "there is no such user") from None
    groups = os.getgrouplist(user, entry.pw_gid)
    try:
        for source in program:
            if not _may_read(entry, groups, source):
                why = f"it may not read {source}; install bootd where every user can, such as /opt/bootd"
                raise CannotBecome(user, why)
        for path in owned:
            with suppress(FileNotFoundError):  # a database's -wal goes when a command ends
                os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
        os.setgroups(groups)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except OSError as error:
        raise CannotBecome(user, str(error)) from error


def _may_read(entry: pwd.struct_passwd, groups: list[int], path: str) -> bool:
    """Ask the kernel with the user's identity, for a moment."""
    was = os.geteuid(), os.getegid()
    had = os.getgroups()
    try:
        os.setgroups(groups)
        os.setegid(entry.pw_gid)
        os.seteuid(entry.pw_uid)
        return os.access(path, os.R_OK, effective_ids=True)
    finally:
        os.seteuid(was[0])
        os.setegid(was[1])
        os.setgroups(had)
