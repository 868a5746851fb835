"""What machines were seen to do, written down by a thread of its own: no packet waits for the disk."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from bootd.clock import Clock, utc_now
from bootd.errors import BootdError
from bootd.model import Observation, Override, Sighting
from bootd.services.seen import observation_of, sighting_of
from bootd.store import Store

BATCH_EVERY_S = 0.05  # one commit for all that happened meanwhile
RETRY_EVERY_S = 1.0  # while the database is locked or the disk is full
QUEUE_MAX = 20_000  # observations that wait at most; more are counted and dropped
KEEP = timedelta(days=30)
KEEP_OBSERVATIONS = 100_000
KEEP_SIGHTINGS = 5_000  # a hostile machine can invent any number of MAC addresses
TRIM_EVERY_S = 600.0
ACTOR = "bootd"

__all__ = ["Observer", "observation_of", "sighting_of"]


@dataclass(slots=True)
class _Batch:
    """What waits to be written."""

    observations: deque[Observation] = field(default_factory=deque)
    sightings: dict[str, Sighting] = field(default_factory=dict)
    used: dict[int, str] = field(default_factory=dict)  # override -> what proved it

    def __bool__(self) -> bool:
        return bool(self.observations or self.sightings or self.used)


class Observer:
    """Takes observations from any thread, writes them in batches, uses overrides up.

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
        self._lock = threading.Lock()
        self._waiting = _Batch()
        self._something = threading.Event()
        self._closing = threading.Event()
        self._store: Store | None = None
        self._trim_at = 0.0
        self.dropped = 0  # observations and sightings there was no room for
        self.written = 0
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write what waits, once more if that is needed, and end the thread."""
        self._closing.set()
        self._something.set()
        if self._thread.ident is not None:
            self._thread.join()

    def record(self, observation: Observation) -> None:
        """Have *observation* written; never waits."""
        with self._lock:
            if len(self._waiting.observations) >= self._queue_max:
                self.dropped += 1
                return
            self._waiting.observations.append(observation)
        self._something.set()

    def sighting(self, sighting: Sighting) -> None:
        """Count a question of a machine nobody registered; never waits."""
        with self._lock:
            waiting = self._waiting.sightings
            if sighting.mac not in waiting and len(waiting) >= KEEP_SIGHTINGS:
                self.dropped += 1
                return
            waiting[sighting.mac] = _added_up(waiting.get(sighting.mac), sighting)
        self._something.set()

    def override_used(self, override: int, why: str) -> None:
        """Have the one-shot order *override* removed: it was carried out, as *why* proves."""
        with self._lock:
            self._waiting.used[override] = why
        self._something.set()

    # -- the writer's thread ----------------------------------------------------------------

    def _run(self) -> None:
        wait_s = self._batch_every_s
        while not self._closing.is_set():
            self._something.wait()
            self._something.clear()
            self._closing.wait(wait_s)  # let a batch come together
            wait_s = self._batch_every_s if self._flush() else self._retry_every_s
        if not self._flush():
            with self._lock:
                self.dropped += len(self._waiting.observations) + len(self._waiting.sightings)
        self._forget_store()

    def _flush(self) -> bool:
        """Write what waits; on failure it waits on, and False is returned."""
        with self._lock:
            batch, self._waiting = self._waiting, _Batch()
        if not batch:
            return True
        try:
            self._write(batch)
        except BootdError as error:
            self._put_back(batch)
            self._fail(error)
            return False
        except Exception as error:  # noqa: BLE001  a bug must not end the thread: the next batch may be good
            self.dropped += len(batch.observations) + len(batch.sightings)
            self._fail(error)
            return False
        self._trouble("")
        return True

    def _fail(self, error: Exception) -> None:
        self._forget_store()
        self._trouble(f"what machines did cannot be written down: {error}")
        self._something.set()

    def _write(self, batch: _Batch) -> None:
        if self._store is None:
            self._store = self._open_store()
        used: list[tuple[Override, str]] = []
        with self._store.transaction(ACTOR, "evidence") as change:
            change.add_observations(batch.observations)
            change.add_sightings(batch.sightings.values())
            for override in change.overrides() if batch.used else ():
                if override.id in batch.used and change.remove_override(override.host, override.id):
                    used.append((override, batch.used[override.id]))
            if time.monotonic() >= self._trim_at:
                self._trim_at = time.monotonic() + TRIM_EVERY_S
                oldest = self._clock() - KEEP
                change.trim(before=oldest, observations=KEEP_OBSERVATIONS, sightings=KEEP_SIGHTINGS)
        self.written += len(batch.observations)
        if used:
            self._committed()
        for each in used:
            self._used_up(*each)

    def _put_back(self, batch: _Batch) -> None:
        """Queue again what could not be written, before what came meanwhile, up to the bound."""
        with self._lock:
            newer = self._waiting
            observations = [*batch.observations, *newer.observations]
            self.dropped += max(0, len(observations) - self._queue_max)
            newer.observations = deque(observations[: self._queue_max])
            for mac, seen in newer.sightings.items():
                batch.sightings[mac] = _added_up(batch.sightings.get(mac), seen)
            newer.sightings = batch.sightings
            newer.used = batch.used | newer.used

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
