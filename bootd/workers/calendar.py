"""The daemon's worker: a thread that plans and hands due jobs to a few others.

It is woken by commits and by the next instant at which something is due. Whatever a job does, it
does on a thread of its own: nothing here is waited for by the event loop.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from queue import SimpleQueue

from bootd.errors import BootdError, StoreFailed
from bootd.events import InternalError
from bootd.model import Job, JobKind
from bootd.services.jobs import CARRYING, OPEN
from bootd.store import Reads, Store
from bootd.workers.clockguard import ClockGuard
from bootd.workers.engine import Engine
from bootd.workers.holders import free_leases_of_the_dead, new_holder
from bootd.workers.planner import plan
from bootd.workers.work import LEASE_S, Context, Handler, lease_name

HANDS = 6  # jobs that are advanced at the same time
LOOK_EVERY_S = 30.0  # whatever is due, the clock is looked at so often
RETRY_S = 1.0  # while the database is away, or another worker has the job
_BUG_S = 10.0  # a bug of ours is not said more often
_KEPT_FREE = 2  # hands that images on their way do not take: what begins or ends now does not wait for them
_PATIENCE_S = 10.0  # for steps to come to their end when the daemon stops

Trouble = Callable[[str, str], None]  # topic, what is wrong; "" once it is well again
Outfit = Callable[[Store, str], Context]  # what a worker is given, by its store and its name as a holder


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the last look at everything found, and for how long that holds."""

    generation: int  # of the store, before
    made_at: datetime
    holds_until: datetime
    following: datetime | None  # the next instant at which something is due


