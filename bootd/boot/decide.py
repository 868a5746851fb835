"""What a machine boots. Pure: the same snapshot and request give the same decision.

`RULES` lists the rules, first match first; each decision carries the slug of the
one that made it. A target is then fitted to how far the client has come: a ROM
gets a loader first, a client that walks in circles gets a diagnosis.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from bootd.boot.snapshot import Snapshot
from bootd.model import Host, LunClone, MemoryImage, Place, Role, Target, TargetKind
from netboot.request import BootRequest, Stage

RULES: Mapping[str, str] = MappingProxyType(
    {
        "unknown-machine": "no host has this MAC address or UUID: it is left to other servers",
        "host-ignored": "the host is set to boot=ignore: it is left to other servers",
        "once": "a one-shot order that has neither been used nor expired",
        "reserved": "the image of its reservation, from its slot or its LUN",
        "reserved-waiting": "the image of its reservation is not in its place yet: it is told to wait",
        "reserved-failed": "the image of its reservation could not be put in its place: it is told why",
        "assigned": "bootd boot said so",
        "local-default": "the host table says it boots from its own disk",
        "nothing-assigned": "a known host that nobody gave anything to boot: it is left alone",
        "going-in-circles": "the same answer again and again, and no progress: it is told what is wrong",
        "no-loader-for-architecture": "no network boot program for this kind of machine: it is left alone",
        "memory-image-gone": "the memory image it should boot is not there: it is told so",
        "not-this-machine": "the secret of a LUN, asked for from another machine's address: not given",
    }
)

_BOOTABLE = ("ready", "running")  # states of a node of a deployment, see lifecycle.tables.NODE


@dataclass(frozen=True, slots=True)
class ChainLoader:
    """The client cannot run a script yet: give it a network boot program and it will ask again."""

    host: Host
    rule: str
    loader: str  # name under the TFTP root and /files/
    target: "Wanted"  # what it is going to boot in the end


@dataclass(frozen=True, slots=True)
class BootMemory:
    """Kernel and initramfs over HTTP."""

    host: Host
    rule: str
    image: MemoryImage
    override: int | None  # id of the one-shot order that a full fetch uses up
    chain: bool  # first load our own iPXE, unless that is what asks


@dataclass(frozen=True, slots=True)
class BootLocal:
    """The machine's own disk."""

    host: Host
    rule: str
    device: str | None  # as the host table names it
    override: int | None
    chain: bool


@dataclass(frozen=True, slots=True)
class BootSlot:
    """The partition of its disk that holds the image of its reservation."""

    host: Host
    rule: str
    place: Place
    slot: int  # of the partition
    chain: bool


@dataclass(frozen=True, slots=True)
class BootLun:
    """Its own clone of the active LUN of its group, over iSCSI."""

    host: Host
    rule: str
    place: Place
    clone: LunClone
    chain: bool


@dataclass(frozen=True, slots=True)
class Diagnose:
    """Tell the machine's screen what is wrong instead of going on."""

    host: Host
    rule: str
    problem: str  # for people
    target: "Wanted | None"


@dataclass(frozen=True, slots=True)
class Silent:
    """Answer nothing, so that another server may."""

    rule: str
    host: Host | None = None


Wanted = Target | Place  # what an order names; its text is what people read
BootDecision = ChainLoader | BootMemory | BootLocal | BootSlot | BootLun | Diagnose | Silent


def find_host(snapshot: Snapshot, request: BootRequest) -> Host | None:
    """Return the host of this MAC address, else of this UUID."""
    host = snapshot.hosts_by_mac.get(request.mac)
    if host is None and request.guid is not None:
        host = snapshot.hosts_by_guid.get(request.guid)
    return host


@dataclass(frozen=True, slots=True)
class Order:
    """The target that holds for a host at one instant, by which rule."""

    rule: str
    target: Wanted | None
    override: int | None = None


