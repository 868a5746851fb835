"""Where every event goes: counted, logged, handed to whoever listens."""

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from bootd.events import Event, ProblemCleared, ProblemFound

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_LOG = logging.getLogger("bootd")

Listener = Callable[[Event], None]


class Emit(Protocol):
    """What a room is given to say things with."""

    def __call__(self, event: Event, /) -> None: ...


class Telemetry:
    """Counts events by name and reason, logs them as JSON lines, passes them on."""

    def __init__(self, *, level: str = "info") -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._listeners: list[Listener] = []
        self._threshold = _LEVELS[level]

    def listen(self, listener: Listener) -> None:
        """Hand every later event to *listener*, on the caller's thread; it must be quick and not raise."""
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        """Count and pass on *event*; costs no formatting below the log level."""
        self.counts[event.name, event.reason] += 1
        for listener in self._listeners:
            listener(event)
        level = _LEVELS[event.level]
        if level >= self._threshold:
            _LOG.log(level, "%s", as_json(event))

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
