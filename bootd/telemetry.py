"""Where every event goes: counted, logged, handed to whoever listens."""

import dataclasses
import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bootd.events import Event, LinesLeftOut, ProblemCleared, ProblemFound

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_LOG = logging.getLogger("bootd")

# Of what any stranger can cause, the log takes so many lines of one kind in so long
LINES, IN_S = 100, 10.0

Listener = Callable[[Event], None]


class Emit(Protocol):
    """What a room is given to say things with."""

    def __call__(self, event: Event, /) -> None: ...


@dataclass(slots=True)
class _Share:
    """What one kind of event had of the log."""

    began_at: float  # monotonic
    asked: int = 0  # lines since


class Telemetry:
    """Counts events by name and reason, logs them as JSON lines, passes them on."""

    def __init__(self, *, level: str = "info", monotonic: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._listeners: list[Listener] = []
        self._threshold = _LEVELS[level]
        self._monotonic = monotonic
        self._shares: dict[str, _Share] = {}  # by name of the event

    def listen(self, listener: Listener) -> None:
        """Hand every later event to *listener*, on the caller's thread; it must be quick and not raise."""
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        """Count and pass on *event*; costs no formatting below the log level."""
        self.counts[event.name, event.reason] += 1
        for listener in self._listeners:
            listener(event)
        level = _LEVELS[event.level]
        if level >= self._threshold and (not event.by_anyone or self._has_room(event.name)):
            _LOG.log(level, "%s", as_json(event))

    def _has_room(self, name: str) -> bool:
        """Take a line of the log for the event *name*; False where it has had its share."""
        now, share = self._monotonic(), self._shares.get(name)
        if share is None or now - share.began_at >= IN_S:
            left_out = share.asked - LINES if share is not None else 0
            share = self._shares[name] = _Share(now)
            if left_out > 0:
                self.emit(LinesLeftOut(kind=name, lines=left_out))
        share.asked += 1
        return share.asked <= LINES

    def by_name(self) -> dict[str, dict[str, int]]:
        """Return the counts as ``{event: {reason or "": count}}``, for people and for JSON."""
        table: dict[str, dict[str, int]] = {}
        for (name, reason), count in sorted(self.counts.items()):
            table.setdefault(name, {})[reason] = count
        return table


def as_json(event: Event) -> str:
    """Return one line: the name first, then who, then the rest; empty fields left out."""
    fields = {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
    return json.dumps(
        {"event": event.name, **{key: value for key, value in fields.items() if value not in ("", None)}}
    )


class Problems:
    """What is wrong right now, by topic; the source of ``/readyz``."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._open: dict[str, str] = {}

    def found(self, topic: str, text: str) -> None:
        """Note a problem; said once for as long as its text stays the same."""
        if self._open.get(topic) != text:
            self._open[topic] = text
            self._emit(ProblemFound(topic=topic, text=text))

    def cleared(self, topic: str) -> None:
        if self._open.pop(topic, None) is not None:
            self._emit(ProblemCleared(topic=topic))

    def all(self) -> dict[str, str]:
        """Return the open problems, topic → text."""
        return dict(self._open)
