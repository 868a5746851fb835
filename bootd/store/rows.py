"""Records as rows: one table each, lists and mappings as JSON text, instants as ISO 8601 in UTC."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from bootd.model import (
    Assignment,
    Host,
    ImageFile,
    MemoryImage,
    Observation,
    Override,
    Role,
    Sighting,
    parse_target,
)

R = TypeVar("R")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """How one kind of journalled record lies in its table."""

    name: str  # in the journal
    table: str
    key: str  # column that names a row, also in the journal
    columns: tuple[str, ...]
    json: frozenset[str]  # columns kept as JSON text
    to_row: Callable[[R], dict[str, Any]]
    from_row: Callable[[Row], R]
    label: str  # for people
    quiet: frozenset[str] = frozenset()  # columns whose change alone is not journalled

    def encode(self, row: Row) -> list[Any]:
        """Return the values of *row* in the order of the columns, as the database keeps them."""
        return [as_text(row[c]) if c in self.json else row[c] for c in self.columns]

    def decode_all(self, found: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
        """Return rows asked for in the order of the columns; the JSON of each column in one call."""
        if not found:
            return []
        columns: list[Sequence[Any]] = list(zip(*found, strict=True))
        for place, name in enumerate(self.columns):
            if name in self.json:
                columns[place] = json.loads(f"[{','.join(columns[place])}]")
        return [dict(zip(self.columns, values, strict=True)) for values in zip(*columns, strict=True)]

    def decode(self, values: Row) -> dict[str, Any]:
        return {c: json.loads(values[c]) if c in self.json else values[c] for c in self.columns}


def as_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def instant(at: datetime) -> str:
    """Return *at* in the one form that also sorts as text."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def parse_instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _host_row(host: Host) -> dict[str, Any]:
    return {
        "name": host.name,
        "mac": host.mac,
        "ip": host.ip,
        "number": host.number,
        "role": str(host.role),
        "local_boot": host.local_boot,
        "groups": list(host.groups),
        "settings": dict(host.settings),
    }


def _host(row: Row) -> Host:
    return Host(
        name=row["name"],
        mac=row["mac"],
        ip=row["ip"],
        number=row["number"],
        role=Role(row["role"]),
        local_boot=row["local_boot"],
        groups=tuple(row["groups"]),
        settings=dict(row["settings"]),
    )


def _image_row(image: MemoryImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "kernel": asdict(image.kernel),
        "initrds": [asdict(initrd) for initrd in image.initrds],
        "cmdline": image.cmdline,
        "added_at": instant(image.added_at),
    }


def _image(row: Row) -> MemoryImage:
    return MemoryImage(
        name=row["name"],
        kernel=ImageFile(**row["kernel"]),
        initrds=tuple(ImageFile(**initrd) for initrd in row["initrds"]),
        cmdline=row["cmdline"],
        added_at=parse_instant(row["added_at"]),
    )


def _assignment_row(assignment: Assignment) -> dict[str, Any]:
    return {
        "host": assignment.host,
        "target": str(assignment.target),
        "set_at": instant(assignment.set_at),
    }


def _assignment(row: Row) -> Assignment:
    return Assignment(row["host"], parse_target(row["target"]), parse_instant(row["set_at"]))


def _override_row(override: Override) -> dict[str, Any]:
    return {
        "host": override.host,
        "id": override.id,
        "target": str(override.target),
        "set_at": instant(override.set_at),
        "expires_at": instant(override.expires_at),
    }


def _override(row: Row) -> Override:
    return Override(
        id=row["id"],
        host=row["host"],
        target=parse_target(row["target"]),
        set_at=parse_instant(row["set_at"]),
        expires_at=parse_instant(row["expires_at"]),
    )


@dataclass(frozen=True, slots=True)
class Document:
    """A text that belongs to the site, such as the layout of its table."""

    name: str
    text: str


_HOST_COLUMNS = ("name", "mac", "ip", "number", "role", "local_boot", "groups", "settings")
HOST = Kind(
    "host",
    "hosts",
    "name",
    _HOST_COLUMNS,
    frozenset({"groups", "settings"}),
    _host_row,
    _host,
    "host",
)
MEMORY_IMAGE = Kind(
    "memory_image",
    "memory_images",
    "name",
    ("name", "kernel", "initrds", "cmdline", "added_at"),
    frozenset({"kernel", "initrds"}),
    _image_row,
    _image,
    "memory image",
)
ASSIGNMENT = Kind(
    "assignment",
    "assignments",
    "host",
    ("host", "target", "set_at"),
    frozenset(),
    _assignment_row,
    _assignment,
    "assignment",
)
OVERRIDE = Kind(
    "override",
    "overrides",
    "host",
    ("host", "id", "target", "set_at", "expires_at"),
    frozenset(),
    _override_row,
    _override,
    "override",
)
DOCUMENT = Kind(
    "document",
    "documents",
    "name",
    ("name", "text"),
    frozenset(),
    lambda document: {"name": document.name, "text": document.text},
    lambda row: Document(row["name"], row["text"]),
    "document",
)

OBSERVATION_COLUMNS = ("at", "mac", "host", "event", "text", "octets", "seconds")


def observation_values(seen: Observation) -> tuple[Any, ...]:
    return (instant(seen.at), seen.mac, seen.host, seen.event, _clean(seen.text), seen.octets, seen.seconds)


def _clean(text: str) -> str:
    """Return *text* as it can be kept: names from the network may hold what UTF-8 has no octets for."""
    return text.encode("utf-8", "replace").decode("utf-8")


def observation(row: Row) -> Observation:
    values = {column: row[column] for column in OBSERVATION_COLUMNS}
    return Observation(**values | {"at": parse_instant(row["at"])})


SIGHTING_COLUMNS = ("mac", "arch", "first_seen_at", "last_seen_at", "questions", "reason")


def sighting_values(seen: Sighting) -> tuple[Any, ...]:
    times = (instant(seen.first_seen_at), instant(seen.last_seen_at))
    return (seen.mac, seen.arch, *times, seen.questions, seen.reason)


def sighting(row: Row) -> Sighting:
    return Sighting(
        row["mac"],
        row["arch"],
        parse_instant(row["first_seen_at"]),
        parse_instant(row["last_seen_at"]),
        row["questions"],
        row["reason"],
    )