class Calendar:
    """See above. *trouble* and what the contexts emit to are called on its threads."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        outfit: Outfit,
        handlers: Mapping[JobKind, Handler],
        *,
        trouble: Trouble,
        monotonic: Callable[[], float] = time.monotonic,
        hands: int = HANDS,
    ) -> None:
        self._open_store, self._outfit, self._handlers = open_store, outfit, handlers
        self._trouble, self._monotonic = trouble, monotonic
        self._holder = new_holder()
        self._guard: ClockGuard | None = None
        self._sizes: dict[str, int] = {}  # of images
        self._plan_holds: _Plan | None = None
        self._woken, self._stopping = threading.Event(), threading.Event()
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._busy: dict[int, Job] = {}  # handed out
        self._rest: dict[int, float] = {}  # job -> monotonic instant before which it is not handed out again
        self._lock = threading.Lock()  # around the two
        self._planner = threading.Thread(target=self._run, name="calendar", daemon=True)
        self._hands = [
            threading.Thread(target=self._work, args=(n,), name=f"calendar-{n}", daemon=True)
            for n in range(hands)
        ]

    def start(self) -> None:
        for thread in (self._planner, *self._hands):
            thread.start()

    def wake(self) -> None:
        """Look now; for whoever committed, from any thread."""
        self._woken.set()

    def stop(self) -> None:
        """End; steps that take long are left at the next point at which they show how far they are."""
        self._stopping.set()
        self.wake()
        for _ in self._hands:
            self._queue.put(None)
        deadline = self._monotonic() + _PATIENCE_S
        for thread in (self._planner, *self._hands):
            thread.join(max(0.0, deadline - self._monotonic()))

    @property
    def handed_out(self) -> frozenset[int]:
        """The jobs that hands are at."""
        with self._lock:
            return frozenset(self._busy)

    # -- planning --------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._open_store() as store:
                    free_leases_of_the_dead(store)
                    while not self._stopping.is_set():
                        wait_s = self.look(store)
                        self._woken.wait(wait_s)
                        self._woken.clear()
            except BootdError as error:
                self._trouble("calendar", f"nothing begins or ends: {error}")
                self._stopping.wait(RETRY_S)
            except Exception as error:  # noqa: BLE001  the calendar must not end before the daemon does
                self._trouble("calendar", f"nothing begins or ends: internal error: {error!r}")
                self._stopping.wait(_BUG_S)

    def look(self, store: Store) -> float:
        """Plan, hand out what is due, and return after how many seconds to look again at the latest."""
        context = self._context(store, self._holder)
        if self._guard is None:
            newest = store.journal(limit=1)
            self._guard = ClockGuard(known=newest[0].at if newest else None)
        why = self._guard.look(context.clock(), self._monotonic())
        self._trouble("clock", why)
        if why:
            return RETRY_S
        following = self._plan(context)
        now = context.clock()
        waits = [LOOK_EVERY_S, *self._hand_out(store, now)]
        waits += [(at - now).total_seconds() for at in (following,) if at is not None]
        waits += [(job.due_at - now).total_seconds() for job in _open_jobs(store) if not job.is_due(now)]
        return max(0.0, min(waits))

    def _plan(self, context: Context) -> datetime | None:
        """Plan where something may have changed since; return the next instant at which something is due."""
        generation, now = context.store.generation(), context.clock()
        last = self._plan_holds
        if last is None or last.generation != generation or not last.made_at <= now < last.holds_until:
            following = self._plan_anew(context)
            holds_until = now + timedelta(seconds=LOOK_EVERY_S)
            last = self._plan_holds = _Plan(
                generation, now, min(following or holds_until, holds_until), following
            )
        return last.following

    def _plan_anew(self, context: Context) -> datetime | None:
        """Plan; a bug in that must not keep the jobs from going on that there are."""
        try:
            following = plan(context, self._sizes)
        except StoreFailed:
            raise
        except Exception as error:  # noqa: BLE001
            context.emit(InternalError(where="planner", text=repr(error)))
            self._trouble("calendar", f"nothing new begins or ends: {error!r}")
            return None
        self._trouble("calendar", "")
        return following

    def _hand_out(self, store: Store, now: datetime) -> Iterator[float]:
        """Hand due jobs to whoever is free; yield after how many seconds those left could be tried."""
        due = sorted(store.jobs_due(now), key=lambda job: job.kind in CARRYING)
        with self._lock:
            busy, rest = dict(self._busy), dict(self._rest)
        for job in due:
            if job.id in busy:
                continue
            wait_s = max(rest.get(job.id, 0.0) - self._monotonic(), _held_s(store, job, now))
            if wait_s > 0:
                yield wait_s
            elif self._has_room(busy, job):
                busy[job.id] = job
                with self._lock:
                    self._busy[job.id] = job
                self._queue.put(job)

    def _has_room(self, busy: Mapping[int, Job], job: Job) -> bool:
        """Tell whether a hand is free for *job*; one that comes free wakes us."""
        if job.kind not in CARRYING:
            return len(busy) < len(self._hands)
        placing = sum(each.kind in CARRYING for each in busy.values())
        return len(busy) < len(self._hands) and placing < max(1, len(self._hands) - _KEPT_FREE)

    # -- working ---------------------------------------------------------------------------------

    def _work(self, hand: int) -> None:
        """Advance what is handed out; each hand has a name of its own for its leases."""
        while (job := self._queue.get()) is not None:
            rest_s = 0.0
            try:
                if not self._stopping.is_set():
                    rest_s = self._advance(job, f"{self._holder}:{hand}")
            finally:
                with self._lock:
                    del self._busy[job.id]
                    self._rest = {n: at for n, at in self._rest.items() if at > self._monotonic()}
                    if rest_s:
                        self._rest[job.id] = self._monotonic() + rest_s
                self.wake()

    def _advance(self, job: Job, holder: str) -> float:
        """Do the steps of a job that are due; return for how many seconds it is left alone then."""
        try:
            with self._open_store() as store:
                context = self._context(store, holder)
                done = Engine(context, self._handlers).run(job.id)
            self._trouble("jobs", "")
        except BootdError as error:
            self._trouble("jobs", f"job {job.id} cannot go on: {error}")
            return RETRY_S
        except Exception as error:  # noqa: BLE001  the others go on
            self._trouble("jobs", f"job {job.id} cannot go on: internal error: {error!r}")
            return _BUG_S
        return 0.0 if done else RETRY_S

    def _context(self, store: Store, holder: str) -> Context:
        return replace(self._outfit(store, holder), stopping=self._stopping.is_set)


def _open_jobs(reads: Reads) -> list[Job]:
    return reads.jobs(states=OPEN)


def _held_s(reads: Reads, job: Job, now: datetime) -> float:
    """Return for how long another worker may still have the job."""
    lease = reads.lease(lease_name(job.id))
    if lease is None or lease.until <= now:
        return 0.0
    held_s = (lease.until - now).total_seconds()
    return held_s if held_s <= 2 * LEASE_S else 0.0  # longer: a wrong clock wrote it
