"""What the calendar has to do now, and when it has to look again; worked out by reading alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from bootd.darkstore import forlun
from bootd.model import Deployment, DiskImage, Job, JobKind, Outcome, Reservation, Role
from bootd.services import deployments
from bootd.services.booking import LIVE
from bootd.services.jobs import AT, CANCEL, FAILING, HELD, OCTETS, OPEN, OVER, PLACING
from bootd.store import Reads
from bootd.workers import leadtime
from bootd.workers.leadtime import LAST, LONGEST, Pace, Past, lead_time
from bootd.workers.settings import Settings
from bootd.workers.work import ACTOR

HORIZON = timedelta(days=2)  # bookings that begin later are not looked at yet
_AWAY = ("sched", "dark", "failed")  # the states of a deployment that is in no place
_ON_THE_WAY = ("deploy-lun", "deploy-hd")
_IN_PLACE = (*_ON_THE_WAY, "lun-ready", "hd-ready", "run")
_IMAGING = (JobKind.WRITE_SLOT, JobKind.CAPTURE)  # jobs whose nodes run the imager
_SWITCHING = (JobKind.START, JobKind.END, *_IMAGING)  # jobs that switch their nodes
_ENOUGH = 0.75  # of a lead time, which has its margin: a gap is not missed by looking a second late
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=15), timedelta(hours=6)  # before a failed job is made anew
_MANY = 100_000  # open jobs; as good as all of them


@dataclass(frozen=True, slots=True)
class TakeBack:
    """An open job has no use any more."""

    job: Job
    why: str


@dataclass(frozen=True, slots=True)
class Miss:
    """The whole time of a booking has passed and nobody began it."""

    reservation: Reservation


@dataclass(frozen=True, slots=True)
class Ensure:
    """A booking that an older bootd wrote has no deployments, and could have."""

    reservation: Reservation


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A deployment is on its way and no job carries it."""

    deployment: Deployment


@dataclass(frozen=True, slots=True)
class Make:
    """A job is to be written down."""

    kind: JobKind
    reservation: Reservation
    deployment: Deployment | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.reservation.nodes if self.deployment is None else self.deployment.nodes


Deed = TakeBack | Miss | Ensure | GiveUp | Make


