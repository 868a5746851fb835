"""Notices a clock that jumps, and holds the calendar until somebody had time to put it right. Pure.

A clock that is wrong by hours would begin and end bookings that are not due; nothing of that can be
taken back. The machine's monotonic clock tells a jump from time that has passed.
"""

from datetime import datetime, timedelta

TOLERANCE_S = 120.0  # slewing, and a machine that slept for a moment, stay far below
HOLD_S = 300.0  # time services correct a wrong clock within this


class ClockGuard:
    """Looks at both clocks now and then. *known* is an instant that has certainly passed."""

    def __init__(self, *, known: datetime | None = None) -> None:
        self._known = known
        self._trusted: float | None = None  # wall clock minus monotonic clock while all was well
        self._last = 0.0  # the same at the last look
        self._held_until: float | None = None  # monotonic

    def look(self, wall: datetime, monotonic_s: float) -> str:
        """Return why the calendar has to wait, "" where it need not."""
        offset = wall.timestamp() - monotonic_s
        if self._trusted is None:
            self._trusted = self._last = self._begin(wall, offset, monotonic_s)
        if abs(offset - self._last) > TOLERANCE_S:
            self._held_until = monotonic_s + HOLD_S
        self._last = offset
        is_right = abs(offset - self._trusted) <= TOLERANCE_S
        if self._held_until is None or is_right or monotonic_s >= self._held_until:
            self._trusted, self._held_until = offset, None
            return ""
        return _why(offset - self._trusted, wall + timedelta(seconds=self._held_until - monotonic_s))

    def _begin(self, wall: datetime, offset: float, monotonic_s: float) -> float:
        """Return the offset to trust: at first only an instant that is known can speak against it."""
        behind = 0.0 if self._known is None else (self._known - wall).total_seconds()
        if behind <= TOLERANCE_S:
            return offset
        self._held_until = monotonic_s + HOLD_S
        return offset + behind


def _why(jump_s: float, until: datetime) -> str:
    size = timedelta(seconds=round(abs(jump_s)))
    direction = "forward" if jump_s > 0 else "back"
    return (
        f"the clock went {direction} by {size}: the calendar begins and ends nothing"
        f" until {until:%H:%M:%S} UTC, in case it is put right"
    )
