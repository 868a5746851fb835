"""Names of workers, by which the leases of a process that is dead are known and need not be waited for."""

import os
import secrets
from pathlib import Path

from bootd.store import Store
from bootd.workers.work import ACTOR


def new_holder() -> str:
    """Return a name for this process's leases that no other has: where it runs, its pid, and chance."""
    return f"{_world()}:{os.getpid()}:{secrets.token_hex(4)}"


def free_leases_of_the_dead(store: Store) -> list[str]:
    """Give back the leases of processes that ended without doing so; return their names.

    Only a process of this boot of this machine and of our PID namespace can be known to be dead; one in
    another container may have the pid of one here. A pid that was given out anew is waited for.
    """
    dead = [lease for lease in store.leases() if _is_dead(lease.holder)]
    if dead:
        with store.transaction(ACTOR, "leases of a dead process") as change:
            for lease in dead:
                change.drop_lease(lease.name, lease.holder)
    return [lease.name for lease in dead]


def _is_dead(holder: str) -> bool:
    world, _, rest = holder.partition(":")
    pid = rest.partition(":")[0]
    if world != _world() or not pid.isdecimal() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)  # asks only; /proc may hide what belongs to others
    except ProcessLookupError:
        return True
    except (OverflowError, PermissionError):
        return False
    return False


def _world() -> str:
    """Return what tells this boot and PID namespace from any other."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    space = str(Path("/proc/self/ns/pid").readlink())  # pid:[4026531836]
    return f"{boot[:13]}.{space.partition('[')[2].rstrip(']')}"
