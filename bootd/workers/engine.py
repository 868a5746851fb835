"""Takes jobs that are due, one worker each, and advances them step by step."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from bootd.drivers.errors import DriverError
from bootd.errors import BootdError
from bootd.events import InternalError, JobEnded
from bootd.lifecycle import JOB
from bootd.model import Job, JobKind
from bootd.services import jobs
from bootd.workers.work import ACTOR, LEASE_S, Context, GivenUp, Handler, LeaseLost, Work, lease_name

MOST_TRIES = 8  # of a step that fails for a while; with the waits below that is about ten minutes
_LONGEST_WAIT_S = 120.0
CANCEL, FAILING = jobs.CANCEL, jobs.FAILING


class Engine:
    """Does what jobs say. One thread at a time; make one for each thread."""

    def __init__(self, context: Context, handlers: Mapping[JobKind, Handler]) -> None:
        self._context, self._handlers = context, handlers

    def run_due(self) -> int:
        """Advance every job that is due, each until it waits or ends; return how many steps were done."""
        return sum(self.run(job.id) for job in self._context.store.jobs_due(self._context.clock()))

    def run(self, number: int) -> int:
        """Advance one job while it is due; 0 where another worker has it."""
        work = self._take(number)
        if work is None:
            return 0
        done = 0
        try:
            while (
                work.job.state == "running" and work.job.due_at <= work.now and not self._context.stopping()
            ):
                self._advance(work)
                done += 1
        except LeaseLost:
            pass  # taken by another worker, or changed by a person: then whoever comes next may go on at once
        with self._context.store.transaction(ACTOR, "") as change:
            change.drop_lease(lease_name(number), self._context.holder)
        if work.job.ended_at is not None:
            self._say_ended(work.job)
        return done

    def _take(self, number: int) -> Work | None:
        """Return the job with its lease; None where another has it or it is over."""
        context = self._context
        with context.store.transaction(ACTOR, f"job {number} taken") as change:
            now = context.clock()  # read when nobody else can write: they may have kept us waiting
            job = change.find(Job, number)
            if job is None or job.state not in jobs.OPEN or not job.is_due(now):
                return None
            until = now + timedelta(seconds=LEASE_S)
            if not change.take_lease(lease_name(number), context.holder, now=now, until=until):
                return None
            if job.state == "waiting":
                job = replace(job, state=JOB.after(job.state, "take"), began_at=job.began_at or now)
            if job.due_at > now:  # a wrong clock wrote it
                job = replace(job, due_at=now)
            change.keep(job)
            parts = {part.node: part for part in change.job_parts(number)}
        return Work(context, job, parts)

    def _advance(self, work: Work) -> None:
        """Do one step; whatever it raises, the job is left where a later call can go on."""
        try:
            self._step(work)
        except LeaseLost:
            raise
        except GivenUp as error:
            work.forget_noted()
            self._fail(work, str(error))
        except BootdError as error:
            work.forget_noted()
            self._again(work, str(error), is_final=isinstance(error, DriverError) and error.is_permanent)
        except Exception as error:  # noqa: BLE001  a bug in one job must not stop the others
            work.forget_noted()
            self._context.emit(InternalError(where=f"job {work.job.id} {work.job.kind}", text=repr(error)))
            self._again(work, f"internal error: {error!r}", is_final=False)

    def _say_ended(self, job: Job) -> None:
        ended = JobEnded(
            job=job.id, kind=job.kind, reservation=job.reservation, state=job.state, note=job.note
        )
        self._context.emit(ended)

    def _step(self, work: Work) -> None:
        handler = self._handlers.get(work.job.kind)
        if handler is None:
            raise GivenUp(f"this bootd cannot do {work.job.kind} jobs")
        if CANCEL in work.job.facts:
            handler.cancel(work, str(work.job.facts[CANCEL]))
        elif FAILING in work.job.facts:
            handler.fail(work, str(work.job.facts[FAILING]))
        elif work.job.step not in handler.steps:
            raise GivenUp(
                f"{work.job.kind} jobs have no step {work.job.step!r}: another bootd began this one"
            )
        else:
            handler.steps[work.job.step](work)

    def _again(self, work: Work, why: str, *, is_final: bool) -> None:
        """Try the step again later, or give up."""
        tries = int(work.fact("tries", 0)) + 1
        if is_final or tries >= MOST_TRIES:
            self._fail(work, why)
            return
        wait_s = min(_LONGEST_WAIT_S, 2.0**tries)
        with work.commit(wait_s=wait_s, note=f"{why}; tried {_times(tries)}", tries=tries):
            pass

    def _fail(self, work: Work, why: str) -> None:
        """Have the handler tidy up; where even that cannot be done, the job ends all the same."""
        tidying = FAILING in work.job.facts or CANCEL in work.job.facts
        if not tidying:
            with work.commit(facts={FAILING: why}, note=why):
                pass
            return
        said = work.job.facts.get(FAILING) or f"taken back by {work.job.facts[CANCEL]}"
        with work.finish("cancel" if CANCEL in work.job.facts else "fail", f"{said}; left behind: {why}"):
            pass


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
