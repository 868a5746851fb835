"""Machines that walk in circles: the same answer again and again, and nothing seen of it."""

from collections import deque

WINDOW_S = 60.0
_MACHINES = 4096  # remembered at most; the one heard of longest ago is forgotten first


class LoopGuard:
    """Counts, for each machine, how often it was given the same answer lately.

    Progress (a file of the image went out, the node reported) wipes the machine's
    slate. A diagnosis is never noted: after a minute of it the machine gets its
    decided boot again. *now* is any clock that does not go back, in seconds.
    """

    def __init__(self, *, window_s: float = WINDOW_S, machines: int = _MACHINES) -> None:
        self._window_s = window_s
        self._machines = machines
        self._given: dict[str, dict[str, deque[float]]] = {}

    def note(self, mac: str, answer: str, now: float) -> int:
        """Remember that *mac* was given *answer*; return how often within the window."""
        answers = self._given.pop(mac, {})
        self._given[mac] = answers  # youngest last
        times = answers.setdefault(answer, deque(maxlen=64))
        times.append(now)
        while len(self._given) > self._machines:
            del self._given[next(iter(self._given))]
        return self._recent(times, now)

    def repeats(self, mac: str, now: float) -> int:
        """Return how often the most frequent answer was given to *mac* within the window."""
        answers = self._given.get(mac)
        if not answers:
            return 0
        return max(self._recent(times, now) for times in answers.values())

    def progress(self, mac: str) -> None:
        """Forget what *mac* was given: it came further."""
        self._given.pop(mac, None)

    def _recent(self, times: deque[float], now: float) -> int:
        while times and now - times[0] >= self._window_s:
            times.popleft()
        return len(times)
