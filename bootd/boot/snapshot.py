"""Our picture of the store: immutable, indexed for one question, replaced as a whole."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bootd.model import Assignment, Host, MemoryImage, Override, Place
from netboot.dhcp.lease import Subnet
from netboot.hwaddr import parse_guid, swap_guid

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Policy:
    """What the configuration says about answering; the same for every snapshot of a daemon."""

    loaders: Mapping[str, str] = field(default_factory=dict)  # architecture name -> file name of the loader
    uefi_strategy: str = "boot-server"  # or "offer"
    subnets: Mapping[str, Subnet] = field(default_factory=dict)  # whose hosts are given addresses, by name
    repeat_limit: int = 3  # the same answer so often in a minute, and no progress: a loop


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The store as it was when *generation* was the last entry of its journal."""

    generation: int = 0
    hosts: Mapping[str, Host] = field(default_factory=dict)  # by name
    memory_images: Mapping[str, MemoryImage] = field(default_factory=dict)  # by name
    assignments: Mapping[str, Assignment] = field(default_factory=dict)  # by host name
    overrides: Mapping[str, Override] = field(default_factory=dict)  # by host name
    places: Mapping[str, Place] = field(default_factory=dict)  # by host name: of active reservations
    policy: Policy = field(default_factory=Policy)
    hosts_by_mac: Mapping[str, Host] = field(default_factory=dict)
    hosts_by_guid: Mapping[str, Host] = field(default_factory=dict)  # under both byte orders


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows that differ from a snapshot; None says the row is gone."""

    generation: int
    hosts: Mapping[str, Host | None] = field(default_factory=dict)
    memory_images: Mapping[str, MemoryImage | None] = field(default_factory=dict)
    assignments: Mapping[str, Assignment | None] = field(default_factory=dict)
    overrides: Mapping[str, Override | None] = field(default_factory=dict)
    places: Mapping[str, Place | None] = field(default_factory=dict)


def apply_changes(snapshot: Snapshot, changes: Changes) -> Snapshot:
    """Return the snapshot with *changes* in it; parts without a change are shared."""
    by_mac, by_guid = snapshot.hosts_by_mac, snapshot.hosts_by_guid
    if changes.hosts:
        gone = [snapshot.hosts[name] for name in changes.hosts if name in snapshot.hosts]
        come = [host for host in changes.hosts.values() if host is not None]
        by_mac = _reindex(by_mac, gone, come, _macs)
        by_guid = _reindex(by_guid, gone, come, _guids)
    return replace(
        snapshot,
        generation=changes.generation,
        hosts=_merge(snapshot.hosts, changes.hosts),
        memory_images=_merge(snapshot.memory_images, changes.memory_images),
        assignments=_merge(snapshot.assignments, changes.assignments),
        overrides=_merge(snapshot.overrides, changes.overrides),
        places=_merge(snapshot.places, changes.places),
        hosts_by_mac=by_mac,
        hosts_by_guid=by_guid,
    )


def _merge(old: Mapping[str, _Row], changed: Mapping[str, _Row | None]) -> Mapping[str, _Row]:
    if not changed:
        return old
    merged = dict(old)
    for key, value in changed.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    return merged


def _reindex(
    old: Mapping[str, Host],
    gone: Iterable[Host],
    come: Iterable[Host],
    keys: Callable[[Host], tuple[str, ...]],
) -> Mapping[str, Host]:
    index = dict(old)
    for host in gone:
        for key in keys(host):
            if index.get(key) is host:
                del index[key]
    for host in come:
        for key in keys(host):
            index[key] = host
    return index


def _macs(host: Host) -> tuple[str, ...]:
    return (host.mac,)


def _guids(host: Host) -> tuple[str, ...]:
    """A host's UUID as text and as SMBIOS bytes print it: firmware differs (protocols: EDK2, U-Boot)."""
    uuid = host.settings.get("uuid")
    if uuid is None:
        return ()
    guid = parse_guid(uuid)
    return (guid, swap_guid(guid))
