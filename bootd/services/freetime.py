"""The arithmetic of free time: when may something begin, and how much runs at once? Pure."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Protocol

Span = tuple[datetime, datetime]  # the end not included


class Booking(Protocol):
    """Keeps *nodes* from *starts_at* to *ends_at*, the end not included."""

    @property
    def starts_at(self) -> datetime: ...

    @property
    def ends_at(self) -> datetime: ...

    @property
    def nodes(self) -> Sequence[str]: ...


_STARTS_AT, _ENDS_AT = attrgetter("starts_at"), attrgetter("ends_at")


def first_common(
    bookings: Sequence[Booking], names: Sequence[str], count: int, after: datetime, length: timedelta
) -> tuple[datetime, list[str]]:
    """Return the first instant from *after* on at which *count* of *names* are free for *length*.

    With all that then are, in the order of *names*.
    """
    if not 1 <= count <= len(names):
        raise ValueError(f"{count} of {len(names)}")
    if count == len(names):
        return _first_of_all(bookings, frozenset(names), after, length), list(names)
    return _first_of_some(bookings, names, count, after, length)


def _first_of_all(
    bookings: Iterable[Booking], names: AbstractSet[str], after: datetime, length: timedelta
) -> datetime:
    """Any booking of any node is in the way, so they are as one node."""
    at = after
    for each in sorted(bookings, key=_STARTS_AT):
        if each.starts_at - at >= length:
            break
        if each.ends_at > at and not names.isdisjoint(each.nodes):
            at = each.ends_at
    return at


def _first_of_some(
    bookings: Sequence[Booking], names: Sequence[str], count: int, after: datetime, length: timedelta
) -> tuple[datetime, list[str]]:
    """Look at *after* and at every end of a booking, for only then somebody becomes free.

    A booking is in the way of what begins later than *length* before its start and earlier than its end.
    """
    coming, leaving = sorted(bookings, key=_STARTS_AT), sorted(bookings, key=_ENDS_AT)
    waiting, come, left = _Waiting(names), 0, 0
    for at in (after, *(each.ends_at for each in leaving if each.ends_at > after)):
        while come < len(coming) and coming[come].starts_at < at + length:
            waiting.hold(coming[come].nodes)
            come += 1
        while left < len(leaving) and leaving[left].ends_at <= at:
            waiting.release(leaving[left].nodes)
            left += 1
        if waiting.free >= count:
            break
    return at, [name for name in names if not waiting.held[name]]


class _Waiting:
    """How many bookings are in the way of each name, and how many names have none."""

    def __init__(self, names: Sequence[str]) -> None:
        self.held = dict.fromkeys(names, 0)
        self.free = len(self.held)

    def hold(self, nodes: Iterable[str]) -> None:
        for name in nodes:
            if name in self.held:
                self.free -= not self.held[name]
                self.held[name] += 1

    def release(self, nodes: Iterable[str]) -> None:
        for name in nodes:
            if name in self.held:
                self.held[name] -= 1
                self.free += not self.held[name]


def peak(weighted: Iterable[tuple[datetime, datetime, int]], within: Span) -> int:
    """Return the highest sum of weights at any instant of *within*."""
    steps: list[tuple[datetime, int]] = []
    for starts_at, ends_at, weight in weighted:
        if starts_at < within[1] and within[0] < ends_at:
            steps += [(max(starts_at, within[0]), weight), (ends_at, -weight)]
    highest = level = 0
    for _, weight in sorted(steps):  # at one instant those that end come first
        level += weight
        highest = max(highest, level)
    return highest
