"""Becoming an ordinary user once the ports are bound."""

import grp
import os
import pwd
from collections.abc import Iterable
from pathlib import Path

from bootd.errors import BootdError


class CannotBecome(BootdError):
    """The user exists and the system would not let us become it."""

    code = "cannot-become-user"

    def __init__(self, user: str, why: str) -> None:
        super().__init__(
            f'cannot become user {user!r}: {why}; set server.user to another, or to "" to stay root'
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

    Raises `CannotBecome`.
    """
    entry = pwd.getpwnam(user)
    try:
        for path in owned:
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
        os.setgroups([group.gr_gid for group in grp.getgrall() if user in group.gr_mem])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except OSError as error:
        raise CannotBecome(user, str(error)) from error
