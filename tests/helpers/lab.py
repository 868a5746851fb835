"""Labs for the tests of real boots, and reading back what bootd saw of them."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootd.lab import Kind, Lab, LabError, NodeSpec

PATIENCE_S = 300.0  # only to stop waiting: other work on the machine, another lab say, makes every boot slow
READY = r"BOOTD-READY [^\n]*"
REPORTED = "BOOTD-REPORTED"


def lab_name(purpose: str) -> str:
    """Return a name that no other run of the tests on this machine uses."""
    return f"{purpose}-{os.getpid()}"


def plug_in(lab: Lab, name: str, kind: Kind, *, disk: Path | None = None, **settings: str) -> NodeSpec:
    """Add a machine to the lab and to bootd's host table."""
    spec = lab.add_node(NodeSpec(name, kind, disk=str(disk or "")))
    lab.register(name, **settings)
    return spec


@dataclass(frozen=True, slots=True)
class Steps:
    """What bootd noted of one machine, oldest first."""

    rows: list[dict[str, Any]]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["event"] == event]

    def fetched(self, name: str) -> list[dict[str, Any]]:
        """Return the whole transfers of the file *name*, by whichever protocol."""
        kinds = ("http.file_sent", "tftp.read_completed")
        return [row for row in self.rows if row["event"] in kinds and _names(row["text"], name)]


def _names(text: str, name: str) -> bool:
    return text.startswith((f"fetched {name}", f"read {name} by TFTP"))


def steps(lab: Lab, machine: str) -> Steps:
    """Return every step of *machine* (a host's name or a MAC address)."""
    out = lab.bootd("trace", machine, "--last", "100", "--json").stdout
    return Steps([json.loads(line) for line in out.splitlines()])


def wait_for_step(lab: Lab, machine: str, event: str, *, count: int = 1) -> Steps:
    """Return the steps once *event* is *count* times among them; the writer takes a moment."""
    until = time.monotonic() + PATIENCE_S
    while True:
        found = steps(lab, machine)
        if len(found.of(event)) >= count:
            return found
        if time.monotonic() > until:
            raise LabError(f"{machine}: {event} was not seen {count} times; seen: {found.rows}")
        time.sleep(0.5)


def status(lab: Lab) -> dict[str, Any]:
    """Return what ``bootd status --json`` says."""
    found: dict[str, Any] = json.loads(lab.bootd("status", "--json").stdout)
    return found
