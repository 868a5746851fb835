"""Projects: the people a testbed is shared between."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Limits:
    """What a project may book; None where nothing was agreed."""

    nodes: int | None = None  # at one time
    hours: float | None = None  # of one booking
    bookings: int | None = None  # ahead of now


@dataclass(frozen=True, slots=True)
class Project:
    """Who books machines, and for whom images are kept."""

    name: str
    owner: str
    registered_at: datetime
    members: tuple[str, ...] = ()
    mail: str = ""
    limits: Limits = field(default_factory=Limits)
    state: str = "registered"  # see lifecycle.tables.PROJECT
