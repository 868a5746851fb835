"""Becoming an ordinary user once the ports are bound."""

import encodings
import grp
import os
import pwd
from collections.abc import Iterable
from pathlib import Path

import bootd
from bootd.errors import BootdError


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


def drop(user: str, owned: Iterable[Path]) -> None:
    """Become *user* for good; the files and folders *owned* are given to it first.

    Raises `CannotBecome`, with nothing changed, where *user* may not read the program
    it would run: Python loads parts of itself late.
    """
    entry = pwd.getpwnam(user)
    groups = [group.gr_gid for group in grp.getgrall() if user in group.gr_mem]
    for source in (encodings.__file__, bootd.__file__):
        if not _may_read(entry, source):
            why = f"it may not read {source}; install bootd where every user can, such as /opt/bootd"
            raise CannotBecome(user, why)
    try:
        for path in owned:
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
        os.setgroups(groups)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except OSError as error:
        raise CannotBecome(user, str(error)) from error


def _may_read(entry: pwd.struct_passwd, path: str) -> bool:
    """Ask the kernel with the user's identity, for a moment."""
    was = os.geteuid(), os.getegid()
    groups = os.getgroups()
    try:
        os.setgroups([])
        os.setegid(entry.pw_gid)
        os.seteuid(entry.pw_uid)
        return os.access(path, os.R_OK, effective_ids=True)
    finally:
        os.seteuid(was[0])
        os.setegid(was[1])
        os.setgroups(groups)
