"""What machines were seen to do, written down by a thread of its own: no packet waits for the disk."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from queue import SimpleQueue

from bootd.clock import Clock, utc_now
from bootd.errors import BootdError
from bootd.model import Observation, Override, Sighting
from bootd.services import reports
from bootd.services.reports import Heard
from bootd.services.seen import observation_of, sighting_of
from bootd.store import Store, Transaction

BATCH_EVERY_S = 0.05  # one commit for all that happened meanwhile
RETRY_EVERY_S = 1.0  # while the database is locked or the disk is full
QUEUE_MAX = 20_000  # observations that wait at most; more are counted and dropped
KEEP = timedelta(days=30)
KEEP_OBSERVATIONS = 100_000
KEEP_SIGHTINGS = 5_000  # a hostile machine can invent any number of MAC addresses
TRIM_EVERY_S = 600.0
TRIM_AFTER = 20_000  # rows written; a flood would fill the disk in ten minutes
ACTOR = "bootd"

__all__ = ["Observer", "observation_of", "sighting_of"]


@dataclass(slots=True)
class _Batch:
    """What the writer is about to write; nobody else changes it."""

    observations: list[Observation] = field(default_factory=list)
    sightings: dict[str, Sighting] = field(default_factory=dict)
    used: dict[int, str] = field(default_factory=dict)  # override -> what proved it
    words: list[Heard] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.size or self.used)

    @property
    def size(self) -> int:
        """Return how many rows are lost if it cannot be written."""
        return len(self.observations) + len(self.sightings) + len(self.words)


class Observer:
    """Takes observations from one thread, the event loop's; writes them in batches, uses overrides up.

    The packet path takes no lock: `deque.append` and `popleft` are atomic in CPython, and putting
    into a `SimpleQueue` never waits. Each count is kept by one thread alone.

    *open_store* is called on the writer's thread. *used_up* hears of an override and why after
    the commit, *committed* that rows changed that answers depend on, *trouble* what is wrong with
    the store, "" once it is well again; all on the writer's thread.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        *,
        committed: Callable[[], None] = lambda: None,
        used_up: Callable[[Override, str], None] = lambda override, why: None,
        trouble: Callable[[str], None] = lambda text: None,
        clock: Clock = utc_now,
        batch_every_s: float = BATCH_EVERY_S,
        retry_every_s: float = RETRY_EVERY_S,
        queue_max: int = QUEUE_MAX,
    ) -> None:
        self._open_store = open_store
        self._committed, self._used_up, self._trouble = committed, used_up, trouble
        self._clock = clock
        self._batch_every_s, self._retry_every_s, self._queue_max = batch_every_s, retry_every_s, queue_max
        self._observations: deque[Observation] = deque()  # these four: in here, out on the writer's thread
        self._sightings: deque[Sighting] = deque()
        self._used: deque[tuple[int, str]] = deque()
        self._words: deque[Heard] = deque()
        self._batch = _Batch()
        self._bell: SimpleQueue[None] = SimpleQueue()  # rung: there is something to write
        self._closing = threading.Event()
        self._store: Store | None = None
        self._trim_at = 0.0
        self._untrimmed = 0  # rows written since
        self._turned_away = self._lost = 0  # by the loop's thread, by the writer's
        self.written = 0
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write what waits, once more if that is needed, and end the thread."""
        self._closing.set()
        self._bell.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def dropped(self) -> int:
        """Return how many observations, sightings and words there was no room for, or no way to write."""
        return self._turned_away + self._lost

    def record(self, observation: Observation) -> None:
        """Have *observation* written; never waits."""
        if len(self._observations) + len(self._batch.observations) >= self._queue_max:
            self._turned_away += 1
            return
        self._observations.append(observation)
        self._ring()

    def sighting(self, sighting: Sighting) -> None:
        """Count a question of a machine nobody registered; never waits."""
        if len(self._sightings) >= KEEP_SIGHTINGS:
            self._turned_away += 1
            return
        self._sightings.append(sighting)
        self._ring()

    def override_used(self, override: int, why: str) -> None:
        """Have the one-shot order *override* removed: it was carried out, as *why* proves; never waits."""
        self._used.append((override, why))
        self._ring()

    def heard(self, word: Heard) -> None:
        """Have what a node said of itself taken down, after all that was recorded before; never waits."""
        if len(self._words) + len(self._batch.words) >= self._queue_max:
            self._turned_away += 1
            return
        self._words.append(word)
        self._ring()

    def _ring(self) -> None:
        """Wake the writer; a bell that rings already is heard before the next batch is gathered."""
        if self._bell.empty():
            self._bell.put(None)

    # -- the writer's thread ----------------------------------------------------------------

    def _run(self) -> None:
        wait_s = self._batch_every_s
        while not self._closing.is_set():
            self._bell.get()
            self._closing.wait(wait_s)  # let a batch come together
            wait_s = self._batch_every_s if self._flush() else self._retry_every_s
        if not self._flush():
            self._lost += self._batch.size
        self._forget_store()

    def _flush(self) -> bool:
        """Write what waits; on failure it waits on, and False is returned."""
        self._gather()
        if not self._batch:
            return True
        try:
            self._write(self._batch)
        except BootdError as error:
            self._fail(error)
            return False
        except Exception as error:  # noqa: BLE001  a bug must not end the thread: the next batch may be good
            self._lost += self._batch.size
            self._batch = _Batch()
            self._fail(error)
            return False
        self._batch = _Batch()
        self._trouble("")
        return True

    def _gather(self) -> None:
        """Move what came meanwhile to the batch, behind what could not be written the last time."""
        batch = self._batch
        while self._words:  # before the observations: those that a word builds upon are then here as well
            batch.words.append(self._words.popleft())
        while self._observations:
            batch.observations.append(self._observations.popleft())
        while self._sightings:
            seen = self._sightings.popleft()
            if seen.mac in batch.sightings or len(batch.sightings) < KEEP_SIGHTINGS:
                batch.sightings[seen.mac] = _added_up(batch.sightings.get(seen.mac), seen)
            else:
                self._lost += 1
        while self._used:
            override, why = self._used.popleft()
            batch.used[override] = why

    def _fail(self, error: Exception) -> None:
        self._forget_store()
        self._trouble(f"what machines did cannot be written down: {error}")
        self._bell.put(None)

    def _write(self, batch: _Batch) -> None:
        if self._store is None:
            self._store = self._open_store()
        used: list[tuple[Override, str]] = []
        with self._store.transaction(ACTOR, "reports" if batch.words else "evidence") as change:
            change.add_observations(batch.observations)
            change.add_sightings(batch.sightings.values())
            news = reports.heard(change, *batch.words) if batch.words else False
            for override in change.overrides() if batch.used else ():
                if override.id in batch.used and change.remove_override(override.host, override.id):
                    used.append((override, batch.used[override.id]))
            self._untrimmed += len(batch.observations) + len(batch.sightings)
            if time.monotonic() >= self._trim_at or self._untrimmed >= TRIM_AFTER:
                self._trim_at, self._untrimmed = time.monotonic() + TRIM_EVERY_S, 0
                self._trim(change)
        self.written += len(batch.observations)
        if used or news:
            self._committed()
        for each in used:
            self._used_up(*each)

    def _trim(self, change: Transaction) -> None:
        """Forget what is old, and one-shot orders that expired a while ago."""
        oldest = self._clock() - KEEP
        change.trim(before=oldest, observations=KEEP_OBSERVATIONS, sightings=KEEP_SIGHTINGS)
        for override in change.overrides():
            if override.expires_at < oldest:
                change.remove_override(override.host, override.id)

    def _forget_store(self) -> None:
        """Close the connection; the next write opens another, so a replaced database is found."""
        if self._store is not None:
            self._store.close()
            self._store = None


def _added_up(before: Sighting | None, seen: Sighting) -> Sighting:
    if before is None:
        return seen
    total = before.questions + seen.questions
    return replace(seen, first_seen_at=before.first_seen_at, questions=total)
