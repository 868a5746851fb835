"""What every event has."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""

    name: ClassVar[str]
    level: ClassVar[str] = "info"  # debug | info | warning | error
    by_anyone: ClassVar[bool] = False  # any stranger can cause it, without end: the log takes only so many
    mac: str = ""  # canonical text; "" where nobody knows
    host: str = ""  # name in the host table; "" for an unknown machine

    @property
    def reason(self) -> str:
        """A slug that refines the count of this event; "" where there is none."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoned(Event):
    """Base of events that are counted by why they happened."""

    why: str  # a stable slug

    @property
    def reason(self) -> str:
        return self.why
