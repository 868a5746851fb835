"""What a table given as rows would change, worked out before anything is written. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from bootd.errors import BadText, Mistake
from bootd.formats.fields import Row, unique_values
from bootd.model import Host


@dataclass(frozen=True, slots=True)
class Changed:
    """A host before and after; another name means it was renamed."""

    before: Host
    after: Host


@dataclass(frozen=True, slots=True)
class Plan:
    """The way from the table as it is to the table as it shall be."""

    added: tuple[Host, ...] = ()
    changed: tuple[Changed, ...] = ()
    removed: tuple[Host, ...] = ()
    unchanged: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    @property
    def summary(self) -> str:
        """One line: how many of each."""
        counts = (len(self.added), len(self.changed), len(self.removed))
        return "{} added, {} changed, {} removed, {} unchanged".format(*counts, self.unchanged)


def plan(current: Iterable[Host], rows: Sequence[Row], *, replace: bool, source: str) -> Plan:
    """Return what importing *rows* does to *current*.

    A row means the host of its name, else the host with its MAC address unless another row
    claims that one: then it is renamed. With *replace* hosts that no row means are removed.
    Raises `BadText` where a row takes a value from a host that stays as it is.
    """
    old = {host.name: host for host in current}
    meant = _meant(old, rows)
    added, changed, unchanged = [], [], 0
    for index, row in enumerate(rows):
        before = meant.get(index)
        if before is None:
            added.append(row.host)
        elif before == row.host:
            unchanged += 1
        else:
            changed.append(Changed(before, row.host))
    claimed = {host.name for host in meant.values()}
    others = [host for name, host in old.items() if name not in claimed]
    if not replace:
        _refuse_collisions(others, rows, source)
        unchanged += len(others)
    return Plan(tuple(added), tuple(changed), tuple(others) if replace else (), unchanged)


def _meant(old: dict[str, Host], rows: Sequence[Row]) -> dict[int, Host]:
    """Return the present host that each row means, by the row's index: many rows may share a line."""
    meant = {index: old[row.host.name] for index, row in enumerate(rows) if row.host.name in old}
    claimed = {host.name for host in meant.values()}
    by_mac = {host.mac: host for host in old.values() if host.name not in claimed}
    for index, row in enumerate(rows):
        if index not in meant and row.host.mac in by_mac:
            meant[index] = by_mac.pop(row.host.mac)
    return meant


def _refuse_collisions(staying: Iterable[Host], rows: Iterable[Row], source: str) -> None:
    holders = {pair: host.name for host in staying for pair in unique_values(host)}
    mistakes = [
        Mistake(row.line, f"{field} {value} belongs to host {holders[field, value]}, which is in the table")
        for row in rows
        for field, value in unique_values(row.host)
        if (field, value) in holders
    ]
    if mistakes:
        raise BadText(source, mistakes)


def differences(before: Host, after: Host) -> list[str]:
    """Return what differs, for people: ``ip 10.0.0.1 → 10.0.0.2``."""
    found = []
    for field in fields(Host):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if field.name == "settings":
            found += [
                f"{key} {_shown(old.get(key))} → {_shown(new.get(key))}"
                for key in sorted({*old, *new})
                if old.get(key) != new.get(key)
            ]
        elif old != new:
            found.append(f"{field.name.replace('_', '-')} {_shown(old)} → {_shown(new)}")
    return found


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return str(value) if value not in (None, "") else "none"


def describe(plan: Plan) -> list[str]:
    """Return a line for each host that changes: ``+ added``, ``~ changed``, ``- removed``."""
    return [
        *(f"+ {host.name}  {host.mac}  {host.ip or '-'}" for host in plan.added),
        *(f"~ {c.before.name}  {', '.join(differences(c.before, c.after))}" for c in plan.changed),
        *(f"- {host.name}  {host.mac}  {host.ip or '-'}" for host in plan.removed),
    ]
