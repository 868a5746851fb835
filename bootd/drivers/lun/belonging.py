"""Files of bootd's that a command makes as root: they must be bootd's all the same."""

import os
from pathlib import Path


def make(path: Path, flags: int) -> int:
    """Open *path*, made if need be, for its owner alone; return the handle.

    What root makes belongs to whom its folder belongs, and root follows no link there:
    the folder's owner is an ordinary user.
    """
    handle = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(handle, 0o600)  # it may have been there
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)
    except BaseException:
        os.close(handle)
        raise
    return handle
