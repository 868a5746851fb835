"""Machines are switched in windows: not all at once, for the sake of fuses, DHCP and TFTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Window(Generic[T]):
    """The machines that are switched together, so many seconds after the first ones."""

    start_s: float
    nodes: tuple[T, ...]


def in_windows(nodes: Sequence[T], size: int, pause_s: float) -> list[Window[T]]:
    """Return *nodes* in their order, *size* at a time with *pause_s* between; each once, however often named.

    Raises `ValueError` for a size below one or a negative pause.
    """
    if size < 1 or pause_s < 0:
        raise ValueError(f"windows of {size} nodes every {pause_s} s")
    single = list(dict.fromkeys(nodes))
    starts = range(0, len(single), size)
    return [Window(i * pause_s, tuple(single[at : at + size])) for i, at in enumerate(starts)]


def due(windows: Sequence[Window[T]], elapsed_s: float) -> list[T]:
    """Return the nodes whose window has begun, *elapsed_s* after the first did.

    A worker that was away goes on with what is due and not done: nothing is skipped.
    """
    return [node for window in windows if window.start_s <= elapsed_s for node in window.nodes]