def standing_order(snapshot: Snapshot, host: Host, at: datetime) -> Order:
    """Return what *host* is to boot at *at*, whatever it asks with."""
    if host.settings.get("boot") == "ignore":
        return Order("host-ignored", None)
    override = snapshot.overrides.get(host.name)
    if override is not None and at < override.expires_at:
        return Order("once", override.target, override.id)
    place = snapshot.places.get(host.name)
    if place is not None:
        return Order(_standing(place), place)
    assignment = snapshot.assignments.get(host.name)
    if assignment is not None:
        return Order("assigned", assignment.target)
    if host.local_boot is not None:
        return Order("local-default", Target(TargetKind.LOCAL))
    return Order("nothing-assigned", None)


def decide(snapshot: Snapshot, request: BootRequest) -> BootDecision:
    """Say what the machine behind *request* boots, and by which rule.

    Never raises: a machine that cannot be placed gets `Silent`.
    """
    host = find_host(snapshot, request)
    if host is None:
        return Silent("unknown-machine")
    order = standing_order(snapshot, host, request.received_at)
    target = order.target
    if target is None:
        return Silent(order.rule, host)
    if request.stage is not Stage.ROM and request.repeats >= snapshot.policy.repeat_limit:
        return Diagnose(host, "going-in-circles", _circles(target, request.repeats), target)
    if not _runs_scripts(request):
        return _loader(snapshot, host, order.rule, target, request)
    return _boot(snapshot, host, order, target)


def _runs_scripts(request: BootRequest) -> bool:
    """A loader reads its own file by TFTP; iPXE and gPXE need HTTP for ours (feature 0x13)."""
    return request.stage is Stage.LOADER or (request.stage is not Stage.ROM and request.http)


def _standing(place: Place) -> str:
    """Return the rule by which *place* is booted, or is not: nothing is booted that is not all there."""
    if place.state == "failed":
        return "reserved-failed"
    return "reserved-waiting" if _lacks(place) else "reserved"


def _lacks(place: Place) -> str:
    """Say what stands between a machine and its place; "" for nothing."""
    if place.state not in _BOOTABLE:
        return place.note or "the image is not in its place yet"
    if place.role is Role.MESH:
        return "" if place.slot is not None else "no slot is named"
    if place.clone is None:
        return "it has no clone of the LUN yet"
    return "" if place.clone.target and place.clone.portals else "its LUN is not exported yet"


def _loader(snapshot: Snapshot, host: Host, rule: str, target: Wanted, request: BootRequest) -> BootDecision:
    loader = host.settings.get("loader") or snapshot.policy.loaders.get(request.arch.name)
    if loader is None:
        return Silent("no-loader-for-architecture", host)
    return ChainLoader(host, rule, loader, target)


def _boot(snapshot: Snapshot, host: Host, order: Order, target: Wanted) -> BootDecision:
    chain = host.settings.get("ipxe") == "chain"
    if isinstance(target, Place):
        return _reserved(host, order.rule, target, chain=chain)
    if target.kind is TargetKind.LOCAL:
        return BootLocal(host, order.rule, host.local_boot, order.override, chain)
    image = snapshot.memory_images.get(target.name)
    if image is None:
        return Diagnose(
            host, "memory-image-gone", f"there is no memory image {target.name!r} any more", target
        )
    return BootMemory(host, order.rule, image, order.override, chain)


def _reserved(host: Host, rule: str, place: Place, *, chain: bool) -> BootDecision:
    of = f"{place.image} of reservation {place.reservation}"
    if rule == "reserved-failed":
        return Diagnose(host, rule, f"{of} failed: {place.note or 'no reason is written down'}", place)
    lacks = _lacks(place)
    if not lacks and place.role is Role.MESH and place.slot is not None:
        return BootSlot(host, rule, place, place.slot, chain)
    if not lacks and place.clone is not None:
        return BootLun(host, rule, place, place.clone, chain)
    return Diagnose(host, rule, f"{of}: {lacks}; asking again", place)


def _circles(target: Wanted, repeats: int) -> str:
    return f"given {target} {repeats} times in a minute, and each time it came back"
