"""Which machines have the imager running and wait for something to do: they need no restart to be called."""

import threading
import time
from collections.abc import Callable

PRESENT_S = 20.0  # those that wait ask every few seconds


class Attendance:
    """Who asked when. Any thread; in memory, as who waits asks again soon after our restart."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._asked_at: dict[str, float] = {}

    def asks(self, node: str) -> None:
        """The imager on *node* waits, and will for as long as it takes to be called."""
        with self._lock:
            self._asked_at[node] = self._monotonic()

    def leaves(self, node: str) -> None:
        """It has something to do, or starts anew."""
        with self._lock:
            self._asked_at.pop(node, None)

    def is_there(self, node: str) -> bool:
        with self._lock:
            asked_at = self._asked_at.get(node)
        return asked_at is not None and self._monotonic() - asked_at < PRESENT_S