class Agenda:
    """Everything near *now*: what is due, and the next instant at which something will be.

    What waits for a job to end or for a person has no instant: a commit tells of it. *sizes* of images
    are kept there, for the next agenda: an image never changes.
    """

    def __init__(
        self, reads: Reads, now: datetime, settings: Settings, sizes: dict[str, int] | None = None
    ) -> None:
        self._reads, self._now = reads, now
        self._sizes = {} if sizes is None else sizes
        self._pace = Pace(settings.rate, settings.window, settings.window_pause_s, settings.stage_ahead_s)
        self._booked = reads.reservations_in(("booked",), starts_before=now + HORIZON)
        self._active = reads.reservations_in(("active",))
        self._live = {each.id: each for each in (*self._booked, *self._active)}
        self._jobs = reads.jobs(states=OPEN, limit=_MANY)
        self._in_place = reads.deployments_in(_IN_PLACE)
        self._lead_times: dict[tuple[JobKind, str, int], tuple[int, timedelta]] = {}
        self._unfinished_of: dict[int, frozenset[str]] = {}  # nodes by open job
        self._taken: set[str] = set()  # nodes of the jobs to be made
        self._times: list[datetime] = []
        self.deeds: list[Deed] = [
            *self._useless_jobs(),
            *self._missed(),
            *self._strays(),
            *self._starts(),
            *self._ends(),
            *self._placings(),
        ]

    @property
    def next_at(self) -> datetime | None:
        """The next instant at which something is due; None where nothing near is known."""
        return min((at for at in self._times if at > self._now), default=None)

    # -- what is not as it should be -----------------------------------------------------------

    def _useless_jobs(self) -> Iterator[TakeBack]:
        for job in self._jobs:
            if CANCEL in job.facts or job.reservation is None:
                continue
            why = self._uselessness(job, self._reservation(job.reservation))
            if why:
                yield TakeBack(job, f"{ACTOR}: {why}")

    def _uselessness(self, job: Job, reservation: Reservation | None) -> str:
        """Return why a job has no use any more; "" where it has."""
        if reservation is None:
            return f"reservation {job.reservation} is gone"
        name = f"reservation {reservation.id}"
        if job.kind is JobKind.END:
            is_early = reservation.state == "active" and reservation.ends_at > self._now
            return f"{name} goes on" if is_early else ""
        if reservation.state not in LIVE:
            return f"{name} is {reservation.state}"
        if reservation.ends_at <= self._now:
            return f"{name} is over"
        if job.kind is JobKind.START:
            is_early = reservation.state == "booked" and reservation.starts_at > self._now
            return f"{name} was moved" if is_early else ""
        deployment = self._reads.find(Deployment, job.deployment) if job.deployment is not None else None
        is_gone = deployment is None or deployment.state == "dark"
        if is_gone or (deployment is not None and deployment.state == "failed" and FAILING not in job.facts):
            return f"{name} does not want its image there any more"
        return ""

    def _missed(self) -> Iterator[Miss]:
        return (Miss(each) for each in self._booked if each.ends_at <= self._now)

    def _strays(self) -> Iterator[GiveUp]:
        carried = {job.deployment for job in self._jobs}
        on_the_way = (each for each in self._in_place if each.state in _ON_THE_WAY)
        return (GiveUp(each) for each in on_the_way if each.id not in carried)

    # -- beginnings and ends -------------------------------------------------------------------

    def _starts(self) -> Iterator[Make]:
        for each in self._booked:
            self._times += [each.starts_at, each.ends_at]
            if not each.starts_at <= self._now < each.ends_at:
                continue
            at = each.starts_at.isoformat()
            others = {node for r in self._active for node in r.nodes}
            others |= self._switched(_IMAGING, each.id)
            if others.isdisjoint(each.nodes) and self._may_begin(JobKind.START, each.id, at=at):
                yield Make(JobKind.START, each, facts={AT: at})

    def _ends(self) -> Iterator[Make]:
        self._times += [each.ends_at for each in self._active]
        over = [each for each in self._active if each.ends_at <= self._now]
        left = {each.reservation for each in self._in_place} - self._live.keys()
        gone = [found for number in sorted(left) if (found := self._reservation(number)) is not None]
        for each in [*over, *(found for found in gone if found.state not in LIVE)]:
            at = each.ends_at.isoformat() if each.state == "active" else each.state
            is_worked_on = any(job.reservation == each.id for job in self._jobs)
            # what a project saves at the last moment is saved to the end
            is_worked_on |= not self._switched((JobKind.CAPTURE,), each.id).isdisjoint(each.nodes)
            if not is_worked_on and self._may_begin(JobKind.END, each.id, at=at):
                yield Make(JobKind.END, each, facts={AT: at})

    def _may_begin(
        self, kind: JobKind, reservation: int, *, at: str | None = None, deployment: int | None = None
    ) -> bool:
        """Tell whether a job may be made: none is open, taken back by a person, or failed just now."""
        if any((j.kind, j.reservation, j.deployment) == (kind, reservation, deployment) for j in self._jobs):
            return False
        past = self._reads.jobs(
            states=OVER, kind=kind, reservation=reservation, deployment=deployment, limit=LAST
        )
        past = [job for job in past if at is None or job.facts.get(AT) == at]
        if not past:
            return True
        if past[0].state == "cancelled":
            return str(past[0].facts.get(CANCEL, "")).startswith(f"{ACTOR}: ")
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (len(past) - 1))
        again_at = (past[0].ended_at or self._now) + pause
        self._times.append(again_at)
        return bool(again_at <= self._now)

    # -- images on their way -------------------------------------------------------------------

    def _placings(self) -> Iterator[Ensure | Make]:
        sched: list[tuple[Reservation, Deployment]] = []
        near = [each for each in (*self._active, *self._booked) if self._is_near(each)]
        found: dict[int, list[Deployment]] = {}
        for deployment in self._reads.deployments_for(each.id for each in near):
            found.setdefault(deployment.reservation, []).append(deployment)
        for each in near:
            if each.id not in found and not deployments.plan(self._reads, each, now=self._now).reasons:
                yield Ensure(each)
            sched += [
                (each, deployment) for deployment in found.get(each.id, ()) if deployment.state == "sched"
            ]
        for reservation, deployment in sched:
            kind = JobKind.WRITE_SLOT if deployment.role is Role.MESH else JobKind.STAGE_LUN
            octets, lead = self._lead(kind, deployment)
            due_at = self._due(kind, reservation, deployment, lead)
            self._times.append(due_at)
            if due_at > self._now or not self._is_free(kind, reservation, deployment, sched):
                continue
            if self._may_begin(kind, reservation.id, deployment=deployment.id):
                if kind is JobKind.WRITE_SLOT:
                    self._taken.update(deployment.nodes)
                yield Make(kind, reservation, deployment, {OCTETS: octets})

    def _is_near(self, each: Reservation) -> bool:
        """Tell whether its images may be due, whatever their lead time is."""
        if not each.images or each.ends_at <= self._now:
            return False
        earliest = each.starts_at - LONGEST
        free_at = max(
            (end for node in each.nodes for begin, end, _ in self._held[node] if begin < each.starts_at),
            default=self._now,
        )
        if earliest <= self._now or free_at > earliest:
            return True
        self._times.append(earliest)
        return False

    def _lead(self, kind: JobKind, deployment: Deployment) -> tuple[int, timedelta]:
        """Return the octets of the image and how long before the start it has to begin its way."""
        key = (kind, str(deployment.image), len(deployment.nodes))
        if key not in self._lead_times:
            octets = self._size(key[1], kind)
            past = self._past[kind]
            self._lead_times[key] = (octets, lead_time(kind, octets, key[2], past, self._pace))
        return self._lead_times[key]

    def _size(self, ref: str, kind: JobKind) -> int:
        """Return what is carried: to slots the files, to LUNs the disk they are of."""
        key = f"{kind} {ref}"
        if key not in self._sizes:
            image = self._reads.find(DiskImage, ref)
            disk = forlun.disk_size(image) if image is not None and kind is JobKind.STAGE_LUN else None
            self._sizes[key] = disk or (0 if image is None else image.size)
        return self._sizes[key]

    @cached_property
    def _past(self) -> dict[JobKind, list[Past]]:
        ended = ("done", "partly")
        return {
            kind: leadtime.learned(self._reads.jobs(states=ended, kind=kind, limit=LAST)) for kind in PLACING
        }

    def _due(
        self, kind: JobKind, reservation: Reservation, deployment: Deployment, lead: timedelta
    ) -> datetime:
        """Return when an image begins its way; a slot is written while nobody else has its nodes."""
        if kind is JobKind.STAGE_LUN:
            return reservation.starts_at - lead
        spans = {
            span
            for node in deployment.nodes
            for span in self._held.get(node, ())
            if span[2] != reservation.id
        }
        return free_for(lead, self._now, reservation.starts_at, ((s, e) for s, e, _ in spans))

    @cached_property
    def _held(self) -> dict[str, list[tuple[datetime, datetime, int]]]:
        """By node: when it is held, and by which reservation."""
        held: dict[str, list[tuple[datetime, datetime, int]]] = {}
        for each in self._live.values():
            if each.ends_at > self._now:
                span = (each.starts_at, each.ends_at, each.id)
                for node in each.nodes:
                    held.setdefault(node, []).append(span)
        return held

    def _is_free(
        self,
        kind: JobKind,
        reservation: Reservation,
        deployment: Deployment,
        sched: Iterable[tuple[Reservation, Deployment]],
    ) -> bool:
        """Tell whether the place can be written now."""
        if kind is JobKind.WRITE_SLOT:
            busy = {node for r in self._active if r.id != reservation.id for node in r.nodes}
            busy |= self._switched(_SWITCHING, reservation.id)
            return busy.isdisjoint(deployment.nodes) and self._taken.isdisjoint(deployment.nodes)
        earlier = (
            other
            for booked, other in sched
            if (booked.starts_at, other.id) < (reservation.starts_at, deployment.id)
        )
        staged = (each for each in self._in_place if each.flipped_at is None)
        return not any(
            other.group == deployment.group and other.digest != deployment.digest
            for other in (*earlier, *staged)
        )

    def _switched(self, kinds: Iterable[JobKind], besides: int) -> set[str]:
        """Return the nodes that open jobs of other reservations have still to switch."""
        jobs = (job for job in self._jobs if job.kind in kinds and job.reservation != besides)
        return {node for job in jobs for node in self._unfinished(job)}

    def _unfinished(self, job: Job) -> frozenset[str]:
        if job.id not in self._unfinished_of:
            parts = self._reads.job_parts(job.id)
            # one that waits for its turn is not switched before those who have the node now are done
            done = {part.node for part in parts if part.outcome is not Outcome.OPEN or part.step == HELD}
            self._unfinished_of[job.id] = frozenset(job.nodes) - done
        return self._unfinished_of[job.id]

    def _reservation(self, number: int) -> Reservation | None:
        return self._live.get(number) or self._reads.find(Reservation, number)


def free_for(
    lead: timedelta, now: datetime, start: datetime, held: Iterable[tuple[datetime, datetime]]
) -> datetime:
    """Return when to begin what takes *lead*, is wanted at *start*, and needs nodes that are *held* at times.

    As late as may be: right before *start*, or before a booking that leaves no time after it; where
    no gap is long enough, in what is left before *start*, or late.
    """
    gaps: list[tuple[datetime, datetime]] = []
    free_at = now
    for begin, end in sorted(held):
        if begin >= start:
            break
        if begin > free_at:
            gaps.append((free_at, begin))
        free_at = max(free_at, end)
    gaps.append((free_at, max(free_at, start)))
    for begin, end in reversed(gaps):
        if end - begin >= lead * _ENOUGH:
            return max(begin, end - lead)
    return free_at
