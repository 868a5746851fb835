"""The decision told to people: by which rule, from which facts, with which answers on the way."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from bootd.boot.decide import (
    RULES,
    BootDecision,
    BootLocal,
    BootLun,
    BootMemory,
    BootSlot,
    ChainLoader,
    Silent,
    decide,
)
from bootd.boot.leases import lease_of, lun_by_dhcp
from bootd.boot.offer import ServerFacts, script_path
from bootd.boot.places import lun_uris
from bootd.boot.snapshot import Snapshot
from bootd.model import Host
from netboot.arch import Architecture
from netboot.request import BootRequest, Stage


@dataclass(frozen=True, slots=True)
class Step:
    """One question on the way from power-on to the system, and its answer."""

    request: BootRequest
    decision: BootDecision
    asks: str
    answer: str
    is_by_dhcp: bool = False  # DHCP itself names the LUN: no script is fetched


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a machine boots what it boots."""

    host: Host | None
    mac: str
    arch: Architecture
    at: datetime
    rule: str
    meaning: str
    facts: tuple[str, ...]
    steps: tuple[Step, ...]


def _in_utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def explain(
    snapshot: Snapshot,
    mac: str,
    arch: Architecture,
    at: datetime,
    server: ServerFacts,
    *,
    stage: Stage | None = None,
    show_time: Callable[[datetime], str] = _in_utc,
    booked: Iterable[str] = (),
) -> Explanation:
    """Play the machine's questions against *snapshot*: the one of *stage*, or all from its ROM on.

    *show_time* writes the instants among the facts; *booked* are the facts of its reservation.
    """
    steps = tuple(_steps(snapshot, mac, arch, at, server, stage))
    decision = steps[-1].decision
    host = decision.host
    return Explanation(
        host,
        mac,
        arch,
        at,
        decision.rule,
        RULES[decision.rule],
        (*_facts(snapshot, host, mac, at, show_time), *booked),
        steps,
    )


def describe(decision: BootDecision) -> str:
    """Return in a few words what the machine is told to do."""
    if isinstance(decision, Silent):
        return "silence"
    if isinstance(decision, ChainLoader):
        return f"loader {decision.loader}"
    if isinstance(decision, BootMemory):
        return f"memory:{decision.image.name}"
    if isinstance(decision, BootLocal):
        return f"local disk{f' {decision.device}' if decision.device else ''}"
    if isinstance(decision, BootSlot):
        device = decision.place.device
        return f"slot {decision.slot}{f' ({device})' if device else ''}: {decision.place.image}"
    if isinstance(decision, BootLun):
        volume = decision.clone.volume or "its clone is made when the image is staged"
        return f"LUN of {decision.clone.group} ({volume}): {decision.place.image}"
    return f"diagnosis: {decision.problem}"


def _steps(
    snapshot: Snapshot, mac: str, arch: Architecture, at: datetime, server: ServerFacts, stage: Stage | None
) -> Iterator[Step]:
    first = stage or Stage.ROM
    request = BootRequest(mac, arch, first, at, http=arch.http or first is not Stage.ROM)
    asks = "its firmware asks" if first is Stage.ROM else f"{first.value} asks"
    step = _step(snapshot, request, asks, server)
    yield step
    if stage is None and isinstance(step.decision, ChainLoader):
        request = BootRequest(mac, arch, Stage.IPXE, at, http=True)
        yield _step(snapshot, request, "the loaded iPXE asks", server)


def _step(snapshot: Snapshot, request: BootRequest, asks: str, server: ServerFacts) -> Step:
    decision = decide(snapshot, request)
    if isinstance(decision, BootLun) and snapshot.policy.subnets and lun_by_dhcp(decision.host, request):
        uris = lun_uris(decision.clone) or ["a root path"]
        return Step(request, decision, asks, f"{uris[0]} by DHCP: {describe(decision)}", is_by_dhcp=True)
    return Step(request, decision, asks, _answer(request, decision, server))


def _answer(request: BootRequest, decision: BootDecision, server: ServerFacts) -> str:
    if isinstance(decision, Silent):
        return "none"
    if isinstance(decision, ChainLoader):
        if request.arch.http:
            return f"{server.http_base}/files/{decision.loader}"
        return f"{decision.loader} by TFTP from {'.'.join(map(str, server.tftp_server))}"
    return f"{server.http_base}/{script_path(decision.host, request)}: {describe(decision)}"


def _facts(
    snapshot: Snapshot, host: Host | None, mac: str, at: datetime, show_time: Callable[[datetime], str]
) -> Iterator[str]:
    if host is None:
        yield f"the host table has {len(snapshot.hosts)} hosts, none with {mac}"
        return
    yield f"host {host.name}: {host.mac}" + (f", {host.ip}" if host.ip else "")
    yield (
        "boots from "
        + (f"its own disk ({host.local_boot})" if host.local_boot else "the network")
        + " by default"
    )
    if snapshot.policy.subnets:
        lease = lease_of(host, snapshot.policy.subnets)
        gets = f"is given {host.ip}" if lease is not None else "has no address to be given: it is left alone"
        yield f"by DHCP it {gets}"
    if host.settings:
        yield "settings: " + " ".join(f"{key}={value}" for key, value in sorted(host.settings.items()))
    assignment = snapshot.assignments.get(host.name)
    if assignment is not None:
        yield f"assigned {assignment.target} since {show_time(assignment.set_at)}"
    override = snapshot.overrides.get(host.name)
    if override is not None:
        state = "until" if at < override.expires_at else "expired at"
        yield f"once {override.target}, {state} {show_time(override.expires_at)}"
