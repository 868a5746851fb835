"""Power over machines: on, off, reset, cycle."""

from bootd.drivers.power.base import (
    Power,
    PowerError,
    PowerRefused,
    PowerState,
    PowerUnreachable,
    ResetKind,
)
from bootd.drivers.power.table import DRIVERS, Powers
from bootd.drivers.power.windows import Window, due, in_windows

__all__ = [
    "DRIVERS",
    "Power",
    "PowerError",
    "PowerRefused",
    "PowerState",
    "PowerUnreachable",
    "Powers",
    "ResetKind",
    "Window",
    "due",
    "in_windows",
]
