"""A site's own power switch for a machine of a lab: ``python -m tests.helpers.qemuswitch VERB SOCKET``.

Where no QEMU listens it exits as sysexits.h has it for a host that is not there, for good.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from bootd.drivers.power import qmp

NO_HOST = 68
VERBS = {"on": ("cont",), "off": ("stop", "system_reset"), "reset": ("system_reset",), "state": ()}


def settings(socket: Path) -> Mapping[str, str]:
    """Return what a host has to be set to."""
    command = f"{sys.executable} -m tests.helpers.qemuswitch"
    return {"power": "shell"} | {f"power-{verb}": f"{command} {verb} {socket}" for verb in VERBS}


def main(verb: str, socket: str) -> int:
    try:
        for order in VERBS[verb]:
            qmp.execute(Path(socket), order)
        status = qmp.execute(Path(socket), "query-status")["status"]
    except qmp.QmpError as error:
        print(error)
        return NO_HOST
    print("off" if status == "prelaunch" else "on")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
