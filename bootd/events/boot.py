"""What machines are to boot, and whether they do."""

from dataclasses import dataclass
from typing import ClassVar

from bootd.events.base import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideUsed(Event):
    """A one-shot boot order was carried out; from now on the machine boots as decided before."""

    name: ClassVar[str] = "boot.override_used"
    override: int
    target: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSuspected(Event):
    """A machine was given the same answer again and again without any sign of going on.

    It gets a diagnostic script. Look at its screen, at ``bootd trace HOST``, and at its boot order.
    """

    name: ClassVar[str] = "boot.loop_suspected"
    level: ClassVar[str] = "warning"
    answer: str
    repeats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPublished(Event):
    """The answers follow a newer state of the store from now on."""

    name: ClassVar[str] = "store.snapshot_published"
    level: ClassVar[str] = "debug"
    generation: int
    hosts: int
    milliseconds: float
