"""The arithmetic of free time: when may something begin, and how much runs at once? Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

Span = tuple[datetime, datetime]  # the end not included
Opening = tuple[datetime, datetime | None]  # it may begin from .. to, both included; None: for ever


def openings(busy: Iterable[Span], after: datetime, length: timedelta) -> list[Opening]:
    """Return when something of *length* may begin, from *after* on, beside what is busy."""
    found: list[Opening] = []
    free_from = after
    for starts_at, ends_at in sorted(busy):
        if ends_at <= free_from:
            continue
        if starts_at - free_from >= length:
            found.append((free_from, starts_at - length))
        free_from = ends_at
    found.append((free_from, None))
    return found


def first_common(each: Mapping[str, Sequence[Opening]], count: int) -> tuple[datetime, list[str]]:
    """Return the first instant at which *count* of the named may begin, and all that then may.

    Every name has an opening without an end (see `openings`), so there is one for any *count* up to
    their number.
    """
    steps = sorted(
        (at, leaves, name)
        for name, found in each.items()
        for first, last in found
        for at, leaves in ((first, False), (last, True))
        if at is not None
    )  # at one instant those that come first: the last instant of an opening belongs to it
    free: set[str] = set()
    for (at, leaves, name), following in zip(steps, [*steps[1:], None], strict=True):
        if leaves:
            free.discard(name)
            continue
        free.add(name)
        others_come_now = following is not None and following[:2] == (at, False)
        if len(free) >= count and not others_come_now:
            return at, [name for name in each if name in free]
    raise ValueError(f"{count} of {len(each)}")


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
