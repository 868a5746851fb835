"""Slot schemes: which partitions of which disk are slots, by group; no slot that holds anything is lost."""

from collections.abc import Iterable, Mapping

from bootd.errors import BadValue, NotFound, Refused
from bootd.formats.fields import nearest
from bootd.model import Host, Schemes, SlotScheme, check_device, check_name
from bootd.model.places import DOS, GPT
from bootd.services import nodeset
from bootd.store import Reads, SlotContent, Store, Transaction

LAST_PARTITION = 255  # of a disk, as far as any partition table in use goes
_OCCUPIED = ("writing", "ready", "damaged")


def set_scheme(store: Store, actor: str, scheme: SlotScheme, *, dry_run: bool = False) -> SlotScheme:
    """Say which partitions of which disk are slots on the hosts of a group ("": of all others).

    Raises `BadValue`, `NotFound` for a group without hosts, `Refused` while slots that would not
    be any more, or would be on another disk or in another table, hold images or are booked.
    """
    check_device(scheme.disk)
    if scheme.label not in (DOS, GPT):
        raise BadValue("table", scheme.label, f"{DOS} (BIOS) or {GPT} (UEFI)")
    if not 1 <= scheme.first <= scheme.last <= LAST_PARTITION:
        raise BadValue(
            "slots",
            f"{scheme.first} to {scheme.last}",
            f"a first and a last partition from 1 to {LAST_PARTITION}",
        )
    for what, least in (("boot", 64), ("swap", 1), ("spare", 1), ("slot", 0)):
        if getattr(scheme, f"{what}_mib") < least:
            raise BadValue(f"{what} size", str(getattr(scheme, f"{what}_mib")), f"MiB, {least} or more")
    with store.transaction(actor, "slots scheme set") as change:
        _check_group(change, scheme.group)
        schemes = dict(change.schemes().by_group)
        _check_schemes(change, Schemes({**schemes, scheme.group: scheme}))
        if not dry_run:
            change.keep(scheme)
    return scheme


def remove_scheme(store: Store, actor: str, group: str, *, dry_run: bool = False) -> SlotScheme:
    """Forget the scheme of a group: its hosts have the common one; raises as `set_scheme`."""
    with store.transaction(actor, "slots scheme remove") as change:
        schemes = dict(change.schemes().by_group)
        if group not in schemes:
            hint = nearest(group, list(schemes)).removeprefix("; ")
            raise NotFound("slot scheme", group, hint or "bootd slots scheme list shows them")
        gone = schemes.pop(group)
        _check_schemes(change, Schemes(schemes))
        if not dry_run:
            change.discard(SlotScheme, group)
    return gone


def _check_group(change: Transaction, group: str) -> None:
    if not group:
        return
    check_name("group", group)
    known = {each for host in change.hosts() for each in host.groups}
    if group not in known:
        raise NotFound("host in group", group, nearest(group, known).removeprefix("; "))


def check_moved(reads: Reads, moved: Iterable[tuple[Host, Host]]) -> None:
    """Raise as `set_scheme` where hosts, before and after, come to have another scheme by their groups."""
    moved = [(before, after) for before, after in moved if before.groups != after.groups]
    schemes = reads.schemes() if moved else Schemes({})
    changes = [(old.name, schemes.of(old.groups), schemes.of(new.groups)) for old, new in moved]
    _check_lost(reads, _lost(changes))


def _check_schemes(change: Transaction, new: Schemes) -> None:
    old = change.schemes()
    changes = [(host.name, old.of(host.groups), new.of(host.groups)) for host in change.hosts()]
    _check_lost(change, _lost(changes))


def _check_lost(reads: Reads, lost: Mapping[str, set[int]]) -> None:
    """Raise `Refused` where a slot that would be lost holds anything or is booked."""
    if not lost:
        return
    reasons = []
    for content in reads.slot_contents(lost):
        if content.pinned or content.state in _OCCUPIED:
            hosts = [host for host in content.hosts if content.number in lost[host]]
            held = f"holds {content.image}" if content.image else f"is {_word(content)}"
            reasons += [f"slot {content.number} of {nodeset.fold(hosts)} {held}"] if hosts else []
    for need in reads.slot_needs(lost):
        if hosts := [node for node in need.nodes if need.number in lost.get(node, ())]:
            where = f"slot {need.number} of {nodeset.fold(hosts)}"
            reasons.append(f"{where} is booked by reservation {need.reservation}")
    if reasons:
        raise Refused("slots would be lost; wipe them, or cancel the bookings, first: " + "; ".join(reasons))


def _word(content: SlotContent) -> str:
    return "pinned" if content.pinned else content.state


def _lost(changes: Iterable[tuple[str, SlotScheme, SlotScheme]]) -> dict[str, set[int]]:
    """Return the numbers that are no slots of a host any more, or would be elsewhere; by host."""
    found = {}
    for host, before, after in changes:
        stays = (before.disk, before.label) == (after.disk, after.label)
        kept = set(after.numbers) if stays else set()
        if numbers := set(before.numbers) - kept:
            found[host] = numbers
    return found
