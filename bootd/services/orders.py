"""Orders: what machines are told to boot, from now on or once."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bootd.boot.decide import Order, standing_order
from bootd.boot.snapshot import Snapshot
from bootd.clock import Clock
from bootd.errors import BadValue, Refused
from bootd.model import Assignment, Host, Override, Target, TargetKind, parse_target
from bootd.services import memory, nodeset
from bootd.store import Reads, Store, Transaction

EXPIRES_AFTER = timedelta(hours=1)  # a machine that has not started by then is not about to
DEFAULT = "default"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Ordered:
    """What a host was to boot, and what it is to boot after the order."""

    host: Host
    before: Order
    after: Order
    expires_at: datetime | None  # of the one-shot order that holds afterwards
    later: Order | None  # what it boots when that is used up or has expired


@dataclass(frozen=True, slots=True)
class Wish:
    """An order as a person gives it."""

    nodes: str
    target: str  # memory:NAME, local or default
    once: bool = False
    expires_after: timedelta = EXPIRES_AFTER


def parse_duration(text: str) -> timedelta:
    """Return ``90s``, ``15m``, ``1h`` or ``2d`` as a time; raises `BadValue`."""
    digits, unit = text[:-1], text[-1:]
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 6 and unit in _UNITS and int(digits)):
        raise BadValue("duration", text, "such as 90s, 15m, 1h or 2d")
    return timedelta(**{_UNITS[unit]: int(digits)})


def order(store: Store, actor: str, wish: Wish, *, clock: Clock, dry_run: bool = False) -> list[Ordered]:
    """Give an order to every host of a node set, or to none; return what it changes for each.

    ``default`` takes back what hosts were told. A one-shot order leaves a standing one for later.
    Raises `NotFound`, `BadValue`, `Refused`.
    """
    target = None if wish.target == DEFAULT else _target(store, wish.target)
    if target is None and wish.once:
        raise Refused("'default' takes orders back, there is nothing to do once: leave --once away")
    with store.transaction(actor, f"boot {wish.target}{' --once' if wish.once else ''}") as change:
        hosts = nodeset.parse(wish.nodes, change.hosts())
        if target is not None and target.kind is TargetKind.MEMORY:
            memory.find(change, target.name)
        now = clock()
        before = _orders(change)
        wanted = _wanted(change, hosts, target, wish, now)
        after = _after(before, hosts, wanted)
        if not dry_run:
            _write(change, hosts, wanted)
    return [_ordered(host, before, after, now) for host in hosts]


def _target(store: Reads, text: str) -> Target:
    """Read a target; a memory image's bare name is answered with what was meant."""
    try:
        return parse_target(text)
    except BadValue as error:
        if store.memory_image(text) is None:
            raise
        raise BadValue(error.field, text, f"{error.expected}; did you mean memory:{text}?") from None


def _orders(store: Reads) -> Snapshot:
    """Return the part of a snapshot that `standing_order` looks at."""
    return Snapshot(
        assignments={each.host: each for each in store.assignments()},
        overrides={each.host: each for each in store.overrides()},
        places=store.places(),
    )


_Wanted = dict[str, Assignment | Override | None]


def _wanted(
    change: Transaction, hosts: list[Host], target: Target | None, wish: Wish, now: datetime
) -> _Wanted:
    """Return the row each host is to get; None takes its orders back."""
    if target is None:
        return {host.name: None for host in hosts}
    if not wish.once:
        return {host.name: Assignment(host.name, target, now) for host in hosts}
    first, until = change.next_override_id(), now + wish.expires_after
    return {host.name: Override(first + i, host.name, target, now, until) for i, host in enumerate(hosts)}


def _after(before: Snapshot, hosts: list[Host], wanted: _Wanted) -> Snapshot:
    assignments, overrides = dict(before.assignments), dict(before.overrides)
    for host in hosts:
        match wanted[host.name]:
            case Assignment() as assignment:
                assignments[host.name] = assignment
            case Override() as override:
                overrides[host.name] = override
            case None:
                assignments.pop(host.name, None)
                overrides.pop(host.name, None)
    return replace(before, assignments=assignments, overrides=overrides)


def _write(change: Transaction, hosts: list[Host], wanted: _Wanted) -> None:
    for host in hosts:
        match wanted[host.name]:
            case Assignment() as assignment:
                change.put_assignment(assignment)
            case Override() as override:
                change.put_override(override)
            case None:
                change.remove_assignment(host.name)
                change.remove_override(host.name)


def _ordered(host: Host, before: Snapshot, after: Snapshot, now: datetime) -> Ordered:
    now_boots = standing_order(after, host, now)
    override = after.overrides.get(host.name) if now_boots.rule == "once" else None
    if override is None:
        return Ordered(host, standing_order(before, host, now), now_boots, None, None)
    later = standing_order(replace(after, overrides={}), host, now)
    return Ordered(host, standing_order(before, host, now), now_boots, override.expires_at, later)
