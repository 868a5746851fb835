"""Events as rows of a machine's chain, in words for people."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from bootd.events import (
    AddressDeclined,
    AddressGiven,
    AddressRefused,
    Event,
    FileSent,
    LocalBootStarted,
    LoopSuspected,
    NodeReported,
    NodeReportRefused,
    OfferSent,
    OtherServerChosen,
    OverrideUsed,
    ReadPermitted,
    ReadRefused,
    ScriptRefused,
    ScriptSent,
    SlotCaptured,
    TftpReadCompleted,
    TftpReadFailed,
    UnknownMachine,
    WritePermitted,
    WriteRefused,
)
from bootd.model import Observation, Sighting
from bootd.units import size_text

_Said = tuple[str, int, float]  # text, octets sent, seconds taken
FETCHED = "fetched its "  # what the text of a script's observation begins with; see `answer_given`


def _offer(event: OfferSent) -> _Said:
    port = "" if event.port == 67 else f" on port {event.port}"
    return f"{event.arch} asked{port} as {event.stage}, was offered {event.boot_file}", event.octets, 0.0


def _address(event: AddressGiven) -> _Said:
    how = "has renewed" if event.why == "renewing" else "was given"
    return f"{how} the address {event.address} ({event.why})", 0, 0.0


def _no_address(event: AddressRefused) -> _Said:
    return f"wanted the address {event.address} ({event.phase}) and was refused it: {event.why}", 0, 0.0


def _declined(event: AddressDeclined) -> _Said:
    return f"found another machine at its address {event.address}, and does not use it", 0, 0.0


def _other_server(event: OtherServerChosen) -> _Said:
    return f"took the address {event.address} of another DHCP server, {event.server}", 0, 0.0


def _read(event: TftpReadCompleted) -> _Said:
    note = "" if event.confirmed else " (last block not acknowledged, as many ROMs do)"
    return f"read {event.filename} by TFTP{note}", event.octets, event.seconds


def _read_failed(event: TftpReadFailed) -> _Said:
    return f"gave up reading {event.filename} by TFTP: {event.why}", event.octets, 0.0


def _script(event: ScriptSent) -> _Said:
    once = "" if event.override is None else " (once)"
    what = "LUN by DHCP" if event.dialect == "dhcp" else f"{event.dialect} script"
    return f"{FETCHED}{what}: {event.answer}{once}", event.octets, 0.0


def _no_script(event: ScriptRefused) -> _Said:
    return f"asked for a script and got none: {event.why}", 0, 0.0


def _file(event: FileSent) -> _Said:
    name = event.path.rpartition("/")[2] or event.path
    return f"{'fetched' if event.complete else 'fetched part of'} {name}", event.octets, event.seconds


def _went(event: LocalBootStarted) -> _Said:
    once = "" if event.override is None else " (once)"
    return f"starts its own disk{once}", 0, 0.0


def _reported(event: NodeReported) -> _Said:
    how = "" if event.given_at is not None else ", without a token"
    return f"reported {event.state}" + (f": {event.detail}" if event.detail else "") + how, 0, 0.0


def _permitted(event: WritePermitted) -> _Said:
    return f"may write to its disk {event.disk}", 0, 0.0


def _not_permitted(event: WriteRefused) -> _Said:
    return f"may not write to its disk: {event.text}", 0, 0.0


def _may_read(event: ReadPermitted) -> _Said:
    return f"may read its disk {event.disk}", 0, 0.0


def _may_not_read(event: ReadRefused) -> _Said:
    return f"may not read its disk: {event.text}", 0, 0.0


def _captured(event: SlotCaptured) -> _Said:
    return f"sent its slot for job {event.job}, {size_text(event.received)}", 0, 0.0


def _report_refused(event: NodeReportRefused) -> _Said:
    return f"sent a report that was refused: {event.why}", 0, 0.0


def _used(event: OverrideUsed) -> _Said:
    return f"has carried out its one-shot order, {event.target}: {event.proof}", 0, 0.0


def _loop(event: LoopSuspected) -> _Said:
    return f"was given {event.answer} {event.repeats} times without going on: it loops", 0, 0.0


_WORDS: dict[type[Event], Callable[[Any], _Said]] = {
    OfferSent: _offer,
    AddressGiven: _address,
    AddressRefused: _no_address,
    AddressDeclined: _declined,
    OtherServerChosen: _other_server,
    TftpReadCompleted: _read,
    TftpReadFailed: _read_failed,
    ScriptSent: _script,
    ScriptRefused: _no_script,
    FileSent: _file,
    LocalBootStarted: _went,
    NodeReported: _reported,
    NodeReportRefused: _report_refused,
    WritePermitted: _permitted,
    WriteRefused: _not_permitted,
    ReadPermitted: _may_read,
    ReadRefused: _may_not_read,
    SlotCaptured: _captured,
    OverrideUsed: _used,
    LoopSuspected: _loop,
}


def observation_of(event: Event, at: datetime, *, itself: bool = True) -> Observation | None:
    """Return the row that *event* is in a machine's chain, None where it belongs to no machine's.

    *itself*: it comes from the machine's own address, as far as anybody knows.
    """
    words = _WORDS.get(type(event))
    if words is None or not event.mac:
        return None
    if isinstance(event, TftpReadFailed) and event.why == "client-aborted":
        return None  # EDK2 asks for the size this way, and then reads in earnest
    text, octets, seconds = words(event)
    if isinstance(event, ScriptSent) and not itself:
        text = f"had its script fetched by {event.client}, another machine: {event.answer}"
    return Observation(at, event.mac, event.host, event.name, text, octets, seconds)


def answer_given(seen: Observation) -> str:
    """Return what a script gave its machine, by its observation; ends with "(once)" if by an order."""
    return seen.text.removeprefix(FETCHED).partition(": ")[2]


def sighting_of(event: Event, at: datetime) -> Sighting | None:
    """Return the sighting that *event* is, None for anything but the question of an unknown machine."""
    if not isinstance(event, UnknownMachine) or not event.mac:
        return None
    return Sighting(event.mac, event.arch, at, at, 1, event.why)
