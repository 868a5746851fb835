"""What a driver is given when it is made: time, waiting, a folder of its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bootd.clock import Clock, utc_now

Wait = Callable[[float], None]  # makes so many seconds pass: time.sleep, or the hand of a test's clock


@dataclass(frozen=True, slots=True)
class Tools:
    """The surroundings of a driver; *folder* is its own and need not exist yet."""

    folder: Path
    clock: Clock = utc_now
    wait: Wait = time.sleep
