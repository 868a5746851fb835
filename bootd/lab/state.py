"""What a lab is made of, on disk, so that any process can go on with it or take it down."""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bootd.errors import BadValue
from bootd.lab.errors import LabError
from bootd.lab.machines import Kind, NodeSpec
from bootd.lab.process import Process

DEFAULT_ROOT = Path("/run/bootd-lab")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?\Z")
_VERSION = 1


@dataclass(slots=True)
class Node:
    """A machine of the lab; *process* is there while it is on, or until somebody looks."""

    spec: NodeSpec
    tap: str
    process: Process | None = None

    @property
    def is_on(self) -> bool:
        return self.process is not None and self.process.alive


@dataclass(slots=True)
class State:
    """A lab: its servers, its machines."""

    loss: float = 0.0  # percent
    servers: dict[str, Process] = field(default_factory=dict)  # "site", "bootd"
    nodes: dict[str, Node] = field(default_factory=dict)
    maker: Process | None = None  # the command that put it up; a demo's lives as long as its lab


def check_lab_name(name: str) -> str:
    """Return *name* if it can be part of a namespace's name; raises `BadValue`."""
    if not _NAME.match(name):
        raise BadValue("lab name", name, "up to 20 lower-case letters, digits and '-'")
    return name


class RunFolder:
    """``ROOT/NAME``: state, sockets and logs of one lab."""

    def __init__(self, root: Path, name: str) -> None:
        self.path = root / check_lab_name(name)
        self._file = self.path / "state.json"

    @property
    def exists(self) -> bool:
        return self._file.exists()

    def load(self) -> State:
        """Return the state; raises `LabError` where there is no such lab."""
        try:
            document = json.loads(self._file.read_text())
        except FileNotFoundError:
            name = self.path.name
            raise LabError(f"there is no lab {name!r}; start it: bootd lab up --name {name}") from None
        if document.get("version") != _VERSION:
            raise LabError(f"{self._file} was written by another bootd; take the lab down with that one")
        return _from_json(document)

    @contextmanager
    def change(self) -> Iterator[State]:
        """Give the state to change; written when the block ends well. One process at a time."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.load() if self.exists else State()
            yield state
            scratch = self._file.with_suffix(".new")
            scratch.write_text(json.dumps(_to_json(state), indent=2))
            scratch.replace(self._file)


def names(root: Path) -> list[str]:
    """Return the labs that have a folder below *root*."""
    return sorted(path.name for path in root.glob("*") if path.is_dir() and _NAME.match(path.name))


def socket_path_fits(path: Path) -> bool:
    """Tell whether a unix socket can be bound at *path*: the kernel keeps 108 octets, the last one 0."""
    return len(os.fsencode(path)) < 108


def _to_json(state: State) -> dict[str, Any]:
    return {"version": _VERSION, **asdict(state)}


def _from_json(document: dict[str, Any]) -> State:
    return State(
        loss=document["loss"],
        servers={name: Process(**fields) for name, fields in document["servers"].items()},
        nodes={name: _node(fields) for name, fields in document["nodes"].items()},
        maker=_process(document.get("maker")),
    )


def _node(fields: dict[str, Any]) -> Node:
    spec = dict(fields["spec"])
    return Node(
        spec=NodeSpec(**{**spec, "kind": Kind(spec["kind"])}),
        tap=fields["tap"],
        process=_process(fields["process"]),
    )


def _process(fields: dict[str, Any] | None) -> Process | None:
    return Process(**fields) if fields else None
