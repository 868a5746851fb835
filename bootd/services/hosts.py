"""The host table: every change of it, whether by a command, an imported file or an editor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from bootd.clock import Clock, utc_now
from bootd.errors import Conflict, Refused
from bootd.formats import Format, fields, find_format, ssitab
from bootd.model import Host, check_device
from bootd.services import hosttable, nodeset, slotschemes
from bootd.services.hosttable import Plan
from bootd.store import JournalEntry, Reads, Store, Transaction

T = TypeVar("T")
LAYOUT = "hosts.ssitab"  # document: the text of the table as a person last wrote it
UNDO = "hosts undo"


@dataclass(frozen=True, slots=True)
class HostEdit:
    """What to change of a host, as text; None leaves a field as it is, "" empties it."""

    name: str | None = None
    mac: str | None = None
    ip: str | None = None
    number: str | None = None
    role: str | None = None
    local_boot: str | None = None
    add_groups: tuple[str, ...] = ()
    remove_groups: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)  # "" removes

    @property
    def is_personal(self) -> bool:
        """Whether it gives values that only one host can have."""
        return any(value for value in (self.name, self.mac, self.ip, self.number)) or bool(
            self.settings.get("uuid")
        )

    def apply(self, host: Host) -> Host:
        """Return *host* changed so; raises `BadValue`."""
        groups = [*host.groups, *self.add_groups]
        settings = dict(host.settings) | {
            key: fields.setting(key, value)[1] if value else "" for key, value in self.settings.items()
        }
        return Host(
            name=host.name if self.name is None else fields.host_name(self.name),
            mac=host.mac if self.mac is None else fields.hardware_address(self.mac),
            ip=_changed(host.ip, self.ip, fields.ip_address),
            number=_changed(host.number, self.number, fields.node_number),
            role=host.role if self.role is None else fields.role(self.role),
            local_boot=_changed(host.local_boot, self.local_boot, check_device),
            groups=fields.group_names(group for group in groups if group not in self.remove_groups),
            settings={key: value for key, value in settings.items() if value},
        )


def _changed(old: T | None, text: str | None, check: Callable[[str], T]) -> T | None:
    if text is None:
        return old
    return check(text) if text else None


def add(store: Store, actor: str, edit: HostEdit) -> Host:
    """Add one host; raises `Refused` where its name is taken, `Conflict`, `BadValue`."""
    host = edit.apply(Host(name=edit.name or "", mac=edit.mac or ""))
    with store.transaction(actor, "hosts add") as change:
        if change.host(host.name) is not None:
            raise Refused(
                f"there is a host {host.name!r} already: change it with bootd hosts set {host.name}"
            )
        _refuse_second_uuid(change, host)
        change.put_host(host)
    return host


def set_fields(store: Store, actor: str, nodes: str, edit: HostEdit) -> Plan:
    """Change the named hosts alike; raises `Refused` where many would get what only one can have."""
    with store.transaction(actor, "hosts set") as change:
        table = change.hosts()
        chosen = nodeset.parse(nodes, table)
        if len(chosen) > 1 and edit.is_personal:
            raise Refused(f"{nodes} names {len(chosen)} hosts: name, MAC, IP, number and uuid are for one")
        pairs = [hosttable.Changed(host, edit.apply(host)) for host in chosen]
        changed = tuple(pair for pair in pairs if pair.before != pair.after)
        for pair in changed:
            if pair.after.name != pair.before.name and change.host(pair.after.name) is not None:
                raise Conflict("host", "name", pair.after.name, pair.after.name)
            if pair.after.settings.get("uuid") != pair.before.settings.get("uuid"):
                _refuse_second_uuid(change, pair.after, besides=pair.before.name)
        made = Plan(changed=changed, unchanged=len(table) - len(changed))
        _check_slots(change, made)
        _carry_out(change, made)
    return made


def _refuse_second_uuid(change: Transaction, host: Host, *, besides: str = "") -> None:
    """The database cannot hold uuids apart: they lie among the settings."""
    uuid = host.settings.get("uuid")
    for other in change.hosts() if uuid else ():
        if other.settings.get("uuid") == uuid and other.name not in (host.name, besides):
            raise Conflict("host", "uuid", str(uuid), other.name)


@dataclass(frozen=True, slots=True)
class Removed:
    """A host that went, and the orders that went with it, for people."""

    host: Host
    orders: tuple[str, ...]


def remove(
    store: Store, actor: str, nodes: str, *, clock: Clock = utc_now, dry_run: bool = False
) -> list[Removed]:
    """Remove the named hosts with what they were told to boot."""
    with store.transaction(actor, "hosts remove") as change:
        orders = _orders(change, clock())
        gone = [Removed(host, orders.get(host.name, ())) for host in nodeset.parse(nodes, change.hosts())]
        if not dry_run:
            for each in gone:
                change.remove_host(each.host.name)
    return gone


def _orders(change: Transaction, at: datetime) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {a.host: (str(a.target),) for a in change.assignments()}
    for override in change.overrides(at):
        found[override.host] = (*found.get(override.host, ()), f"{override.target} once")
    return found


@dataclass(frozen=True, slots=True)
class Given:
    """A table as a person gave it."""

    text: str
    source: str  # file name, for the mistakes
    format: Format


def import_table(
    store: Store,
    actor: str,
    given: Given,
    *,
    replace_all: bool = False,
    dry_run: bool = False,
    expected: str | None = None,
    what: str = "hosts import",
) -> Plan:
    """Bring the rows of a text into the table, all or none; with *replace_all* other hosts go.

    *expected* is the table's `fingerprint` that the text was made from: raises `Refused` if it
    has changed since. Raises `BadText` with every mistake of the text.
    """
    rows = given.format.parse(given.text, given.source)
    with store.transaction(actor, what) as change:
        current = change.hosts()
        if expected is not None and fingerprint(current) != expected:
            raise Refused("the host table was changed by somebody else meanwhile; nothing was written")
        if replace_all and not rows and current:
            raise Refused(f"{given.source} has no hosts: bootd hosts remove @all removes all {len(current)}")
        made = hosttable.plan(current, rows, replace=replace_all, source=given.source)
        _check_slots(change, made)
        if not dry_run:
            _carry_out(change, made)
            _keep_layout(change, given, replace_all)
    return made


def _check_slots(change: Transaction, made: Plan) -> None:
    """Raise `Refused` where hosts would lose slots that hold images or are booked: groups decide that."""
    slotschemes.check_moved(change, ((pair.before, pair.after) for pair in made.changed))


def _carry_out(change: Transaction, made: Plan) -> None:
    """Write a plan: first what goes, so that what comes finds its place free."""
    for host in made.removed:
        change.remove_host(host.name)
    renamed = [pair for pair in made.changed if pair.before.name != pair.after.name]
    assigned = {a.host: a for a in change.assignments()} if renamed else {}
    once = {o.host: o for o in change.overrides()} if renamed else {}
    for pair in renamed:
        change.remove_host(pair.before.name)
    change.put_hosts([*made.added, *(pair.after for pair in made.changed)])
    for pair in renamed:
        assignment, override = assigned.get(pair.before.name), once.get(pair.before.name)
        if assignment is not None:
            change.put_assignment(replace(assignment, host=pair.after.name))
        if override is not None:
            change.put_override(replace(override, host=pair.after.name))


def _keep_layout(change: Transaction, given: Given, replace_all: bool) -> None:
    if given.format.name != "ssitab":
        return
    old = change.document(LAYOUT)
    text = given.text.removeprefix("\ufeff")
    change.put_document(LAYOUT, text if old is None or replace_all else ssitab.join_layouts(old, text))


def export_table(store: Store, format_name: str = "ssitab", nodes: str = "@all") -> str:
    """Write the table in a format; ssitab keeps the comments and order of the last import."""
    written = find_format(format_name)
    hosts = store.hosts()
    chosen = hosts if nodes == "@all" else nodeset.parse(nodes, hosts)
    layout = store.document(LAYOUT) if written.name == "ssitab" else None
    return written.format_hosts(chosen, layout or "")


def difference(store: Store, given: Given) -> Plan:
    """Return what the table would become if it were replaced by the text; writes nothing."""
    rows = given.format.parse(given.text, given.source)
    return hosttable.plan(store.hosts(), rows, replace=True, source=given.source)


def fingerprint(hosts: Sequence[Host]) -> str:
    """Return a text that differs where tables differ."""
    return repr(sorted((fields_of(host) for host in hosts), key=lambda row: row[0]))


def fields_of(host: Host) -> tuple[str, ...]:
    values = (host.name, host.mac, host.ip, host.number, host.role, host.local_boot, host.groups)
    return (*map(str, values), *(f"{key}={host.settings[key]}" for key in sorted(host.settings)))


def undo(store: Store, actor: str) -> list[JournalEntry]:
    """Take back the newest change of the host table that is not taken back yet.

    Returns its entries. Raises `Refused` where there is none, or where its rows were changed since.
    """
    number = _newest_standing(store)
    with store.transaction(actor, f"{UNDO} {number}") as change:
        if _newest_standing(change) != number:
            raise Refused("the host table was changed by somebody else meanwhile; nothing was undone")
        before = {host.name: host for host in change.hosts()}
        entries = change.revert(number)
        stayed = [host for host in change.hosts() if host.name in before]
        slotschemes.check_moved(change, ((before[host.name], host) for host in stayed))
        return entries


def _newest_standing(store: Reads) -> int:
    """Return the newest change of hosts that no later undo took back."""
    undone: set[int] = set()
    for number, what in store.changes_of("host"):
        command, _, about = what.rpartition(" ")
        if command == UNDO:
            undone.add(int(about))
        elif number not in undone:
            return number
    raise Refused("no change of the host table is left to undo")
